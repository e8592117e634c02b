"""Settings of a Sparkplug connection: the keys of a connection in the plant file and in a gateway's configuration."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.mqtt_transport.settings import MqttSettings, MqttVersion
from connectors.sparkplug.names import is_plain


@dataclass(frozen=True, kw_only=True, slots=True)
class SparkplugSettings(MqttSettings):
    """One MQTT broker with Sparkplug B edge nodes."""

    version: MqttVersion = MqttVersion.V311
    """`3.1.1` or `5`. Every Sparkplug broker speaks 3.1.1."""
    group_id: str = ""
    """Group whose edge nodes are read; every group when empty."""
    host_id: str = ""
    """Name of this host in its STATE topic, unique at the broker; `millrace-<gateway>` when none is given."""
    rebirth_interval_s: float = 5.0
    """Shortest pause between two requests for rebirth to one node; doubles while they do not help."""
    rebirth_max_s: float = 300.0
    """Longest pause between two requests for rebirth to one node."""
    reorder_timeout_ms: int = 1000
    """How long messages that came too early wait for those before them, which then are lost; 0 does not wait."""

    def __post_init__(self) -> None:
        MqttSettings.__post_init__(self)
        for key in ("group_id", "host_id"):
            if set(getattr(self, key)) & set("+#/\0"):
                msg = f"{key} is {getattr(self, key)[:100]!r}; `+`, `#` and `/` have no place in it"
                raise ValueError(msg)
            if not is_plain(getattr(self, key)):
                msg = f"{key} is {getattr(self, key)[:100]!r}; line breaks, control characters and blanks at its ends have no place in it"
                raise ValueError(msg)
        for key, low, high in (
            ("rebirth_interval_s", 0.05, 3600), ("rebirth_max_s", self.rebirth_interval_s, 86_400), ("reorder_timeout_ms", 0, 60_000),
        ):  # fmt: skip
            if not low <= getattr(self, key) <= high:
                msg = f"{key} is {getattr(self, key)}, not between {low:g} and {high:g}"
                raise ValueError(msg)
