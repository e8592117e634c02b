"""The engine a migrated database runs on: native PostgreSQL or TimescaleDB, and what a session on it has to be told.

Enters: a connection. Leaves: the variant, session settings, and words for an extension whose library and catalogue do not belong
together. Who calls: the store, maintenance and the migrator when they connect.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

import psycopg

from base.errors import MillraceError

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]


class EngineError(MillraceError):
    """The database has no schema, or its extension cannot work."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """`extension` is the version of TimescaleDB that the database has, `offered` the one its server would install; empty without."""

    variant: str
    server: str
    extension: str = ""
    offered: str = ""

    def __str__(self) -> str:
        if self.variant == "plain":
            return f"plain PostgreSQL {self.server}"
        return f"TimescaleDB {self.extension} on PostgreSQL {self.server}"

    @property
    def update_waits(self) -> str:
        """What to do when the server has another version of the extension than the database; empty when there is nothing to do."""
        if self.extension == self.offered:
            return ""
        return (
            f"the database has TimescaleDB {self.extension}, its server has {self.offered}: run `ALTER EXTENSION timescaledb UPDATE`"
            " in a new session as the database's owner (docs/operations.md, TimescaleDB)"
        )


def variant_of(connection: Connection) -> str:
    """`plain` or `timescaledb`: how a migrated database stores telemetry."""
    row = connection.execute("SELECT variant FROM schema_migrations LIMIT 1").fetchone()
    if row is None:
        msg = "the database has no schema yet: run `python -m historian.migrate`"
        raise EngineError(msg)
    return str(row[0])


def engine_of(connection: Connection) -> Engine:
    """The engine of a migrated database; raises EngineError when its TimescaleDB is gone or not loaded."""
    variant = variant_of(connection)
    server = str(connection.info.parameter_status("server_version")).split(" ", 1)[0]
    if variant == "plain":
        return Engine(variant=variant, server=server)
    row = connection.execute(
        """SELECT e.extversion, coalesce(a.default_version, ''), current_setting('timescaledb.license', true)
           FROM pg_extension e LEFT JOIN pg_available_extensions a ON a.name = e.extname WHERE e.extname = 'timescaledb'"""
    ).fetchone()
    if row is None:
        msg = "the database was made with TimescaleDB and its extension is gone: restore it, or start a database without it"
        raise EngineError(msg)
    extension, offered, loaded = row
    if loaded is None:
        msg = (
            "the server has not loaded TimescaleDB, which its database needs: put timescaledb in shared_preload_libraries"
            " and start the server again"
        )
        raise EngineError(msg)
    return Engine(variant=variant, server=server, extension=extension, offered=offered)


def prepare(connection: Connection, *, direct_compress: bool = False) -> Engine:
    """Settings of a session that writes; says when an update of the extension waits. Raises EngineError."""
    engine = engine_of(connection)
    if engine.variant == "timescaledb":
        # What comes late opens compressed batches of its tag: as many as it takes, not as a limit in rows says.
        connection.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
        if direct_compress:
            connection.execute("SET timescaledb.enable_direct_compress_copy = on")
        if engine.update_waits:
            log.warning("an update of TimescaleDB waits", extra={"detail": engine.update_waits})
    return engine
