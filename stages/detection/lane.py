"""Anomaly detection of one lane: features from closed windows, modes of machines, snapshots of detectors.

Called by `stages.telemetry.lane` with what closed and with the lane's latest values. Only LIVE data reaches windows, so a backlog
raises no alarm. A device is watched by the detector that its tags' definitions name; its features are the numeric tags
that nobody writes, each in its smallest window, or in several of them merged (`stages.detection.cadence`). Its mode is
made of the tags that say what it is meant to do: those that can be written, and `packml_state`.

Snapshots: a detector that has learned is written to the state once in `snapshot_interval_s`, staggered by device, a few
per timer call, so that none stalls the line; a failure costs at most that much learning. Episodes, thresholds and modes
are written when they change.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from schemas import topics
from schemas.definitions import DataType, TagDefinition
from stages import packing
from stages.config import DetectionConfig, DetectorSpec
from stages.detection.device import DeviceWatch
from stages.detection.episodes import EpisodeConfig, EpisodeTracker
from stages.detection.kinds import catalogue, make
from stages.detection.protocol import Features, ScoreListener, Subject
from stages.detection.scaled import ScaledDetector
from stages.detection.threshold import AdaptiveThreshold, ThresholdConfig
from stages.intake.lane_table import NEVER_US, LaneTable, TagView
from stages.intake.segments import Segments
from stages.outputs import Output
from stages.telemetry.latest import TIME, VALUE, LaneLatest
from stages.windows import algebra as a
from stages.windows.device_clocks import UNSET_US, DeviceClocks
from stages.windows.event_windows import Closed

_log = logging.getLogger(__name__)

LAYOUT = 1
MAX_TAGS = 64
"""Per device and window length: what bounds a detector's state."""
SNAPSHOT_MS = 0.5
"""What a snapshot costs, measured for ten tags: the budget is counted, not clocked, so that state follows from inputs."""
_IDLE_US = 60_000_000
_LOOK_US = 5_000_000
_LOOK_AGAIN_US = 1_000_000


class LaneDetection:
    """See the module."""

    def __init__(self, config: DetectionConfig, table: LaneTable, on_score: ScoreListener | None = None) -> None:
        self.config = config
        self._on_score = on_score
        self._failures = 0
        self._catalogue = catalogue(config.detectors) if config.enabled else {}
        self._watches: dict[int, DeviceWatch] = {}
        self._changed: dict[str, bytes | None] = {}
        self._watch_changed = False
        self._snapshot_due_us: dict[tuple[int, int], int] = {}
        self._next_work_us = 0
        self._look_us = self._looked_us = 0
        self._set_table(table)

    def _set_table(self, table: LaneTable) -> None:
        """Index the table: which slots are features of which group, which say the mode."""
        self._table = table
        self._context_slots = np.zeros(0, dtype=np.intp)
        self._context = np.zeros(0, dtype=np.int64)
        self._group = np.full(len(table.tags), -1, dtype=np.intp)
        self._place = np.zeros(len(table.tags), dtype=np.intp)
        self._groups: list[Subject] = []
        if not self.config.enabled:
            return
        slots: dict[tuple[int, int], list[int]] = {}
        context: list[int] = []
        for slot, tag in enumerate(table.tags):
            spec = self._catalogue.get(tag.detector or "", None) or self._catalogue["default"]
            if not tag.detector or table.guest[slot]:
                continue
            if _says_mode(tag):
                context.append(slot)
            elif _is_feature(tag, spec):
                slots.setdefault((tag.device_id, min(tag.windows_s)), []).append(slot)
        self._context_slots = np.array(context, dtype=np.intp)
        self._context = np.full(len(context), np.iinfo(np.int64).min, dtype=np.int64)
        watches: dict[int, list[Subject]] = {}
        for (device_id, window_s), chosen in slots.items():
            tags = [table.tags[slot] for slot in chosen[:MAX_TAGS]]
            spec = self._catalogue.get(tags[0].detector) or self._catalogue["default"]
            subject = _subject(device_id, window_s * spec.every, tags)
            for place, slot in enumerate(chosen[:MAX_TAGS]):
                self._group[slot], self._place[slot] = len(self._groups), place
            self._groups.append(subject)
            watches.setdefault(device_id, []).append(subject)
        with_context = {table.tags[slot].device_id for slot in context}
        names = {tag.device_id: tag.detector for tag in table.tags if tag.detector}
        before, self._watches = self._watches, {}
        for device_id, subjects in watches.items():
            self._watches[device_id] = self._watch(
                device_id, names[device_id], subjects, before.get(device_id), has_context=device_id in with_context
            )

    def _watch(
        self, device_id: int, name: str, subjects: list[Subject], before: DeviceWatch | None, *, has_context: bool
    ) -> DeviceWatch:
        """Watch of a device; one whose tags and detector are the same as before goes on."""
        spec = self._catalogue.get(name) or self._catalogue["default"]
        if before is not None and before.tracker.detector == spec.name and _same(before, subjects):
            return before
        detectors = {subject.window_s: (subject, make(spec, subject)) for subject in subjects}
        version = max(detector.version for _, detector in detectors.values())
        episodes = EpisodeConfig(hold_off_s=spec.hold_off_s, hold_off_windows=spec.hold_off_windows)
        threshold = AdaptiveThreshold(ThresholdConfig(base=spec.threshold, highest=max(0.95, spec.threshold)))
        tracker = EpisodeTracker(device_id, spec.name, version, episodes, threshold)
        return DeviceWatch(
            device_id, detectors, tracker, every=spec.every, has_context=has_context, on_score=self._on_score
        )

    def relayout(self, table: LaneTable) -> list[Output]:
        """Follow a new table: devices whose tags changed start to learn anew, their episodes are closed."""
        before = self._watches
        self._set_table(table)
        outputs: list[Output] = []
        for device_id, watch in before.items():
            if self._watches.get(device_id) is not watch:
                outputs += _outputs(device_id, watch.tracker.close())
                self._watch_changed = True
                for window_s in watch.detectors:
                    self._changed[f"detector/{device_id}/{window_s}"] = None
                    self._snapshot_due_us.pop((device_id, window_s), None)
        return outputs

    # --- inputs ----------------------------------------------------------------------------------------------------------

    def on_closed(self, closed: Iterable[Closed], now_us: int) -> None:
        """Windows closed: those emitted for the first time become features, and wait for `work`."""
        if not self._groups:
            return
        for each in closed:
            chosen = np.flatnonzero(each.fresh)
            slots = each.slots[chosen]
            mine = (self._group[slots] >= 0) & (self._table.smallest_window_s[slots] == each.size_s)
            if mine.any():
                self._gather(each, chosen[mine], slots[mine], now_us)

    def _gather(self, closed: Closed, columns: NDArray[np.intp], slots: NDArray[np.intp], now_us: int) -> None:
        rows = closed.rows.take(columns, axis=1)
        real = rows.view(np.float64)
        good = rows[a.GOOD]
        unknown = good == 0
        variance = real[a.M2] / np.maximum(good - 1, 1)
        vectors = np.stack((real[a.MEAN], variance, real[a.MIN], real[a.MAX], real[a.LAST] - real[a.FIRST]))
        vectors[:, unknown] = np.nan
        group, place = self._group[slots], self._place[slots]
        end_us = closed.start_us + closed.size_s * 1_000_000
        bounds = [0, *(np.flatnonzero(np.diff(group)) + 1).tolist(), len(group)]  # slots are in the order of devices
        for low, high in pairwise(bounds):
            subject = self._groups[int(group[low])]
            if high - low == len(subject.tag_id):
                full, count = vectors[:, low:high], good[low:high]
            else:
                full = np.full((5, len(subject.tag_id)), np.nan)
                count = np.zeros(len(subject.tag_id), dtype=np.int64)
                full[:, place[low:high]], count[place[low:high]] = vectors[:, low:high], good[low:high]
            mean, variance, lowest, highest, trend = full
            features = Features(
                start_us=closed.start_us,
                end_us=end_us,
                count=count,
                mean=mean,
                variance=variance,
                low=lowest,
                high=highest,
                trend=trend,
            )
            watch = self._watches[subject.device_id]
            watch.put(subject.window_s, features, now_us)
            self._look_us = min(self._look_us, now_us + _IDLE_US)
            if watch.merges and not self.config.snapshot_interval_s:
                self._watch_changed = True
            if watch.due_us is not None:
                self._next_work_us = min(self._next_work_us, watch.due_us)

    def changes_mode(self, segments: Segments, view: TagView) -> bool:
        """Whether some sample says another mode than the one known: its frame has to be seen by itself."""
        if not len(self._context_slots):
            return False
        known = np.zeros(len(self._table.tags) + 1, dtype=np.int64)
        says = np.zeros(len(known), dtype=np.bool_)
        known[self._context_slots], says[self._context_slots] = self._context, True
        slots = view.slots[segments.entry]
        return bool((says[slots] & (segments.value.view(np.int64) != known[slots])).any())

    def observe(self, latest: LaneLatest, clocks: DeviceClocks) -> list[Output]:
        """Latest values after a frame: notes changes of mode, then scores what can be scored at the devices' clocks."""
        if not self._groups:
            return []
        values = latest.rows[VALUE, self._context_slots]
        if (values != self._context).any():
            self._note_modes(latest, values)
        if clocks.newest_us < self._next_work_us:
            return []
        clock_of = dict(zip(clocks.devices.tolist(), clocks.clock_us.tolist(), strict=True))
        waiting = [watch for watch in self._watches.values() if watch.due_us is not None]
        outputs = self._work([(watch, clock_of.get(watch.device_id, UNSET_US)) for watch in waiting])
        self._next_work_us = min((watch.due_us for watch in waiting if watch.due_us is not None), default=NEVER_US)
        return outputs

    def _note_modes(self, latest: LaneLatest, values: NDArray[np.int64]) -> None:
        known = ~np.isnan(values.view(np.float64))  # a mode that cannot be read has not changed
        changed = self._context_slots[known & (values != self._context)]
        self._context = np.where(known, values, self._context)
        times = latest.rows[TIME]
        for device in np.unique(self._table.device[changed]).tolist():
            mine = changed[self._table.device[changed] == device]
            watch = self._watches.get(int(self._table.devices[device]))
            if watch is not None:
                here = self._context[self._table.device[self._context_slots] == device]
                mode = ",".join(f"{value:g}" for value in here.view(np.float64).tolist())
                watch.context(mode, int(times[mine].max()))
                self._watch_changed = True

    def _work(self, watches: Sequence[tuple[DeviceWatch, int | None]]) -> list[Output]:
        """Score what waits, as far as each device's clock goes (None: all), a window of every device at a time."""
        outputs: list[Output] = []
        while due := [(watch, *found) for watch, clock_us in watches if (found := watch.next(clock_us)) is not None]:
            self._look_us = min(
                self._look_us, self._looked_us + _LOOK_US
            )  # they may have learned, or opened an episode
            self._prepare(due)
            for watch, window_s, features in due:
                had, was_open = watch.disabled, watch.tracker.open
                messages = watch.judge(window_s, features)
                if watch.disabled and not had:
                    self._failures += 1
                if messages or was_open is not None or not self.config.snapshot_interval_s:
                    self._watch_changed = True
                outputs += _outputs(watch.device_id, messages)
        return outputs

    def _prepare(self, due: Sequence[tuple[DeviceWatch, int, Features]]) -> None:
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
        except Exception:  # each looks at its own then, and the one to blame is disabled
            _log.exception("windows could not be examined together", extra={"windows": len(windows)})

    @property
    def look_due_us(self) -> int:
        """Processing time before which `on_timer` finds nothing."""
        return self._look_us

    def on_timer(self, now_us: int, snapshots: SnapshotBudget) -> list[Output]:
        """What is due by processing time: episodes of silent devices, snapshots. Looks every few seconds at most."""
        outputs: list[Output] = []
        if now_us < self._look_us:
            return outputs
        self._looked_us = now_us
        silent_us = NEVER_US
        for watch in self._watches.values():
            if watch.fed_us and (watch.due_us is not None or watch.tracker.open is not None):
                if now_us - watch.fed_us >= _IDLE_US:
                    outputs += self._work([(watch, None)])
                    outputs += _outputs(watch.device_id, self._close_silent(watch, now_us))
                silent_us = min(silent_us, watch.fed_us + _IDLE_US)
        snapshot_us = self._snapshot(now_us, snapshots)
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

    def take_failures(self) -> int:
        """Devices whose detector was disabled since this was last asked."""
        failures, self._failures = self._failures, 0
        return failures

    def flush(self) -> list[Output]:
        """Scores what waits, at the end of a bounded input. Open episodes stay open: nobody has seen their end."""
        return self._work([(watch, None) for watch in self._watches.values()])

    # --- state -----------------------------------------------------------------------------------------------------------

    def _snapshot(self, now_us: int, budget: SnapshotBudget) -> int:
        """Write what is due, longest overdue first, as far as the budget goes; when the next is due."""
        interval_us = round(self.config.snapshot_interval_s * 1e6)
        due: list[tuple[int, int, int]] = []
        next_us = NEVER_US
        for device_id, watch in self._watches.items():
            for window_s in watch.learned:
                due_us = self._snapshot_due_us.get((device_id, window_s))
                if due_us is None:
                    # A fixed share of the interval by device: the devices of a plant do not all come at once.
                    due_us = now_us + interval_us * (device_id * 37 % 64) // 64
                    self._snapshot_due_us[device_id, window_s] = due_us
                if now_us >= due_us:
                    due.append((due_us, device_id, window_s))
                else:
                    next_us = min(next_us, due_us)
        for due_us, device_id, window_s in sorted(due):
            if not budget.take():
                return due_us
            self._write(self._watches[device_id], window_s)
            self._watch_changed |= self._watches[device_id].merges
            self._snapshot_due_us[device_id, window_s] = now_us + interval_us
        return next_us

    def _write(self, watch: DeviceWatch, window_s: int) -> None:
        had = watch.disabled
        data = watch.snapshot(window_s)
        if data is not None:
            self._changed[f"detector/{watch.device_id}/{window_s}"] = data
        elif not had:
            self._failures += 1

    def take_changes(self) -> dict[str, bytes | None]:
        """State parts changed since last taken."""
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

    def restore_parts(self, parts: dict[str, bytes]) -> None:
        """Put parts back; those of devices that are not watched any more are deleted."""
        for name, data in parts.items():
            kind, _, which = name.partition("/")
            if kind == "watches":
                fields, _ = packing.unpack(data, LAYOUT, name)
                for device_id, each in fields.items():
                    if (watch := self._watches.get(int(device_id))) is not None:
                        watch.set_fields(each)
            elif kind == "detector":
                device_id, _, window_s = which.partition("/")
                restored = self._watches.get(int(device_id))
                if restored is None:
                    self._changed[name] = None
                else:
                    restored.restore(int(window_s), data)
        self._next_work_us = self._look_us = 0


class SnapshotBudget:
    """How many snapshots one timer call may take, over all lanes it serves."""

    __slots__ = ("_left",)

    def __init__(self, budget_ms: float) -> None:
        self._left = max(int(budget_ms / SNAPSHOT_MS), 1)

    def take(self) -> bool:
        """Whether one more fits."""
        self._left -= 1
        return self._left >= 0


MODE_TAG = "packml_state"


def _says_mode(tag: TagDefinition) -> bool:
    return tag.writable or tag.name == MODE_TAG


def _is_feature(tag: TagDefinition, spec: DetectorSpec) -> bool:
    return tag.data_type is DataType.DOUBLE and bool(tag.windows_s)


def _subject(device_id: int, window_s: int, tags: list[TagDefinition]) -> Subject:
    ranges = [
        (np.nan, np.nan)
        if tag.eu_low is None or tag.eu_high is None or tag.eu_high <= tag.eu_low
        else (tag.eu_low, tag.eu_high)
        for tag in tags
    ]
    low, high = np.array(ranges, dtype=np.float64).T
    ids = np.array([tag.tag_id for tag in tags], dtype=np.int32)
    return Subject(device_id=device_id, window_s=window_s, tag_id=ids, normal_low=low, normal_high=high, seed=device_id)


def _same(watch: DeviceWatch, subjects: list[Subject]) -> bool:
    known = {subject.window_s: subject for subject, _ in watch.detectors.values()}
    return known.keys() == {subject.window_s for subject in subjects} and all(
        np.array_equal(known[each.window_s].tag_id, each.tag_id)
        and np.array_equal(known[each.window_s].normal_low, each.normal_low, equal_nan=True)
        and np.array_equal(known[each.window_s].normal_high, each.normal_high, equal_nan=True)
        for each in subjects
    )


def _outputs(device_id: int, messages: list[bytes]) -> list[Output]:
    return [Output(topics.ANOMALIES.name, str(device_id).encode(), message) for message in messages]
