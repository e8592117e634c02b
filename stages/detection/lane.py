"""Anomaly detection of one lane."""

from __future__ import annotations

from stages.config import DetectionConfig
from stages.lane_table import LaneTable
from stages.outputs import Output
from stages.windows import Closed


class LaneDetection:
    """Not there yet."""

    def __init__(self, config: DetectionConfig, table: LaneTable) -> None:
        pass

    def on_closed(self, closed: list[Closed], now_us: int) -> list[Output]:
        return []

    def on_timer(self, now_us: int) -> list[Output]:
        return []

    def flush(self, now_us: int) -> list[Output]:
        return []

    def relayout(self, table: LaneTable, now_us: int) -> list[Output]:
        return []

    def take_changes(self) -> dict[str, bytes | None]:
        return {}

    def restore_parts(self, parts: dict[str, bytes]) -> None:
        pass
