"""The last weeks of every tag as some dozens of levels: means of windows in slots whose length grows with the history.

Enters: means of closed windows. Leaves: which tags have a new level, and the levels. A tag has at most `SLOTS` of them. When those are
full, neighbours are merged and a slot is twice as long, up to `MOST_DOUBLINGS` times; from then on the oldest is forgotten. A level that
changed at once and stayed for a while (a new part, another product) is where the history begins anew. 20 bytes and 4 a slot a tag.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

SLOTS = 48
MOST_DOUBLINGS = 3
UNSET_US = -1
_BEFORE = 8
"""So many levels from before a change are needed to know it."""
_JUMP = 5.0
"""A change is so many times what usually lies between two levels."""


class TagLevels:
    """Levels of k tags. `offset_us` (k,) shifts the slots of each, so that not all of them close in the same moment."""

    def __init__(self, tags: int, step_us: int, offset_us: NDArray[np.int64], rhythm_us: int) -> None:
        self.step_us, self.rhythm_us = step_us, rhythm_us
        self.offset_us = offset_us % step_us
        self.start_us = np.full(tags, UNSET_US, dtype=np.int64)
        self.doublings = np.zeros(tags, dtype=np.uint8)
        self.closed = np.zeros(tags, dtype=np.uint8)
        """Slots that have ended; the one at this place is filled now."""
        self.sum = np.zeros(tags)
        self.parts = np.zeros(tags, dtype=np.int32)
        self.levels = np.full((tags, SLOTS), np.nan, dtype=np.float32)
        self.moved = False
        """Whether a slot has begun or ended since somebody set this to False."""

    @property
    def arrays(self) -> tuple[NDArray[np.generic], ...]:
        """All that is remembered, in the order of the state entry; rows are tags."""
        return self.start_us, self.doublings, self.closed, self.sum, self.parts, self.levels

    def take(self, other: Sequence[NDArray[np.generic]], here: NDArray[np.intp], there: NDArray[np.intp]) -> None:
        """Tags at `here` go on with what `arrays` of another had at `there`."""
        for own, theirs in zip(self.arrays, other, strict=True):
            own[here] = theirs[there]

    def put(self, at: NDArray[np.intp], start_us: int, mean: NDArray[np.float64]) -> NDArray[np.intp]:
        """Means (j,) of windows that start at `start_us`, of the tags `at` (j,); which have new levels. Older ones are left out."""
        new = self.start_us[at] == UNSET_US
        if new.any():
            self._begin(at[new], start_us)
        slot = (start_us - self.start_us[at]) // (self.step_us << self.doublings[at].astype(np.int64))
        ended, fits = slot > self.closed[at], slot >= self.closed[at]
        over = at[ended]
        for tag, now in zip(over.tolist(), slot[ended].tolist(), strict=True):
            self._end(tag, now, start_us)
        self.sum[at[fits]] += mean[fits]
        self.parts[at[fits]] += 1
        return over

    def of(self, tag: int) -> NDArray[np.float64]:
        """Levels of a tag, oldest first, NaN where it said nothing."""
        return self.levels[tag, : self.closed[tag]].astype(np.float64)

    def slot_s(self, tag: int) -> float:
        """Length of a tag's slots."""
        return (self.step_us << int(self.doublings[tag])) / 1e6

    def now_us(self, tag: int) -> int:
        """End of a tag's last slot."""
        return int(self.start_us[tag]) + int(self.closed[tag]) * (self.step_us << int(self.doublings[tag]))

    def _begin(self, at: NDArray[np.intp], start_us: int) -> None:
        self.moved = True
        offset = self.offset_us[at]
        self.start_us[at] = (start_us - offset) // self.step_us * self.step_us + offset
        self.doublings[at], self.closed[at], self.sum[at], self.parts[at] = 0, 0, 0.0, 0
        self.levels[at] = np.nan

    def _end(self, tag: int, now: int, start_us: int) -> None:
        """A tag's slot ended; `now` is the number of the one that begins."""
        self.moved = True
        levels, closed = self.levels[tag], int(self.closed[tag])
        parts = int(self.parts[tag])
        levels[closed] = self.sum[tag] / parts if parts else np.nan
        self.sum[tag], self.parts[tag] = 0.0, 0
        if now >= 2 * SLOTS << (MOST_DOUBLINGS - int(self.doublings[tag])):
            self._begin(np.array([tag]), start_us)  # it was away for longer than is remembered
            return
        while now >= SLOTS and self.doublings[tag] < MOST_DOUBLINGS:
            levels[: SLOTS // 2] = _merged(levels)
            levels[SLOTS // 2 :] = np.nan
            self.doublings[tag] += 1
            now //= 2
        gone = now - SLOTS + 1
        if gone > 0:
            self._forget(tag, gone)
            now -= gone
        self.closed[tag] = now
        self._begin_after_change(tag)

    def _forget(self, tag: int, slots: int) -> None:
        """Forget a tag's oldest slots."""
        levels = self.levels[tag]
        kept = max(SLOTS - slots, 0)
        levels[:kept] = levels[SLOTS - kept :].copy()
        levels[kept:] = np.nan
        self.start_us[tag] += slots * (self.step_us << int(self.doublings[tag]))

    def _begin_after_change(self, tag: int) -> None:
        """Where a tag's level changed at once a while ago, for good: forget what was before."""
        slot_us = self.step_us << int(self.doublings[tag])
        closed = int(self.closed[tag])
        behind = max(3, -(-self.rhythm_us // slot_us))
        latest = closed - behind
        if latest < _BEFORE:
            return
        levels = self.levels[tag, :closed].astype(np.float64)
        moves = np.nan_to_num(np.diff(levels))
        at = _BEFORE + int(np.argmax(np.abs(moves[_BEFORE - 1 : latest])))
        jump = moves[at - 1]
        # What moves usually, before and after: the rhythm is in it, and the trend.
        usual = float(np.sqrt(np.mean(np.delete(moves, at - 1) ** 2)))
        if not abs(jump) > _JUMP * usual:
            return
        before, after = levels[at - _BEFORE : at], levels[at:]
        apart = np.nanmin(after) - np.nanmax(before) if jump > 0 else np.nanmin(before) - np.nanmax(after)
        if apart > 0.3 * abs(jump):
            self._forget(tag, at)
            self.closed[tag] = closed - at


def _merged(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Means of neighbours; one of them where the other is not there."""
    left, right = levels[0::2], levels[1::2]
    return np.where(np.isnan(left), right, np.where(np.isnan(right), left, (left + right) / 2))
