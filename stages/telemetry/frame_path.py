"""The way of new frames through the stages of a lane: validation, calculated tags, windows, detection, last values, outputs.

Called by `stages.telemetry.lane` with a micro-batch and the view of its tags. Only LIVE data reaches windows and
detection, so a backlog raises no alarm.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from schemas import frame, topics
from schemas.definitions import Registry
from schemas.frame import Stream
from schemas.verdicts import LATE_FLAG
from stages import rejects
from stages.calculation.lane import LaneCalculations
from stages.config import ValidationConfig
from stages.detection.lane import LaneDetection
from stages.forecast.lane import LaneForecasts
from stages.intake.dedup import LaneDedup
from stages.intake.lane_table import TagView
from stages.intake.micro_batch import MicroBatch
from stages.intake.segments import Segments
from stages.outputs import Output
from stages.telemetry.counters import LaneCounters
from stages.telemetry.latest import LaneLatest
from stages.telemetry.publisher import LanePublisher
from stages.validation import checks
from stages.validation.checks import Verdicts
from stages.validation.tag_history import LaneHistories
from stages.windows.block import Closed
from stages.windows.event_windows import LaneWindows


class FramePath:
    """The stages of one lane in their order; `key` is the Kafka key of its records. It has no state of its own: that is the stages'."""

    def __init__(
        self,
        key: bytes,
        config: ValidationConfig,
        registry: Registry,
        publisher: LanePublisher,
        *,
        dedup: LaneDedup,
        counters: LaneCounters,
        histories: LaneHistories,
        latest: LaneLatest,
        windows: LaneWindows,
        detection: LaneDetection,
        calculations: LaneCalculations,
        forecasts: LaneForecasts,
    ) -> None:
        self._key, self._config, self._registry, self._publisher = key, config, registry, publisher
        self._dedup, self._counters, self._histories = dedup, counters, histories
        self._latest, self._windows, self._detection = latest, windows, detection
        self._calculations = calculations
        self._forecasts = forecasts

    def same_as_one_by_one(self, batch: MicroBatch, segments: Segments, view: TagView) -> bool:
        """Whether verdicts and windows of a micro-batch are those of its frames one after the other.

        References of a tag follow the order of frames, so that must be the order of time; no frame may make another's
        samples late; and a change of mode belongs to the moment when it is seen.
        """
        if not segments.orderly or (self._calculations.active and not self._calculations.in_time(batch)):
            return False
        return batch.first.stream is not Stream.LIVE or (
            self._windows.none_late_by_another(segments, view) and not self._detection.changes_mode(segments, view)
        )

    def process(self, batch: MicroBatch, segments: Segments, view: TagView, now_us: int) -> list[Output]:
        """A micro-batch through all stages; what they have to say, validated frames first."""
        first, stream, sent = batch.first, batch.first.stream, batch
        self._counters.begin_lineage(first)
        history = self._histories.of(stream, view)
        found = checks.validate(segments, view, history, self._config, first.clock_status)
        if self._calculations.active:
            site = topics.site_of(sent.arrived[0].origin.topic)
            extended = self._calculations.extend(sent, _in_frame_order(found.verdict, segments), site)
            if extended is not None:
                batch, segments, view, found = extended
        verdict = found.verdict
        closed: list[Closed] = []
        if stream is Stream.LIVE:
            late = _repaired(segments, view, found, self._windows.fold(segments, view, found, now_us))
            if late is not None:
                verdict = np.where(late, verdict | np.uint8(LATE_FLAG), verdict)
            closed = self._windows.close()
        outputs = self._validated(
            sent, batch, _in_frame_order(verdict, segments), now_us, refused=found.accepted is not None
        )
        if closed:
            outputs += self._publisher.windows(closed)
            self._detection.on_closed(closed, now_us)
            outputs += self._forecasts.on_closed(closed, now_us)
        self._latest.fold(segments, view, found)
        if stream is Stream.LIVE:
            outputs += self._detection.observe(self._latest, self._windows.clocks)
        return outputs + self._publisher.due_latest(now_us)

    def _validated(
        self, sent: MicroBatch, batch: MicroBatch, verdict: NDArray[np.uint8], now_us: int, *, refused: bool
    ) -> list[Output]:
        """The frames with their verdicts, shape (n,), and a record for each reason for which samples were refused.

        `sent` is the batch as it came, without calculated samples.
        """
        frames: list[bytes] = []
        rejected: list[Output] = []
        for given, (each, own_verdict, time_us) in zip(sent.arrived, batch.split(verdict), strict=True):
            frames.append(frame.with_verdicts(each.message, each.frame, own_verdict))
            if refused:
                own = slice(given.frame.samples)
                rejected += rejects.samples(
                    given.frame, own_verdict[own], time_us[own], self._registry, given.origin, now_us
                )
            self._dedup.record(given.frame.key, given.frame.sequence, given.frame.checksum)
            self._counters.count(given.frame)
        first = batch.first
        value = frame.bundle(first.gateway_id, first.lane, frames)
        return [Output(topics.VALIDATED.name, self._key, value), *rejected]


def _repaired(
    segments: Segments, view: TagView, found: Verdicts, late: NDArray[np.bool_] | None
) -> NDArray[np.bool_] | None:
    """Samples, shape (n,), whose windows the historian has to compute: late ones, and accepted ones of foreign tags."""
    if not view.any_foreign:
        return late
    foreign = view.foreign[segments.entry]
    if found.accepted is not None:
        foreign = foreign & found.accepted
    return foreign if late is None else foreign | late


def _in_frame_order(verdict: NDArray[np.uint8], segments: Segments) -> NDArray[np.uint8]:
    if segments.in_order:
        return verdict
    ordered = np.empty_like(verdict)
    ordered[segments.position] = verdict
    return ordered
