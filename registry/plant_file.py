"""Reads a plant file (YAML): sites, gateways, areas, lines, cells, devices and what their classes measure.

Enters: a path. Leaves: a frozen `Plant`, checked so that the registry can take it as it is; every error names the
place in the file (`sites[0].areas[1].lines[0]...`). Who calls: the registry's tool, the simulator, the stack. Importing this
needs no database client: the layer test holds it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import yaml
from pydantic import ValidationError

from base.errors import RegistryError
from connectors.catalogue import PROTOCOLS
from registry.plant import PERIODS_PER_WINDOW, ConnectionSpec, DeviceSpec, GatewaySpec, Plant, TagSpec
from registry.plant_address import pattern
from registry.plant_errors import at, describe
from registry.plant_model import Cell, Device, DeviceClass, PlantFile, Tag

# libyaml's parser takes a sixth of the time; PyYAML's own wheels have it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NO_BOUNDS = (None, None)


def read_plant(path: Path) -> Plant:
    """Plant of the file at `path`; raises RegistryError."""
    try:
        data = yaml.load(path.read_text(), Loader=_Loader)
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
    try:
        file = PlantFile.model_validate(data)
    except ValidationError as error:
        raise RegistryError(describe(error)) from error
    tags = {name: _tags(name, given, file) for name, given in file.device_classes.items()}
    gateways = tuple(
        GatewaySpec(
            id=gateway.id,
            site=site.name,
            lanes=gateway.lanes,
            connections=tuple(connection.spec() for connection in gateway.connections),
        )
        for site in file.sites
        for gateway in site.gateways
    )
    _refuse_twice("gateway", [(gateway.id, f"site {gateway.site}") for gateway in gateways])
    for gateway in gateways:
        _refuse_twice("connection", [(one.name, f"gateway {gateway.id}") for one in gateway.connections])
    owners = {gateway.id: gateway for gateway in gateways}
    patterns = {
        (gateway.id, connection.name): connection.address
        for site in file.sites
        for gateway in site.gateways
        for connection in gateway.connections
    }
    cells = list(_cells(file))
    devices = tuple(
        _device(device, site, path, f"{where}.devices[{index}]", owners, patterns, file.device_classes, tags)
        for where, site, path, cell in cells
        for index, device in enumerate(cell.devices)
    )
    _refuse_second_owner(devices)
    _refuse_shared_address(devices)
    _refuse_twice("cell", [(path, "cells") for _, _, path, _ in cells])
    _refuse_twice("site", [(site.name, "sites") for site in file.sites])
    return Plant(
        enterprise=file.enterprise,
        sites=tuple(site.name for site in file.sites),
        gateways=gateways,
        cells=tuple(path for _, _, path, _ in cells),
        devices=devices,
    )


def _cells(file: PlantFile) -> Iterator[tuple[str, str, str, Cell]]:
    """Place in the file, site, path and content of every cell."""
    for s, site in enumerate(file.sites):
        for a, area in enumerate(site.areas):
            for l, line in enumerate(area.lines):  # noqa: E741 - as in the place
                for c, cell in enumerate(line.cells):
                    where = f"sites[{s}].areas[{a}].lines[{l}].cells[{c}]"
                    path = "/".join((file.enterprise, site.name, area.name, line.name, cell.name))
                    yield where, site.name, path, cell


def _tags(device_class: str, given: DeviceClass, file: PlantFile) -> tuple[TagSpec, ...]:
    return tuple(
        _tag(f"device_classes.{device_class}.tags.{name}", name, tag, file) for name, tag in given.tags.items()
    )


def _tag(where: str, name: str, tag: Tag, file: PlantFile) -> TagSpec:
    _known(where, "tag_class", tag.tag_class, file.tag_classes)
    windows = tuple(file.tag_classes[tag.tag_class].windows_s)
    if windows[0] * 1000 < PERIODS_PER_WINDOW * tag.period_ms:
        longest_ms = windows[0] * 1000 // PERIODS_PER_WINDOW
        _refuse(
            where,
            f"period_ms is {tag.period_ms}, but windows of {windows[0]} s (tag class {tag.tag_class}) need {longest_ms} or less",
        )
    (eu_low, eu_high), (limit_low, limit_high) = tag.eu or _NO_BOUNDS, tag.limits or _NO_BOUNDS
    return TagSpec(
        name=name,
        tag_class=tag.tag_class,
        description=tag.description,
        data_type=tag.data_type,
        unit=tag.unit,
        eu_low=eu_low,
        eu_high=eu_high,
        limit_low=limit_low,
        limit_high=limit_high,
        max_rate=tag.max_rate,
        stuck_after_s=tag.stuck_after_s,
        period_ms=tag.period_ms,
        deadband=tag.deadband,
        windows_s=windows,
        historise=tag.historise,
        writable=tag.writable,
        simulate=tag.simulate or {},
        where=where,
    )


def _device(
    device: Device,
    site: str,
    cell_path: str,
    where: str,
    gateways: Mapping[str, GatewaySpec],
    patterns: Mapping[tuple[str, str], str],
    classes: Mapping[str, DeviceClass],
    tags: Mapping[str, tuple[TagSpec, ...]],
) -> DeviceSpec:
    _known(where, "class", device.device_class, classes)
    _known(where, "gateway", device.gateway, gateways)
    gateway, given = gateways[device.gateway], classes[device.device_class]
    if gateway.site != site:
        _refuse(where, f"gateway {gateway.id} stands at site {gateway.site}, the device at {site}")
    if device.lane is not None and not 0 <= device.lane < gateway.lanes:
        _refuse(where, f"lane is {device.lane}, but {gateway.id} has lanes 0 to {gateway.lanes - 1}")
    connections = {one.name: one for one in gateway.connections}
    if device.connection not in connections:
        known = ", ".join(connections) or f"none, gateway {gateway.id} has no connections"
        _refuse(where, f"connection is {device.connection!r}; known: {known}")
    connection = connections[device.connection]
    if strange := [name for name in device.addresses if name not in given.tags]:
        _refuse(where, f"addresses names {strange[0]!r}, which is no tag of class {device.device_class}")
    _, _, area, line, cell = cell_path.split("/")
    places = {"site": site, "area": area, "line": line, "cell": cell, "device": device.name}
    addresses = {}
    for name, tag in given.tags.items():
        general = tag.address or given.address or patterns[gateway.id, device.connection]
        addresses[name] = _address(where, name, device.addresses.get(name), general, connection, places)
    return DeviceSpec(
        name=device.name,
        site=site,
        cell_path=cell_path,
        device_class=device.device_class,
        detector=given.detector,
        planned_run_time_s=given.planned_run_time_s,
        gateway_id=gateway.id,
        lane=device.lane,
        connection=connection.name,
        protocol=connection.protocol,
        simulated=connection.simulated,
        tags=tags[device.device_class],
        addresses=addresses,
        where=where,
    )


def _address(
    where: str, tag: str, own: str | None, general: str, connection: ConnectionSpec, places: Mapping[str, str]
) -> str:
    """Address of a tag within the protocol: its device's own, else the pattern filled in."""
    try:
        if own is None and not general:
            _refuse(
                where,
                f"tag {tag} has no address: give the tag, its class or the connection an address pattern, or the device addresses",
            )
        address = own if own is not None else pattern(general).fill({**places, "tag": tag})
        PROTOCOLS[connection.protocol].check_address(address)
    except ValueError as error:
        _refuse(where, f"address of tag {tag}: {error}")
    return address


def _known(where: str, key: str, value: str, known: Mapping[str, Any]) -> None:
    if value not in known:
        _refuse(where, f"{key} is {value!r}; known: {', '.join(known)}")


def _refuse(where: str, text: str) -> NoReturn:
    raise RegistryError(at(where, text))


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
        _refuse(
            device.where,
            f"device {device.name} of site {device.site} is already at {other.where} (owners: {owners}); "
            "one gateway owns a device",
        )


def _refuse_shared_address(devices: tuple[DeviceSpec, ...]) -> None:
    """Two tags of one gateway with one address: nobody could tell whose sample it is."""
    seen: dict[tuple[str, str, str], str] = {}
    for device in devices:
        for tag, address in device.addresses.items():
            other = seen.setdefault((device.gateway_id, device.connection, address), f"{device.name}/{tag}")
            if other != f"{device.name}/{tag}":
                _refuse(device.where, f"tag {tag} has the address {address[:200]} of {other}; each tag needs its own")


def _refuse_twice(what: str, names: list[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for name, where in names:
        if name in seen:
            _refuse("", f"{what} {name} is defined twice ({where})")
        seen.add(name)
