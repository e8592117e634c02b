"""Brings a database to the newest schema: `migrations/NNNN_name.sql`, in order, each in one transaction, each once.

A file `NNNN_name.plain.sql` is for native PostgreSQL, `NNNN_name.timescaledb.sql` for TimescaleDB; the first run
decides which, and the database keeps to it. Files that were applied may not change: their checksum is kept and
compared. An advisory lock lets any number of processes migrate at once. Who calls: `python -m historian.migrate`,
tests.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from psycopg import errors

from base.errors import ConfigError, MillraceError
from connectors.postgres.database import connect
from historian.engine import EngineError, prepare

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
VARIANTS = ("plain", "timescaledb")
_FILE = re.compile(r"(?P<version>\d{4})_(?P<name>\w+?)(?:\.(?P<variant>plain|timescaledb))?\.sql")
_LOCK = 7_161_511_001  # any number, the same for every migrator


class MigrationError(MillraceError):
    """The database cannot be brought to this version of the schema."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Migration:
    """One file. `variant` is empty for both."""

    version: int
    name: str
    variant: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def read_migrations(folder: Path, variant: str) -> tuple[Migration, ...]:
    """Migrations of a variant in order; raises MigrationError for a misnamed or doubled file."""
    found: dict[int, Migration] = {}
    for path in sorted(folder.glob("*.sql")):
        match = _FILE.fullmatch(path.name)
        if match is None:
            msg = f"{path.name} is not named NNNN_name[.plain|.timescaledb].sql"
            raise MigrationError(msg)
        if match["variant"] not in (None, variant):
            continue
        version = int(match["version"])
        if version in found:
            msg = f"two migrations have number {version:04}: {found[version].name} and {match['name']}"
            raise MigrationError(msg)
        found[version] = Migration(
            version=version, name=match["name"], variant=match["variant"] or "", sql=path.read_text()
        )
    return tuple(found[version] for version in sorted(found))


def migrate(dsn: str, *, timescaledb: str = "auto", folder: Path = FOLDER) -> list[Migration]:
    """Apply what is missing; returns what was applied. Raises MigrationError, ConfigError, StoreUnavailable."""
    if timescaledb not in ("auto", "off"):
        msg = f"storage.timescaledb is {timescaledb!r}, not 'auto' or 'off'"
        raise ConfigError(msg)
    connection = connect(dsn, application="migrate", autocommit=True)
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        _create_log(connection)
        variant = _variant(connection, timescaledb)
        migrations = read_migrations(folder, variant)
        applied = _applied(connection)
        if applied:
            _prepare(connection)
        _check(migrations, applied)
        missing = [migration for migration in migrations if migration.version not in applied]
        for migration in missing:
            _apply(connection, migration, variant)
        return missing
    finally:
        connection.close()  # gives the lock back too


def _create_log(connection: psycopg.Connection[Any]) -> None:
    statements = (
        """CREATE TABLE IF NOT EXISTS schema_migrations (
            version integer PRIMARY KEY,
            name text NOT NULL,
            variant text NOT NULL,
            checksum text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now()
        )""",
        "COMMENT ON TABLE schema_migrations IS 'Versions of this schema that were applied.'",
        "COMMENT ON COLUMN schema_migrations.version IS 'Number of the migration.'",
        "COMMENT ON COLUMN schema_migrations.name IS 'Its name.'",
        "COMMENT ON COLUMN schema_migrations.variant IS 'plain or timescaledb: how this database stores telemetry.'",
        "COMMENT ON COLUMN schema_migrations.checksum IS 'SHA-256 of its text.'",
        "COMMENT ON COLUMN schema_migrations.applied_at IS 'When it was applied.'",
    )
    for statement in statements:
        connection.execute(statement)


def _variant(connection: psycopg.Connection[Any], timescaledb: str) -> str:
    """The variant the database has; for an empty one, TimescaleDB when the server offers and has loaded it."""
    row = connection.execute("SELECT variant FROM schema_migrations LIMIT 1").fetchone()
    if row is not None:
        return str(row[0])
    if timescaledb == "off":
        return "plain"
    # A setting of the extension's loader: who may read shared_preload_libraries is not everybody.
    query = """SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')
                  AND current_setting('timescaledb.disable_load', true) IS NOT NULL"""
    row = connection.execute(query).fetchone()
    if row is None or not row[0]:
        return "plain"
    try:
        connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except errors.InsufficientPrivilege as error:
        msg = (
            "this role may not create the extension timescaledb: let an administrator run `CREATE EXTENSION timescaledb` in this database"
            " (docs/deployment.md, TimescaleDB), or set storage.timescaledb to off"
        )
        raise MigrationError(msg) from error
    # The session that creates the extension has loaded it too late for some of its functions.
    return "timescaledb"


def _prepare(connection: psycopg.Connection[Any]) -> None:
    try:
        prepare(connection)
    except EngineError as error:
        raise MigrationError(str(error)) from error


def _applied(connection: psycopg.Connection[Any]) -> dict[int, tuple[str, str]]:
    rows = connection.execute("SELECT version, name, checksum FROM schema_migrations").fetchall()
    return {version: (name, checksum) for version, name, checksum in rows}


def _check(migrations: Sequence[Migration], applied: dict[int, tuple[str, str]]) -> None:
    known = {migration.version: migration for migration in migrations}
    for version, (name, checksum) in sorted(applied.items()):
        if version not in known:
            msg = f"the database has migration {version:04}_{name}, which this version of Millrace does not know: it is newer"
            raise MigrationError(msg)
        if known[version].checksum != checksum:
            msg = f"migration {version:04}_{name} has changed since it was applied; write a new one instead"
            raise MigrationError(msg)


def _apply(connection: psycopg.Connection[Any], migration: Migration, variant: str) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql.encode())
            connection.execute(
                "INSERT INTO schema_migrations (version, name, variant, checksum) VALUES (%s, %s, %s, %s)",
                (migration.version, migration.name, variant, migration.checksum),
            )
    except psycopg.Error as error:
        msg = f"migration {migration.version:04}_{migration.name} failed: {error}"
        raise MigrationError(msg) from error
    log.info("migration applied", extra={"version": migration.version, "migration": migration.name, "variant": variant})
