"""A plant file's skeleton of what was found: connections, classes, devices and tags, to be read and completed by people.

Enters: a `Space` and where the machines stand. Leaves: the file as plain values (`build`) and as text (`browse.skeleton_text`). What a
server cannot say is left at a careful default; what no tag can carry is listed with its cause. The text passes `plant check`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from browse.machines import Machine, kind_of, machines
from connectors.opcua.space import Found, Space, Unit
from registry.plant_names import plain_name, unique_name
from schemas import units

DATA_TYPES = {
    "Boolean": "BOOLEAN", "Float": "DOUBLE", "Double": "DOUBLE", "Enumeration": "INTEGER",
    **dict.fromkeys(("SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64"), "INTEGER"),
}  # fmt: skip
"""By OPC UA type: the data type of a tag that carries its values as numbers."""
DEFAULT_PERIOD_MS = 1000
_LONGEST_TEXT = 200
_PERIODS = ((1000, "process", [10, 60]), (6000, "slow", [60]), (360_000, "hourly", [3600]))
"""Longest period in ms, tag class and its windows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where the machines stand (ISA-95), which gateway reads them and by which connection."""

    enterprise: str = "enterprise"
    site: str = "site"
    area: str = "area"
    line: str = "line"
    cell: str = "cell"
    gateway: str = "gateway-1"
    connection: str = "server"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the connection besides its name, `protocol` and `endpoint` among them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A tag that could be: `address` within the protocol, or why it cannot be one in `refused`."""

    name: str
    address: str
    data_type: str = "DOUBLE"
    unit: str = "1"
    description: str = ""
    eu: tuple[float, float] | None = None
    period_ms: int = DEFAULT_PERIOD_MS
    writable: bool = False
    refused: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceCandidate:
    """A device that could be; `kind` names its class where something is known of it."""

    name: str
    kind: str
    tags: tuple[Candidate, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Skeleton:
    """The file as plain values, and what was left out: (device, name, cause)."""

    file: dict[str, Any]
    left_out: tuple[tuple[str, str, str], ...]
    notes: Mapping[str, str]
    """By device class: what was recognised."""


def of_space(space: Space, named: Sequence[str] = ()) -> list[DeviceCandidate]:
    """Devices of an address space; `named` as in `machines`."""
    used: set[str] = set()
    found = []
    for machine in machines(space, named):
        node = space.nodes[machine.index] if machine.index >= 0 else None
        name = unique_name(plain_name(node.name if node else "objects"), used)
        tags = _tags(space, machine)
        note = f"{machine.companion} machine" if machine.companion else ""
        found.append(DeviceCandidate(name=name, kind=kind_of(node) if node else "", tags=tags, note=note))
    return found


def build(devices: Iterable[DeviceCandidate], place: Place) -> Skeleton:
    """The file: devices with the same tags share a class."""
    classes: dict[tuple[Any, ...], tuple[str, list[DeviceCandidate]]] = {}
    names: set[str] = set()
    left_out = []
    for device in devices:
        left_out += [(device.name, tag.name, tag.refused) for tag in device.tags if tag.refused]
        if not (tags := _kept(device)):
            continue
        key = (device.kind, *((tag.name, tag.data_type, tag.unit, tag.eu, tag.period_ms, tag.writable) for tag in tags))
        if key not in classes:
            classes[key] = (unique_name(plain_name(device.kind or device.name), names), [])
        classes[key][1].append(device)
    periods = {_period(tag.period_ms) for _, members in classes.values() for device in members for tag in _kept(device)}
    cell = {
        "name": place.cell,
        "devices": [d for name, members in classes.values() for d in _devices(name, members, place)],
    }
    lines = [{"name": place.line, "cells": [cell]}]
    connection = {"name": place.connection, **place.settings}
    site = {
        "name": place.site,
        "gateways": [{"id": place.gateway, "lanes": 1, "connections": [connection]}],
        "areas": [{"name": place.area, "lines": lines}],
    }
    file = {
        "enterprise": place.enterprise,
        "tag_classes": {
            name: {"windows_s": windows} for _, name, windows in _PERIODS if name in {p[0] for p in periods}
        },
        "device_classes": {name: {"tags": _class_tags(members)} for name, members in classes.values()},
        "sites": [site],
    }
    notes = {name: members[0].note for name, members in classes.values() if members[0].note}
    return Skeleton(file=file, left_out=tuple(left_out), notes=notes)


def _tags(space: Space, machine: Machine) -> tuple[Candidate, ...]:
    used: set[str] = set()
    found = []
    for index, names in machine.variables:
        node = space.nodes[index]
        name = unique_name(plain_name("_".join(names)), used)
        found.append(_candidate(node, name))
    return tuple(found)


def _candidate(node: Found, name: str) -> Candidate:
    data_type = DATA_TYPES.get(node.data_type, "")
    refused = ""
    if not node.readable:
        refused = "it cannot be read by this user"
    elif node.array:
        refused = f"it is an array of {node.data_type or 'an unknown type'}: name its elements, as in #[0]"
    elif not data_type:
        refused = f"its type is {node.data_type_name or node.data_type or 'unknown'}, which is no number"
    elif node.id.startswith("ns="):
        refused = "its namespace is not in the server's list"
    period = DEFAULT_PERIOD_MS if node.sampling_ms <= 0 else min(max(round(node.sampling_ms), 100), _PERIODS[-1][0])
    ranged = node.eu_range
    sane = ranged is not None and all(map(math.isfinite, ranged)) and ranged[0] < ranged[1]
    states = ", ".join(f"{number} {state}" for number, state in enumerate(node.states) if state)
    unit, strange = _unit(node.unit)
    description = ". ".join(part for part in (node.description or " ".join(node.name.split()), states, strange) if part)
    return Candidate(
        name=name, address=node.id, data_type=data_type or "DOUBLE", unit=unit,
        description=description[:_LONGEST_TEXT], eu=ranged if sane else None, period_ms=period, writable=node.writable,
        refused=refused,
    )  # fmt: skip


def _unit(unit: Unit | None) -> tuple[str, str]:
    """UCUM code of a unit, and what to say of one that has none."""
    if unit is None:
        return units.NO_UNIT, ""
    if code := units.of_opcua(unit.uri, unit.unit_id, unit.text):
        # The number counts (OPC 10000-8), but it is the name that people at the machine read.
        return code, f"Unit at the server: {unit.text}" if units.contradicts(code, unit.text) else ""
    return units.NO_UNIT, f"Unit at the server: {unit.text or unit.unit_id}"


def _kept(device: DeviceCandidate) -> list[Candidate]:
    return [tag for tag in device.tags if not tag.refused]


def _class_tags(members: list[DeviceCandidate]) -> dict[str, Any]:
    tags: dict[str, Any] = {}
    for tag in _kept(members[0]):
        entry: dict[str, Any] = {
            "tag_class": _period(tag.period_ms)[0], "data_type": tag.data_type, "unit": tag.unit,
            "description": tag.description,
        }  # fmt: skip
        if tag.eu is not None:
            entry["eu"] = list(tag.eu)
        entry["period_ms"] = tag.period_ms
        if tag.data_type != "DOUBLE":
            entry["historise"] = "ON_CHANGE"
        if tag.writable:
            entry["writable"] = True
        if (pattern := _pattern(tag.name, members)) is not None:
            entry["address"] = pattern
        tags[tag.name] = entry
    return tags


def _devices(device_class: str, members: list[DeviceCandidate], place: Place) -> list[dict[str, Any]]:
    found = []
    for device in members:
        entry: dict[str, Any] = {
            "name": device.name, "class": device_class, "gateway": place.gateway, "connection": place.connection,
        }  # fmt: skip
        own = {tag.name: tag.address for tag in _kept(device) if _pattern(tag.name, members) is None}
        if own:
            entry["addresses"] = own
        found.append(entry)
    return found


def _pattern(tag: str, members: list[DeviceCandidate]) -> str | None:
    """Pattern of the addresses that a tag has in the devices of a class; None where they have nothing but their own in common."""
    addresses = [(device.name, next(one.address for one in device.tags if one.name == tag)) for device in members]
    escaped = [(name, address.replace("{", "{{").replace("}", "}}")) for name, address in addresses]
    if len(escaped) == 1:
        return escaped[0][1]
    patterns = {address.replace(name, "{device}") for name, address in escaped}
    return patterns.pop() if len(patterns) == 1 else None


def _period(period_ms: int) -> tuple[str, int]:
    return next((name, longest) for longest, name, _ in _PERIODS if period_ms <= longest)
