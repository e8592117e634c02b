"""The telemetry job's logic: frames in; judged frames, rejects, latest values, windows, anomalies and progress out.

Called by the job's adapter: one `TelemetryLogic` per subtask holds many lanes. Frames of one lane come in order of
their topic partition, possibly again; delivery is at least once. Nothing here raises for bad data, reads a clock or
does I/O: outputs follow from inputs and `now_us`. What `on_frame` raises all the same is a defect of ours: the caller
keeps the record and restores the lane from its state.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from schemas import checksum, frame
from schemas.errors import SchemaError, UndecodableError
from schemas.frame import Frame, parse_lane_key
from schemas.registry import Registry
from schemas.verdicts import RecordReject
from stages import rejects
from stages.config import TelemetryConfig
from stages.dedup import Seen
from stages.detection.lane import SnapshotBudget
from stages.detection.protocol import ScoreListener
from stages.held import HeldFrame
from stages.lane import Lane
from stages.outputs import Origin, Output

__all__ = ["Origin", "Output", "TelemetryLogic"]

_log = logging.getLogger(__name__)
_MAX_SEQUENCE = 1 << 46


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
            ("frames", "samples", "duplicates", "conflicts", "undecodable", "held", "failures", "detectors_disabled"), 0
        )
        self._lanes: dict[str, Lane] = {}
        self._generation = 0

    # --- inputs ----------------------------------------------------------------------------------------------------------

    def on_frame(self, message: bytes, origin: Origin, now_us: int) -> list[Output]:
        """Judge one record of `telemetry.frames.<site>`, or hold it back; waiting frames of its lane go first."""
        try:
            decoded = frame.decode(message)
            tag_id, time_us = _check(decoded)
        except SchemaError as error:
            self.counters["undecodable"] += 1
            return [rejects.undecodable(message, origin, now_us, error)]
        return self._on_decoded(decoded, tag_id, time_us, message, origin, now_us)

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
            outputs += self._release(lane, now_us, force=True)
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

    def _on_decoded(
        self,
        decoded: Frame,
        tag_id: NDArray[np.int32],
        time_us: NDArray[np.int64],
        message: bytes,
        origin: Origin,
        now_us: int,
    ) -> list[Output]:
        key = decoded.lane_key
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._new_lane(key)
        outputs = self._release(lane, now_us, force=False) if lane.held else []
        waiting = lane.held.sums.get((decoded.key, decoded.sequence))
        if waiting is None:
            seen = lane.dedup.look(decoded.key, decoded.sequence, decoded.checksum)
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
        if lane.held or decoded.registry_version > self.registry.version or not self._ready(lane):
            self.counters["held"] += 1
            lane.hold(_hold(lane.held.number(), decoded, message, origin, now_us))
            while lane.held.overfull:
                outputs += self._judge_held(lane, now_us)
            return outputs
        outputs += self._judge(lane, decoded, tag_id, time_us, origin, now_us)
        return outputs

    def _judge(
        self,
        lane: Lane,
        decoded: Frame,
        tag_id: NDArray[np.int32],
        time_us: NDArray[np.int64],
        origin: Origin,
        now_us: int,
    ) -> list[Output]:
        outputs = lane.settle(self._generation, now_us)
        outputs += lane.judge(decoded, tag_id, time_us, origin, now_us)
        self.counters["frames"] += 1
        self.counters["samples"] += decoded.samples
        return outputs

    def _release(self, lane: Lane, now_us: int, *, force: bool) -> list[Output]:
        """Judge waiting frames, oldest first, as far as their registry version is known by now."""
        outputs: list[Output] = []
        while lane.held:
            oldest = lane.held.queue[0]
            known = self._ready(lane) and oldest.registry_version <= self.registry.version
            overdue = now_us - oldest.held_us >= self.config.hold.max_seconds * 1e6
            if not (known or overdue or force):
                break
            outputs += self._judge_held(lane, now_us)
        return outputs

    def _judge_held(self, lane: Lane, now_us: int) -> list[Output]:
        held = lane.release()
        decoded = frame.decode(held.message)
        try:
            return self._judge(lane, decoded, decoded.tag_id, decoded.time_us, held.origin, now_us)
        except (
            Exception
        ) as error:  # a defect of ours; the caller cannot tell which frame it was, and would try for ever
            return [self._failed(held, now_us, decoded, error)]

    def _failed(self, held: HeldFrame, now_us: int, decoded: Frame, error: Exception) -> Output:
        self.counters["failures"] += 1
        _log.error("held frame could not be processed", extra=held.origin._asdict(), exc_info=error)
        detail = f"{type(error).__name__}: {error}"
        reason = RecordReject.PROCESSING_FAILED
        return rejects.whole(held.message, held.origin, now_us, reason, detail, decoded)


def _check(decoded: Frame) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Tag and source time of each sample; raises UndecodableError when the frame contradicts itself."""
    if decoded.samples > frame.MAX_SAMPLES or not 0 <= decoded.sequence < _MAX_SEQUENCE or decoded.lane < 0:
        msg = f"frame of {decoded.samples} samples, lane {decoded.lane}, sequence {decoded.sequence} is out of bounds"
        raise UndecodableError(msg)
    tag_id, time_us = decoded.tag_id, decoded.time_us
    found = checksum.to_signed(checksum.checksum(tag_id, time_us, decoded.value, decoded.quality))
    if found != decoded.checksum:
        msg = f"checksum of the samples is {found}, the frame says {decoded.checksum}"
        raise UndecodableError(msg)
    return tag_id, time_us


def _hold(number: int, decoded: Frame, message: bytes, origin: Origin, now_us: int) -> HeldFrame:
    return HeldFrame(
        number=number,
        message=message,
        origin=origin,
        key=decoded.key,
        sequence=decoded.sequence,
        samples=decoded.samples,
        checksum=decoded.checksum,
        registry_version=decoded.registry_version,
        held_us=now_us,
    )
