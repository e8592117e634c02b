"""Settings of a connection to an MQTT broker. Imports no MQTT library."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from base.secrets import check_reference

_PORTS = {"mqtt": 1883, "mqtts": 8883}


class MqttVersion(StrEnum):
    """Version of the protocol."""

    V311 = "3.1.1"
    V5 = "5"


@dataclass(frozen=True, kw_only=True, slots=True)
class MqttSettings:
    """One broker. A protocol's settings begin with these."""

    endpoint: str
    """`mqtt://HOST[:PORT]` (port 1883), or `mqtts://HOST[:PORT]` for TLS (port 8883)."""
    version: MqttVersion = MqttVersion.V5
    """`5` or `3.1.1`."""
    username: str = ""
    """User name at the broker."""
    password: str = ""
    """`file:PATH` or `env:NAME`, read at each connect."""
    ca_file: str = ""
    """Certificates (PEM) that the broker's certificate must come from; the system's when none is given."""
    certificate_file: str = ""
    """The client's certificate chain (PEM), for brokers that ask for one."""
    key_file: str = ""
    """Private key (PEM) of the client's certificate."""
    keepalive_s: int = 5
    """A connection on which nothing is heard for twice this time is given up."""
    connect_timeout_s: float = 10.0
    """How long the broker may take to accept connection and subscriptions."""
    reconnect_min_s: float = 0.5
    """Pause before the connection is tried again; doubles until `reconnect_max_s`."""
    reconnect_max_s: float = 10.0
    """Longest pause before the connection is tried again."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.query:
            msg = f"endpoint is {self.endpoint[:100]!r}, not mqtt://HOST:PORT or mqtts://HOST:PORT"
            raise ValueError(msg)
        if parts.username or parts.password:
            msg = "endpoint holds a user name; write username and password (a reference) instead"
            raise ValueError(msg)
        check_reference("password", self.password)
        if self.password and not self.username:
            msg = "there is a password and no username"
            raise ValueError(msg)
        if bool(self.certificate_file) != bool(self.key_file):
            msg = "certificate_file and key_file go together"
            raise ValueError(msg)
        if (self.ca_file or self.certificate_file) and not self.tls:
            msg = f"there are certificates, and {self.endpoint[:100]!r} is not mqtts://"
            raise ValueError(msg)
        for key, low, high in (
            ("keepalive_s", 1, 3600), ("connect_timeout_s", 0.1, 300), ("reconnect_min_s", 0.01, 3600), ("reconnect_max_s", 0.01, 3600),
        ):  # fmt: skip
            if not low <= getattr(self, key) <= high:
                msg = f"{key} is {getattr(self, key)}, not between {low} and {high}"
                raise ValueError(msg)

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
