"""Makes the registry say what a plant file says: one transaction, idempotent.

Enters: a checked `Plant` and a connection. Leaves: rows of sites, areas, lines, cells, gateways, devices, paths and
tags, and a `LoadReport`. Who calls: `registry.command load`.

Three-way: an entry of the file is applied only when it differs from what the file said at the last load (its digest),
so a file that has not changed undoes neither a `set` nor a `move` by hand; an entry that says what is registered
already changes nothing. A device is recognised by site and name; its ids stay when it moves. What is gone from the
file is retired, never deleted; only sites the file names are looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Json, Jsonb

from base.account import os_user
from base.errors import RegistryError
from registry.changes import Change, record
from registry.plant import REGISTERED, ConnectionSpec, DeviceSpec, GatewaySpec, Plant, TagSpec
from registry.rows import check_addresses, check_kind, ensure_cell, lock, place_device, set_version

_TAG_COLUMNS = tuple(name for name in REGISTERED if name != "name")

Connection = psycopg.Connection[Any]
Row = dict[str, Any]


@dataclass(kw_only=True, slots=True)
class LoadReport:
    """What a load changed."""

    version: int = 0
    added_devices: int = 0
    moved_devices: int = 0
    changed_devices: int = 0
    retired_devices: int = 0
    added_tags: int = 0
    changed_tags: int = 0
    retired_tags: int = 0
    changed_connections: int = 0

    def __str__(self) -> str:
        names = [name for name in self.__slots__ if name != "version" and getattr(self, name)]
        changes = ", ".join(f"{name.replace('_', ' ')} {getattr(self, name)}" for name in names)
        return f"registry version {self.version}: {changes or 'nothing changed'}"


def load_plant(connection: Connection, plant: Plant, change: Change | None = None) -> LoadReport:
    """Apply `plant` in one transaction; raises RegistryError when it contradicts what is registered. `change` is the user's by default."""
    with connection.transaction():
        current = lock(connection)
        load = _Load(connection, version=current + 1)
        load.run(plant)
        report = load.report
        report.version = current
        if load.touched:
            set_version(connection, current + 1)
            record(connection, current + 1, change or Change(who=os_user(), what="load"))
            report.version = current + 1
    return report


def add_devices(connection: Connection, devices: Sequence[DeviceSpec], change: Change) -> LoadReport:
    """Register devices, or tags of registered ones, beside what is registered, in one transaction; raises RegistryError.

    They are of no file: a load retires them only after a file had them.
    """
    with connection.transaction():
        version = lock(connection) + 1
        load = _Load(connection, version=version)
        load.add(devices)
        check_addresses(connection)
        set_version(connection, version)
        record(connection, version, change)
        load.report.version = version
    return load.report


class _Load:
    def __init__(self, connection: Connection, *, version: int) -> None:
        self._connection, self._version = connection, version
        self.report = LoadReport()
        self.touched = False
        self._cells: dict[str, int] = {}
        self._waiting: list[dict[str, Any]] = []
        """Tags to write, as the registry is to have them: many go in one statement."""

    def run(self, plant: Plant) -> None:
        """Make the registry say what the plant says."""
        self._places(plant)
        devices, tags = self._known(plant.sites)
        load_of_lane = Counter((row["gateway_id"], row["lane"]) for row in devices.values() if not row["retired"])
        lanes = {gateway.id: gateway.lanes for gateway in plant.gateways}
        named = {(device.site, device.name) for device in plant.devices}
        for key, row in devices.items():
            if key not in named and _of_a_file(row):
                self._retire(row, tags.get(row["device_id"], {}))
        for device in plant.devices:
            known = devices.get((device.site, device.name))
            lane = _lane(device, known, lanes[device.gateway_id], load_of_lane)
            device_id = self._device(device, known, lane)
            self._tags(device, device_id, tags.get(device_id, {}))
        self._write_tags()
        if self.touched:
            check_addresses(self._connection)

    def add(self, devices: Sequence[DeviceSpec]) -> None:
        """Register what is not there."""
        known, tags = self._known([device.site for device in devices])
        load_of_lane = Counter((row["gateway_id"], row["lane"]) for row in known.values() if not row["retired"])
        lanes = {row["gateway_id"]: row["lanes"] for row in self._rows("SELECT gateway_id, lanes FROM gateways")}
        for device in devices:
            row = known.get((device.site, device.name))
            if row is None or row["retired"]:
                self._cells[device.cell_path] = ensure_cell(self._connection, device.cell_path)
                device_id = self._device(device, row, _lane(device, row, lanes[device.gateway_id], load_of_lane))
                self._connection.execute("UPDATE devices SET source_digest = '' WHERE device_id = %s", (device_id,))
            else:
                device_id = int(row["device_id"])
            mine = tags.get(device_id, {})
            for tag in device.tags:
                if tag.name in mine and not mine[tag.name]["retired"]:
                    msg = f"tag {tag.name} of device {device.name} is registered already"
                    raise RegistryError(msg)
                self._tag(device, device_id, tag, "")
                self.report.added_tags += 1
        self._write_tags()

    def _known(self, sites: Sequence[str]) -> tuple[dict[tuple[str, str], Row], dict[int, dict[str, Row]]]:
        """Devices of the sites by site and name; tags by device and name."""
        devices = {(row["site"], row["name"]): row for row in self._rows(_DEVICES, (list(sites),))}
        tags: dict[int, dict[str, Row]] = {}
        for row in self._rows("SELECT * FROM tags"):
            tags.setdefault(row["device_id"], {})[row["name"]] = row
        return devices, tags

    def _places(self, plant: Plant) -> None:
        run = self._connection.execute
        for site in plant.sites:
            run(
                "INSERT INTO sites (site, enterprise) VALUES (%s, %s) ON CONFLICT (site) DO UPDATE SET enterprise = EXCLUDED.enterprise",
                (site, plant.enterprise),
            )
        for gateway in plant.gateways:
            self._gateway(gateway)
        for path in plant.cells:
            self._cells[path] = ensure_cell(self._connection, path)

    def _gateway(self, gateway: GatewaySpec) -> None:
        row = self._connection.execute("SELECT site FROM gateways WHERE gateway_id = %s", (gateway.id,)).fetchone()
        if row is not None and row[0] != gateway.site:
            msg = f"gateway {gateway.id} is registered at site {row[0]}; a gateway at {gateway.site} needs another id"
            raise RegistryError(msg)
        self._connection.execute(
            """INSERT INTO gateways (gateway_id, site, lanes) VALUES (%s, %s, %s)
               ON CONFLICT (gateway_id) DO UPDATE SET lanes = EXCLUDED.lanes""",
            (gateway.id, gateway.site, gateway.lanes),
        )
        self._connections(gateway)

    def _connections(self, gateway: GatewaySpec) -> None:
        rows = self._rows(
            "SELECT name, protocol, settings, simulated FROM connections WHERE gateway_id = %s", (gateway.id,)
        )
        known = {row.pop("name"): row for row in rows}
        for one in gateway.connections:
            wanted = {"protocol": one.protocol, "settings": dict(one.settings), "simulated": one.simulated}
            if known.pop(one.name, None) != wanted:
                self._connection_row(gateway.id, one)
        for name in known:
            self._connection.execute("DELETE FROM connections WHERE gateway_id = %s AND name = %s", (gateway.id, name))
            self.report.changed_connections += 1
            self.touched = True

    def _connection_row(self, gateway_id: str, one: ConnectionSpec) -> None:
        self._connection.execute(
            """INSERT INTO connections (gateway_id, name, protocol, settings, simulated) VALUES (%s, %s, %s, %s, %s)
               ON CONFLICT (gateway_id, name) DO UPDATE
               SET protocol = EXCLUDED.protocol, settings = EXCLUDED.settings, simulated = EXCLUDED.simulated""",
            (gateway_id, one.name, one.protocol, Jsonb(dict(one.settings)), one.simulated),
        )
        self.report.changed_connections += 1
        self.touched = True

    def _device(self, device: DeviceSpec, row: Row | None, lane: int) -> int:
        digest = device.digest()
        values = (
            device.device_class, device.detector, device.planned_run_time_s, device.gateway_id, lane, device.connection,
            device.protocol, digest,
        )  # fmt: skip
        if row is None:
            inserted = self._connection.execute(_INSERT_DEVICE, (device.site, device.name, *values)).fetchone()
            assert inserted is not None
            device_id = int(inserted[0])
            self._connection.execute(
                "INSERT INTO device_paths (device_id, valid_from, cell_id, path) VALUES (%s, '-infinity', %s, %s)",
                (device_id, self._cells[device.cell_path], f"{device.cell_path}/{device.name}"),
            )
            self.report.added_devices += 1
            self.touched = True
            return device_id
        device_id = int(row["device_id"])
        same_place = (row["lane"], row["connection"], row["protocol"]) == (lane, device.connection, device.protocol)
        if row["source_digest"] == digest and not row["retired"] and same_place:
            return device_id
        path = f"{device.cell_path}/{device.name}"
        if not row["retired"] and (*(row[name] for name in _DEVICE_COLUMNS), row["path"]) == (*values[:-1], path):
            self._connection.execute("UPDATE devices SET source_digest = %s WHERE device_id = %s", (digest, device_id))
            return device_id
        self._connection.execute(_UPDATE_DEVICE, (*values, device_id))
        if place_device(self._connection, device_id, self._cells[device.cell_path], path):
            self.report.moved_devices += 1
        self._connection.execute(
            "UPDATE tags SET registry_version = %s WHERE device_id = %s", (self._version, device_id)
        )
        self.report.changed_devices += 1
        self.touched = True
        return device_id

    def _tags(self, device: DeviceSpec, device_id: int, known: dict[str, Row]) -> None:
        names = {tag.name for tag in device.tags}
        gone = [row["tag_id"] for name, row in known.items() if name not in names and _of_a_file(row)]
        self._retire_tags(gone)
        for tag in device.tags:
            digest, row = device.tag_digest(tag), known.get(tag.name)
            if row is not None and row["source_digest"] == digest and not row["retired"]:
                continue
            if row is not None and not row["retired"]:
                check_kind(
                    f"{device.cell_path}/{device.name}/{tag.name}", was=row["expression"], becomes=tag.expression
                )
            values = _values(device, tag)
            if row is not None and not row["retired"] and [row[name] for name in (*_TAG_COLUMNS, "address")] == values:
                self._connection.execute(
                    "UPDATE tags SET source_digest = %s WHERE tag_id = %s", (digest, row["tag_id"])
                )
                continue
            self._tag(device, device_id, tag, digest)
            if row is None:
                self.report.added_tags += 1
            else:
                self.report.changed_tags += 1

    def _tag(self, device: DeviceSpec, device_id: int, tag: TagSpec, digest: str) -> None:
        values = (device_id, tag.name, *_values(device, tag), self._version, digest)
        self._waiting.append(dict(zip(_TAG_ROW, values, strict=True)))
        self.touched = True

    def _write_tags(self) -> None:
        for begin in range(0, len(self._waiting), _BATCH):
            self._connection.execute(_UPSERT_TAGS, (Json(self._waiting[begin : begin + _BATCH]),))
        self._waiting.clear()

    def _retire(self, row: Row, tags: dict[str, Row]) -> None:
        self._connection.execute(
            "UPDATE devices SET retired = true, source_digest = '' WHERE device_id = %s", (row["device_id"],)
        )
        self.report.retired_devices += 1
        self.touched = True
        self._retire_tags([tag["tag_id"] for tag in tags.values() if not tag["retired"]])

    def _retire_tags(self, tag_ids: list[int]) -> None:
        if not tag_ids:
            return
        self._connection.execute(
            "UPDATE tags SET retired = true, source_digest = '', registry_version = %s WHERE tag_id = ANY (%s)",
            (self._version, tag_ids),
        )
        self.report.retired_tags += len(tag_ids)
        self.touched = True

    def _rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()


def _lane(device: DeviceSpec, row: Row | None, lanes: int, load_of_lane: Counter[tuple[str, int]]) -> int:
    """The lane the file names, else the one the device has, else the emptiest of its gateway."""
    stays = row is not None and row["gateway_id"] == device.gateway_id and row["lane"] < lanes and not row["retired"]
    if device.lane is not None:
        lane = device.lane
    elif stays:
        assert row is not None
        return int(row["lane"])
    else:
        lane = min(range(lanes), key=lambda number: (load_of_lane[device.gateway_id, number], number))
    load_of_lane[device.gateway_id, lane] += 1
    return lane


def _of_a_file(row: Row) -> bool:
    """Whether a plant file had the device or tag; what was added otherwise stays when a file does not have it."""
    return not row["retired"] and row["source_digest"] != ""


def _values(device: DeviceSpec, tag: TagSpec) -> list[Any]:
    return [*(_plain(getattr(tag, name)) for name in _TAG_COLUMNS), device.address(tag.name)]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


_DEVICE_COLUMNS = ("device_class", "detector", "planned_run_time_s", "gateway_id", "lane", "connection", "protocol")
_DEVICES = """
SELECT d.*, p.path FROM devices d JOIN device_paths p ON p.device_id = d.device_id AND p.valid_to = 'infinity' WHERE d.site = ANY (%s)"""
_INSERT_DEVICE = """
INSERT INTO devices (site, name, device_class, detector, planned_run_time_s, gateway_id, lane, connection, protocol, source_digest)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING device_id"""
_UPDATE_DEVICE = """
UPDATE devices SET device_class = %s, detector = %s, planned_run_time_s = %s, gateway_id = %s, lane = %s, connection = %s, protocol = %s,
                   source_digest = %s, retired = false
WHERE device_id = %s"""
_BATCH = 5_000
"""Tags in one statement: one at a time took three quarters of the load of a large plant."""
_TAG_ROW = ("device_id", "name", *_TAG_COLUMNS, "address", "registry_version", "source_digest")
_UPSERT_TAGS = f"""
INSERT INTO tags ({", ".join(_TAG_ROW)})
SELECT {", ".join(f"t.{name}" for name in _TAG_ROW)}
FROM ROWS FROM (json_populate_recordset(NULL::tags, %s)) WITH ORDINALITY AS t ORDER BY t.ordinality
ON CONFLICT (device_id, name) DO UPDATE
SET {", ".join(f"{name} = EXCLUDED.{name}" for name in _TAG_ROW[2:])}, retired = false"""
