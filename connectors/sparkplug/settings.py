"""Settings of a Sparkplug connection: the keys of a connection in the plant file and in a gateway's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from base.secrets import check_reference

_PORTS = {"mqtt": 1883, "mqtts": 8883}


@dataclass(frozen=True, kw_only=True, slots=True)
class SparkplugSettings:
    """One MQTT broker: `mqtt://host[:1883]`, or `mqtts://host[:8883]` for TLS. `password` is a reference (`base.secrets`).

    An empty `group_id` is every group; an empty `host_id` is `millrace-<gateway>`.
    """

    endpoint: str
    group_id: str = ""
    host_id: str = ""
    username: str = ""
    password: str = ""
    keepalive_s: int = 30
    reconnect_min_s: float = 0.5
    reconnect_max_s: float = 10.0
    rebirth_interval_s: float = 5.0

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/"):
            msg = f"endpoint is {self.endpoint!r}, not mqtt://host:port or mqtts://host:port"
            raise ValueError(msg)
        if parts.username or parts.password:
            msg = "endpoint holds a user name; write username and password (a reference) instead"
            raise ValueError(msg)
        check_reference("password", self.password)

    @property
    def host(self) -> str:
        """Host of the broker."""
        return urlsplit(self.endpoint).hostname or ""

    @property
    def port(self) -> int:
        """Port of the broker."""
        parts = urlsplit(self.endpoint)
        return parts.port or _PORTS[parts.scheme]

    @property
    def tls(self) -> bool:
        """Whether the broker is spoken to over TLS."""
        return urlsplit(self.endpoint).scheme == "mqtts"
