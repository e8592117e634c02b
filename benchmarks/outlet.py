"""Progress of a job seen at the topic it writes: end offsets, polled.

For jobs that end in Kafka (telemetry alone, the pass-through, the peers). The rate is taken between a tenth and nine tenths of what came
out in the end, scaled to the samples that went in.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from confluent_kafka import Consumer

from base.settings import KafkaSettings
from benchmarks.figures import rate_between
from connectors.kafka import client as kafka

_POLL_S = 0.25


@dataclass(kw_only=True)
class Outlet:
    """`curve`: (seconds since the first record, records)."""

    curve: list[tuple[float, int]] = field(default_factory=list)

    @property
    def records(self) -> int:
        """Records in the end."""
        return self.curve[-1][1] if self.curve else 0

    def samples_per_s(self, samples: int) -> float:
        """Rate, when `samples` went in evenly."""
        return rate_between(self.curve) * samples / self.records if self.records else float("nan")


def follow(
    settings: KafkaSettings,
    topic: str,
    *,
    before: int,
    records: int | None = None,
    quiet_s: float = 10.0,
    start_timeout_s: float = 120.0,
    over: Callable[[], bool] = lambda: False,
) -> Outlet:
    """Watch a topic until it holds `records` more than the `before` of an earlier `size`.

    Without `records` until `over` says so, or nothing comes for `quiet_s`.
    Raises TimeoutError when nothing comes at all, or fewer than `records` before it is quiet.
    """
    source = kafka.consumer(settings)
    try:
        seen, began, moved = Outlet(), time.monotonic(), time.monotonic()
        while True:
            ended = over()
            count, now = _size(source, topic) - before, time.monotonic()
            if count > seen.records or (count and not seen.curve):
                if not seen.curve:
                    began = now
                seen.curve.append((now - began, count))
                moved = now
            if records is not None and count >= records:
                return seen
            if ended and records is None:
                return seen
            patience_s = quiet_s if seen.curve else start_timeout_s
            if now - moved > patience_s:
                if records is None and seen.curve:
                    return seen
                wanted = "any" if records is None else str(records)
                msg = f"{topic} has {count} new records of {wanted} and nothing came for {patience_s:.0f} s"
                raise TimeoutError(msg)
            time.sleep(_POLL_S)
    finally:
        source.close()


def size(settings: KafkaSettings, topic: str) -> int:
    """Records a topic has taken so far."""
    source = kafka.consumer(settings)
    try:
        return _size(source, topic)
    finally:
        source.close()


def _size(source: Consumer, topic: str) -> int:
    return sum(high for _, high in kafka.watermarks(source, topic).values())
