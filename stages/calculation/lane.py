"""Calculated tags of one lane: samples of inputs in, the same frames with calculated samples behind them out.

Called by `stages.telemetry.frame_path` behind validation. A calculated tag has a sample at every time at which one of its inputs has
an accepted one, made of what each input was at that time (`calculated_tag`). What was before the frame is the lane's last values, of all
streams; a backlog (BACKFILL) has last values of its own beside them, since those of the lane are mostly later. REPLAY carries single tags
out of their time: nothing is calculated of it. Frames are looked at one after the other, so several together give what one after the other
gives.

Calculated samples are at the end of the frame whose samples they were made of, with the verdict CALCULATED: under that frame's identity
they are stored once, as its own samples are. Its checksum stays that of what the gateway sent.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from base.errors import ConfigError
from schemas import frame
from schemas.definitions import Registry, TagDefinition
from schemas.frame import Frame, Stream
from schemas.quality import is_good
from schemas.verdicts import REJECT_FROM, Verdict
from stages import packing
from stages.calculation.calculated_tag import CalculatedTag, Sample
from stages.calculation.expression import bind
from stages.calculation.room import Waiting, Wanted, asked, fits, fitting, possible
from stages.intake import micro_batch, segments
from stages.intake.lane_table import LaneTable, TagView
from stages.intake.micro_batch import Arrived, MicroBatch
from stages.intake.segments import Segments
from stages.telemetry.latest import NEVER_US, QUALITY, TIME, VALUE, LaneLatest
from stages.validation.checks import Verdicts

LAYOUT = 1
_ANOTHER_BACKLOG_US = 600_000_000
"""A backlog of a device that begins so much later than its last one ended is another one."""
_MOST_TAGS = 1 << 16
"""Of a frame, whose samples name theirs by 16 bits."""
_ENTRY = "inputs/BACKFILL"
_log = logging.getLogger(__name__)
LastValues = list[Sample | None]
"""Of each input, by its row."""
Made = tuple[int, list[Sample]]
"""A calculated tag and its samples."""


class Counts(NamedTuple):
    """Samples made; times of tags without one because the frame had no room, and because an input was not heard by then."""

    made: int = 0
    left_out: int = 0
    not_heard: int = 0


class Extended(NamedTuple):
    """A micro-batch with its calculated samples, as the stages behind see it."""

    batch: MicroBatch
    segments: Segments
    view: TagView
    found: Verdicts


class LaneCalculations:
    """Calculated tags of one lane; a part of its state. `active`: whether it has any.

    `rows`, shape (3, k): time, bits of the value and quality of the last BACKFILL sample of each input, as `LaneLatest` has them.
    """

    kinds: ClassVar[tuple[str, ...]] = ("inputs",)
    by_tag: ClassVar[bool] = True

    def __init__(self, table: LaneTable, latest: LaneLatest, registry: Registry) -> None:
        self._latest, self._registry = latest, registry
        self._table = table
        self.active = False
        self.unfit = 0
        """Calculated tags of the lane whose expression cannot be evaluated here."""
        self._counts = Counts()
        self._said_full = False
        self.waiting = Waiting()
        self._tags: list[tuple[CalculatedTag, dict[str, int]]] = []
        """Each with the rows of its inputs, by name."""
        self._tag_id = np.empty(0, dtype=np.int32)
        self._device = np.empty(0, dtype=np.intp)
        self._slots = np.empty(0, dtype=np.intp)
        self._rows = _empty(0)
        self._changed = False

    # --- frames ------------------------------------------------------------------------------------------------------

    def in_time(self, batch: MicroBatch) -> bool:
        """Whether the inputs of each device come in the order of time, frame by frame, whichever tag they are of.

        Only then does each calculated tag do so, which the stages behind take for granted of frames that go together.
        """
        inputs = self._inputs_of(batch.tag_ids)[batch.tag_index]
        chosen = np.flatnonzero(inputs >= 0)
        if not len(chosen):
            return True
        number = np.searchsorted(np.array(batch.bounds[1:]), chosen, side="right")
        device = self._device[inputs[chosen]]
        group = device * len(batch.arrived) + number
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0])
        time_us, device = batch.time_us[chosen][order], device[order][starts]
        first_us, last_us = np.minimum.reduceat(time_us, starts), np.maximum.reduceat(time_us, starts)
        return bool(((first_us[1:] >= last_us[:-1]) | (device[1:] != device[:-1])).all())

    def extend(self, batch: MicroBatch, verdict: NDArray[np.uint8], site: str) -> Extended | None:
        """The micro-batch with its calculated samples, given its verdicts in frame order, shape (n,); None when it has none.

        Notes the inputs of a backlog.
        """
        inputs = self._inputs_of(batch.tag_ids)[batch.tag_index]
        inputs[verdict >= REJECT_FROM] = -1
        stream = batch.first.stream
        if stream is Stream.REPLAY or not (inputs >= 0).any():
            return None
        last = [_last_values(self._latest.rows[:, self._slots])]
        if stream is Stream.BACKFILL:
            self._forget_an_earlier_backlog(batch.time_us[inputs >= 0], self._device[inputs[inputs >= 0]])
            last.append(_last_values(self._rows))
        frames, verdicts = list[Arrived](), list[NDArray[np.uint8]]()
        for each, (start, stop) in zip(batch.arrived, pairwise(batch.bounds), strict=True):
            part = slice(start, stop)
            new = _by_input(inputs[part], batch.time_us[part], batch.value[part], batch.quality[part])
            made = list(self._calculate(self._room(each.frame, list(self._wanted(new, last)))))
            frames.append(_with_samples(each, made) if made else each)
            count = sum(len(samples) for _, samples in made)
            verdicts += [verdict[part], np.full(count, Verdict.CALCULATED, np.uint8)]
            _note(last[-1], new)
        if stream is Stream.BACKFILL:
            self._rows, self._changed = _rows_of(last[-1]), True
        if all(one is other for one, other in zip(frames, batch.arrived, strict=True)):
            return None
        return self._extended(frames, np.concatenate(verdicts), site)

    def _forget_an_earlier_backlog(self, time_us: NDArray[np.int64], device: NDArray[np.intp]) -> None:
        """Of devices whose backlog, samples of inputs of shape (n,), does not follow the one before: what was then is not what was now."""
        newest_us = np.full(int(self._device.max()) + 1, NEVER_US)
        np.maximum.at(newest_us, self._device, self._rows[TIME])
        first_us = np.full(len(newest_us), np.iinfo(np.int64).max)
        np.minimum.at(first_us, device, time_us)
        there = (newest_us != NEVER_US) & (first_us != np.iinfo(np.int64).max)
        another = np.zeros(len(newest_us), dtype=bool)
        another[there] = first_us[there] - newest_us[there] > _ANOTHER_BACKLOG_US
        forgotten = another[self._device]
        self._rows[:, forgotten] = _empty(int(forgotten.sum()))

    def drain_counts(self) -> Counts:
        """What was made and what was not since last asked."""
        counts, self._counts = self._counts, Counts()
        return counts

    def _extended(self, frames: list[Arrived], verdict: NDArray[np.uint8], site: str) -> Extended:
        batch = micro_batch.concatenate(frames)
        view = self._table.view(batch.tag_ids, site, self._registry)
        ordered = segments.sort(batch, view)
        sorted_verdict = verdict[ordered.position]
        accepted, good = sorted_verdict < REJECT_FROM, is_good(ordered.quality)
        found = Verdicts(
            verdict=sorted_verdict,
            accepted=None if accepted.all() else accepted,
            good=None if good.all() else good,
        )
        return Extended(batch, ordered, view, found)

    def _inputs_of(self, tag_ids: NDArray[np.int32]) -> NDArray[np.intp]:
        """Row of each tag among the inputs, -1 for those that are none, shape of `tag_ids`."""
        at = np.searchsorted(self._tag_id, tag_ids)
        return np.where(self._tag_id.take(at, mode="clip") == tag_ids, at, -1)

    def _wanted(self, new: Mapping[int, list[Sample]], last: Sequence[LastValues]) -> Iterator[Wanted]:
        for tag, rows in self._tags:
            times_us = {sample.time_us for row in rows.values() for sample in new.get(row, ())}
            if times_us:
                known = {name: _known(new.get(row, []), [one[row] for one in last]) for name, row in rows.items()}
                yield Wanted(tag, known, sorted(times_us))

    def _calculate(self, wanted: Sequence[Wanted]) -> Iterator[Made]:
        for one in wanted:
            tag, known, times_us = one
            made = tag.at(times_us, known)
            counts = self._counts
            self._counts = counts._replace(
                made=counts.made + len(made), not_heard=counts.not_heard + len(times_us) - len(made)
            )
            self.waiting.note(one, made=bool(made))
            if made:
                yield tag.tag_id, made

    def _room(self, given: Frame, wanted: list[Wanted]) -> list[Wanted]:
        """What a frame has room for, the newest times of all tags alike. Fifty thousand calculated samples of a frame are a mistake."""
        room, most_tags = frame.MAX_SAMPLES - given.samples, _MOST_TAGS - len(given.tag_ids)
        if fits(wanted, room, most_tags):
            return wanted
        able = possible(wanted)
        there = {one.tag.tag_id for one in able}
        for one in wanted:
            if one.tag.tag_id not in there:
                self.waiting.note(one, made=False)
        kept = fitting(able, room, most_tags, turn=given.sequence)
        counts, left_out = self._counts, asked(able) - asked(kept)
        self._counts = counts._replace(not_heard=counts.not_heard + asked(wanted) - asked(able))
        if left_out:
            self._counts = self._counts._replace(left_out=counts.left_out + left_out)
            if not self._said_full:  # once: from then on it is counted
                self._said_full = True
                _log.warning(
                    "calculated samples are left out: frames are full; said once, and counted in calculated_left_out",
                    extra={"lane": given.lane_key, "left_out": left_out},
                )
        return kept

    # --- state -------------------------------------------------------------------------------------------------------

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart: one entry, once there was a backlog."""
        if not self._changed:
            return {}
        self._changed = False
        return {_ENTRY: packing.pack(LAYOUT, None, self._tag_id, self._rows) if self.active else None}

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart."""
        _, (tag_id, rows) = packing.unpack(entries[_ENTRY], LAYOUT, "inputs")
        self._place(tag_id, rows if rows.size else _empty(len(tag_id)))
        self._changed = not self.active  # what is needed no more goes

    def relayout(self, table: LaneTable) -> None:
        """See StatePart. Expressions are bound anew: inputs may have come, gone, or be of another type."""
        tag_id, rows, was_active = self._tag_id, self._rows, self.active
        self._table = table
        found, self.unfit = _bound(table)
        self.active = bool(found)
        self.waiting.keep({tag.tag_id for tag in found})
        self._tag_id = np.array(sorted({one for tag in found for one in tag.inputs.values()}), dtype=np.int32)
        row_of = {tag_id: row for row, tag_id in enumerate(self._tag_id.tolist())}
        self._tags = [(tag, {name: row_of[one] for name, one in tag.inputs.items()}) for tag in found]
        self._slots = table.slots_of(self._tag_id)
        self._device = table.device[self._slots] if self.active else np.empty(0, dtype=np.intp)
        self._place(tag_id, rows)
        self._changed = self._changed or bool(was_active and (rows[TIME] != NEVER_US).any())

    def _place(self, tag_id: NDArray[np.int32], rows: NDArray[np.int64]) -> None:
        self._rows = _empty(len(self._tag_id))
        _, new, old = np.intersect1d(self._tag_id, tag_id, assume_unique=True, return_indices=True)
        self._rows[:, new] = rows[:, old]


def _bound(table: LaneTable) -> tuple[list[CalculatedTag], int]:
    """Calculated tags of the lane itself, and how many cannot be calculated.

    Those are said, and cost the others nothing; the registry refuses them.
    """
    wanted = [tag for tag, foreign in zip(table.tags, table.foreign, strict=True) if tag.calculated and not foreign]
    devices: dict[int, dict[str, TagDefinition]] = {}
    for tag, foreign in zip(table.tags, table.foreign, strict=True):
        if wanted and not foreign:
            devices.setdefault(tag.device_id, {})[tag.name] = tag
    found = list[CalculatedTag]()
    for tag in wanted:
        there = devices[tag.device_id]
        measured = {name: one.data_type for name, one in there.items() if not one.calculated}
        try:
            expression = bind(tag.expression, tag.data_type, measured, frozenset(there.keys() - measured.keys()))
        except ConfigError as error:
            _log.error("a tag is not calculated", extra={"tag": tag.path, "cause": str(error)})
            continue
        found.append(CalculatedTag(tag, expression, {name: there[name] for name in expression.tags}))
    return found, len(wanted) - len(found)


def _empty(count: int) -> NDArray[np.int64]:
    rows = np.zeros((3, count), dtype=np.int64)
    rows[TIME] = NEVER_US
    return rows


def _last_values(rows: NDArray[np.int64]) -> LastValues:
    """Columns of (time, bits of the value, quality), as LaneLatest has them, as samples."""
    columns = (rows[TIME].tolist(), rows[VALUE].copy().view(np.float64).tolist(), rows[QUALITY].tolist())
    return [None if one[0] == NEVER_US else Sample(*one) for one in zip(*columns, strict=True)]


def _rows_of(last: LastValues) -> NDArray[np.int64]:
    """Inverse of `_last_values`."""
    rows = _empty(len(last))
    for row, one in enumerate(last):
        if one is not None:
            rows[TIME, row], rows[QUALITY, row] = one.time_us, one.quality
            rows[VALUE, row] = np.float64(one.value).view(np.int64)
    return rows


def _by_input(
    inputs: NDArray[np.intp], time_us: NDArray[np.int64], value: NDArray[np.float64], quality: NDArray[np.uint16]
) -> dict[int, list[Sample]]:
    """Samples of each input in a frame, by its row, in the order of time and place."""
    chosen = np.flatnonzero(inputs >= 0)
    chosen = chosen[np.argsort(time_us[chosen], kind="stable")]
    found: dict[int, list[Sample]] = {}
    columns = (time_us[chosen].tolist(), value[chosen].tolist(), quality[chosen].tolist())
    for row, *sample in zip(inputs[chosen].tolist(), *columns, strict=True):
        found.setdefault(row, []).append(Sample(*sample))
    return found


def _known(new: list[Sample], last: Sequence[Sample | None]) -> list[Sample]:
    """An input's samples with what was known before, in the order of time; of equal times the new ones last."""
    before = [one for one in last if one is not None]
    ordered = len(before) < 2 and not (before and new and before[0].time_us > new[0].time_us)
    return before + new if ordered else sorted(before + new, key=lambda one: one.time_us)


def _note(last: LastValues, new: Mapping[int, list[Sample]]) -> None:
    """The newest sample is the last value, as in LaneLatest."""
    for row, samples in new.items():
        known = last[row]
        if known is None or samples[-1].time_us >= known.time_us:
            last[row] = samples[-1]


def _with_samples(each: Arrived, made: Sequence[Made]) -> Arrived:
    """The frame with calculated samples at its end. It has no message: it is not as it came."""
    given = each.frame
    counts = [len(samples) for _, samples in made]
    entries = np.arange(len(given.tag_ids), len(given.tag_ids) + len(made), dtype=np.uint16)
    times, values, codes = zip(*(sample for _, samples in made for sample in samples), strict=True)
    offsets = np.array(times, dtype=np.int64) - given.base_time_us
    extended = dataclasses.replace(
        given,
        tag_ids=np.concatenate([given.tag_ids, np.array([tag_id for tag_id, _ in made], dtype=np.int32)]),
        tag_index=np.concatenate([given.tag_index, np.repeat(entries, counts)]),
        time_offset_us=np.concatenate([given.time_offset_us, offsets.astype(np.int32)]),
        value=np.concatenate([given.value, np.array(values)]),
        quality=np.concatenate([given.quality, np.array(codes, dtype=np.uint16)]),
        samples=given.samples + sum(counts),
    )
    return each._replace(frame=extended, message=b"")
