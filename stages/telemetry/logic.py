"""The telemetry job's logic: frames in; judged frames, rejects, latest values, windows, anomalies and progress out.

Called by the job's adapter: one `TelemetryLogic` per subtask holds many lanes. Frames of one lane come in order of
their topic partition, possibly again; delivery is at least once. Nothing here raises for bad data, reads a clock or
does I/O: outputs follow from inputs and `now_us`. What `on_frame` raises all the same is a defect of ours: the caller
keeps the record and restores the lane from its state.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from base.errors import MillraceError, SchemaError, UndecodableError
from schemas import frame
from schemas.definitions import Registry
from schemas.frame import Frame, parse_lane_key
from schemas.verdicts import RecordReject
from stages import rejects
from stages.config import TelemetryConfig
from stages.detection.lane import SnapshotBudget
from stages.detection.protocol import ScoreListener
from stages.intake import micro_batch as stretch
from stages.intake.dedup import Seen
from stages.intake.held import HeldFrame
from stages.intake.micro_batch import Arrived
from stages.outputs import Origin, Output
from stages.telemetry.lane import Lane

__all__ = ["Origin", "Output", "TelemetryLogic", "TogetherError"]

_log = logging.getLogger(__name__)
_MAX_SEQUENCE = 1 << 46


class TogetherError(MillraceError):
    """Frames failed that were judged together: a defect of ours.

    The caller restores the lane from its state and tries again; from then on its frames are judged one by one.
    """


class TelemetryLogic:
    """See the module. `lane_key` is `schemas.frame.lane_key`, the Kafka key of frames.

    `counters` are for metrics and count since this process began; what must be exact is in the records and the state.
    `on_score` is told of every window that detection scores.
    """

    def __init__(self, config: TelemetryConfig | None = None, *, on_score: ScoreListener | None = None) -> None:
        self.config = config or TelemetryConfig()
        self._on_score = on_score
        self.registry = Registry()
        self.counters = dict.fromkeys(
            (
                "frames",
                "samples",
                "duplicates",
                "conflicts",
                "undecodable",
                "held",
                "gathered",
                "failures",
                "detectors_disabled",
            ),
            0,
        )
        self._lanes: dict[str, Lane] = {}
        self._generation = 0
        self._singly: set[str] = set()
        """Lanes whose frames failed together."""

    # --- inputs ----------------------------------------------------------------------------------------------------------

    def on_frame(self, message: bytes, origin: Origin, now_us: int) -> list[Output]:
        """Judge one record of `telemetry.frames.<site>`, or hold it back; waiting frames of its lane go first."""
        try:
            decoded = frame.decode(message)
            _check(decoded)
        except SchemaError as error:
            self.counters["undecodable"] += 1
            return [rejects.undecodable(message, origin, now_us, error)]
        return self._on_decoded(Arrived(decoded, origin, message), now_us)

    def on_timer(self, lanes: Iterable[str] | None, now_us: int) -> list[Output]:
        """What is due by processing time in these lanes (None: all): call about every 250 ms."""
        outputs: list[Output] = []
        snapshots = SnapshotBudget(self.config.detection.snapshot_budget_ms)
        for key in self.lane_keys() if lanes is None else lanes:
            lane = self._lanes.get(key)
            if lane is not None:
                outputs += self._release(lane, now_us, force=False)
                if self._ready(lane):
                    outputs += lane.settle(self._generation, now_us)
                    outputs += lane.on_timer(now_us, snapshots)
                    self.counters["detectors_disabled"] += lane.detection.take_failures()
        return outputs

    def due(self, lane_key: str, now_us: int) -> bool:
        """Whether `on_timer` may have anything to do for a lane: a plant has a thousand, and most of the time it has not."""
        lane = self._lanes.get(lane_key)
        return lane is not None and (bool(lane.held) or lane.generation != self._generation or lane.due_us <= now_us)

    def apply_registry(self, message: bytes) -> None:
        """Fold in one message of `registry.tags`. A message that cannot be read is logged and ignored."""
        try:
            if self.registry.apply(message):
                self._generation += 1
        except (SchemaError, ValueError, TypeError) as error:
            self.counters["failures"] += 1
            _log.warning("registry message ignored", extra={"reason": str(error)})

    def flush_all(self, now_us: int) -> list[Output]:
        """Everything open, at the end of a bounded input. Held frames are judged with what is known."""
        outputs: list[Output] = []
        for lane in self._lanes.values():
            while lane.held:
                outputs += self._judge_alone(lane, lane.release().arrived, now_us)
            outputs += lane.settle(self._generation, now_us)
            outputs += lane.flush(now_us)
        return outputs

    # --- state -----------------------------------------------------------------------------------------------------------

    def lane_keys(self) -> list[str]:
        """Lanes this subtask holds."""
        return list(self._lanes)

    def take_changes(self, lane_key: str) -> dict[str, bytes | None]:
        """State parts of a lane changed since last taken, as versioned bytes; None deletes a part."""
        lane = self._lanes.get(lane_key)
        return {} if lane is None else lane.take_changes()

    def restore(self, lane_key: str, parts: dict[str, bytes]) -> None:
        """Put back a lane's parts as taken, before its first frame. The registry may come later: the lane waits for it.

        Raises StateError for a part that this version cannot read.
        """
        lane = self._lanes[lane_key] = self._new_lane(lane_key)
        lane.restore_parts(parts)

    # --- one record ------------------------------------------------------------------------------------------------------

    def _new_lane(self, lane_key: str) -> Lane:
        return Lane(*parse_lane_key(lane_key), self.config, self.registry, self._on_score)

    def _ready(self, lane: Lane) -> bool:
        return self.registry.version >= lane.needs_version

    def _on_decoded(self, arrived: Arrived, now_us: int) -> list[Output]:
        decoded, origin, message = arrived
        key = decoded.lane_key
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._new_lane(key)
        outputs: list[Output] = []
        identity = decoded.key, decoded.sequence
        waiting = lane.held.sums.get(identity)
        if waiting is None:
            seen = lane.dedup.look(*identity, decoded.checksum)
        else:
            seen = Seen.DUPLICATE if waiting == decoded.checksum else Seen.CONFLICT
        if seen is Seen.DUPLICATE:
            self.counters["duplicates"] += 1
            lane.count_duplicate(decoded.samples)
            return outputs
        if seen is Seen.CONFLICT:
            self.counters["conflicts"] += 1
            lane.count_conflict()
            detail = f"identity seen before with another checksum than {decoded.checksum}"
            outputs.append(rejects.whole(message, origin, now_us, RecordReject.IDENTITY_CONFLICT, detail, decoded))
            return outputs
        gathers = self._gathers(lane, decoded, now_us)
        if lane.held and not gathers:
            outputs += self._release(lane, now_us, force=True)
        unknown = decoded.registry_version > self.registry.version or not self._ready(lane)
        if not (lane.held or unknown or gathers):
            return outputs + self._judge(lane, [arrived], now_us)
        gathered = gathers and not unknown
        self.counters["gathered" if gathered else "held"] += 1
        number = lane.held.number()
        lane.hold(HeldFrame(number=number, identity=identity, arrived=arrived, held_us=now_us, gathered=gathered))
        outputs += self._release(lane, now_us, force=False)
        while lane.held.overfull:
            outputs += self._judge_unknown(lane, now_us)
        return outputs

    def _gathers(self, lane: Lane, decoded: Frame, now_us: int) -> bool:
        """Whether a frame is behind, and small enough that it is worth judging with others.

        What is older than samples may be is no backlog: its gateway has no clock.
        """
        catch_up, behind_us = self.config.catch_up, now_us - decoded.closed_time_us
        return (
            self.config.behind_s * 1e6 < behind_us < self.config.validation.too_old_days * 86_400e6
            and 2 * decoded.samples <= catch_up.max_samples
            and catch_up.max_wait_s > 0
            and lane.lane_key not in self._singly
        )

    def _judge(self, lane: Lane, arrived: Sequence[Arrived], now_us: int) -> list[Output]:
        outputs = lane.settle(self._generation, now_us)
        outputs += lane.judge(arrived, now_us)
        self.counters["frames"] += len(arrived)
        self.counters["samples"] += sum(each.frame.samples for each in arrived)
        return outputs

    def _release(self, lane: Lane, now_us: int, *, force: bool) -> list[Output]:
        """Judge waiting frames, oldest first: those whose registry version is known when they have waited for others long enough.

        `force`: those that are known, at once.
        """
        outputs: list[Output] = []
        while lane.held:
            oldest = lane.held.queue[0]
            if self._known(lane, oldest):
                if not (force or self._gathered(lane, now_us)):
                    break
                outputs += self._judge_known(lane, now_us)
            elif now_us - oldest.held_us >= self.config.hold.max_seconds * 1e6:
                outputs += self._judge_unknown(lane, now_us)
            else:
                break
        return outputs

    def _known(self, lane: Lane, held: HeldFrame) -> bool:
        return self._ready(lane) and held.frame.registry_version <= self.registry.version

    def _gathered(self, lane: Lane, now_us: int) -> bool:
        """Whether what a lane holds is to be judged now."""
        catch_up, oldest = self.config.catch_up, lane.held.queue[0]
        if not self._gathers(lane, oldest.frame, now_us):
            return True
        behind_us = now_us - oldest.frame.closed_time_us
        wait_us = min(behind_us * catch_up.share, catch_up.max_wait_s * 1e6)
        full = lane.held.samples >= catch_up.max_samples or len(lane.held) >= catch_up.max_frames
        return full or now_us - oldest.held_us >= wait_us

    def _judge_known(self, lane: Lane, now_us: int) -> list[Output]:
        """Judge what waits and is known, together as far as `catch_up` goes."""
        catch_up, arrived, samples = self.config.catch_up, list[Arrived](), 0
        from_us = lane.held.queue[0].frame.closed_time_us
        while lane.held and len(arrived) < catch_up.max_frames and self._known(lane, lane.held.queue[0]):
            oldest = lane.held.queue[0].frame
            samples += oldest.samples
            apart_us = abs(oldest.closed_time_us - from_us)
            if arrived and (samples > catch_up.max_samples or apart_us > catch_up.max_span_s * 1e6):
                break
            arrived.append(lane.release().arrived)
        outputs: list[Output] = []
        for together in stretch.runs(arrived):
            if len(together) > 1 and lane.lane_key not in self._singly:
                outputs += self._judge_together(lane, together, now_us)
            else:
                for each in together:
                    outputs += self._judge_alone(lane, each, now_us)
        return outputs

    def _judge_together(self, lane: Lane, together: Sequence[Arrived], now_us: int) -> list[Output]:
        try:
            return self._judge(lane, together, now_us)
        except Exception as error:
            self._singly.add(lane.lane_key)
            msg = f"{len(together)} frames of lane {lane.lane_key} could not be judged together"
            raise TogetherError(msg) from error

    def _judge_unknown(self, lane: Lane, now_us: int) -> list[Output]:
        """Judge the oldest that waits with what is known: the registry version it speaks of does not come."""
        return self._judge_alone(lane, lane.release().arrived, now_us)

    def _judge_alone(self, lane: Lane, arrived: Arrived, now_us: int) -> list[Output]:
        try:
            return self._judge(lane, [arrived], now_us)
        except (
            Exception
        ) as error:  # a defect of ours; the caller cannot tell which frame it was, and would try for ever
            return [self._failed(arrived, now_us, error)]

    def _failed(self, arrived: Arrived, now_us: int, error: Exception) -> Output:
        self.counters["failures"] += 1
        _log.error("held frame could not be processed", extra=arrived.origin._asdict(), exc_info=error)
        detail = f"{type(error).__name__}: {error}"
        reason = RecordReject.PROCESSING_FAILED
        return rejects.whole(arrived.message, arrived.origin, now_us, reason, detail, arrived.frame)


def _check(decoded: Frame) -> None:
    """Raise UndecodableError when the frame contradicts itself."""
    if decoded.samples > frame.MAX_SAMPLES or not 0 <= decoded.sequence < _MAX_SEQUENCE or decoded.lane < 0:
        msg = f"frame of {decoded.samples} samples, lane {decoded.lane}, sequence {decoded.sequence} is out of bounds"
        raise UndecodableError(msg)
    found = decoded.computed_checksum()
    if found != decoded.checksum:
        msg = f"checksum of the samples is {found}, the frame says {decoded.checksum}"
        raise UndecodableError(msg)
