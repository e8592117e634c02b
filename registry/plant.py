"""The plant as everybody below the file sees it: gateways, cells, devices, and the tags that their classes measure.

`plant_file` makes a `Plant` of a checked file; the registry loads it, the simulator plays it, the stack takes its gateways. Nothing here
reads files, knows the database or imports a library. Ids are not here: the registry gives them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from schemas.definitions import DataType, Historise

PERIODS_PER_WINDOW = 10
"""A window spans at least this many nominal periods of its tags."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TagSpec:
    """A tag as its device class defines it. Fields as in TagDefinition, `simulate` and `where` apart.

    `simulate` is what the simulator plays, empty for a tag that it cannot play; the registry does not look at it. `where` is the place of
    the definition in the file.
    """

    name: str
    tag_class: str
    description: str
    data_type: DataType
    unit: str
    eu_low: float | None
    eu_high: float | None
    limit_low: float | None
    limit_high: float | None
    max_rate: float | None
    stuck_after_s: float | None
    period_ms: int
    deadband: float
    windows_s: tuple[int, ...]
    historise: Historise
    writable: bool
    deadband_percent: float = 0.0
    swinging_door: bool | None = None
    max_silence_s: float | None = None
    sampling_ms: int | None = None
    expression: str = ""
    simulate: Mapping[str, Any] = field(default_factory=dict, compare=False)
    where: str = field(default="", compare=False)


REGISTERED = tuple(name for name in TagSpec.__slots__ if name not in {"simulate", "where"})
"""Attributes of a tag that the registry keeps. Their order is part of a tag's digest: a new one goes to the end, with a default."""
_LATER = {one.name: one.default for one in fields(TagSpec) if one.name in REGISTERED and one.default is not MISSING}
"""Attributes that came later. A digest has them where they are set, so that those stored before stay what they are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceSpec:
    """A device of the file. `lane` is None when the registry shall choose; `where` is its place in the file.

    `protocol` and `simulated` are its connection's; `addresses` are within the protocol, by tag name; calculated tags have none.
    """

    name: str
    site: str
    cell_path: str
    device_class: str
    detector: str
    planned_run_time_s: float | None
    gateway_id: str
    lane: int | None
    connection: str
    protocol: str
    simulated: bool
    tags: tuple[TagSpec, ...]
    addresses: Mapping[str, str]
    where: str

    def address(self, tag: str) -> str:
        """Where the gateway finds a tag: `<connection>:<address within the protocol>`; empty for a calculated tag, which it does not."""
        return f"{self.connection}:{self.addresses[tag]}" if tag in self.addresses else ""

    def digest(self) -> str:
        """Changes with anything the file says of the device itself, its tags apart."""
        return _digest(
            [
                self.cell_path,
                self.device_class,
                self.detector,
                self.planned_run_time_s,
                self.gateway_id,
                self.lane,
                # A device named its protocol once: stored digests stay what they are, and `load` compares connections.
                self.protocol,
            ]
        )

    def tag_digest(self, tag: TagSpec) -> str:
        """Changes with anything the file says of a tag that the registry keeps."""
        first = [getattr(tag, name) for name in REGISTERED if name not in _LATER]
        later = {name: value for name in _LATER if (value := getattr(tag, name)) != _LATER[name]}
        return _digest([*first, self.address(tag.name), *([later] if later else [])])


@dataclass(frozen=True, kw_only=True, slots=True)
class ConnectionSpec:
    """A connection of a gateway. `settings` are the keys that the file gives for its protocol, `endpoint` among them, as plain values.

    `simulated`: the simulator of the local stack plays the machines behind it, at an endpoint of the stack's own.
    """

    name: str
    protocol: str
    settings: Mapping[str, Any]
    simulated: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewaySpec:
    """A gateway of the file."""

    id: str
    site: str
    lanes: int
    connections: tuple[ConnectionSpec, ...] = ()
    uplink: str = "kafka"
    """How it reaches the platform: `kafka`, or `ingestion`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plant:
    """The whole file, in its order."""

    enterprise: str
    sites: tuple[str, ...]
    gateways: tuple[GatewaySpec, ...]
    cells: tuple[str, ...]
    """Paths, those of empty cells too: a machine may move there."""
    devices: tuple[DeviceSpec, ...]


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:24]
