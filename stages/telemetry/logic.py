"""The telemetry job's logic: frames in; validated frames, rejects, latest values, windows, anomalies and progress out.

Called by the job's adapter: one `TelemetryLogic` per subtask holds many lanes. Frames of one lane come in order of
their topic partition, possibly again; delivery is at least once. Nothing here raises for bad data, reads a clock or
does I/O: outputs follow from inputs and `now_us`. What `on_frame` raises all the same is a defect of ours: the caller
keeps the record and restores the lane from its state.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence

from base.errors import MillraceError, SchemaError, UndecodableError
from schemas import codec, frame, topics
from schemas.definitions import Registry
from schemas.frame import Frame, parse_lane_key
from schemas.origins import Sites
from schemas.verdicts import RecordReject
from stages import rejects
from stages.config import TelemetryConfig
from stages.detection.labels import Labels
from stages.detection.protocol import ScoreListener
from stages.detection.snapshots import SnapshotBudget
from stages.intake import micro_batch
from stages.intake.dedup import Seen
from stages.intake.held import HeldFrame
from stages.intake.micro_batch import Arrived
from stages.intake.signatures import FrameGuard
from stages.outputs import Origin, Output
from stages.telemetry.catch_up import CatchUpRules
from stages.telemetry.lane import Lane

__all__ = ["MicroBatchError", "Origin", "Output", "TelemetryLogic"]

_log = logging.getLogger(__name__)
_MAX_SEQUENCE = 1 << 46
COUNTERS = (
    "frames",
    "samples",
    "duplicates",
    "conflicts",
    "undecodable",
    "bad_signatures",
    "unsigned",
    "foreign",
    "held",
    "gathered",
    "failures",
    "detectors_disabled",
    "calculated",
    "calculated_left_out",
    "calculated_not_heard",
)


class MicroBatchError(MillraceError):
    """Frames failed that were processed together: a defect of ours.

    The caller restores the lane from its state and tries again; from then on its frames are processed one by one.
    """


class TelemetryLogic:
    """All lanes of a subtask, by `schemas.frame.lane_key`, the Kafka key of their frames.

    `counters` are for metrics and count since this process began; what must be exact is in the records and the state.
    `on_score` is told of every window that detection scores.
    """

    def __init__(self, config: TelemetryConfig | None = None, *, on_score: ScoreListener | None = None) -> None:
        self.config = config or TelemetryConfig()
        self.guard: FrameGuard | None = None
        """Asked of each frame; without it no frame needs a signature, and none is looked at."""
        self._on_score = on_score
        self._catch_up = CatchUpRules(self.config)
        self.registry, self.labels = Registry(), Labels()
        self._sites = Sites(gateways=self.registry.gateways)
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._lanes: dict[str, Lane] = {}
        self._generation = 0
        self._one_by_one: set[str] = set()
        """Lanes of which a micro-batch failed."""

    @property
    def tags_not_calculated(self) -> int:
        """Calculated tags whose expression cannot be evaluated here; the log has their names and why."""
        return sum(lane.calculations.unfit for lane in self._lanes.values())

    @property
    def tags_waiting(self) -> int:
        """Calculated tags that have no samples now, because an input was never heard."""
        return sum(len(lane.calculations.waiting) for lane in self._lanes.values())

    # --- inputs ------------------------------------------------------------------------------------------------------

    def on_frame(self, message: bytes, origin: Origin, now_us: int) -> list[Output]:
        """Process one record of `telemetry.frames.<site>`, or hold it back; waiting frames of its lane go first."""
        try:
            decoded = frame.decode(message)
            _check(decoded)
        except SchemaError as error:
            self.counters["undecodable"] += 1
            return [rejects.undecodable(message, origin, now_us, error)]
        if self.guard is not None:  # before its identity, which a forged frame must not take
            if problem := self.guard.problem(message, decoded, now_us):
                self.counters["bad_signatures"] += 1
                reason = RecordReject.BAD_SIGNATURE
                return [rejects.whole(message, origin, now_us, reason, problem, decoded)]
            self.counters["unsigned"] = self.guard.unsigned
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
                    outputs += lane.follow_registry(self._generation)
                    outputs += lane.on_timer(now_us, snapshots)
                    self.counters["detectors_disabled"] += lane.detection.drain_failures()
        return outputs

    def due(self, lane_key: str, now_us: int) -> bool:
        """Whether `on_timer` may have anything to do for a lane: a plant has a thousand, and most of the time it has not."""
        lane = self._lanes.get(lane_key)
        return lane is not None and (bool(lane.held) or lane.generation != self._generation or lane.due_us <= now_us)

    def apply_registry(self, message: bytes) -> None:
        """Fold in one message of `registry.tags`, or of `anomaly.labels`. A message that cannot be read is logged and ignored."""
        try:
            if codec.schema_of(message).name == "AnomalyLabel":
                self.labels.apply(message)
            elif self.registry.apply(message):
                self._generation += 1
        except (SchemaError, ValueError, TypeError) as error:
            self.counters["failures"] += 1
            _log.warning("registry message ignored", extra={"reason": str(error)})

    def flush_all(self, now_us: int) -> list[Output]:
        """Everything open, at the end of a bounded input. Held frames are processed with what is known."""
        outputs: list[Output] = []
        for lane in self._lanes.values():
            while lane.held:
                outputs += self._process_unknown(lane, now_us)
            outputs += lane.follow_registry(self._generation)
            outputs += lane.flush(now_us)
        return outputs

    # --- state -------------------------------------------------------------------------------------------------------

    def lane_keys(self) -> list[str]:
        """Lanes this subtask holds."""
        return list(self._lanes)

    def drain_changes(self, lane_key: str) -> dict[str, bytes | None]:
        """State entries of a lane changed since last asked, as versioned bytes; None deletes an entry."""
        lane = self._lanes.get(lane_key)
        return {} if lane is None else lane.drain_changes()

    def restore(self, lane_key: str, entries: dict[str, bytes]) -> None:
        """Put back a lane's entries, before its first frame. The registry may come later: the lane waits for it.

        Raises StateError for an entry that this version cannot read.
        """
        lane = self._lanes[lane_key] = self._new_lane(lane_key)
        lane.restore(entries)

    # --- one record --------------------------------------------------------------------------------------------------

    def _new_lane(self, lane_key: str) -> Lane:
        return Lane(*parse_lane_key(lane_key), self.config, self.registry, self._on_score, self.labels)

    def _ready(self, lane: Lane) -> bool:
        return self.registry.version >= lane.needs_version

    def _on_decoded(self, arrived: Arrived, now_us: int) -> list[Output]:
        decoded, key = arrived.frame, arrived.frame.lane_key
        if foreign := self._foreign(arrived, now_us):  # before its lane, which it has no part in
            return [foreign]
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = self._new_lane(key)
        seen = _seen(lane, decoded)
        if seen is Seen.DUPLICATE:
            self.counters["duplicates"] += 1
            lane.count_duplicate(decoded.samples)
            return []
        if seen is Seen.CONFLICT:
            return [self._conflict(lane, arrived, now_us)]
        return self._on_new(lane, arrived, now_us)

    def _foreign(self, arrived: Arrived, now_us: int) -> Output | None:
        """The refusal of a frame whose gateway is of another site than its topic, as far as the registry knows now; None for others."""
        detail = self._sites.foreign(topics.site_of(arrived.origin.topic), arrived.frame.gateway_id)
        if not detail:
            return None
        self.counters["foreign"] += 1
        reason = RecordReject.FOREIGN_SITE
        return rejects.whole(arrived.message, arrived.origin, now_us, reason, detail, arrived.frame)

    def _conflict(self, lane: Lane, arrived: Arrived, now_us: int) -> Output:
        self.counters["conflicts"] += 1
        lane.count_conflict()
        decoded = arrived.frame
        detail = f"identity seen before with another checksum than {decoded.checksum}"
        reason = RecordReject.IDENTITY_CONFLICT
        return rejects.whole(arrived.message, arrived.origin, now_us, reason, detail, decoded)

    def _on_new(self, lane: Lane, arrived: Arrived, now_us: int) -> list[Output]:
        decoded, outputs = arrived.frame, list[Output]()
        gathers = self._gathers(lane, decoded, now_us)
        if lane.held and not gathers:
            outputs += self._release(lane, now_us, force=True)
        unknown = decoded.registry_version > self.registry.version or not self._ready(lane)
        if not (lane.held or unknown or gathers):
            return outputs + self._process(lane, [arrived], now_us)
        gathered = gathers and not unknown
        self.counters["gathered" if gathered else "held"] += 1
        number, identity = lane.held.number(), (decoded.key, decoded.sequence)
        lane.hold(HeldFrame(number=number, identity=identity, arrived=arrived, held_us=now_us, gathered=gathered))
        outputs += self._release(lane, now_us, force=False)
        while lane.held.overfull:
            outputs += self._process_unknown(lane, now_us)
        return outputs

    # --- frames that wait --------------------------------------------------------------------------------------------

    def _gathers(self, lane: Lane, decoded: Frame, now_us: int) -> bool:
        return lane.lane_key not in self._one_by_one and self._catch_up.wants_company(decoded, now_us)

    def _known(self, lane: Lane, held: HeldFrame) -> bool:
        return self._ready(lane) and held.frame.registry_version <= self.registry.version

    def _release(self, lane: Lane, now_us: int, *, force: bool) -> list[Output]:
        """Process waiting frames, oldest first: those whose registry version is known when they have waited long enough.

        `force`: those that are known, at once.
        """
        outputs: list[Output] = []
        while lane.held:
            oldest = lane.held.queue[0]
            if self._known(lane, oldest):
                waits = self._gathers(lane, oldest.frame, now_us) and not self._catch_up.complete(lane.held, now_us)
                if waits and not force:
                    break
                outputs += self._process_known(lane, now_us)
            elif now_us - oldest.held_us >= self.config.hold.max_seconds * 1e6:
                outputs += self._process_unknown(lane, now_us)
            else:
                break
        return outputs

    def _process_known(self, lane: Lane, now_us: int) -> list[Output]:
        """Process what waits and is known, in micro-batches as far as `catch_up` goes."""
        count = self._catch_up.together(lane.held, lambda held: self._known(lane, held))
        arrived, outputs = self._released(lane, count, now_us)
        for group in micro_batch.groups(arrived):
            if len(group) > 1 and lane.lane_key not in self._one_by_one:
                outputs += self._process_together(lane, group, now_us)
            else:
                for each in group:
                    outputs += self._process_alone(lane, each, now_us)
        return outputs

    def _process_unknown(self, lane: Lane, now_us: int) -> list[Output]:
        """Process the oldest that waits with what is known: the registry version it speaks of does not come."""
        arrived, outputs = self._released(lane, 1, now_us)
        for each in arrived:
            outputs += self._process_alone(lane, each, now_us)
        return outputs

    def _released(self, lane: Lane, count: int, now_us: int) -> tuple[list[Arrived], list[Output]]:
        """The oldest that wait, without those of a gateway that the registry has learnt to be of another site, and their refusals."""
        arrived, outputs = list[Arrived](), list[Output]()
        for _ in range(count):
            each = lane.release().arrived
            if foreign := self._foreign(each, now_us):
                outputs.append(foreign)
            else:
                arrived.append(each)
        return arrived, outputs

    def _process(self, lane: Lane, arrived: Sequence[Arrived], now_us: int) -> list[Output]:
        outputs = lane.follow_registry(self._generation)
        outputs += lane.process(arrived, now_us)
        self.counters["frames"] += len(arrived)
        self.counters["samples"] += sum(each.frame.samples for each in arrived)
        if lane.calculations.active:
            counts = lane.calculations.drain_counts()
            self.counters["calculated"] += counts.made
            self.counters["calculated_left_out"] += counts.left_out
            self.counters["calculated_not_heard"] += counts.not_heard
        return outputs

    def _process_together(self, lane: Lane, group: Sequence[Arrived], now_us: int) -> list[Output]:
        try:
            return self._process(lane, group, now_us)
        except Exception as error:
            self._one_by_one.add(lane.lane_key)
            msg = f"{len(group)} frames of lane {lane.lane_key} could not be processed together"
            raise MicroBatchError(msg) from error

    def _process_alone(self, lane: Lane, arrived: Arrived, now_us: int) -> list[Output]:
        try:
            return self._process(lane, [arrived], now_us)
        # A defect of ours; the caller cannot tell which frame it was, and would try for ever
        except Exception as error:  # noqa: BLE001
            self.counters["failures"] += 1
            _log.error("held frame could not be processed", extra=arrived.origin._asdict(), exc_info=error)
            return [rejects.processing_failed(arrived.message, arrived.origin, now_us, error, arrived.frame)]


def _seen(lane: Lane, decoded: Frame) -> Seen:
    """What is known of a frame's identity: by those that wait, else by those that were processed."""
    identity = decoded.key, decoded.sequence
    waiting = lane.held.checksums.get(identity)
    if waiting is None:
        return lane.dedup.classify(*identity, decoded.checksum)
    return Seen.DUPLICATE if waiting == decoded.checksum else Seen.CONFLICT


def _check(decoded: Frame) -> None:
    """Raise UndecodableError when the frame contradicts itself."""
    if decoded.samples > frame.MAX_SAMPLES or not 0 <= decoded.sequence < _MAX_SEQUENCE or decoded.lane < 0:
        msg = f"frame of {decoded.samples} samples, lane {decoded.lane}, sequence {decoded.sequence} is out of bounds"
        raise UndecodableError(msg)
    found = decoded.computed_checksum()
    if found != decoded.checksum:
        msg = f"checksum of the samples is {found}, the frame says {decoded.checksum}"
        raise UndecodableError(msg)
