"""One lane of the telemetry job: all its state, and how a frame goes through it.

Used by `stages.telemetry.logic`, which decides *that* a frame is judged; this module decides how. State goes out in named
parts, only those that changed (`take_changes`), and comes back whole (`restore_parts`). Parts that depend on the lane's
tags are put back at the first touch, when the registry is known at least as far as when they were written.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from schemas import codec, topics
from schemas import frame as frames
from schemas.definitions import Registry, TagDefinition
from schemas.frame import Frame, Stream
from schemas.verdicts import LATE_FLAG
from stages import packing, rejects
from stages.config import TelemetryConfig
from stages.detection.lane import LaneDetection, SnapshotBudget
from stages.detection.protocol import ScoreListener
from stages.intake import micro_batch as stretch
from stages.intake.dedup import LaneDedup
from stages.intake.held import HeldFrame, HeldFrames
from stages.intake.lane_table import NEVER_US, LaneTable, TagView, compile_table
from stages.intake.micro_batch import Arrived, Stretch
from stages.intake.segments import Segments
from stages.intake.segments import sort as segments_of
from stages.outputs import Output
from stages.telemetry.latest import LaneLatest
from stages.validation import checks as validation
from stages.validation.tag_history import TagMemory
from stages.windows import aggregate_batch
from stages.windows.device_clocks import DeviceClocks
from stages.windows.event_windows import Closed, LaneWindows

LAYOUT = 1


@dataclass(slots=True)
class LaneCounters:
    """What LaneProgress reports, and when; part of the state. Times are microseconds UTC."""

    frames: int = 0
    samples: int = 0
    duplicate_frames: int = 0
    duplicate_samples: int = 0
    identity_conflicts: int = 0
    closed_time_us: int = 0
    latest_sent_us: int = 0
    progress_sent_us: int = 0
    registry_version: int = 0
    news: bool = False
    more_frames: bool = False
    lineage: int = 0
    """Which windows came from one state that lost nothing, as a signed 32-bit number; see `Lane._begin` and `Lane._follow`."""


_COUNTERS = tuple(field.name for field in fields(LaneCounters))


class Lane:
    """One lane. `registry` is shared and follows the topic; `generation` counts its complete versions."""

    def __init__(
        self,
        gateway_id: str,
        lane: int,
        config: TelemetryConfig,
        registry: Registry,
        on_score: ScoreListener | None = None,
    ) -> None:
        self.gateway_id, self.lane = gateway_id, lane
        self.config, self.registry = config, registry
        self.lane_key = frames.lane_key(gateway_id, lane)
        self.key = self.lane_key.encode()
        self.dedup = LaneDedup(config.remembered_checksums)
        self.held = HeldFrames(config.hold)
        self.counters = LaneCounters()
        self.table: LaneTable = compile_table(Registry(), gateway_id, lane)
        self.generation = -1
        self.memories: dict[Stream, TagMemory] = {}
        self.latest = LaneLatest(0)
        self.windows = LaneWindows(self.table, config.windows)
        self.detection = LaneDetection(config.detection, self.table, on_score)
        self._waiting: dict[str, bytes] = {}
        self._changed: set[str] = set()
        self._due_us = 0

    # --- the table -------------------------------------------------------------------------------------------------------

    @property
    def needs_version(self) -> int:
        """Registry version without which the lane's own state cannot be placed."""
        return self.counters.registry_version

    def settle(self, generation: int, now_us: int) -> list[Output]:
        """Follow the registry to its present state; put parts back that wait for it. Call before touching the lane."""
        if generation == self.generation:
            return []
        guests = [self.registry.tags[tag.tag_id] for tag in guests_of(self.table)]
        outputs = self._relayout(compile_table(self.registry, self.gateway_id, self.lane, guests), now_us)
        self.generation, self._due_us = generation, 0
        if self.counters.registry_version != self.registry.version:
            self.counters.registry_version = self.registry.version
            self._changed.add("meta")
        if self._waiting:
            outputs += self._place_parts(now_us)
        return outputs

    def _relayout(self, table: LaneTable, now_us: int) -> list[Output]:
        old_of_new = self._follow(self.table.tag_id, table)
        for stream, memory in self.memories.items():
            memory.relayout(old_of_new)
            self._changed.add(f"memory/{stream.name}")
        self.latest.relayout(old_of_new)
        self._changed.add("latest")
        leaving = self.windows.relayout(table)
        self.table = table
        return self._emit(leaving) + self.detection.relayout(table)

    # --- lineage ---------------------------------------------------------------------------------------------------------

    def _begin(self, first: Frame) -> None:
        """A state that begins empty is named after its first frame: the same again when that is read again."""
        if not self.counters.lineage:
            self.counters.lineage = _number(f"{self.lane_key}/{first.epoch}/{first.stream}/{first.sequence}")
            self._changed.add("meta")

    def _follow(self, tag_id: NDArray[np.int32], table: LaneTable) -> NDArray[np.intp]:
        """Old slot of each slot of a table that follows on these tags, -1 for none.

        Tags that left took with them what was folded: should they come back, their windows begin anew, so the lineage does.
        """
        old_of_new = _old_of_new(tag_id, table)
        if self.counters.lineage and np.count_nonzero(old_of_new >= 0) < len(tag_id):
            self.counters.lineage = _number(f"{self.counters.lineage}/{self.registry.version}")
            self._changed.add("meta")
        return old_of_new

    # --- frames ----------------------------------------------------------------------------------------------------------

    def judge(self, arrived: Sequence[Arrived], now_us: int) -> list[Output]:
        """New frames through all stages, of which `stretch.runs` says that they go together.

        Several are taken as one where that gives the same as one after the other, and one after the other elsewhere.
        """
        together = stretch.of(arrived)
        outputs, view = self._view(together, now_us)
        segments = segments_of(together, view)
        if len(arrived) > 1 and not self._same_as_one(segments, view, together.first.stream):
            for each in arrived:
                outputs += self.judge([each], now_us)
            return outputs
        return outputs + self._judge(together, segments, view, now_us)

    def _view(self, together: Stretch, now_us: int) -> tuple[list[Output], TagView]:
        outputs: list[Output] = []
        site = topics.site_of(together.arrived[0].origin.topic)
        view = self.table.view(together.tag_ids, site, self.registry)
        if view.any_static and (guests := self.table.missing_guests(together.tag_ids, self.registry)):
            guests += guests_of(self.table)
            outputs += self._relayout(compile_table(self.registry, self.gateway_id, self.lane, guests), now_us)
            view = self.table.view(together.tag_ids, site, self.registry)
        return outputs, view

    def _same_as_one(self, segments: Segments, view: TagView, stream: Stream) -> bool:
        """Whether verdicts and windows of a stretch are those of its frames one after the other.

        References of a tag follow the order of frames, so that must be the order of time; no frame may make another's
        samples late; and a change of mode belongs to the moment when it is seen.
        """
        if not segments.orderly:
            return False
        return stream is not Stream.LIVE or (
            self.windows.none_late_by_another(segments, view) and not self.detection.changes_mode(segments, view)
        )

    def _judge(self, together: Stretch, segments: Segments, view: TagView, now_us: int) -> list[Output]:
        outputs: list[Output] = []
        self._begin(together.arrived[0].frame)
        stream = together.first.stream
        memory = self.memories.get(stream)
        if memory is None:
            memory = self.memories[stream] = TagMemory(len(self.table.tags))
        judgement = validation.judge(segments, view, memory, self.config.validation, together.first.clock_status)
        verdict = judgement.verdict
        closed: list[Closed] = []
        if stream is Stream.LIVE:
            late = self._late(segments, view, judgement, self.windows.fold(segments, view, judgement, now_us))
            if late is not None:
                verdict = np.where(late, verdict | np.uint8(LATE_FLAG), verdict)
            closed = self.windows.close()
        judged: list[bytes] = []
        refused: list[Output] = []
        for each, mine, time_us in together.split(_in_frame_order(verdict, segments)):
            judged.append(frames.judged(each.message, each.frame, mine))
            if judgement.accepted is not None:
                refused += rejects.samples(each.frame, mine, time_us, self.registry, each.origin, now_us)
            self._count(each.frame)
        outputs.append(Output(topics.VALIDATED.name, self.key, frames.bundle(self.gateway_id, self.lane, judged)))
        outputs += refused
        if closed:
            outputs += self._emit(closed)
            self.detection.on_closed(closed, now_us)
        if self.latest.fold(segments, view, judgement):
            self._changed.add("latest")
        if stream is Stream.LIVE:
            outputs += self.detection.observe(self.latest, self.windows.clocks)
        if view.any_rate or view.any_stuck:
            self._changed.add(f"memory/{stream.name}")
        if now_us >= self._latest_due_us(now_us):
            outputs.append(self._latest(now_us))
        self._due_us = 0
        return outputs

    @staticmethod
    def _late(
        segments: Segments, view: TagView, judgement: validation.Judgement, late: NDArray[np.bool_] | None
    ) -> NDArray[np.bool_] | None:
        if not view.any_guest:
            return late
        moved = view.guest[segments.entry]
        if judgement.accepted is not None:
            moved = moved & judgement.accepted
        return moved if late is None else moved | late

    def _count(self, frame: Frame) -> None:
        self.dedup.note(frame.key, frame.sequence, frame.checksum)
        counters = self.counters
        counters.frames += 1
        counters.samples += frame.samples
        counters.closed_time_us = max(counters.closed_time_us, min(frame.closed_time_us, validation.LATEST_US))
        counters.more_frames = True
        self._changed |= {"dedup/REPLAY" if frame.stream is Stream.REPLAY else "dedup", "meta"}

    def count_duplicate(self, samples: int) -> None:
        """A frame was seen again."""
        self.counters.duplicate_frames += 1
        self.counters.duplicate_samples += samples
        self._news()

    def count_conflict(self) -> None:
        """An identity was seen again with another checksum."""
        self.counters.identity_conflicts += 1
        self._news()

    def hold(self, held: HeldFrame) -> None:
        """Let a frame wait."""
        self.held.put(held)
        if not held.gathered:
            self._news()

    def release(self) -> HeldFrame:
        """The oldest waiting frame."""
        held = self.held.pop()
        if not held.gathered:
            self._news()
        return held

    def _news(self) -> None:
        self.counters.news, self._due_us = True, 0
        self._changed.add("meta")

    # --- by processing time ----------------------------------------------------------------------------------------------

    @property
    def due_us(self) -> int:
        """Processing time before which `on_timer` finds nothing, unless a frame comes."""
        return self._due_us

    def on_timer(self, now_us: int, snapshots: SnapshotBudget) -> list[Output]:
        """Idle windows, anomaly hold-off, latest values, progress: what is due.

        A thousand lanes are asked four times a second: one that was not touched since says no until something can be due.
        """
        outputs: list[Output] = []
        if now_us < self._due_us:
            return outputs
        closed = self.windows.close_idle(now_us)
        if closed:
            outputs += self._emit(closed)
            self.detection.on_closed(closed, now_us)
        outputs += self.detection.on_timer(now_us, snapshots)
        if now_us >= self._latest_due_us(now_us):
            outputs.append(self._latest(now_us))
        if now_us >= self._progress_due_us():
            outputs.append(self._progress(now_us))
        own_us = min(self._latest_due_us(now_us), self._progress_due_us())
        self._due_us = min(own_us, self.windows.idle_due_us, self.detection.look_due_us)
        return outputs

    def _progress_due_us(self) -> int:
        counters, config = self.counters, self.config
        if not (counters.news or counters.more_frames):
            return NEVER_US
        interval_s = config.progress_interval_s if counters.news else config.progress_quiet_interval_s
        return counters.progress_sent_us + round(interval_s * 1e6)

    def _latest_due_us(self, now_us: int) -> int:
        if not self.latest.dirty:
            return NEVER_US
        return self.counters.latest_sent_us + self._latest_interval_us(now_us)

    def _latest_interval_us(self, now_us: int) -> int:
        behind = now_us - self.counters.closed_time_us > self.config.behind_s * 1e6
        return 1000 * (self.config.latest_behind_interval_ms if behind else self.config.latest_interval_ms)

    def flush(self, now_us: int) -> list[Output]:
        """Everything open, at the end of a bounded input."""
        closed = self.windows.close_all()
        outputs = self._emit(closed)
        self.detection.on_closed(closed, now_us)
        outputs += self.detection.flush()
        if self.latest.dirty:
            outputs.append(self._latest(now_us))
        if self.counters.news or self.counters.more_frames:
            outputs.append(self._progress(now_us))
        return outputs

    def _emit(self, closed: list[Closed]) -> list[Output]:
        counters = self.counters
        batches = aggregate_batch.encode(
            self.gateway_id,
            self.lane,
            closed,
            closed_time_us=counters.closed_time_us,
            lineage=counters.lineage,
        )
        return [Output(topics.AGGREGATES.name, self.key, value) for value in batches]

    def _latest(self, now_us: int) -> Output:
        # A tick sends later than it was due. Counted from then, or the next frame would wait for the next tick again.
        interval_us = self._latest_interval_us(now_us)
        self.counters.latest_sent_us = max(self.counters.latest_sent_us + interval_us, now_us - interval_us)
        self._changed |= {"latest", "meta"}
        return Output(topics.LATEST.name, self.key, self.latest.batch(self.table, self.counters.closed_time_us))

    def _progress(self, now_us: int) -> Output:
        counters = self.counters
        counters.progress_sent_us, counters.news, counters.more_frames = now_us, False, False
        self._changed.add("meta")
        value = codec.encode(
            "LaneProgress",
            {
                "gateway_id": self.gateway_id,
                "lane": self.lane,
                "time_us": now_us,
                "frames": counters.frames,
                "samples": counters.samples,
                "duplicate_frames": counters.duplicate_frames,
                "duplicate_samples": counters.duplicate_samples,
                "identity_conflicts": counters.identity_conflicts,
                "held": [
                    {
                        "epoch": held.frame.epoch,
                        "stream": held.frame.stream.name,
                        "sequence": held.frame.sequence,
                        "samples": held.frame.samples,
                    }
                    for held in self.held.queue
                    if not held.gathered
                ],
            },
        )
        return Output(topics.LANES.name, self.key, value)

    # --- state -----------------------------------------------------------------------------------------------------------

    def take_changes(self) -> dict[str, bytes | None]:
        """State parts changed since last taken; None deletes a part."""
        parts: dict[str, bytes | None] = {}
        for name in sorted(self._changed):
            kind, _, which = name.partition("/")
            if kind == "meta":
                numbers = [int(getattr(self.counters, field)) for field in _COUNTERS]
                parts[name] = packing.pack(LAYOUT, None, np.array(numbers, dtype=np.int64))
            elif kind == "dedup":
                parts[name] = self.dedup.to_bytes(replays=which == "REPLAY")
            elif kind == "latest":
                parts[name] = self.latest.to_bytes(self.table.tag_id)
            elif kind == "memory":
                parts[name] = self.memories[Stream[which]].to_bytes(self.table.tag_id)
        self._changed.clear()
        for number, held in self.held.changed.items():
            parts[f"held/{number}"] = None if held is None else held.to_bytes()
        self.held.changed.clear()
        for key in self.windows.changed:
            parts[f"window/{key[0]}/{key[1]}"] = self.windows.block_bytes(key)
        self.windows.changed.clear()
        if self.windows.clocks.changed:
            parts["clocks"] = self.windows.clocks.to_bytes()
            self.windows.clocks.changed = False
        parts.update(self.detection.take_changes())
        return parts

    def restore_parts(self, parts: dict[str, bytes]) -> None:
        """Put parts back. Raises packing.StateError for one this version cannot read."""
        held = []
        for name, data in parts.items():
            kind = name.partition("/")[0]
            if kind == "meta":
                _, (numbers,) = packing.unpack(data, LAYOUT, name)
                self.counters = LaneCounters(*numbers.tolist())
                self.counters.news, self.counters.more_frames = (
                    bool(self.counters.news),
                    bool(self.counters.more_frames),
                )
            elif kind == "dedup":
                self.dedup.restore(data)
            elif kind == "held":
                held.append(HeldFrame.from_bytes(data))
            else:
                self._waiting[name] = data
        for each in sorted(held, key=lambda one: one.number):
            self.held.put(each)
        self.held.changed.clear()

    def _place_parts(self, now_us: int) -> list[Output]:
        parts, self._waiting = self._waiting, {}
        closed: list[Closed | None] = []
        detection: dict[str, bytes] = {}
        for name, data in parts.items():
            kind, _, which = name.partition("/")
            if kind == "memory":
                tag_id, memory = TagMemory.from_bytes(data)
                memory.relayout(_old_of_new(tag_id, self.table))
                self.memories[Stream[which]] = memory
            elif kind == "latest":
                tag_id, self.latest = LaneLatest.from_bytes(data)
                self.latest.relayout(self._follow(tag_id, self.table))
            elif kind == "clocks":
                self.windows.clocks = DeviceClocks.from_bytes(data).relayout(self.table.devices)
                self.windows.clocks.changed = False
            elif kind == "window":
                size_s, _, start_us = which.partition("/")
                closed.append(self.windows.restore_block((int(size_s), int(start_us)), data))
            else:
                detection[name] = data
        self.detection.restore_parts(detection)
        return self._emit([each for each in closed if each is not None])


def _old_of_new(old_tag_id: NDArray[np.int32], table: LaneTable) -> NDArray[np.intp]:
    """Old slot of each slot of the new table, -1 for none."""
    slots = table.slots_of(old_tag_id)
    stays = np.flatnonzero(slots < len(table.tags))
    old_of_new = np.full(len(table.tags), -1, dtype=np.intp)
    old_of_new[slots[stays]] = stays
    return old_of_new


def _number(text: str) -> int:
    """Signed 32-bit number of a text, never 0."""
    return int(np.uint32(zlib.crc32(text.encode())).view(np.int32)) or 1


def _in_frame_order(verdict: NDArray[np.uint8], segments: Segments) -> NDArray[np.uint8]:
    if segments.in_order:
        return verdict
    ordered = np.empty_like(verdict)
    ordered[segments.position] = verdict
    return ordered


def guests_of(table: LaneTable) -> list[TagDefinition]:
    """Tags of a table that belong to another lane."""
    return [tag for tag, guest in zip(table.tags, table.guest, strict=True) if guest]
