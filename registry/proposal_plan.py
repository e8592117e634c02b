"""Which tags and devices proposals would become: a plant file of each machine's device, read by the rules of every plant file.

Nothing is changed here; `registry.proposals` lists, accepts and refuses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg.rows import dict_row

from base.errors import RegistryError
from connectors.catalogue import PROTOCOLS
from registry.plant import DeviceSpec
from registry.plant_file import parse_plant
from registry.plant_names import plain_name, unique_name
from registry.proposals_arguments import PERIOD_MS, TAG_CLASS
from schemas import units

Connection = psycopg.Connection[Any]

_LONGEST = 200
DATA_TYPES = {
    "FLOAT": "DOUBLE", "DOUBLE": "DOUBLE", "BOOLEAN": "BOOLEAN",
    # A number without a fraction in JSON says nothing of the next one.
    "INTEGER": "DOUBLE",
    **dict.fromkeys(("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"), "INTEGER"),
}  # fmt: skip
"""By type at the machine: the data type of a tag that carries its values. Others are no numbers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A row of the view `proposal`. Times are ISO 8601, UTC."""

    gateway_id: str
    connection: str
    address: str
    name: str
    data_type: str
    unit: str
    unreadable: str
    first_seen: str
    last_seen: str
    times_seen: int
    refused_by: str
    refused_why: str
    attributes: Mapping[str, str] = field(repr=False)

    def cannot_be_a_tag(self) -> str:
        """Why; empty when it can."""
        return self.unreadable or ("" if self.data_type in DATA_TYPES else f"{self.data_type} is no number")


@dataclass(frozen=True, kw_only=True, slots=True)
class Into:
    """Where accepted tags go. Without `device` they go to the device that has tags of the same part of the machine, or else to a new one.

    A new device stands in the cell `at` and is called `name`, by default as the machine calls it; its class is `device_class`, by default
    one of its own. Tags are of class `tag_class`.
    """

    device: str = ""
    at: str = ""
    name: str = ""
    device_class: str = ""
    tag_class: str = TAG_CLASS
    period_ms: int = PERIOD_MS


def by_machine(connection: Connection, proposals: Sequence[Proposal], into: Into) -> list[list[Proposal]]:
    """Proposals of each machine, which are accepted or fail together; of a connection that is not registered each for itself."""
    return list(_Plan(connection, into).machines(proposals, strict=False).values())


def planned(connection: Connection, proposals: Sequence[Proposal], into: Into) -> list[DeviceSpec]:
    """Devices that accepting would add, or add tags to; raises RegistryError when the rules of the plant file forbid it."""
    for one in proposals:
        if problem := one.cannot_be_a_tag():
            msg = f"{one.address[:_LONGEST]} cannot be a tag: {problem}"
            raise RegistryError(msg)
    return _Plan(connection, into).devices(proposals)


class _Plan:
    """Makes a plant file of each machine's device, with the proposed tags alone, and reads it as any plant file is read."""

    def __init__(self, connection: Connection, into: Into) -> None:
        self._connection, self._into = connection, into
        self._gateways: dict[str, dict[str, Any]] = {}

    def devices(self, proposals: Sequence[Proposal]) -> list[DeviceSpec]:
        made: dict[str, DeviceSpec] = {}
        for (gateway_id, connection, machine), mine in self.machines(proposals).items():
            device = self._device(gateway_id, connection, machine, mine)
            path = f"{device.cell_path}/{device.name}"
            if path in made:
                msg = f"several machines would be {path}: accept them one by one, each with --name or --device"
                raise RegistryError(msg)
            made[path] = device
        return list(made.values())

    def machines(
        self, proposals: Sequence[Proposal], *, strict: bool = True
    ) -> dict[tuple[str, str, str], list[Proposal]]:
        """Proposals by gateway, connection and machine. Not `strict`: one whose machine cannot be told stands for itself."""
        found: dict[tuple[str, str, str], list[Proposal]] = {}
        for one in proposals:
            try:
                machine = self._machine(one)
            except RegistryError:
                if strict:
                    raise
                machine = one.address
            found.setdefault((one.gateway_id, one.connection, machine), []).append(one)
        return found

    def _machine(self, one: Proposal) -> str:
        """Part of the address that names the machine; empty when the caller has named the device."""
        known = next((c for c in self._gateway(one.gateway_id)["connections"] if c["name"] == one.connection), None)
        if known is None:
            msg = f"gateway {one.gateway_id} has no connection {one.connection!r} in the registry: load a plant file that has it"
            raise RegistryError(msg)
        if self._into.device or self._into.name:
            return ""
        return PROTOCOLS[known["protocol"]].machine_of(_within(one))

    def _device(self, gateway_id: str, connection: str, machine: str, mine: Sequence[Proposal]) -> DeviceSpec:
        into, gateway = self._into, self._gateway(gateway_id)
        device_id, path = self._registered(gateway_id, connection, machine)
        if not path:
            name = into.name or plain_name(next((part for part in reversed(machine.split("/")) if part), machine))
            path = f"{into.at}/{name}"
            if not into.at:
                msg = f"no device has tags of {machine[:_LONGEST]!r}: say where a new one stands, --at enterprise/site/area/line/cell"
                raise RegistryError(msg)
            row = self._one(
                "SELECT site FROM devices WHERE site = %s AND name = %s AND NOT retired", gateway["site"], name
            )
            if row is not None:
                msg = f"site {row['site']} has a device {name}: say --device with its path to add to it, or --name for another"
                raise RegistryError(msg)
        places = path.split("/")
        if len(places) != 6:
            msg = f"{path[:_LONGEST]!r} is not enterprise/site/area/line/cell/device"
            raise RegistryError(msg)
        enterprise, site, area, line, cell, name = places
        if site != gateway["site"]:
            msg = f"gateway {gateway_id} stands at site {gateway['site']}, not at {site}"
            raise RegistryError(msg)
        named = self._names(device_id, mine)
        entry = {
            "name": name, "class": into.device_class or name, "gateway": gateway_id, "connection": connection,
            "addresses": {tag: _within(one) for tag, one in named.items()},
        }  # fmt: skip
        of_class = self._one(
            "SELECT detector, planned_run_time_s FROM devices WHERE device_class = %s AND NOT retired ORDER BY device_id",
            entry["class"],
        )
        tags = {tag: self._tag(one) for tag, one in named.items()}
        cells = [{"name": cell, "devices": [entry]}]
        file = {
            "enterprise": enterprise,
            "tag_classes": {into.tag_class: {"windows_s": self._windows()}},
            "device_classes": {entry["class"]: {**(of_class or {}), "tags": tags}},
            "sites": [{
                "name": site,
                "gateways": [{"id": gateway_id, "lanes": gateway["lanes"], "connections": gateway["connections"]}],
                "areas": [{"name": area, "lines": [{"name": line, "cells": cells}]}],
            }],
        }  # fmt: skip
        return parse_plant(file).devices[0]

    def _registered(self, gateway_id: str, connection: str, machine: str) -> tuple[int, str]:
        """Id and path of the registered device; 0 and empty when a new one is to be made."""
        rows = self._rows(
            """SELECT device_id, path, gateway_id, connection FROM devices JOIN device_paths USING (device_id)
               WHERE valid_to = 'infinity' AND NOT retired AND (path = %s OR (%s = '' AND gateway_id = %s AND connection = %s))""",
            self._into.device, self._into.device, gateway_id, connection,
        )  # fmt: skip
        if self._into.device:
            if not rows:
                msg = f"no device at {self._into.device[:_LONGEST]}; `plant show` lists them"
                raise RegistryError(msg)
            if (rows[0]["gateway_id"], rows[0]["connection"]) != (gateway_id, connection):
                other = f"{rows[0]['connection']} of {rows[0]['gateway_id']}"
                msg = f"{self._into.device} is on connection {other}, not {connection} of {gateway_id}"
                raise RegistryError(msg)
            return rows[0]["device_id"], rows[0]["path"]
        if not machine:
            return 0, ""
        protocol = next(c["protocol"] for c in self._gateway(gateway_id)["connections"] if c["name"] == connection)
        paths = {row["device_id"]: row["path"] for row in rows}
        tags = self._rows("SELECT device_id, address FROM tags WHERE NOT retired AND device_id = ANY (%s)", list(paths))
        machine_of = PROTOCOLS[protocol].machine_of
        found = {
            row["device_id"] for row in tags if machine_of(row["address"].removeprefix(f"{connection}:")) == machine
        }
        if len(found) > 1:
            names = " or ".join(sorted(paths[one] for one in found)[:4])
            msg = f"several devices have tags of {machine[:_LONGEST]!r}: say which with --device, {names}"
            raise RegistryError(msg)
        return next(((one, paths[one]) for one in found), (0, ""))

    def _names(self, device_id: int, mine: Sequence[Proposal]) -> dict[str, Proposal]:
        """Proposals by the names their tags get: the name it had, for a tag that comes again."""
        rows = self._rows("SELECT name, address, retired FROM tags WHERE device_id = %s", device_id)
        again = {row["address"]: row["name"] for row in rows if row["retired"]}
        used = {row["name"] for row in rows}
        return {again.get(one.address) or unique_name(plain_name(one.name), used): one for one in mine}

    def _tag(self, one: Proposal) -> dict[str, Any]:
        unit = units.to_ucum(one.unit) or units.NO_UNIT
        strange = f"Unit at the machine: {one.unit}" if one.unit and unit == units.NO_UNIT else ""
        said = one.attributes.get("documentation") or one.name
        entry: dict[str, Any] = {
            "tag_class": self._into.tag_class, "data_type": DATA_TYPES[one.data_type], "unit": unit,
            "description": ". ".join(part for part in (said, strange) if part)[:_LONGEST], "period_ms": self._into.period_ms,
        }  # fmt: skip
        low, high = (_number(one.attributes.get(key)) for key in ("engLow", "engHigh"))
        if low is not None and high is not None and low < high:
            entry["eu"] = [low, high]
        return entry | ({} if entry["data_type"] == "DOUBLE" else {"historise": "ON_CHANGE"})

    def _windows(self) -> list[int]:
        row = self._one(
            "SELECT windows_s FROM tags WHERE tag_class = %s AND NOT retired GROUP BY windows_s ORDER BY count(*) DESC",
            self._into.tag_class,
        )
        if row is not None:
            return list(row["windows_s"])
        if self._into.tag_class == TAG_CLASS:
            return [10, 60]
        known = sorted(row["tag_class"] for row in self._rows("SELECT DISTINCT tag_class FROM tags WHERE NOT retired"))
        msg = f"no tag class {self._into.tag_class!r} is registered; known: {', '.join(known[:30]) or 'none'}"
        raise RegistryError(msg)

    def _gateway(self, gateway_id: str) -> dict[str, Any]:
        """Site, lanes and connections, as a plant file has them."""
        if gateway_id not in self._gateways:
            row = self._one("SELECT site, lanes FROM gateways WHERE gateway_id = %s", gateway_id)
            if row is None:
                msg = f"gateway {gateway_id} is not registered: load a plant file that has it"
                raise RegistryError(msg)
            connections = self._rows(
                "SELECT name, protocol, settings FROM connections WHERE gateway_id = %s", gateway_id
            )
            self._gateways[gateway_id] = row | {
                "connections": [{"name": c["name"], "protocol": c["protocol"], **c["settings"]} for c in connections]
            }
        return self._gateways[gateway_id]

    def _one(self, query: str, *parameters: Any) -> dict[str, Any] | None:
        return next(iter(self._rows(f"{query} LIMIT 1", *parameters)), None)

    def _rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()


def _within(one: Proposal) -> str:
    """The address within the protocol."""
    return one.address.removeprefix(f"{one.connection}:")


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text is not None else None
    except ValueError:
        return None
    return value if value is not None and math.isfinite(value) else None
