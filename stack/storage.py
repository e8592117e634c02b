"""On what the stack's history is stored and what it takes, for `status` and `up`; and how to have TimescaleDB where it is not.

Enters: the stack's configuration. Leaves: plain values, and lines for people. Who calls: `stack.status`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from base.errors import MillraceError
from stack import postgres
from stack.config import StackConfig

_GUIDE = "docs/deployment.md, TimescaleDB"


def collect(config: StackConfig, *, up: bool) -> dict[str, Any]:
    """Engine, advice and sizes; empty while nothing runs, and an error that names itself while the database does not answer."""
    if not up:
        return {}
    import psycopg

    from connectors.postgres.database import connect
    from historian import storage_size
    from historian.engine import engine_of

    try:
        with connect(postgres.dsn(config), application="status", autocommit=True) as connection:
            engine, sizes = engine_of(connection), storage_size.read(connection)
    except (MillraceError, psycopg.Error) as error:
        return {"error": str(error).strip()}
    advice = engine.update_waits if engine.variant == "timescaledb" else _how_to_have_it(config)
    return {
        "engine": str(engine),
        "advice": advice,
        "sizes": [asdict(size) | {"bytes_per_row": size.bytes_per_row} for size in sizes],
    }


def text(found: dict[str, Any]) -> list[str]:
    """The same for people."""
    if not found:
        return []
    from historian import storage_size
    from historian.storage_size import Size

    if "error" in found:
        return ["", f"storage: {found['error']}"]
    advice = f" ({found['advice']})" if found["advice"] else ""
    sizes = [Size(**{name: value for name, value in row.items() if name != "bytes_per_row"}) for row in found["sizes"]]
    return ["", f"storage: {found['engine']}{advice}", *(f"  {line}" for line in storage_size.table(sizes))]


def _how_to_have_it(config: StackConfig) -> str:
    if not postgres.has_timescaledb():
        return f"for TimescaleDB install its package and start with an empty database: {_GUIDE}"
    if not postgres.uses_timescaledb(config.timescaledb):
        return "TimescaleDB is installed and `timescaledb` is off"
    return f"TimescaleDB is installed; this database was made without it and keeps to that: {_GUIDE}"
