"""Rows that every change of the registry works on: its version and lock, places, addresses. Who calls: `registry.load`, `registry.edit`."""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from base.errors import RegistryError

REGISTRY_LOCK = 7_161_511_002

Connection = psycopg.Connection[Any]


def lock(connection: Connection) -> int:
    """Take the registry for this transaction; returns its version."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (REGISTRY_LOCK,))
    row = connection.execute("SELECT version FROM registry_state").fetchone()
    assert row is not None  # the migration made it
    return int(row[0])


def set_version(connection: Connection, version: int) -> None:
    """Record that a version is complete."""
    connection.execute("UPDATE registry_state SET version = %s, changed_at = now()", (version,))


def check_addresses(connection: Connection) -> None:
    """Raise RegistryError when two tags of one gateway have one address: nobody could tell whose sample it is."""
    row = connection.execute(_SHARED_ADDRESS).fetchone()
    if row is not None:
        msg = f"gateway {row[0]}: the address {row[1][:200]} belongs to {' and '.join(row[2][:4])}; each tag needs its own"
        raise RegistryError(msg)


def check_kind(path: str, *, was: str, becomes: str) -> None:
    """Raise RegistryError when a tag that is there would be calculated and was measured, or the other way, by its expressions.

    What is on its way under the tag's id would be refused, or mixed with what it is no more.
    """
    if bool(was) == bool(becomes):
        return
    kinds = ("measured", "calculated")
    msg = (
        f"{path} is {kinds[bool(was)]}, and would be {kinds[bool(becomes)]} under the same name: samples that are on their way would be "
        "refused. Give the new tag another name; or load the file without it first, which retires the tag, and then with it"
    )
    raise RegistryError(msg)


def ensure_cell(connection: Connection, path: str) -> int:
    """Id of the cell `enterprise/site/area/line/cell`, made with its line and area when missing."""
    _, site, area, line, cell = path.split("/")
    row = connection.execute("SELECT cell_id FROM cells WHERE path = %s", (path,)).fetchone()
    if row is None:
        area_id = _ensure(connection, "areas", "area_id", "site", site, area)
        line_id = _ensure(connection, "lines", "line_id", "area_id", area_id, line)
        row = connection.execute(
            "INSERT INTO cells (line_id, name, path) VALUES (%s, %s, %s) RETURNING cell_id", (line_id, cell, path)
        ).fetchone()
        assert row is not None
    return int(row[0])


def _ensure(connection: Connection, table: str, key: str, parent: str, parent_value: Any, name: str) -> int:
    query = sql.SQL(
        """INSERT INTO {table} ({parent}, name) VALUES (%s, %s)
           ON CONFLICT ({parent}, name) DO UPDATE SET name = EXCLUDED.name RETURNING {key}"""
    ).format(table=sql.Identifier(table), parent=sql.Identifier(parent), key=sql.Identifier(key))
    row = connection.execute(query, (parent_value, name)).fetchone()
    assert row is not None
    return int(row[0])


def place_device(connection: Connection, device_id: int, cell_id: int, path: str) -> bool:
    """Let a device stand at `path` from now on; False when it does already. Its earlier places stay, dated."""
    row = connection.execute(
        "SELECT path FROM device_paths WHERE device_id = %s AND valid_to = 'infinity'", (device_id,)
    ).fetchone()
    if row is not None and row[0] == path:
        return False
    # clock_timestamp: two moves in one transaction must not make an empty range.
    ended = connection.execute(
        "UPDATE device_paths SET valid_to = clock_timestamp() WHERE device_id = %s AND valid_to = 'infinity' RETURNING valid_to",
        (device_id,),
    ).fetchone()
    assert ended is not None
    connection.execute(
        "INSERT INTO device_paths (device_id, valid_from, cell_id, path) VALUES (%s, %s, %s, %s)",
        (device_id, ended[0], cell_id, path),
    )
    return True


_SHARED_ADDRESS = """
SELECT gateway_id, address, array_agg(path ORDER BY path) FROM tag_definition WHERE NOT retired AND expression = ''
GROUP BY gateway_id, address HAVING count(*) > 1 LIMIT 1"""
