"""Settings of a Modbus TCP connection. Imports no protocol library."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

_FORM = "not modbus://HOST or modbus://HOST:PORT"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModbusSettings:
    """One Modbus TCP server: a device, or a gateway to a serial bus with several units."""

    endpoint: str
    """`modbus://HOST[:PORT]`; the port is 502 when none is given."""
    timeout_s: float = 1.0
    """How long a unit may take to answer."""
    retries: int = 1
    """How often a reading that was not answered is asked for again before the unit counts as silent. Writes are never repeated."""
    pause_ms: int = 0
    """Pause between two requests, for gateways that need one."""
    max_registers: int = 125
    """Registers of one request at most; 125 is the protocol's limit."""
    max_bits: int = 2000
    """Coils or discrete inputs of one request at most; 2000 is the protocol's limit."""
    max_hole: int = 16
    """Neighbours are read with one request when no more entries than this, that no tag needs, lie between them."""
    silent_min_s: float = 1.0
    """Pause before a silent unit is asked again; doubles until `silent_max_s`."""
    silent_max_s: float = 30.0
    """Longest pause before a silent unit is asked again."""
    refused_retry_s: float = 30.0
    """Pause before an address that the unit refused is tried again."""
    reconnect_min_s: float = 0.5
    """Pause before the connection is tried again; doubles until `reconnect_max_s`."""
    reconnect_max_s: float = 10.0
    """Longest pause before the connection is tried again."""

    def __post_init__(self) -> None:
        host_and_port(self.endpoint)
        for key, low, high in (
            ("timeout_s", 0.01, 60), ("retries", 0, 10), ("pause_ms", 0, 10_000), ("max_registers", 4, 125),
            ("max_bits", 1, 2000), ("max_hole", 0, 124), ("silent_min_s", 0.01, 3600), ("silent_max_s", 0.01, 3600),
            ("refused_retry_s", 0.01, 86_400), ("reconnect_min_s", 0.01, 3600), ("reconnect_max_s", 0.01, 3600),
        ):  # fmt: skip
            if not low <= getattr(self, key) <= high:
                msg = f"{key} is {getattr(self, key)}, not between {low} and {high}"
                raise ValueError(msg)


def host_and_port(endpoint: str) -> tuple[str, int]:
    """Where an endpoint is; raises ValueError."""
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname, parts.port or 502
    except ValueError as error:
        msg = f"endpoint is {endpoint[:100]!r}, {_FORM}: {error}"
        raise ValueError(msg) from None
    if parts.scheme != "modbus" or not host or parts.path not in {"", "/"} or parts.query or parts.username:
        msg = f"endpoint is {endpoint[:100]!r}, {_FORM}"
        raise ValueError(msg)
    return host, port
