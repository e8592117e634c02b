"""Reads a plant file (YAML): sites, gateways, areas, lines, cells, devices and what their classes measure.

Enters: a path. Leaves: a frozen `Plant`, checked so that the registry can take it as it is; every error names the
place in the file (`sites[0].areas[1].lines[0]...`). Who calls: `registry.command`, tests. Ids are not here: the
registry gives them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from base.errors import RegistryError
from registry.plant_fields import Node, check_name
from schemas.definitions import DataType, Historise

PROTOCOLS = ("opcua", "sparkplug")
_HOUR_S = 3600
PERIODS_PER_WINDOW = 10
"""A window spans at least this many nominal periods of its tags."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TagSpec:
    """A tag as its device class defines it. Fields as in TagDefinition."""

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


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceSpec:
    """A device of the file. `lane` is None when the registry shall choose; `where` is its place in the file."""

    name: str
    site: str
    cell_path: str
    device_class: str
    detector: str
    planned_run_time_s: float | None
    gateway_id: str
    lane: int | None
    protocol: str
    tags: tuple[TagSpec, ...]
    where: str

    def address(self, tag: str) -> str:
        """Where the gateway finds a tag."""
        if self.protocol == "opcua":
            return f"opcua:ns=2;s={self.site}.{self.name}.{tag}"
        return f"spb:{self.site}/sim-{self.site}/{self.name}/{tag}"

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
                self.protocol,
            ]
        )

    def tag_digest(self, tag: TagSpec) -> str:
        """Changes with anything the file says of a tag."""
        return _digest([*(getattr(tag, name) for name in TagSpec.__slots__), self.address(tag.name)])


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewaySpec:
    """A gateway of the file."""

    id: str
    site: str
    lanes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plant:
    """The whole file."""

    enterprise: str
    sites: tuple[str, ...]
    gateways: tuple[GatewaySpec, ...]
    cells: tuple[str, ...]
    """Paths, those of empty cells too: a machine may move there."""
    devices: tuple[DeviceSpec, ...]


def read_plant(path: Path) -> Plant:
    """Plant of the file at `path`; raises RegistryError."""
    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        msg = f"plant file {path} cannot be read: {error.strerror}"
        raise RegistryError(msg) from error
    except yaml.YAMLError as error:
        msg = f"plant file {path} is not valid YAML: {error}"
        raise RegistryError(msg) from error
    try:
        return parse_plant(data)
    except RegistryError as error:
        msg = f"{path}: {error}"
        raise RegistryError(msg) from error


def parse_plant(data: Any) -> Plant:
    """Plant of a parsed file; raises RegistryError that names the place."""
    root = Node(data, "")
    root.only("enterprise", "tag_classes", "device_classes", "sites")
    windows = {name: _windows(node) for name, node in root.table("tag_classes").tables()}
    classes = {name: _device_class(node, windows) for name, node in root.table("device_classes").tables()}
    enterprise = root.name("enterprise")
    sites = list(root.items("sites"))
    gateways = tuple(_gateway(node, site.name("name")) for site in sites for node in site.items("gateways"))
    _refuse_twice("gateway", [(gateway.id, f"site {gateway.site}") for gateway in gateways])
    owners = {gateway.id: gateway for gateway in gateways}
    cells = [(path, cell, site.name("name")) for site in sites for path, cell in _cells(site, enterprise)]
    devices = tuple(
        _device(node, site, path, owners, classes) for path, cell, site in cells for node in cell.items("devices")
    )
    _refuse_second_owner(devices)
    _refuse_twice("cell", [(path, "cells") for path, _, _ in cells])
    names = tuple(site.name("name") for site in sites)
    _refuse_twice("site", [(name, "sites") for name in names])
    return Plant(
        enterprise=enterprise,
        sites=names,
        gateways=gateways,
        cells=tuple(path for path, _, _ in cells),
        devices=devices,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _DeviceClass:
    detector: str
    planned_run_time_s: float | None
    tags: tuple[TagSpec, ...]


def _windows(node: Node) -> tuple[int, ...]:
    node.only("windows_s")
    windows = tuple(node.list("windows_s", int))
    if not windows or any(window < 1 or _HOUR_S % window for window in windows):
        node.refuse(f"windows_s is {list(windows)}: every window must divide an hour ({_HOUR_S} s)")
    if sum(window >= 60 for window in windows) != 1:
        node.refuse(
            f"windows_s is {list(windows)}: exactly one must be a minute or longer, hours are rolled up from it"
        )
    return tuple(sorted(windows))


def _device_class(node: Node, windows: Mapping[str, tuple[int, ...]]) -> _DeviceClass:
    node.only("detector", "planned_run_time_s", "tags")
    tags = tuple(_tag(name, tag, windows) for name, tag in node.table("tags").tables())
    if not tags:
        node.refuse("tags is empty")
    planned = node.number("planned_run_time_s", None)
    if planned is not None and planned <= 0:
        node.refuse(f"planned_run_time_s is {planned:g}, not above 0")
    return _DeviceClass(detector=node.text("detector", ""), planned_run_time_s=planned, tags=tags)


_TAG_KEYS = (
    "tag_class", "data_type", "unit", "description", "eu", "limits", "max_rate", "stuck_after_s", "period_ms", "deadband",
    "historise", "writable", "simulate",
)  # fmt: skip


def _tag(name: str, node: Node, windows: Mapping[str, tuple[int, ...]]) -> TagSpec:
    check_name(name, node.where)
    node.only(*_TAG_KEYS)
    tag_class = node.choice("tag_class", windows)
    period_ms = node.integer("period_ms")
    if period_ms < 1:
        node.refuse(f"period_ms is {period_ms}, not above 0")
    if (shortest := windows[tag_class][0]) * 1000 < PERIODS_PER_WINDOW * period_ms:
        longest_ms = shortest * 1000 // PERIODS_PER_WINDOW
        node.refuse(
            f"period_ms is {period_ms}, but windows of {shortest} s (tag class {tag_class}) need {longest_ms} or less"
        )
    eu_low, eu_high = node.bounds("eu")
    limit_low, limit_high = node.bounds("limits")
    if (
        None not in (eu_low, eu_high, limit_low, limit_high) and not limit_low <= eu_low <= eu_high <= limit_high  # type: ignore[operator]
    ):
        node.refuse(f"eu [{eu_low:g}, {eu_high:g}] does not lie within limits [{limit_low:g}, {limit_high:g}]")
    max_rate, stuck_after_s, deadband = (
        node.number("max_rate", None),
        node.number("stuck_after_s", None),
        node.number("deadband", 0.0),
    )
    for key, value in (("max_rate", max_rate), ("stuck_after_s", stuck_after_s)):
        if value is not None and value <= 0:
            node.refuse(f"{key} is {value:g}, not above 0")
    if deadband is None or deadband < 0:
        node.refuse("deadband is below 0")
    return TagSpec(
        name=name,
        tag_class=tag_class,
        description=node.text("description"),
        data_type=DataType(node.choice("data_type", [item.value for item in DataType])),
        unit=node.text("unit"),
        eu_low=eu_low,
        eu_high=eu_high,
        limit_low=limit_low,
        limit_high=limit_high,
        max_rate=max_rate,
        stuck_after_s=stuck_after_s,
        period_ms=period_ms,
        deadband=deadband,
        windows_s=windows[tag_class],
        historise=Historise(node.choice("historise", [item.value for item in Historise], "ALL")),
        writable=node.boolean("writable", default=False),
    )


def _gateway(node: Node, site: str) -> GatewaySpec:
    node.only("id", "lanes")
    lanes = node.integer("lanes", 1)
    if lanes < 1:
        node.refuse(f"lanes is {lanes}, not above 0")
    return GatewaySpec(id=node.name("id"), site=site, lanes=lanes)


def _cells(site: Node, enterprise: str) -> Iterator[tuple[str, Node]]:
    site.only("name", "gateways", "areas")
    for area in site.items("areas"):
        area.only("name", "lines")
        for line in area.items("lines"):
            line.only("name", "cells")
            for cell in line.items("cells"):
                cell.only("name", "devices")
                yield "/".join([enterprise, *(node.name("name") for node in (site, area, line, cell))]), cell


def _device(
    node: Node, site: str, cell_path: str, gateways: Mapping[str, GatewaySpec], classes: Mapping[str, _DeviceClass]
) -> DeviceSpec:
    node.only("name", "class", "gateway", "protocol", "lane")
    device_class = node.choice("class", classes)
    gateway = gateways[node.choice("gateway", gateways)]
    if gateway.site != site:
        node.refuse(f"gateway {gateway.id} stands at site {gateway.site}, the device at {site}")
    lane = node.integer("lane") if node.has("lane") else None
    if lane is not None and not 0 <= lane < gateway.lanes:
        node.refuse(f"lane is {lane}, but {gateway.id} has lanes 0 to {gateway.lanes - 1}")
    given = classes[device_class]
    return DeviceSpec(
        name=node.name("name"),
        site=site,
        cell_path=cell_path,
        device_class=device_class,
        detector=given.detector,
        planned_run_time_s=given.planned_run_time_s,
        gateway_id=gateway.id,
        lane=lane,
        protocol=node.choice("protocol", PROTOCOLS),
        tags=given.tags,
        where=node.where,
    )


def _refuse_second_owner(devices: tuple[DeviceSpec, ...]) -> None:
    """A machine that is named twice would have two owners, and its samples two sources."""
    seen: dict[tuple[str, str], DeviceSpec] = {}
    for device in devices:
        other = seen.setdefault((device.site, device.name), device)
        if other is device:
            continue
        owners = (
            f"{other.gateway_id} and {device.gateway_id}"
            if other.gateway_id != device.gateway_id
            else device.gateway_id
        )
        msg = (
            f"{device.where}: device {device.name} of site {device.site} is already at {other.where} (owners: {owners}); "
            "one gateway owns a device"
        )
        raise RegistryError(msg)


def _refuse_twice(what: str, names: list[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for name, where in names:
        if name in seen:
            msg = f"{what} {name} is defined twice ({where})"
            raise RegistryError(msg)
        seen.add(name)


def _digest(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()[:24]
