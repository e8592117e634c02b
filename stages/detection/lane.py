"""Anomaly detection of one lane: closed windows in, episodes out.

Called by `stages.telemetry.frame_path` with what closed and with the lane's latest values, and by the lane's timer. Only
LIVE data reaches windows, so a backlog raises no alarm. `feature_map` says which tags make up a device's features,
`modes` in which mode it is, `snapshots` when its detectors are written; a `DeviceWatch` per device scores and learns.
Episodes, thresholds and modes are written when they change.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import numpy as np

from schemas import topics
from stages import packing
from stages.config import DetectionConfig, DetectorSpec
from stages.detection.device import DeviceWatch
from stages.detection.episodes import EpisodeConfig, EpisodeTracker
from stages.detection.feature_map import FeatureMap
from stages.detection.kinds import catalogue, make
from stages.detection.labels import Labels
from stages.detection.modes import LaneModes
from stages.detection.protocol import Detector, Features, ScoreListener, Subject
from stages.detection.scaled import ScaledDetector
from stages.detection.snapshots import SnapshotBudget, SnapshotSchedule
from stages.detection.threshold import AdaptiveThreshold, ThresholdConfig
from stages.intake.lane_table import NEVER_US, LaneTable, TagView
from stages.intake.segments import Segments
from stages.outputs import Output
from stages.telemetry.latest import LaneLatest
from stages.windows.block import Closed
from stages.windows.device_clocks import UNSET_US, DeviceClocks

_log = logging.getLogger(__name__)

LAYOUT = 1
_IDLE_US = 60_000_000
_LOOK_US = 5_000_000
_LOOK_AGAIN_US = 1_000_000


class LaneDetection:
    """The watches of a lane's devices; a part of its state."""

    kinds: ClassVar[tuple[str, ...]] = ("watches", "detector")
    by_tag: ClassVar[bool] = True

    def __init__(
        self,
        config: DetectionConfig,
        table: LaneTable,
        on_score: ScoreListener | None = None,
        labels: Labels | None = None,
    ) -> None:
        self.config = config
        self._on_score, self._labels = on_score, labels
        self._catalogue = catalogue(config.detectors) if config.enabled else {}
        self._watches: dict[int, DeviceWatch] = {}
        self._snapshots = SnapshotSchedule(config.snapshot_interval_s)
        self._changed: dict[str, bytes | None] = {}
        self._watch_changed = False
        self._departed: list[Output] = []
        self._failures = 0
        self._next_work_us = 0
        self._look_us = self._looked_us = 0
        self._index(table)

    # --- the table ---------------------------------------------------------------------------------------------------

    def _index(self, table: LaneTable) -> None:
        """Watches of the table's devices; a device whose tags and detector are the same as before keeps its own."""
        self._features = FeatureMap(table, self._catalogue)
        self._modes = LaneModes(table, enabled=self.config.enabled)
        before, self._watches = self._watches, {}
        for device_id, subjects in self._features.by_device.items():
            spec = self._features.spec_of[device_id]
            known = before.get(device_id)
            if known is None or known.tracker.detector != spec.name or not _same(known, subjects):
                known = self._watch(device_id, spec, subjects)
            self._watches[device_id] = known

    def _watch(self, device_id: int, spec: DetectorSpec, subjects: Sequence[Subject]) -> DeviceWatch:
        detectors = {subject.window_s: (subject, make(spec, subject)) for subject in subjects}
        has_mode = device_id in self._modes.devices
        return watch_of(device_id, spec, detectors, has_context=has_mode, on_score=self._on_score, labels=self._labels)

    def relayout(self, table: LaneTable) -> None:
        """See StatePart. Devices whose tags changed start to learn anew, their episodes are closed."""
        before = self._watches
        self._index(table)
        for device_id, watch in before.items():
            if self._watches.get(device_id) is not watch:
                self._departed += _outputs(device_id, watch.tracker.close())
                self._watch_changed = True
                for window_s in watch.detectors:
                    self._changed[_detector_entry(device_id, window_s)] = None
                    self._snapshots.forget((device_id, window_s))

    def drain_departed(self) -> list[Output]:
        """Ends of the episodes of devices that are not watched any more as they were."""
        departed, self._departed = self._departed, []
        return departed

    # --- inputs ------------------------------------------------------------------------------------------------------

    def on_closed(self, closed: Iterable[Closed], now_us: int) -> None:
        """Windows closed: those emitted for the first time become features, and wait until they can be scored."""
        if not self._features.subjects:
            return
        for each in closed:
            for subject, features in self._features.gather(each):
                watch = self._watches[subject.device_id]
                watch.put(subject.window_s, features, now_us)
                self._look_us = min(self._look_us, now_us + _IDLE_US)
                if watch.merges and not self.config.snapshot_interval_s:
                    self._watch_changed = True
                if watch.due_us is not None:
                    self._next_work_us = min(self._next_work_us, watch.due_us)

    def changes_mode(self, segments: Segments, view: TagView) -> bool:
        """Whether some sample says another mode than the one known: its frame has to be seen by itself."""
        return self._modes.would_change(segments, view)

    def observe(self, latest: LaneLatest, clocks: DeviceClocks) -> list[Output]:
        """Latest values after a frame: notes changes of mode, then scores what can be scored at the devices' clocks."""
        if not self._features.subjects:
            return []
        for change in self._modes.observe(latest):
            if (watch := self._watches.get(change.device_id)) is not None:
                watch.context(change.mode, change.time_us)
                self._watch_changed = True
        if clocks.newest_us < self._next_work_us:
            return []
        clock_of = dict(zip(clocks.devices.tolist(), clocks.clock_us.tolist(), strict=True))
        waiting = [watch for watch in self._watches.values() if watch.due_us is not None]
        outputs = self._score([(watch, clock_of.get(watch.device_id, UNSET_US)) for watch in waiting])
        self._next_work_us = min((watch.due_us for watch in waiting if watch.due_us is not None), default=NEVER_US)
        return outputs

    def flush(self) -> list[Output]:
        """Score what waits, at the end of a bounded input. Open episodes stay open: nobody has seen their end."""
        return self._score([(watch, None) for watch in self._watches.values()])

    def drain_failures(self) -> int:
        """Devices whose detector was disabled since last asked."""
        failures, self._failures = self._failures, 0
        return failures

    def _score(self, watches: Sequence[tuple[DeviceWatch, int | None]]) -> list[Output]:
        """Score what waits, as far as each device's clock goes (None: all), a window of every device at a time."""
        outputs: list[Output] = []
        while due := [(watch, *found) for watch, clock_us in watches if (found := watch.next(clock_us)) is not None]:
            # They may have learned, or opened an episode.
            self._look_us = min(self._look_us, self._looked_us + _LOOK_US)
            examine_together(due)
            for watch, window_s, features in due:
                was_disabled, was_open = watch.disabled, watch.tracker.open
                messages = watch.score_and_learn(window_s, features)
                if watch.disabled and not was_disabled:
                    self._failures += 1
                if messages or was_open is not None or not self.config.snapshot_interval_s:
                    self._watch_changed = True
                outputs += _outputs(watch.device_id, messages)
        return outputs

    # --- by processing time ------------------------------------------------------------------------------------------

    @property
    def look_due_us(self) -> int:
        """Processing time before which `on_timer` finds nothing."""
        return self._look_us

    def on_timer(self, now_us: int, budget: SnapshotBudget) -> list[Output]:
        """What is due by processing time: episodes of silent devices, snapshots. Looks every few seconds at most."""
        outputs: list[Output] = []
        if now_us < self._look_us:
            return outputs
        self._looked_us = now_us
        silent_us = NEVER_US
        for watch in self._watches.values():
            if watch.fed_us and (watch.due_us is not None or watch.tracker.open is not None):
                if now_us - watch.fed_us >= _IDLE_US:
                    outputs += self._score([(watch, None)])
                    outputs += _outputs(watch.device_id, self._close_silent(watch, now_us))
                silent_us = min(silent_us, watch.fed_us + _IDLE_US)
        self._write_due(now_us, budget)
        snapshot_us = self._snapshots.next_us
        # Little by little when there is more than the budget allows, else all that came due meanwhile in one go.
        overdue = snapshot_us <= now_us
        self._look_us = max(now_us + (_LOOK_AGAIN_US if overdue else _LOOK_US), min(silent_us, snapshot_us))
        return outputs

    def _close_silent(self, watch: DeviceWatch, now_us: int) -> list[bytes]:
        """An open episode of a device that says nothing more ends when its hold-off is over by processing time."""
        episode = watch.tracker.open
        if episode is None:
            return []
        messages = watch.tracker.on_time(episode.active_us + now_us - watch.fed_us)
        self._watch_changed = self._watch_changed or bool(messages)
        return messages

    def _write_due(self, now_us: int, budget: SnapshotBudget) -> None:
        learned = [(device_id, window_s) for device_id, watch in self._watches.items() for window_s in watch.learned]
        for device_id, window_s in self._snapshots.due(learned, now_us, budget):
            watch = self._watches[device_id]
            self._write(watch, window_s)
            self._watch_changed |= watch.merges

    # --- state -------------------------------------------------------------------------------------------------------

    def _write(self, watch: DeviceWatch, window_s: int) -> None:
        was_disabled = watch.disabled
        data = watch.snapshot(window_s)
        if data is not None:
            self._changed[_detector_entry(watch.device_id, window_s)] = data
        elif not was_disabled:
            self._failures += 1

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart: one entry per detector, one for everything else of all watches."""
        if not self.config.snapshot_interval_s:
            for watch in self._watches.values():
                for window_s in sorted(watch.learned):
                    self._write(watch, window_s)
        if self._watch_changed:
            fields = {str(device_id): watch.fields() for device_id, watch in self._watches.items()}
            self._changed["watches"] = packing.pack(LAYOUT, fields)
            self._watch_changed = False
        changed, self._changed = self._changed, {}
        return changed

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart. Detectors of devices that are not watched any more are deleted."""
        for name, data in entries.items():
            if name == "watches":
                fields, _ = packing.unpack(data, LAYOUT, name)
                for device_id, each in fields.items():
                    if (watch := self._watches.get(int(device_id))) is not None:
                        watch.set_fields(each)
            else:
                _, device_id, window_s = name.split("/")
                restored = self._watches.get(int(device_id))
                if restored is None:
                    self._changed[name] = None
                else:
                    restored.restore(int(window_s), data)
        self._next_work_us = self._look_us = 0


def watch_of(
    device_id: int,
    spec: DetectorSpec,
    detectors: dict[int, tuple[Subject, Detector]],
    *,
    has_context: bool = False,
    on_score: ScoreListener | None = None,
    labels: Labels | None = None,
) -> DeviceWatch:
    """The watch of a device, with the episodes that a detector's specification asks for, and what people said of earlier ones."""
    version = max(detector.version for _, detector in detectors.values())
    episodes = EpisodeConfig(hold_off_s=spec.hold_off_s, hold_off_windows=spec.hold_off_windows)
    threshold = AdaptiveThreshold(ThresholdConfig(base=spec.threshold, highest=max(0.95, spec.threshold)))
    tracker = EpisodeTracker(device_id, spec.name, version, episodes, threshold)
    if labels is not None:
        tracker.labels = labels
    return DeviceWatch(device_id, detectors, tracker, every=spec.every, has_context=has_context, on_score=on_score)


def examine_together(due: Sequence[tuple[DeviceWatch, int, Features]]) -> None:
    """Have windows examined together by detectors that can: fifty devices cost little more than one."""
    windows = [
        (detector, features)
        for watch, window_s, features in due
        if not watch.disabled and isinstance(detector := watch.detectors[window_s][1], ScaledDetector)
    ]
    if len(windows) < 2:
        return
    try:
        ScaledDetector.prepare(windows)
    except Exception:  # noqa: BLE001 - each looks at its own then, and the one to blame is disabled
        _log.exception("windows could not be examined together", extra={"windows": len(windows)})


def _same(watch: DeviceWatch, subjects: Sequence[Subject]) -> bool:
    known = {subject.window_s: subject for subject, _ in watch.detectors.values()}
    return known.keys() == {subject.window_s for subject in subjects} and all(
        np.array_equal(known[each.window_s].tag_id, each.tag_id)
        and np.array_equal(known[each.window_s].normal_low, each.normal_low, equal_nan=True)
        and np.array_equal(known[each.window_s].normal_high, each.normal_high, equal_nan=True)
        for each in subjects
    )


def _detector_entry(device_id: int, window_s: int) -> str:
    return f"detector/{device_id}/{window_s}"


def _outputs(device_id: int, messages: Iterable[bytes]) -> list[Output]:
    return [Output(topics.ANOMALIES.name, str(device_id).encode(), message) for message in messages]
