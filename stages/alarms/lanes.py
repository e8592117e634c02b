"""Last values of the watched tags of a lane: which samples can matter, and which tags are silent. Vectorised; nothing here is an alarm.

A lane sends its last values many times a second, and nearly all of them change nothing: what lies between a tag's limits, in good
quality, of a tag at which nothing is the matter, is folded in by numpy and goes no further.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas import quality as qualities
from stages import packing
from stages.alarms.lane_tables import LaneTable

LAYOUT = 1
NEVER_US = 0
NOBODY_ASKS_US = -1
"""Since when silence counts of a tag whose silence is nobody's alarm."""


class Sample(NamedTuple):
    """A sample that matters."""

    time_us: int
    tag_id: int
    value: float
    quality: int
    changed: bool = True
    """Whether value or quality is another than before."""
    before_us: int = 0
    """When the sample before this one was taken; 0 where there was none, or its quality was bad."""

    @property
    def known(self) -> float:
        """The value; NaN when its quality is bad."""
        return math.nan if qualities.is_bad(self.quality) else self.value


class LaneValues:
    """What was last seen of each watched tag."""

    def __init__(self, table: LaneTable) -> None:
        self.known_us = NEVER_US
        """Up to when the lane's values are known, by the gateway's clock."""
        self.read_us = NEVER_US
        """When something of the lane was last read, processing time."""
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
        self.since_us = np.full(count, NOBODY_ASKS_US, dtype=np.int64)
        """Since when somebody asks whether the tag is silent, by the gateway's clock: silence does not count before."""

    def advance(self, known_us: int, now_us: int) -> None:
        """Values are known up to a time. Before the first of them nobody is silent, whatever other lanes have told by then."""
        if self.known_us == NEVER_US:
            asked = self.since_us != NOBODY_ASKS_US
            self.since_us[asked] = np.maximum(self.since_us[asked], known_us)
        self.known_us, self.read_us = max(self.known_us, known_us), now_us

    def relayout(self, table: LaneTable, clock_us: int) -> None:
        """Follow a new table; tags that stay keep their last value. Silence that is asked for anew counts from the gateway's clock."""
        old = (self.table.tag_id, self.time_us, self.value, self.quality, self.since_us)
        self._lay_out(table)
        self._take(*old)
        asked = self.table.silent_us > 0
        self.since_us[~asked] = NOBODY_ASKS_US
        self.since_us[asked & (self.since_us == NOBODY_ASKS_US)] = clock_us

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
            row, before_us = known[one], int(self.time_us[at[one]])
            if qualities.is_bad(int(self.quality[at[one]])):
                before_us = NEVER_US
            self._set(at[one], time_us[row], new[one], code[one])
            yield Sample(
                int(time_us[row]), int(tag_id[row]), float(new[one]), int(code[one]), bool(changed[one]), before_us
            )

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

    def silence(self, tag_ids: Iterable[int]) -> None:
        """Tags whose silence is known already."""
        self.silent |= np.isin(self.table.tag_id, list(tag_ids))

    def newly_silent(self, resumed_us: int) -> list[tuple[int, int]]:
        """Tags that are silent by what is known of the lane, and since when: not before their gateway came back or somebody asked."""
        heard_us = np.maximum(np.maximum(self.time_us, self.since_us), resumed_us)
        found = np.flatnonzero(
            (self.table.silent_us > 0) & ~self.silent & (self.known_us - heard_us >= self.table.silent_us)
        )
        self.silent[found] = True
        return [(int(self.table.tag_id[index]), int(heard_us[index])) for index in found]

    def to_bytes(self) -> bytes:
        """A part of the state: 30 bytes a tag."""
        fields = {"known_us": self.known_us, "read_us": self.read_us}
        return packing.pack(LAYOUT, fields, self.table.tag_id, self.time_us, self.value, self.quality, self.since_us)

    def restore(self, data: bytes) -> None:
        """Put back what `to_bytes` gave, for whatever table it was; raises StateError."""
        fields, (tag_id, time_us, value, quality, since_us) = packing.unpack(data, LAYOUT, "lane")
        self.known_us, self.read_us = int(fields["known_us"]), int(fields.get("read_us", NEVER_US))
        self._take(tag_id, time_us, value, quality, since_us)

    def _take(self, *columns: NDArray[np.generic]) -> None:
        tag_id, time_us, value, quality, since_us = columns
        _, here, there = np.intersect1d(self.table.tag_id, tag_id, return_indices=True)
        self.time_us[here], self.value[here], self.quality[here] = time_us[there], value[there], quality[there]
        self.since_us[here] = since_us[there]

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
