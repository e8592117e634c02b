"""Configuration of the ingestion service: one TOML file.

listen = "0.0.0.0:29096"
[kafka]
bootstrap_servers = "kafka:9092"
[tls]
cert = "/etc/millrace/tls.crt"
key = "/etc/millrace/tls.key"
client_ca = "/etc/millrace/ca.crt"
"""

from __future__ import annotations

from dataclasses import dataclass, field

from base.settings import EndpointSettings, KafkaSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsSettings:
    """The service's own certificate and key, and the authority of the gateways' certificates; PEM. There is no door without them."""

    cert: str
    key: str
    client_ca: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What one process holds, and what one gateway may have of it."""

    gateway_bytes: int = 8 << 20
    """Taken from a gateway and not yet durable, over all of its streams."""
    total_bytes: int = 256 << 20
    gateway_streams: int = 8
    """A gateway has four: frames and events, acknowledgements, requests, the registry. More while it connects anew."""
    total_streams: int = 1000

    def __post_init__(self) -> None:
        for key in ("gateway_bytes", "total_bytes", "gateway_streams", "total_streams"):
            if getattr(self, key) < 1:
                msg = f"{key} is {getattr(self, key)}, not above 0"
                raise ValueError(msg)


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceSettings:
    """The ingestion service."""

    listen: str
    kafka: KafkaSettings
    tls: TlsSettings
    limits: Limits = field(default_factory=Limits)
    metrics: EndpointSettings = field(default_factory=EndpointSettings)
    """`/health` too."""
    drain_s: float = 10.0
    """At the end: until what was taken is durable and said to be."""
