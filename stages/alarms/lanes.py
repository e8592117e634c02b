"""Last values of the watched tags of a lane: which samples can matter, and which tags are silent. Vectorised; nothing here is an alarm.

A lane sends its last values many times a second, and nearly all of them change nothing: what lies between a tag's limits, in good
quality, of a tag at which nothing is the matter, is folded in by numpy and goes no further.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas import quality as qualities
from stages import packing
from stages.alarms.points import LaneTable

LAYOUT = 1
NEVER_US = 0


class Sample(NamedTuple):
    """A sample that matters."""

    time_us: int
    tag_id: int
    value: float
    quality: int


class LaneValues:
    """What was last seen of each watched tag."""

    def __init__(self, table: LaneTable) -> None:
        self._lay_out(table)

    def _lay_out(self, table: LaneTable) -> None:
        count = len(table.tag_id)
        self.table = table
        self.time_us = np.full(count, NEVER_US, dtype=np.int64)
        self.value = np.full(count, np.nan)
        self.quality = np.zeros(count, dtype=np.uint16)
        self.busy = np.zeros(count, dtype=bool)
        """Something is the matter at the tag: each of its samples counts."""
        self.silent = np.zeros(count, dtype=bool)

    def relayout(self, table: LaneTable) -> None:
        """Follow a new table; tags that stay keep their last value."""
        old = (self.table.tag_id, self.time_us, self.value, self.quality)
        self._lay_out(table)
        self._take(*old)

    def fold(
        self,
        tag_id: NDArray[np.int32],
        time_us: NDArray[np.int64],
        value: NDArray[np.float64],
        quality: NDArray[np.uint16],
    ) -> Iterator[Sample]:
        """Fold samples in, one a tag at most, shape (n,) each; those that matter by time. What is not newer than what is known is left out.

        Each is folded when it is asked for, so that whoever judges it finds the others as they were.
        """
        table = self.table
        if not len(table.tag_id):
            return
        index = np.searchsorted(table.tag_id, tag_id).clip(max=len(table.tag_id) - 1)
        known = np.flatnonzero((table.tag_id[index] == tag_id) & (time_us > self.time_us[index]))
        at, new, code = index[known], value[known], quality[known]
        good = qualities.is_good(code)
        changed = (new != self.value[at]) | (code != self.quality[at])
        inside = (new >= table.low[at]) & (new <= table.high[at]) & good
        matters = self.busy[at] | self.silent[at] | table.each[at] | (changed & (table.compared[at] | ~inside))
        self._set(at[~matters], time_us[known][~matters], new[~matters], code[~matters])
        chosen = np.flatnonzero(matters)
        for one in chosen[np.lexsort((at[chosen], time_us[known][chosen]))]:
            row = known[one]
            self._set(at[one], time_us[row], new[one], code[one])
            yield Sample(int(time_us[row]), int(tag_id[row]), float(new[one]), int(code[one]))

    def _set(self, at: object, time_us: object, value: object, quality: object) -> None:
        self.time_us[at], self.value[at], self.quality[at] = time_us, value, quality
        self.silent[at] = False

    def last(self, tag_id: int) -> Sample | None:
        """What is known of a tag; None when nothing has come."""
        index = self._index(tag_id)
        if index is None or self.time_us[index] == NEVER_US:
            return None
        return Sample(int(self.time_us[index]), tag_id, float(self.value[index]), int(self.quality[index]))

    def mark(self, tag_id: int, *, busy: bool) -> None:
        """Whether something is the matter at a tag."""
        if (index := self._index(tag_id)) is not None:
            self.busy[index] = busy

    def newly_silent(self, clock_us: int, since_us: int) -> list[tuple[int, int]]:
        """Tags that have become silent by `clock_us`, and since when. What came before `since_us` does not count as silence before it."""
        heard_us = np.maximum(self.time_us, since_us)
        found = np.flatnonzero(
            (self.table.silent_us > 0) & ~self.silent & (clock_us - heard_us >= self.table.silent_us)
        )
        self.silent[found] = True
        return [(int(self.table.tag_id[index]), int(heard_us[index])) for index in found]

    def to_bytes(self) -> bytes:
        """A part of the state: 22 bytes a tag."""
        return packing.pack(LAYOUT, None, self.table.tag_id, self.time_us, self.value, self.quality)

    def restore(self, data: bytes) -> None:
        """Put back what `to_bytes` gave, for whatever table it was; raises StateError."""
        _, (tag_id, time_us, value, quality) = packing.unpack(data, LAYOUT, "lane")
        self._take(tag_id, time_us, value, quality)

    def _take(self, *columns: NDArray[np.generic]) -> None:
        tag_id, time_us, value, quality = columns
        _, here, there = np.intersect1d(self.table.tag_id, tag_id, return_indices=True)
        self.time_us[here], self.value[here], self.quality[here] = time_us[there], value[there], quality[there]

    def _index(self, tag_id: int) -> int | None:
        index = int(np.searchsorted(self.table.tag_id, tag_id))
        return index if index < len(self.table.tag_id) and self.table.tag_id[index] == tag_id else None


def no_lane() -> LaneTable:
    """Of a lane that no rule looks at."""
    none = np.zeros(0)
    return LaneTable(
        tag_id=none.astype(np.int32),
        low=none,
        high=none,
        each=none.astype(bool),
        compared=none.astype(bool),
        silent_us=none.astype(np.int64),
    )


def silent_tags(lane: LaneValues, tag_ids: Iterable[int]) -> None:
    """After a restore: tags whose silence is known already."""
    lane.silent |= np.isin(lane.table.tag_id, list(tag_ids))
