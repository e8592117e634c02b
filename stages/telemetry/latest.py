"""Last known value of every tag of a lane, by source time.

Published at most every `latest_interval_ms` (`latest_behind_interval_ms` by a lane that is behind), and only when
something changed. Accepted samples of every stream count: a backlog never replaces a newer live value, since the newest
time wins (at the same time, what was processed last).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from schemas import codec
from stages import packing
from stages.intake.lane_table import LaneTable, TagView
from stages.intake.segments import Segments, segment_by
from stages.validation.checks import Verdicts

NEVER_US = np.iinfo(np.int64).min
TIME, VALUE, QUALITY = range(3)
LAYOUT = 1


class LaneLatest:
    """Last values of a lane; a part of its state. `rows`, shape (3, T): source time, bits of the value, quality.

    `dirty`: something changed since it was last published. `tags_left`: a table did not have all tags of the one before,
    or of the one that a restored entry was written for.
    """

    __slots__ = ("_changed", "_table", "dirty", "rows", "tags_left")
    kinds: ClassVar[tuple[str, ...]] = ("latest",)
    by_tag: ClassVar[bool] = True

    def __init__(self, table: LaneTable) -> None:
        self._table = table
        self.rows = _empty(len(table.tags))
        self.dirty = self.tags_left = self._changed = False

    def fold(self, segments: Segments, view: TagView, verdicts: Verdicts) -> None:
        """Fold the accepted samples of a micro-batch in."""
        if verdicts.accepted is None:
            last, present = segments.starts + segments.counts - 1, segments.present
            index = view.index if present is None else view.slots[present]
        else:
            kept = np.flatnonzero(verdicts.accepted)
            if not len(kept):
                return
            starts, counts, present = segment_by(segments.entry[kept], len(view.slots))
            last = kept[starts + counts - 1]
            index = view.index if present is None else view.slots[present]
        time_us = segments.time_us[last]
        newer = time_us >= self.rows[TIME, index]
        if not newer.all():
            if not newer.any():
                return
            index, last, time_us = _slots(index)[newer], last[newer], time_us[newer]
        self.rows[TIME, index] = time_us
        self.rows[VALUE, index] = segments.value.view(np.int64)[last]
        self.rows[QUALITY, index] = segments.quality[last]
        self.dirty = self._changed = True

    def publish(self, closed_time_us: int) -> bytes:
        """LatestBatch of all tags ever seen; `dirty` no more."""
        table = self._table
        self.dirty, self._changed = False, True
        known = np.flatnonzero((self.rows[TIME] != NEVER_US) & ~table.foreign)
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

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart: one entry."""
        if not self._changed:
            return {}
        self._changed = False
        return {"latest": packing.pack(LAYOUT, {"dirty": self.dirty}, self._table.tag_id, self.rows)}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart."""
        fields, (tag_id, rows) = packing.unpack(entries["latest"], LAYOUT, "latest")
        self.dirty = fields["dirty"]
        self._place(rows if rows.size else _empty(len(tag_id)), tag_id)

    def relayout(self, table: LaneTable) -> None:
        """See StatePart. A tag that left is no longer published."""
        before, self._table = self._table, table
        self._place(self.rows, before.tag_id)
        self._changed = True

    def _place(self, rows: NDArray[np.int64], tag_id: NDArray[np.int32]) -> None:
        """Take over columns of tags, laid out for the table."""
        old_of_new = self._table.old_of_new(tag_id)
        kept = old_of_new >= 0
        self.tags_left = self.tags_left or np.count_nonzero(kept) < len(tag_id)
        self.rows = _empty(len(old_of_new))
        self.rows[:, kept] = rows[:, old_of_new[kept]]


def _empty(slots: int) -> NDArray[np.int64]:
    rows = np.zeros((3, slots), dtype=np.int64)
    rows[TIME] = NEVER_US
    return rows


def _slots(index: slice | NDArray[np.intp]) -> NDArray[np.intp]:
    return np.arange(index.start, index.stop) if isinstance(index, slice) else index
