"""Changes by hand: `set` of a tag's or device's attributes, `move` of a device; and reading the registry back.

Enters: paths and values as people type them. Leaves: one new registry version each, and `TagDefinition`s. Who calls:
`registry.command`, tests. Manual changes survive a reload of an unchanged plant file; a changed entry of the file
replaces them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from base.account import os_user
from base.errors import NotFoundError, RegistryError
from connectors.catalogue import PROTOCOLS
from registry.calculated import unfit
from registry.changes import Change, record
from registry.plant import PERIODS_PER_WINDOW
from registry.rows import check_addresses, check_kind, lock, place_device, set_version
from schemas.definitions import DataType, Historise, TagDefinition

Connection = psycopg.Connection[Any]


def _number(text: str) -> float | None:
    if not text:
        return None
    value = float(text)
    if not math.isfinite(value):
        raise ValueError
    return value


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _maybe(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: convert(text) if text else None


_TAG_KEYS: Mapping[str, Callable[[str], Any]] = {
    "description": str, "unit": str, "eu_low": _number, "eu_high": _number, "limit_low": _number, "limit_high": _number,
    "max_rate": _number, "stuck_after_s": _number, "period_ms": int, "deadband": float,
    "deadband_percent": float, "swinging_door": _maybe(_boolean), "max_silence_s": _number, "sampling_ms": _maybe(int),
    "historise": lambda text: Historise(text).value, "writable": _boolean, "address": str, "expression": str,
}  # fmt: skip
_DEVICE_KEYS: Mapping[str, Callable[[str], Any]] = {"detector": str, "planned_run_time_s": _number}


def set_attributes(connection: Connection, path: str, values: Mapping[str, str], change: Change | None = None) -> int:
    """Change attributes of the tag or device at `path`; an empty value means none. Returns the version; raises RegistryError."""
    with connection.transaction():
        version = lock(connection) + 1
        tag = connection.execute("SELECT tag_id, expression FROM tag_definition WHERE path = %s", (path,)).fetchone()
        if tag is not None:
            check_kind(path, was=tag[1], becomes=values.get("expression", tag[1]))
            assignments = _with_address(connection, tag[0], _parse(values, _TAG_KEYS, "tag"))
            _update(connection, "tags", "tag_id", tag[0], {**assignments, "registry_version": version})
            _check_tag(connection, tag[0])
        else:
            device_id = _device(connection, path, what="tag or device")
            _update(connection, "devices", "device_id", device_id, _parse(values, _DEVICE_KEYS, "device"))
            connection.execute("UPDATE tags SET registry_version = %s WHERE device_id = %s", (version, device_id))
        check_addresses(connection)
        set_version(connection, version)
        record(connection, version, change or Change(who=os_user(), what="set"))
    return version


def move(connection: Connection, device_path: str, cell_path: str, change: Change | None = None) -> int:
    """Let the device stand in another cell from now on; its ids stay. Returns the version; raises RegistryError, NotFoundError."""
    with connection.transaction():
        version = lock(connection) + 1
        device_id = _device(connection, device_path)
        cell = connection.execute("SELECT cell_id FROM cells WHERE path = %s", (cell_path,)).fetchone()
        if cell is None:
            known = [row[0] for row in connection.execute("SELECT path FROM cells ORDER BY path").fetchall()]
            msg = f"no cell {cell_path}; known: {', '.join(known[:20])}{', ...' if len(known) > 20 else ''}"
            raise NotFoundError(msg)
        row = connection.execute(
            "SELECT site, gateway_id, name FROM devices WHERE device_id = %s", (device_id,)
        ).fetchone()
        assert row is not None
        site, gateway_id, name = row
        if cell_path.split("/")[1] != site:
            msg = f"{device_path} belongs to gateway {gateway_id} at site {site}; at another site it is another device of the plant file"
            raise RegistryError(msg)
        if not place_device(connection, device_id, cell[0], f"{cell_path}/{name}"):
            return version - 1
        connection.execute("UPDATE tags SET registry_version = %s WHERE device_id = %s", (version, device_id))
        set_version(connection, version)
        record(connection, version, change or Change(who=os_user(), what="move"))
    return version


def definitions(connection: Connection, *, newer_than: int = -1) -> tuple[list[TagDefinition], int]:
    """Definitions changed after a version, by tag id, and the registry's version; one consistent snapshot."""
    with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        version = cursor.execute("SELECT version FROM registry_state").fetchone()
        assert version is not None
        rows = cursor.execute(
            "SELECT * FROM tag_definition WHERE registry_version > %s ORDER BY tag_id", (newer_than,)
        ).fetchall()
    return [_definition(row) for row in rows], int(version["version"])


def tag_count(connection: Connection) -> int:
    """Tags registered, retired ones included."""
    row = connection.execute("SELECT count(*) FROM tags").fetchone()
    return int(row[0]) if row else 0


def published_version(connection: Connection) -> int:
    """Version up to which definitions are on `registry.tags`."""
    row = connection.execute("SELECT published_version FROM registry_state").fetchone()
    return int(row[0]) if row else 0


def set_published(connection: Connection, version: int) -> None:
    """Record that everything up to a version is on `registry.tags`."""
    connection.execute("UPDATE registry_state SET published_version = greatest(published_version, %s)", (version,))


def _definition(row: dict[str, Any]) -> TagDefinition:
    return TagDefinition(**{
        **row, "data_type": DataType(row["data_type"]), "historise": Historise(row["historise"]), "windows_s": tuple(row["windows_s"]),
    })  # fmt: skip


def _device(connection: Connection, path: str, *, what: str = "device") -> int:
    row = connection.execute(
        "SELECT device_id FROM device_paths WHERE path = %s AND valid_to = 'infinity'", (path,)
    ).fetchone()
    if row is None:
        msg = f"no {what} at {path}; `plant show` lists them"
        raise NotFoundError(msg)
    return int(row[0])


def _parse(values: Mapping[str, str], keys: Mapping[str, Callable[[str], Any]], what: str) -> dict[str, Any]:
    parsed = {}
    for key, text in values.items():
        if key not in keys:
            msg = f"{key} cannot be set of a {what}; can be: {', '.join(keys)}"
            raise RegistryError(msg)
        try:
            parsed[key] = keys[key](text)
        except (ValueError, KeyError) as error:
            msg = f"{key} cannot be {text!r}"
            raise RegistryError(msg) from error
    return parsed


def _with_address(connection: Connection, tag_id: int, values: dict[str, Any]) -> dict[str, Any]:
    """The values with the address as the registry has it: behind the name of the device's connection."""
    if "address" not in values:
        return values
    row = connection.execute(
        "SELECT connection, protocol FROM devices JOIN tags USING (device_id) WHERE tag_id = %s", (tag_id,)
    ).fetchone()
    assert row is not None
    prefix, address = f"{row[0]}:", values["address"].removeprefix(f"{row[0]}:")
    try:
        PROTOCOLS[row[1]].check_address(address)
    except ValueError as error:
        msg = f"address: {error}"
        raise RegistryError(msg) from error
    return {**values, "address": prefix + address}


def _update(connection: Connection, table: str, key: str, identity: int, values: Mapping[str, Any]) -> None:
    assignments = sql.SQL(", ").join(
        sql.SQL("{} = {}").format(sql.Identifier(name), sql.Placeholder()) for name in values
    )
    query = sql.SQL("UPDATE {} SET {} WHERE {} = %s").format(sql.Identifier(table), assignments, sql.Identifier(key))
    try:
        connection.execute(query, (*values.values(), identity))
    except (psycopg.DataError, psycopg.IntegrityError) as error:
        msg = f"refused: {error.diag.message_primary or error}"
        raise RegistryError(msg) from error


def _check_tag(connection: Connection, tag_id: int) -> None:
    """The rules of the plant file hold for changes by hand too."""
    row = connection.execute(
        """SELECT eu_low, eu_high, limit_low, limit_high, max_rate, stuck_after_s, period_ms, windows_s, deadband, deadband_percent,
                  sampling_ms, writable, address, expression FROM tags WHERE tag_id = %s""",
        (tag_id,),
    ).fetchone()
    assert row is not None
    (
        eu_low,
        eu_high,
        limit_low,
        limit_high,
        max_rate,
        stuck_after_s,
        period_ms,
        windows_s,
        deadband,
        percent,
        sampling_ms,
        writable,
        address,
        expression,
    ) = row
    order = [value for value in (limit_low, eu_low, eu_high, limit_high) if value is not None]
    problem = ""
    if order != sorted(order):
        problem = f"limits [{limit_low}, {limit_high}] do not enclose eu [{eu_low}, {eu_high}]"
    elif any(value is not None and value <= 0 for value in (max_rate, stuck_after_s)):
        problem = "max_rate and stuck_after_s must be above 0 or empty"
    elif min(windows_s) * 1000 < PERIODS_PER_WINDOW * period_ms:
        problem = f"period_ms {period_ms} is too long for windows of {min(windows_s)} s"
    elif percent and deadband:
        problem = "deadband and deadband_percent: a tag has one of them, set the other to 0"
    elif percent and None in (eu_low, eu_high):
        problem = "deadband_percent is of the range eu, which needs both bounds"
    elif sampling_ms is not None and sampling_ms > period_ms:
        problem = f"sampling_ms {sampling_ms} is longer than the period of {period_ms} ms"
    elif bool(expression) == bool(address):
        problem = "a tag has an address, and is measured, or an expression, and is calculated"
    elif expression and (
        writable or deadband or percent or {limit_low, limit_high, max_rate, stuck_after_s, sampling_ms} != {None}
    ):
        problem = (
            "a calculated tag is at no machine: no limits, max_rate, stuck_after_s, deadband, sampling_ms, writable"
        )
    elif expression:
        problem = _unfit(connection, tag_id)
    if problem:
        raise RegistryError(problem)


def _unfit(connection: Connection, tag_id: int) -> str:
    """What is wrong with the expression of a calculated tag, among the tags of its device; empty when nothing is."""
    rows = connection.execute(
        """SELECT o.name, o.data_type, o.expression, o.tag_id = t.tag_id FROM tags t JOIN tags o USING (device_id)
           WHERE t.tag_id = %s AND NOT o.retired""",
        (tag_id,),
    ).fetchall()
    tags = {name: (DataType(data_type), expression) for name, data_type, expression, _ in rows}
    data_type, expression = next(tags[name] for name, *_, is_it in rows if is_it)
    problem = unfit(expression, data_type, tags)
    return f"expression: {problem}" if problem else ""
