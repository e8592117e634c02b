"""The line itself: gateways, stages, accounting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from millrace_client.results.times import utc


class GatewayState(StrEnum):
    """Whether a gateway is heard."""

    UNSPECIFIED = "UNSPECIFIED"
    ONLINE = "ONLINE"
    """It reports, and its connections are up."""
    DEGRADED = "DEGRADED"
    """It reports, and something is wrong with a connection."""
    SILENT = "SILENT"
    """No report for ten seconds."""


class Health(StrEnum):
    """How a stage of the line is."""

    UNSPECIFIED = "UNSPECIFIED"
    OK = "OK"
    """It advances."""
    DEGRADED = "DEGRADED"
    """It advances and is behind, or part of it is down."""
    DOWN = "DOWN"
    """It does not advance."""
    UNKNOWN = "UNKNOWN"
    """It cannot be seen from the server."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayConnection:
    """A connection of a gateway to machines; `detail` is the cause when it is not up."""

    name: str
    connected: bool
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Gateway:
    """A gateway by its last report. `dead_device_ids`: devices that it cannot hear. `buffered_...`: what waits in its buffer.

    `attributes`: everything else that the report says, by name.
    """

    gateway_id: str
    site: str
    state: GatewayState
    reported_us: int
    connections: tuple[GatewayConnection, ...] = ()
    dead_device_ids: tuple[int, ...] = ()
    buffered_bytes: int = 0
    buffered_samples: int = 0
    attributes: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def reported(self) -> datetime:
        """When it made its last report."""
        return utc(self.reported_us)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageHealth:
    """A stage of the line. `advanced_us`: newest progress that was seen of it, 0 for none."""

    name: str
    health: Health
    detail: str = ""
    advanced_us: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LineHealth:
    """The line from the gateways to SQL; `health` is the worst of its stages."""

    health: Health
    stages: tuple[StageHealth, ...]
    observed_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneAccount:
    """Samples of a gateway's lane: `produced` and `calculated` less all the others is `missing`, 0 when nothing is.

    `calculated`: made by the line for calculated tags; contained in `stored` and `suppressed`.
    `dropped`: taken out of a full buffer by the gateway, each time with a GAP event.
    """

    gateway_id: str
    lane: int
    produced: int
    stored: int
    rejected: int = 0
    suppressed: int = 0
    held: int = 0
    in_flight: int = 0
    missing: int = 0
    dropped: int = 0
    calculated: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Accounting:
    """produced + calculated = stored + rejected + suppressed + held + in_flight + dropped, per gateway and lane.

    `exact`: every lane's sum closes. `not_measured`: what could not be measured, in words; then `exact` is false.
    """

    lanes: tuple[LaneAccount, ...]
    exact: bool
    not_measured: tuple[str, ...] = ()
    observed_us: int
