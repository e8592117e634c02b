"""What a lane publishes beside its frames, and when: windows, last values, progress. Encoding and timing, no state of its own."""

from __future__ import annotations

from collections.abc import Iterable

from schemas import codec, topics
from stages.config import TelemetryConfig
from stages.intake.held import HeldFrames
from stages.intake.lane_table import NEVER_US
from stages.outputs import Output
from stages.telemetry.counters import LaneCounters
from stages.telemetry.latest import LaneLatest
from stages.windows import aggregate_batch
from stages.windows.block import Closed


class LanePublisher:
    """Publishes for one lane; `key` is the Kafka key of all it publishes."""

    def __init__(
        self,
        gateway_id: str,
        lane: int,
        key: bytes,
        config: TelemetryConfig,
        counters: LaneCounters,
        held: HeldFrames,
        latest: LaneLatest,
    ) -> None:
        self._gateway_id, self._lane, self._key = gateway_id, lane, key
        self._config = config
        self._counters, self._held, self._latest = counters, held, latest

    def windows(self, closed: Iterable[Closed]) -> list[Output]:
        """AggregateBatches, one per window length."""
        batches = aggregate_batch.encode(
            self._gateway_id,
            self._lane,
            closed,
            closed_time_us=self._counters.closed_time_us,
            lineage=self._counters.lineage,
        )
        return [Output(topics.AGGREGATES.name, self._key, value) for value in batches]

    def due(self, now_us: int) -> list[Output]:
        """Last values and progress, when they are due."""
        outputs = self.due_latest(now_us)
        if now_us >= self._progress_due_us():
            outputs.append(self._progress(now_us))
        return outputs

    def due_latest(self, now_us: int) -> list[Output]:
        """Last values, when they are due."""
        return [self._publish_latest(now_us)] if now_us >= self._latest_due_us(now_us) else []

    def due_us(self, now_us: int) -> int:
        """Processing time at which `due` finds something, unless more comes."""
        return min(self._latest_due_us(now_us), self._progress_due_us())

    def flush(self, now_us: int) -> list[Output]:
        """Last values and progress that were not published yet."""
        outputs = [self._publish_latest(now_us)] if self._latest.dirty else []
        if self._counters.report_soon or self._counters.report_later:
            outputs.append(self._progress(now_us))
        return outputs

    def _progress_due_us(self) -> int:
        counters, config = self._counters, self._config
        if not (counters.report_soon or counters.report_later):
            return NEVER_US
        interval_s = config.progress_interval_s if counters.report_soon else config.progress_quiet_interval_s
        return counters.progress_sent_us + round(interval_s * 1e6)

    def _latest_due_us(self, now_us: int) -> int:
        if not self._latest.dirty:
            return NEVER_US
        return self._counters.latest_sent_us + self._latest_interval_us(now_us)

    def _latest_interval_us(self, now_us: int) -> int:
        config = self._config
        behind = now_us - self._counters.closed_time_us > config.behind_s * 1e6
        return 1000 * (config.latest_behind_interval_ms if behind else config.latest_interval_ms)

    def _publish_latest(self, now_us: int) -> Output:
        # A tick sends later than it was due. Counted from then, or the next frame would wait for the next tick again.
        interval_us = self._latest_interval_us(now_us)
        counters = self._counters
        counters.latest_sent_us = max(counters.latest_sent_us + interval_us, now_us - interval_us)
        counters.changed = True
        return Output(topics.LATEST.name, self._key, self._latest.publish(counters.closed_time_us))

    def _progress(self, now_us: int) -> Output:
        counters = self._counters
        counters.reported(now_us)
        value = codec.encode(
            "LaneProgress",
            {
                "gateway_id": self._gateway_id,
                "lane": self._lane,
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
                    for held in self._held.queue
                    if not held.gathered
                ],
            },
        )
        return Output(topics.LANES.name, self._key, value)
