"""Settings of an OPC UA connection: the keys of a connection in the plant file and in a gateway's configuration."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from base.secrets import check_reference


@dataclass(frozen=True, kw_only=True, slots=True)
class OpcUaSettings:
    """One server. `password` is a reference (`base.secrets`)."""

    endpoint: str
    publishing_interval_ms: int = 100
    queue_size: int = 1000
    request_timeout_s: float = 10.0
    reconnect_min_s: float = 0.5
    reconnect_max_s: float = 10.0
    username: str = ""
    password: str = ""
    security: str = ""
    """asyncua's security string: `Policy,Mode,certificate,private_key[,server_certificate]`; empty is none."""

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme != "opc.tcp" or not parts.hostname:
            msg = f"endpoint is {self.endpoint!r}, not opc.tcp://host:port"
            raise ValueError(msg)
        if not 0 < self.publishing_interval_ms <= 1000:
            msg = f"publishing_interval_ms is {self.publishing_interval_ms}, not between 1 and 1000"
            raise ValueError(msg)
        if self.queue_size < 2:
            msg = f"queue_size is {self.queue_size}: a queue of one loses samples"
            raise ValueError(msg)
        check_reference("password", self.password)
