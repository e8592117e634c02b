"""Settings of a connection with plain MQTT. Imports no MQTT library."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.mqtt.address import check_topic
from connectors.mqtt_transport.settings import MqttSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class PlainMqttSettings(MqttSettings):
    """One broker with JSON on its topics."""

    client_id: str = ""
    """Name of the session at the broker; `millrace-<gateway>-<connection>` when none is given."""
    qos: int = 1
    """0 or 1. At 1 a message is acknowledged when it is on the gateway's disk, and the broker sends it again until then."""
    session_expiry_s: int = 3600
    """How long the broker keeps messages of QoS 1 for an absent gateway (with MQTT 3.1.1: as long as it likes); 0 is not at all."""
    write_topic: str = "{topic}/set"
    """Topic that takes writes; `{topic}` is the address's topic."""
    discover: tuple[str, ...] = ()
    """Topic filters, such as `acme/#`, whose unknown topics become proposals."""
    max_payload_bytes: int = 262_144
    """A longer payload is refused."""

    def __post_init__(self) -> None:
        MqttSettings.__post_init__(self)
        if self.qos not in {0, 1}:
            msg = f"qos is {self.qos}, not 0 or 1"
            raise ValueError(msg)
        for key, low, high in (("session_expiry_s", 0, 0xFFFF_FFFE), ("max_payload_bytes", 64, 64 * 1024 * 1024)):
            if not low <= getattr(self, key) <= high:
                msg = f"{key} is {getattr(self, key)}, not between {low} and {high}"
                raise ValueError(msg)
        if len(self.client_id) > 200:
            msg = "client_id is longer than 200 characters"
            raise ValueError(msg)
        check_topic(self.write_topic.replace("{topic}", "t"), "write_topic")
        for one in self.discover:
            check_filter(one)


def check_filter(text: str) -> None:
    """Raise ValueError unless the text is a topic filter."""
    levels = text.split("/")
    lonely = all(level == "+" or "+" not in level for level in levels)
    last = all("#" not in level for level in levels[:-1]) and ("#" not in levels[-1] or levels[-1] == "#")
    if not text or "\0" in text or len(text.encode()) > 0xFFFF or not (lonely and last) or text.startswith("$"):
        msg = f"discover: {text[:60]!r} is no topic filter; `+` is a whole level, `#` the last one"
        raise ValueError(msg)


def matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter takes a topic. MQTT 5, 4.7."""
    if topic.startswith("$"):
        return False
    levels, names = topic_filter.split("/"), topic.split("/")
    for place, level in enumerate(levels):
        if level == "#":
            return True
        if place >= len(names) or level not in {"+", names[place]}:
            return False
    return len(levels) == len(names)
