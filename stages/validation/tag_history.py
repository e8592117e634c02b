"""What validation remembers of each tag between frames, and the two checks that need it: rate of change and stuck.

One `TagMemory` per lane and stream. References follow the order of processing (frames by sequence, samples of a tag by
time), so a device whose clock is set back is judged against what it sent last, by the size of the time difference.
Samples that the source itself calls uncertain or bad, and samples refused for another reason, are never looked at here.

Rate of change is judged against the last *accepted* sample: after a jump the tag is believed again once enough time has
passed for such a change. Stuck is judged on runs of bit-identical values, accepted or not. A gap in the data longer
than the tag's limit starts a new run: nobody saw the value in between.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas.verdicts import Verdict
from stages import packing
from stages.intake.lane_table import Index, TagView

ACCEPTED, ACCEPTED_T, SEEN, SEEN_T, SINCE_T = range(5)
"""Rows: last accepted value and its time, last seen value and its time, start of its run. Values are f8 bits."""
NEVER = np.iinfo(np.int64).min
LAYOUT = 1
_SLACK = 1.0 + 1e-9
"""Differences of floats are not exact: a ramp at exactly the allowed rate is allowed."""


class TagMemory:
    """Packed memory of a lane's tags: `rows` has shape (5, T), int64."""

    __slots__ = ("rows",)

    def __init__(self, slots: int) -> None:
        self.rows = np.full((5, slots), NEVER, dtype=np.int64)

    def judge(
        self,
        view: TagView,
        entry: NDArray[np.intp],
        segments: tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp] | None],
        time_us: NDArray[np.int64],
        value: NDArray[np.float64],
    ) -> NDArray[np.uint8] | None:
        """Verdicts of candidate samples, shape (n,), or None when all are fine; updates the memory.

        Samples are sorted by tag and time. `entry` is each sample's dictionary entry; `segments` are the starts, counts
        and entries of its runs.
        """
        starts, counts, present = segments
        if not len(starts) or not (view.any_rate or view.any_stuck):
            return None
        index: Index = view.index if present is None else view.slots[present]
        where = slice(None) if present is None else present
        memory = self.rows[:, index] if isinstance(index, slice) else self.rows.take(index, axis=1)
        bits = value.view(np.int64)
        last = starts + counts - 1
        stuck = self._stuck(memory, view, entry, starts, last, where, time_us, bits) if view.any_stuck else None
        rate = self._rate(memory, view, entry, starts, where, time_us, value) if view.any_rate else None
        memory[SEEN] = bits[last]
        memory[SEEN_T] = time_us[last]
        verdict = None
        if rate is None and stuck is None:
            memory[ACCEPTED], memory[ACCEPTED_T] = memory[SEEN], memory[SEEN_T]
        else:
            verdict = self._settle(memory, view, starts, counts, where, time_us, value, rate, stuck)
        if not isinstance(index, slice):
            self.rows[:, index] = memory
        return verdict

    @staticmethod
    def _rate(
        memory: NDArray[np.int64],
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
        known = memory[ACCEPTED_T] != NEVER
        gap = np.where(known, np.abs(first_t - memory[ACCEPTED_T]), 0)
        step = np.abs(first - memory[ACCEPTED].view(np.float64))
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
        memory: NDArray[np.int64],
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
        gap = time_us[starts] - memory[SEEN_T]  # wraps for a tag never seen; `known` masks it
        known = memory[SEEN_T] != NEVER
        goes_on = known & (bits[starts] == memory[SEEN]) & (gap >= 0) & (gap <= limit)
        since = np.where(goes_on, memory[SINCE_T], time_us[starts])
        if len(bits) == len(starts):
            memory[SINCE_T] = since
            stuck = time_us - since > limit
            return stuck if stuck.any() else None
        if not (time_us[last] - since > limit).any() and (bits[last] != bits[last - 1])[last > starts].all():
            # Nothing has stood still for long enough, and what has several samples moved with its last one.
            memory[SINCE_T] = np.where(last > starts, time_us[last], since)
            return None
        new_run = np.ones(len(bits), dtype=np.bool_)
        new_run[1:] = (bits[1:] != bits[:-1]) | (time_us[1:] - time_us[:-1] > view.stuck_us[entry[1:]])
        new_run[starts] = True
        runs = np.flatnonzero(new_run)
        run_since = time_us[runs]
        run_since[np.searchsorted(runs, starts)] = since
        memory[SINCE_T] = run_since[np.searchsorted(runs, last, side="right") - 1]
        run_last = np.append(runs[1:], len(bits)) - 1
        if not (time_us[run_last] - run_since > view.stuck_us[entry[runs]]).any():
            return None
        since_each = np.repeat(run_since, run_last - runs + 1)
        stuck = time_us - since_each > view.stuck_us[entry]
        return stuck if stuck.any() else None

    @staticmethod
    def _settle(
        memory: NDArray[np.int64],
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
        memory[ACCEPTED, calm], memory[ACCEPTED_T, calm] = memory[SEEN, calm], memory[SEEN_T, calm]
        limits = view.rate_per_us[where]
        for segment in np.flatnonzero(troubled).tolist():
            start, stop = int(starts[segment]), int(starts[segment] + counts[segment])
            limit = float(limits[segment]) * _SLACK
            reference_t = int(memory[ACCEPTED_T, segment])
            reference = float(memory[ACCEPTED].view(np.float64)[segment])
            pairs = zip(time_us[start:stop].tolist(), value[start:stop].tolist(), strict=True)
            for at, (sample_t, sample) in enumerate(pairs, start):
                if reference_t != NEVER and abs(sample - reference) > limit * abs(sample_t - reference_t):
                    verdict[at] = Verdict.RATE_OF_CHANGE
                elif not verdict[at]:
                    reference_t, reference = sample_t, sample
            memory[ACCEPTED_T, segment] = reference_t
            memory[ACCEPTED].view(np.float64)[segment] = reference
        return verdict

    def relayout(self, old_of_new: NDArray[np.intp]) -> None:
        """Follow a new table: `old_of_new` has the old slot of each new one, -1 for none."""
        fresh = np.full((5, len(old_of_new)), NEVER, dtype=np.int64)
        kept = old_of_new >= 0
        fresh[:, kept] = self.rows[:, old_of_new[kept]]
        self.rows = fresh

    def to_bytes(self, tag_id: NDArray[np.int32]) -> bytes:
        """State part; `tag_id` names the slots."""
        return packing.pack(LAYOUT, None, tag_id, self.rows)

    @classmethod
    def from_bytes(cls, data: bytes) -> tuple[NDArray[np.int32], TagMemory]:
        """Tag of each slot, and the memory."""
        _, (tag_id, rows) = packing.unpack(data, LAYOUT, "memory")
        memory = cls(0)
        memory.rows = rows if rows.size else np.full((5, 0), NEVER, dtype=np.int64)
        return tag_id, memory
