"""One lane of the telemetry job: its stages, the parts of its state, the table of its tags, and its timers.

Used by `stages.telemetry.logic`, which decides *when* a frame is processed; the lane decides how. State goes out in
named entries, only those that changed (`drain_changes`), and comes back whole (`restore`). Entries laid out by tag are
put back at the first touch, when the registry is known at least as far as when they were written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from schemas import topics
from schemas.definitions import Registry
from schemas.frame import lane_key
from stages.calculation.lane import LaneCalculations
from stages.config import TelemetryConfig
from stages.detection.labels import Labels
from stages.detection.lane import LaneDetection
from stages.detection.protocol import ScoreListener
from stages.detection.snapshots import SnapshotBudget
from stages.forecast.lane import LaneForecasts
from stages.intake import micro_batch, segments
from stages.intake.dedup import LaneDedup
from stages.intake.held import HeldFrame, HeldFrames
from stages.intake.lane_table import LaneTable, TagView, compile_table
from stages.intake.micro_batch import Arrived, MicroBatch
from stages.outputs import Output
from stages.state_part import PartSet
from stages.telemetry.counters import LaneCounters
from stages.telemetry.frame_path import FramePath
from stages.telemetry.latest import LaneLatest
from stages.telemetry.publisher import LanePublisher
from stages.validation.tag_history import LaneHistories
from stages.windows.block import Closed
from stages.windows.event_windows import LaneWindows


class Lane:
    """One lane. `registry` and `labels` are shared and follow their topics; `generation` counts the registry's complete versions."""

    def __init__(
        self,
        gateway_id: str,
        lane: int,
        config: TelemetryConfig,
        registry: Registry,
        on_score: ScoreListener | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.gateway_id, self.lane, self.lane_key = gateway_id, lane, lane_key(gateway_id, lane)
        self.registry = registry
        self.generation = -1
        self.table: LaneTable = compile_table(Registry(), gateway_id, lane)
        self.counters = LaneCounters()
        self.dedup = LaneDedup(config.remembered_checksums)
        self.held = HeldFrames(config.hold)
        self.histories = LaneHistories(self.table)
        self.latest = LaneLatest(self.table)
        self.windows = LaneWindows(self.table, config.windows)
        self.detection = LaneDetection(config.detection, self.table, on_score, labels)
        self.calculations = LaneCalculations(self.table, self.latest, registry)
        self.forecasts = LaneForecasts(config.forecast, self.table)
        self._parts = PartSet(
            self.counters,
            self.dedup,
            self.held,
            self.histories,
            self.latest,
            self.windows,
            self.detection,
            self.calculations,
            self.forecasts,
        )
        key = self.lane_key.encode()
        self._publisher = LanePublisher(gateway_id, lane, key, config, self.counters, self.held, self.latest)
        self._path = FramePath(
            key,
            config.validation,
            registry,
            self._publisher,
            dedup=self.dedup,
            counters=self.counters,
            histories=self.histories,
            latest=self.latest,
            windows=self.windows,
            detection=self.detection,
            calculations=self.calculations,
            forecasts=self.forecasts,
        )
        self._due_us = 0

    # --- the table ---------------------------------------------------------------------------------------------------

    @property
    def needs_version(self) -> int:
        """Registry version without which the lane's own state cannot be placed."""
        return self.counters.registry_version

    def follow_registry(self, generation: int) -> list[Output]:
        """Follow the registry to its present state; put entries back that wait for it. Call before touching the lane."""
        if generation == self.generation:
            return []
        foreign = [self.registry.tags[tag.tag_id] for tag in self.table.foreign_tags]
        outputs = self._relayout(compile_table(self.registry, self.gateway_id, self.lane, foreign))
        self.generation, self._due_us = generation, 0
        self.counters.follow_version(self.registry.version)
        if self._parts.waits:
            self._parts.restore_by_tag()
            outputs += self._departures()
        return outputs

    def _relayout(self, table: LaneTable) -> list[Output]:
        self.table = table
        self._parts.relayout(table)
        return self._departures()

    def _departures(self) -> list[Output]:
        """Words on tags that left: their pending windows, and the end of their devices' episodes."""
        if self.latest.tags_left:
            self.latest.tags_left = False
            self.counters.branch_lineage(self.registry.version)
        outputs = self._publisher.windows(self.windows.drain_departed()) + self.detection.drain_departed()
        return outputs + self.forecasts.drain_departed()

    # --- frames ------------------------------------------------------------------------------------------------------

    def process(self, arrived: Sequence[Arrived], now_us: int) -> list[Output]:
        """New frames through all stages. `micro_batch.groups` says that they go together.

        Several are taken as one where that gives the same as one after the other, and one after the other elsewhere.
        """
        batch = micro_batch.concatenate(arrived)
        outputs, view = self._view(batch)
        ordered = segments.sort(batch, view)
        if len(arrived) > 1 and not self._path.same_as_one_by_one(batch, ordered, view):
            for each in arrived:
                outputs += self.process([each], now_us)
            return outputs
        outputs += self._path.process(batch, ordered, view, now_us)
        self._due_us = 0
        return outputs

    def _view(self, batch: MicroBatch) -> tuple[list[Output], TagView]:
        """The view of a micro-batch's tags; foreign ones among them get a slot first."""
        site = topics.site_of(batch.arrived[0].origin.topic)
        view = self.table.view(batch.tag_ids, site, self.registry)
        if not (view.any_static and (foreign := self.table.missing_foreign(batch.tag_ids, self.registry))):
            return [], view
        foreign += self.table.foreign_tags
        outputs = self._relayout(compile_table(self.registry, self.gateway_id, self.lane, foreign))
        return outputs, self.table.view(batch.tag_ids, site, self.registry)

    def count_duplicate(self, samples: int) -> None:
        """A frame of so many samples came again."""
        self.counters.count_duplicate(samples)
        self._due_us = 0

    def count_conflict(self) -> None:
        """An identity came again with another checksum."""
        self.counters.count_conflict()
        self._due_us = 0

    def hold(self, held: HeldFrame) -> None:
        """Let a frame wait."""
        self.held.put(held)
        self._note_held(held)

    def release(self) -> HeldFrame:
        """Remove and return the oldest waiting frame."""
        held = self.held.pop()
        self._note_held(held)
        return held

    def _note_held(self, held: HeldFrame) -> None:
        if not held.gathered:
            self.counters.count_held()
            self._due_us = 0

    # --- by processing time ------------------------------------------------------------------------------------------

    @property
    def due_us(self) -> int:
        """Processing time before which `on_timer` finds nothing, unless a frame comes."""
        return self._due_us

    def on_timer(self, now_us: int, snapshots: SnapshotBudget) -> list[Output]:
        """Idle windows, anomaly hold-off, forecasts of silent tags, latest values, progress: what is due.

        A thousand lanes are asked four times a second: one that was not touched since says no until something can be due.
        """
        if now_us < self._due_us:
            return []
        outputs = self._closed(self.windows.close_idle(now_us), now_us)
        outputs += self.detection.on_timer(now_us, snapshots)
        outputs += self.forecasts.on_timer(now_us)
        outputs += self._publisher.due(now_us)
        self._due_us = min(
            self._publisher.due_us(now_us),
            self.windows.idle_due_us,
            self.detection.look_due_us,
            self.forecasts.look_due_us,
        )
        return outputs

    def flush(self, now_us: int) -> list[Output]:
        """Everything open, at the end of a bounded input."""
        outputs = self._closed(self.windows.close_all(), now_us)
        outputs += self.detection.flush()
        return outputs + self._publisher.flush(now_us)

    def _closed(self, closed: list[Closed], now_us: int) -> list[Output]:
        if not closed:
            return []
        outputs = self._publisher.windows(closed)
        self.detection.on_closed(closed, now_us)
        return outputs + self.forecasts.on_closed(closed, now_us)

    # --- state -------------------------------------------------------------------------------------------------------

    def drain_changes(self) -> dict[str, bytes | None]:
        """Entries changed since last asked; None deletes one."""
        return self._parts.drain_changes()

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """Put entries back. Raises packing.StateError for one that this version cannot read."""
        self._parts.restore(entries)
