"""The telemetry job's logic: frames in; judged frames, rejects, latest values, windows, anomalies and progress out.

Called by the job's adapter: one `TelemetryLogic` per subtask holds many lanes. Frames of one lane come in order of their topic partition,
possibly again; delivery is at least once. Nothing here raises for bad data, reads a clock or does I/O: outputs follow from inputs and `now_us`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from schemas import topics
from schemas.registry import Registry
from stages.config import TelemetryConfig


class Origin(NamedTuple):
    """Where a record was read from."""

    topic: str
    partition: int
    offset: int


class Output(NamedTuple):
    """A record to be written."""

    topic: str
    key: bytes
    value: bytes


class TelemetryLogic:
    """See the module. `lane_key` is `schemas.frame.lane_key`, the Kafka key of frames."""

    def __init__(self, config: TelemetryConfig | None = None) -> None:
        self.config = config or TelemetryConfig()
        self.registry = Registry()

    def on_frame(self, message: bytes, origin: Origin, now_us: int) -> list[Output]:
        """Judge one record of `telemetry.frames.<site>`. Held frames of its lane are not looked at: `on_timer` does that."""
        return [Output(topics.VALIDATED.name, b"", message)]

    def on_timer(self, lanes: Iterable[str] | None, now_us: int) -> list[Output]:
        """What is due by processing time in these lanes (None: all): call about every 250 ms."""
        return []

    def apply_registry(self, message: bytes) -> None:
        """Fold in one message of `registry.tags`. A message that cannot be read is logged, counted and ignored."""
        self.registry.apply(message)

    def lane_keys(self) -> list[str]:
        """Lanes this subtask holds."""
        return []

    def take_changes(self, lane_key: str) -> dict[str, bytes | None]:
        """State parts of a lane changed since last taken, as versioned bytes; None deletes a part."""
        return {}

    def restore(self, lane_key: str, parts: dict[str, bytes]) -> None:
        """Put back a lane's parts as taken, before its first frame. The registry may come later: its frames wait for it."""

    def flush_all(self, now_us: int) -> list[Output]:
        """Everything open, at the end of a bounded input: held frames with what is known, all windows, latest, progress."""
        return []
