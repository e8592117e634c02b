"""What only TimescaleDB can do wrong: an extension that waits for its update, is not loaded, or may not be created."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from base.settings import StorageSettings
from historian.engine import Engine, EngineError, engine_of
from historian.maintenance import Maintenance
from historian.migrator import MigrationError, migrate
from historian.store import HistorianStore, StoreUnavailable
from stack import postgres
from tests.integration.history import T0_US, make_frame, register, validated, window_batch

pytestmark = pytest.mark.skipif(not postgres.has_timescaledb(), reason="TimescaleDB is not installed")


def older_version(connection: psycopg.Connection[Any]) -> str:
    """A version besides the newest whose library is there, too."""
    row = connection.execute(
        """SELECT v.version FROM pg_available_extension_versions v JOIN pg_available_extensions a USING (name)
           WHERE v.name = 'timescaledb' AND v.version <> a.default_version ORDER BY v.version DESC LIMIT 1"""
    ).fetchone()
    if row is None:
        pytest.skip("the server has one version of the extension only")
    return str(row[0])


def test_an_update_of_the_extension_is_announced_and_history_goes_on(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        old = older_version(connection)
        connection.execute(f"CREATE EXTENSION timescaledb VERSION '{old}'".encode())
    migrate(database)
    power = register(database)["power"]
    store = HistorianStore(database)
    store.write([validated(make_frame([power] * 3, [T0_US + n for n in range(3)], [1.0, 2.0, 3.0]))])
    store.write([window_batch(power, T0_US, 3, window_s=60)])
    assert "ALTER EXTENSION timescaledb UPDATE" in caplog.text
    store.close()
    with psycopg.connect(database, autocommit=True) as connection:
        waiting = engine_of(connection)
    assert (waiting.extension, "ALTER EXTENSION timescaledb UPDATE" in waiting.update_waits) == (old, True)
    # As docs/operations.md says.
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER EXTENSION timescaledb UPDATE")
    caplog.clear()
    with psycopg.connect(database, autocommit=True) as connection:
        assert engine_of(connection).update_waits == ""
        service = Maintenance(connection, StorageSettings())
        for task in service.tasks():
            task.run()
        assert connection.execute("SELECT count FROM aggregate_1h").fetchone() == (3,)
        assert connection.execute("SELECT count(*) FROM partitions").fetchone() == (2,)
        assert connection.execute("SELECT count(*) FROM telemetry").fetchone() == (3,)
    assert "ALTER EXTENSION" not in caplog.text
    assert migrate(database) == []


def test_a_store_that_was_open_goes_on_after_an_update(database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        old = older_version(connection)
        connection.execute(f"CREATE EXTENSION timescaledb VERSION '{old}'".encode())
    migrate(database)
    power = register(database)["power"]
    store = HistorianStore(database)
    store.write([validated(make_frame([power], [T0_US], [1.0]))])
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER EXTENSION timescaledb UPDATE")
    for _ in range(
        2
    ):  # the first may find out that its session is of yesterday; the job keeps the batch and writes again
        try:
            result = store.write([validated(make_frame([power], [T0_US + 1], [1.0], sequence=1))])
        except StoreUnavailable:
            continue
        break
    assert (result.stored, result.poisoned) == (1, [])
    store.close()


def test_a_role_that_may_not_create_the_extension_is_told_who_may(make_database: Callable[[], str]) -> None:
    dsn = make_database()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE nobody_special LOGIN")
        connection.execute("GRANT CREATE ON SCHEMA public TO nobody_special")
    try:
        with pytest.raises(MigrationError, match="let an administrator run `CREATE EXTENSION timescaledb`"):
            migrate(psycopg.conninfo.make_conninfo(dsn, options="-c role=nobody_special"))
    finally:
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("DROP OWNED BY nobody_special")
            connection.execute("DROP ROLE nobody_special")


def test_a_database_whose_extension_is_gone_says_so(database: str) -> None:
    migrate(database)
    with psycopg.connect(database, autocommit=True) as connection:
        assert str(engine_of(connection)).startswith("TimescaleDB 2.")
        connection.execute("DROP EXTENSION timescaledb CASCADE")
    with (
        psycopg.connect(database, autocommit=True) as connection,
        pytest.raises(EngineError, match="its extension is gone"),
    ):
        engine_of(connection)


def test_an_update_that_waits_is_named_with_both_versions() -> None:
    engine = Engine(variant="timescaledb", server="15.18", extension="2.28.2", offered="2.28.3")
    assert "the database has TimescaleDB 2.28.2, its server has 2.28.3" in engine.update_waits
    assert Engine(variant="timescaledb", server="15.18", extension="2.28.3", offered="2.28.3").update_waits == ""
    assert str(Engine(variant="plain", server="15.18")) == "plain PostgreSQL 15.18"
