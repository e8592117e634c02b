"""What validation remembers of each tag between frames, and the two checks that need it: rate of change and stuck.

One `TagHistory` per lane and stream. References follow the order of processing (frames by sequence, samples of a tag by
time), so a device whose clock is set back is compared with what it sent last, by the size of the time difference.
Samples that the source itself calls uncertain or bad, and samples refused for another reason, are never looked at here.

Rate of change is checked against the last *accepted* sample: after a jump the tag is believed again once enough time has
passed for such a change. Stuck is checked on runs of bit-identical values, accepted or not. A gap in the data longer
than the tag's limit starts a new run: nobody saw the value in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from schemas.frame import Stream
from schemas.verdicts import Verdict
from stages import packing
from stages.intake.lane_table import Index, LaneTable, TagView

ACCEPTED, ACCEPTED_T, SEEN, SEEN_T, SINCE_T = range(5)
"""Rows: last accepted value and its time, last seen value and its time, start of its run. Values are f8 bits."""
NEVER = np.iinfo(np.int64).min
LAYOUT = 1
_SLACK = 1.0 + 1e-9
"""Differences of floats are not exact: a ramp at exactly the allowed rate is allowed."""


class TagHistory:
    """References of a lane's tags: `rows` has shape (5, T), int64, of the tags `tag_id`, shape (T,)."""

    __slots__ = ("rows", "tag_id")

    def __init__(self, tag_id: NDArray[np.int32]) -> None:
        self.tag_id = tag_id
        self.rows = np.full((5, len(tag_id)), NEVER, dtype=np.int64)

    def check(
        self,
        view: TagView,
        entry: NDArray[np.intp],
        segments: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp] | None],
        time_us: NDArray[np.int64],
        value: NDArray[np.float64],
    ) -> NDArray[np.uint8] | None:
        """Verdicts of candidate samples, shape (n,), or None when all are fine; updates the references.

        Samples are sorted by tag and time. `entry` is each sample's dictionary entry; `segments` are the starts, counts
        and entries of its runs.
        """
        starts, counts, present = segments
        if not len(starts) or not (view.any_rate or view.any_stuck):
            return None
        index: Index = view.index if present is None else view.slots[present]
        where = slice(None) if present is None else present
        references = self.rows[:, index] if isinstance(index, slice) else self.rows.take(index, axis=1)
        bits = value.view(np.int64)
        last = starts + counts - 1
        stuck = self._stuck(references, view, entry, starts, last, where, time_us, bits) if view.any_stuck else None
        rate = self._rate(references, view, entry, starts, where, time_us, value) if view.any_rate else None
        references[SEEN] = bits[last]
        references[SEEN_T] = time_us[last]
        verdict = None
        if rate is None and stuck is None:
            references[ACCEPTED], references[ACCEPTED_T] = references[SEEN], references[SEEN_T]
        else:
            verdict = self._reconcile(references, view, starts, counts, where, time_us, value, rate, stuck)
        if not isinstance(index, slice):
            self.rows[:, index] = references
        return verdict

    @staticmethod
    def _rate(
        references: NDArray[np.int64],
        view: TagView,
        entry: NDArray[np.intp],
        starts: NDArray[np.intp],
        where: slice | NDArray[np.intp],
        time_us: NDArray[np.int64],
        value: NDArray[np.float64],
    ) -> NDArray[np.bool_] | None:
        """Segments, shape (p,), in which some step is too fast if everything before it was accepted.

        None when there is none.
        """
        rate = view.rate_per_us[where]
        first, first_t = value[starts], time_us[starts]
        known = references[ACCEPTED_T] != NEVER
        gap = np.where(known, np.abs(first_t - references[ACCEPTED_T]), 0)
        step = np.abs(first - references[ACCEPTED].view(np.float64))
        broken = known & (step > rate * gap * _SLACK)
        if len(value) > len(starts):
            steps = np.abs(value[1:] - value[:-1])
            too_fast = steps > view.rate_per_us[entry[1:]] * (time_us[1:] - time_us[:-1]) * _SLACK
            too_fast[starts[1:] - 1] = False
            if too_fast.any():
                segment = np.searchsorted(starts, np.flatnonzero(too_fast) + 1, side="right") - 1
                broken[segment] = True
        return broken if broken.any() else None

    @staticmethod
    def _stuck(
        references: NDArray[np.int64],
        view: TagView,
        entry: NDArray[np.intp],
        starts: NDArray[np.intp],
        last: NDArray[np.intp],
        where: slice | NDArray[np.intp],
        time_us: NDArray[np.int64],
        bits: NDArray[np.int64],
    ) -> NDArray[np.bool_] | None:
        """Samples, shape (n,), that are stuck; None when none is. Moves the start of each tag's run."""
        limit = view.stuck_us[where]
        gap = time_us[starts] - references[SEEN_T]  # wraps for a tag never seen; `known` masks it
        known = references[SEEN_T] != NEVER
        goes_on = known & (bits[starts] == references[SEEN]) & (gap >= 0) & (gap <= limit)
        since = np.where(goes_on, references[SINCE_T], time_us[starts])
        if len(bits) == len(starts):
            references[SINCE_T] = since
            stuck = time_us - since > limit
            return stuck if stuck.any() else None
        if not (time_us[last] - since > limit).any() and (bits[last] != bits[last - 1])[last > starts].all():
            # Nothing has stood still for long enough, and what has several samples moved with its last one.
            references[SINCE_T] = np.where(last > starts, time_us[last], since)
            return None
        new_run = np.ones(len(bits), dtype=np.bool_)
        new_run[1:] = (bits[1:] != bits[:-1]) | (time_us[1:] - time_us[:-1] > view.stuck_us[entry[1:]])
        new_run[starts] = True
        runs = np.flatnonzero(new_run)
        run_since = time_us[runs]
        run_since[np.searchsorted(runs, starts)] = since
        references[SINCE_T] = run_since[np.searchsorted(runs, last, side="right") - 1]
        run_last = np.append(runs[1:], len(bits)) - 1
        if not (time_us[run_last] - run_since > view.stuck_us[entry[runs]]).any():
            return None
        since_each = np.repeat(run_since, run_last - runs + 1)
        stuck = time_us - since_each > view.stuck_us[entry]
        return stuck if stuck.any() else None

    @staticmethod
    def _reconcile(
        references: NDArray[np.int64],
        view: TagView,
        starts: NDArray[np.intp],
        counts: NDArray[np.intp],
        where: slice | NDArray[np.intp],
        time_us: NDArray[np.int64],
        value: NDArray[np.float64],
        rate: NDArray[np.bool_] | None,
        stuck: NDArray[np.bool_] | None,
    ) -> NDArray[np.uint8]:
        """Exact verdicts, sample by sample only for the tags with a violation, and the references that follow."""
        verdict = np.zeros(len(value), dtype=np.uint8)
        troubled = np.zeros(len(starts), dtype=np.bool_) if rate is None else rate.copy()
        if stuck is not None:
            verdict[stuck] = Verdict.STUCK
            troubled |= np.add.reduceat(stuck, starts, dtype=np.int64) > 0
        calm = ~troubled
        references[ACCEPTED, calm], references[ACCEPTED_T, calm] = references[SEEN, calm], references[SEEN_T, calm]
        limits = view.rate_per_us[where]
        for segment in np.flatnonzero(troubled).tolist():
            start, stop = int(starts[segment]), int(starts[segment] + counts[segment])
            limit = float(limits[segment]) * _SLACK
            reference_t = int(references[ACCEPTED_T, segment])
            reference = float(references[ACCEPTED].view(np.float64)[segment])
            pairs = zip(time_us[start:stop].tolist(), value[start:stop].tolist(), strict=True)
            for at, (sample_t, sample) in enumerate(pairs, start):
                if reference_t != NEVER and abs(sample - reference) > limit * abs(sample_t - reference_t):
                    verdict[at] = Verdict.RATE_OF_CHANGE
                elif not verdict[at]:
                    reference_t, reference = sample_t, sample
            references[ACCEPTED_T, segment] = reference_t
            references[ACCEPTED].view(np.float64)[segment] = reference
        return verdict

    def relayout(self, table: LaneTable) -> None:
        """Follow a new table."""
        old_of_new = table.old_of_new(self.tag_id)
        self.tag_id = table.tag_id
        fresh = np.full((5, len(old_of_new)), NEVER, dtype=np.int64)
        kept = old_of_new >= 0
        fresh[:, kept] = self.rows[:, old_of_new[kept]]
        self.rows = fresh

    def to_bytes(self) -> bytes:
        """State entry."""
        return packing.pack(LAYOUT, None, self.tag_id, self.rows)

    @classmethod
    def from_bytes(cls, data: bytes) -> TagHistory:
        """Inverse of `to_bytes`; raises packing.StateError."""
        _, (tag_id, rows) = packing.unpack(data, LAYOUT, "memory")
        history = cls(tag_id)
        if rows.size:
            history.rows = rows
        return history


class LaneHistories:
    """The `TagHistory` of each stream of a lane; a part of its state."""

    __slots__ = ("_changed", "_of_stream", "_table")
    kinds: ClassVar[tuple[str, ...]] = ("memory",)
    by_tag: ClassVar[bool] = True

    def __init__(self, table: LaneTable) -> None:
        self._table = table
        self._of_stream: dict[Stream, TagHistory] = {}
        self._changed: set[Stream] = set()

    def of(self, stream: Stream, view: TagView) -> TagHistory:
        """History of a stream, about to be checked for the tags of `view`."""
        if view.any_rate or view.any_stuck:
            self._changed.add(stream)
        history = self._of_stream.get(stream)
        if history is None:
            history = self._of_stream[stream] = TagHistory(self._table.tag_id)
        return history

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart: one entry per stream."""
        changes: dict[str, bytes | None] = {
            f"memory/{stream.name}": self._of_stream[stream].to_bytes() for stream in self._changed
        }
        self._changed.clear()
        return changes

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart."""
        for name, data in entries.items():
            history = self._of_stream[Stream[name.partition("/")[2]]] = TagHistory.from_bytes(data)
            history.relayout(self._table)

    def relayout(self, table: LaneTable) -> None:
        """See StatePart."""
        self._table = table
        for stream, history in self._of_stream.items():
            history.relayout(table)
            self._changed.add(stream)
