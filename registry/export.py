"""The registry as a plant file: `./millrace plant export`. Loading it changes nothing.

Enters: what is registered and not retired. Leaves: the file's data. What the registry does not know is not in it: what the simulator plays,
and patterns of addresses, which are found again where one pattern gives most addresses of a connection. Tags of a class are what most
of its devices have; what is different at a device is said there.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from base.errors import RegistryError
from registry.plant_address import FIELDS, pattern

Connection = psycopg.Connection[Any]
Row = dict[str, Any]

_TAG_KEYS = (
    "tag_class",
    "data_type",
    "unit",
    "description",
    "max_rate",
    "stuck_after_s",
    "period_ms",
    "deadband",
    "deadband_percent",
    "swinging_door",
    "max_silence_s",
    "sampling_ms",
    "historise",
    "writable",
    "expression",
)
_MARKS = {"tag": "\ue000", "device": "\ue001", "site": "\ue002"}
_DEFAULTS = {
    "max_rate": None, "stuck_after_s": None, "deadband": 0.0, "deadband_percent": 0.0, "swinging_door": None, "max_silence_s": None,
    "sampling_ms": None, "historise": "ALL", "writable": False, "expression": "",
}  # fmt: skip


def export(connection: Connection, site: str = "") -> dict[str, Any]:
    """Data of a plant file of one site, or of all; raises RegistryError when one file cannot say it."""
    return _Export(connection, site).data()


class _Export:
    def __init__(self, connection: Connection, site: str) -> None:
        self._connection = connection
        self._sites = self._rows("SELECT * FROM sites WHERE %s IN ('', site) ORDER BY site", (site,))
        if not self._sites:
            msg = f"no site {site!r} is registered" if site else "nothing is registered yet"
            raise RegistryError(msg)
        names = [row["site"] for row in self._sites]
        self._devices = self._rows(_DEVICES, (names,))
        self._tags: dict[int, list[Row]] = defaultdict(list)
        for row in self._rows(_TAGS, (names,)):
            self._tags[row["device_id"]].append(row)

    def data(self) -> dict[str, Any]:
        enterprise = _only("sites belong to the enterprises", (row["enterprise"] for row in self._sites))
        classes = {name: self._class(name) for name in dict.fromkeys(row["device_class"] for row in self._devices)}
        patterns = self._patterns()
        return {
            "enterprise": enterprise,
            "tag_classes": self._tag_classes(),
            "device_classes": classes,
            "sites": [self._site(row["site"], classes, patterns) for row in self._sites],
        }

    def _tag_classes(self) -> dict[str, Any]:
        windows: dict[str, set[tuple[int, ...]]] = defaultdict(set)
        for tags in self._tags.values():
            for tag in tags:
                windows[tag["tag_class"]].add(tuple(tag["windows_s"]))
        return {
            name: {"windows_s": list(_only(f"tag class {name} has the windows", found))}
            for name, found in sorted(windows.items())
        }

    def _class(self, name: str) -> dict[str, Any]:
        """What most devices of the class have; a tag is in the class only when all have it."""
        devices = [row for row in self._devices if row["device_class"] == name]
        entries: dict[str, list[Row]] = defaultdict(list)
        for row in devices:
            for tag in self._tags[row["device_id"]]:
                entries[tag["name"]].append(_entry(tag))
        common = {key: _most(row[key] for row in devices) for key in ("detector", "planned_run_time_s")}
        tags = {tag: _most(found) for tag, found in entries.items() if len(found) == len(devices)}
        if not tags:
            msg = f"devices of class {name} have no tag in common, which a plant file cannot say"
            raise RegistryError(msg)
        return {key: value for key, value in common.items() if value not in ("", None)} | {"tags": tags}

    def _patterns(self) -> dict[tuple[str, str], str]:
        """The pattern that gives most addresses of each connection; none where none gives two."""
        found: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for device in self._devices:
            for tag in self._measured(device):
                found[device["gateway_id"], device["connection"]][
                    _pattern(_address(tag, device), _places(device, tag))
                ] += 1
        best = {key: counted.most_common(1)[0] for key, counted in found.items()}
        return {key: text for key, (text, times) in best.items() if times > 1}

    def _site(self, site: str, classes: Mapping[str, Any], patterns: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        cells = self._rows("SELECT path FROM cells WHERE split_part(path, '/', 2) = %s ORDER BY cell_id", (site,))
        areas: dict[str, dict[str, dict[str, list[Any]]]] = {}
        for row in cells:
            _, _, area, line, cell = row["path"].split("/")
            areas.setdefault(area, {}).setdefault(line, {})[cell] = []
        for device in self._devices:
            _, at, area, line, cell, _ = device["path"].split("/")
            if at == site:
                areas[area][line][cell].append(self._device(device, classes[device["device_class"]], patterns))
        return {
            "name": site,
            "gateways": [self._gateway(row, patterns) for row in self._rows(_GATEWAYS, (site,))],
            "areas": [
                {
                    "name": area,
                    "lines": [
                        {"name": line, "cells": [{"name": cell, "devices": devices} for cell, devices in those.items()]}
                        for line, those in lines.items()
                    ],
                }
                for area, lines in areas.items()
            ],
        }

    def _gateway(self, gateway: Row, patterns: Mapping[tuple[str, str], str]) -> dict[str, Any]:
        entries = []
        for row in self._rows(
            "SELECT * FROM connections WHERE gateway_id = %s ORDER BY name", (gateway["gateway_id"],)
        ):
            entry = {"name": row["name"], "protocol": row["protocol"], **row["settings"]}
            if text := patterns.get((gateway["gateway_id"], row["name"])):
                entry["address"] = text
            entries.append(entry | ({"simulated": True} if row["simulated"] else {}))
        return {"id": gateway["gateway_id"], "lanes": gateway["lanes"], "connections": entries}

    def _device(
        self, device: Row, of_class: Mapping[str, Any], patterns: Mapping[tuple[str, str], str]
    ) -> dict[str, Any]:
        entry: dict[str, Any] = {
            "name": device["name"],
            "class": device["device_class"],
            "gateway": device["gateway_id"],
            "connection": device["connection"],
            "lane": device["lane"],
        }
        if device["detector"] != of_class.get("detector", ""):
            entry["detector"] = device["detector"]
        if device["planned_run_time_s"] != of_class.get("planned_run_time_s"):
            entry["planned_run_time_s"] = device["planned_run_time_s"]
        tags, addresses = {}, {}
        general = patterns.get((device["gateway_id"], device["connection"]), "")
        for tag in self._tags[device["device_id"]]:
            own, usual = _entry(tag), of_class["tags"].get(tag["name"], {})
            if own != usual:
                missing = {key: _DEFAULTS.get(key) for key in usual if key not in own}
                tags[tag["name"]] = missing | {key: value for key, value in own.items() if usual.get(key) != value}
            address = _address(tag, device)
            if not tag["expression"] and (not general or pattern(general).fill(_places(device, tag)) != address):
                addresses[tag["name"]] = address
        return entry | ({"addresses": addresses} if addresses else {}) | ({"tags": tags} if tags else {})

    def _measured(self, device: Row) -> list[Row]:
        """Tags of a device that have an address."""
        return [tag for tag in self._tags[device["device_id"]] if not tag["expression"]]

    def _rows(self, query: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(query.encode(), parameters).fetchall()


def _entry(tag: Row) -> Row:
    """A tag as its class's entry has it; what is the default is left out."""
    entry = {key: tag[key] for key in _TAG_KEYS if key not in _DEFAULTS or tag[key] != _DEFAULTS[key]}
    for key, low, high in (("eu", tag["eu_low"], tag["eu_high"]), ("limits", tag["limit_low"], tag["limit_high"])):
        if (low, high) != (None, None):
            entry[key] = [low, high]
    return entry


def _address(tag: Row, device: Row) -> str:
    return str(tag["address"]).removeprefix(f"{device['connection']}:")


def _places(device: Row, tag: Row) -> dict[str, str]:
    _, site, area, line, cell, name = device["path"].split("/")
    return dict(zip(FIELDS, (site, area, line, cell, name, tag["name"]), strict=True))


def _pattern(address: str, places: Mapping[str, str]) -> str:
    """The address with names in the place of what they name, longest first, so that a name within another stays whole."""
    text = address.replace("{", "{{").replace("}", "}}")
    # One private character for each field: no name is found within another's mark.
    for field in sorted(_MARKS, key=lambda one: -len(places[one])):
        text = text.replace(places[field], _MARKS[field])
    for field, mark in _MARKS.items():
        text = text.replace(mark, f"{{{field}}}")
    return text


def _most(values: Iterable[Any]) -> Any:
    """The value that is there most often."""
    counted = Counter(json.dumps(value, sort_keys=True) for value in values)
    return json.loads(counted.most_common(1)[0][0])


def _only(what: str, values: Iterable[Any]) -> Any:
    found = list(dict.fromkeys(values))
    if len(found) > 1:
        msg = f"{what} {' and '.join(str(one)[:200] for one in found[:3])}, which one file cannot say; export one site with --site"
        raise RegistryError(msg)
    return found[0] if found else None


_DEVICES = """
SELECT d.*, p.path FROM devices d JOIN device_paths p ON p.device_id = d.device_id AND p.valid_to = 'infinity'
WHERE NOT d.retired AND d.site = ANY (%s) ORDER BY d.device_id"""
_TAGS = """
SELECT t.* FROM tags t JOIN devices d USING (device_id) WHERE NOT t.retired AND NOT d.retired AND d.site = ANY (%s) ORDER BY t.tag_id"""
_GATEWAYS = "SELECT gateway_id, lanes FROM gateways WHERE site = %s ORDER BY gateway_id"
