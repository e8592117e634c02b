"""Last known value of every tag of a lane, by source time.

Published at most every `latest_interval_ms` (`latest_behind_interval_ms` by a lane that is behind), and only when
something changed. Accepted samples of every stream count: a backlog never replaces a newer live value, since the newest
time wins (at the same time, what was processed last).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas import codec
from stages import packing
from stages.intake.lane_table import LaneTable, TagView
from stages.intake.segments import Segments, segment_by
from stages.validation.checks import Judgement

NEVER_US = np.iinfo(np.int64).min
TIME, VALUE, QUALITY = range(3)
LAYOUT = 1


class LaneLatest:
    """`rows`, shape (3, T): source time, bits of the value, quality.

    `dirty`: something changed since it was last published.
    """

    __slots__ = ("dirty", "rows")

    def __init__(self, slots: int) -> None:
        self.rows = np.zeros((3, slots), dtype=np.int64)
        self.rows[TIME] = NEVER_US
        self.dirty = False

    def fold(self, segments: Segments, view: TagView, judgement: Judgement) -> bool:
        """Fold the accepted samples of a frame in; True when anything changed."""
        if judgement.accepted is None:
            last, present = segments.starts + segments.counts - 1, segments.present
            index = view.index if present is None else view.slots[present]
        else:
            kept = np.flatnonzero(judgement.accepted)
            if not len(kept):
                return False
            starts, counts, present = segment_by(segments.entry[kept], len(view.slots))
            last = kept[starts + counts - 1]
            index = view.index if present is None else view.slots[present]
        time_us = segments.time_us[last]
        newer = time_us >= self.rows[TIME, index]
        if not newer.all():
            if not newer.any():
                return False
            index, last, time_us = _slots(index)[newer], last[newer], time_us[newer]
        self.rows[TIME, index] = time_us
        self.rows[VALUE, index] = segments.value.view(np.int64)[last]
        self.rows[QUALITY, index] = segments.quality[last]
        self.dirty = True
        return True

    def batch(self, table: LaneTable, closed_time_us: int) -> bytes:
        """LatestBatch of all tags ever seen."""
        self.dirty = False
        known = np.flatnonzero((self.rows[TIME] != NEVER_US) & ~table.guest)
        return codec.encode(
            "LatestBatch",
            {
                "gateway_id": table.gateway_id,
                "lane": table.lane,
                "closed_time_us": closed_time_us,
                "tag_id": table.tag_id[known],
                "time_us": self.rows[TIME, known],
                "value": self.rows[VALUE, known].view(np.float64),
                "quality": self.rows[QUALITY, known].astype(np.uint16),
            },
        )

    def relayout(self, old_of_new: NDArray[np.intp]) -> None:
        """Follow a new table; a tag that left is no longer published."""
        rows = LaneLatest(len(old_of_new)).rows
        kept = old_of_new >= 0
        rows[:, kept] = self.rows[:, old_of_new[kept]]
        self.rows = rows

    def to_bytes(self, tag_id: NDArray[np.int32]) -> bytes:
        """State part; `tag_id` names the slots."""
        return packing.pack(LAYOUT, {"dirty": self.dirty}, tag_id, self.rows)

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[NDArray[np.int32], LaneLatest]:
        """Tag of each slot, and the values."""
        fields, (tag_id, rows) = packing.unpack(data, LAYOUT, "latest")
        latest = cls(len(tag_id))
        if rows.size:
            latest.rows = rows
        latest.dirty = fields["dirty"]
        return tag_id, latest


def _slots(index: slice | NDArray[np.intp]) -> NDArray[np.intp]:
    return np.arange(index.start, index.stop) if isinstance(index, slice) else index
