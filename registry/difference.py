"""What loading a plant file would change: `./millrace plant diff`.

The file is loaded in a transaction that is rolled back, and the registry before is compared with the registry after: what is shown is
what a load does, changes by hand and all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from registry.changes import Change
from registry.load import LoadReport, load_plant
from registry.plant import REGISTERED, Plant
from registry.rows import REGISTRY_LOCK

Connection = psycopg.Connection[Any]
Row = dict[str, Any]
Snapshot = dict[tuple[str, Any], Row]
"""Things by kind and identity, each with its path and what is said of it."""

_TAG = tuple(name for name in REGISTERED if name != "name")
_QUERIES = {
    "gateway": "SELECT gateway_id AS id, gateway_id AS path, site, lanes FROM gateways",
    "connection": """SELECT gateway_id || ' ' || name AS id, gateway_id || '/' || name AS path, protocol, simulated, settings
                     FROM connections""",
    "device": """SELECT device_id AS id, path, device_class, detector, planned_run_time_s, gateway_id, lane, connection, retired
                 FROM devices JOIN device_paths USING (device_id) WHERE valid_to = 'infinity'""",
    "tag": f"SELECT tag_id AS id, path, device_id, {', '.join(_TAG)}, address, retired FROM tag_definition",
}


def difference(connection: Connection, plant: Plant) -> tuple[list[str], LoadReport]:
    """Lines that say what a load would add (+), change (~) and retire (-), by path, and its report. Needs an autocommit connection."""
    # Session lock: nobody allocates ids until the allocator is back where it was.
    connection.execute("SELECT pg_advisory_lock(%s)", (REGISTRY_LOCK,))
    try:
        allocator = connection.execute("SELECT last_value, is_called FROM registry_id").fetchone()
        before = _snapshot(connection)
        with connection.transaction(force_rollback=True):
            report = load_plant(connection, plant, Change(who="diff"))
            after = _snapshot(connection)
        connection.execute("SELECT setval('registry_id', %s, %s)", allocator)
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (REGISTRY_LOCK,))
    return list(_lines(before, after)), report


def _snapshot(connection: Connection) -> Snapshot:
    found: Snapshot = {}
    with connection.cursor(row_factory=dict_row) as cursor:
        for kind, query in _QUERIES.items():
            for row in cursor.execute(sql.SQL(query)):
                settings = row.pop("settings", {})
                found[kind, row.pop("id")] = {**row, **settings}
    return found


def _lines(before: Snapshot, after: Snapshot) -> Iterator[str]:
    moved = {key: row["path"] for key, row in after.items() if key in before and before[key]["path"] != row["path"]}
    for key in sorted({*before, *after}, key=lambda one: ((after.get(one) or before[one])["path"], one[0])):
        kind, old, new = key[0], before.get(key), after.get(key)
        there, comes = _is_there(old), _is_there(new)
        path = (new or old or {})["path"]
        if comes and not there:
            yield f"+ {kind} {path}{' (again)' if old else ''}"
        elif there and not comes:
            yield f"- {kind} {path}"
        elif old is not None and new is not None and comes:
            # A tag moves with its device.
            if kind == "tag" and ("device", new["device_id"]) in moved:
                old = {**old, "path": path}
            names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
            changes = [f"{name} {_shown(old.get(name))} → {_shown(new.get(name))}" for name in names]
            if changes:
                yield f"~ {kind} {path}: {', '.join(changes)}"


def _is_there(row: Mapping[str, Any] | None) -> bool:
    return row is not None and not row.get("retired", False)


def _shown(value: Any) -> str:
    text = (
        "none"
        if value is None
        else f"{value:g}"
        if isinstance(value, float)
        else repr(value)
        if isinstance(value, str)
        else str(value)
    )
    return text if len(text) <= 200 else f"{text[:200]}..."
