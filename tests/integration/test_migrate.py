"""Migrations: versioned, checksummed, safe to run twice and at once; and nothing in the schema goes without a comment."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from base.errors import ConfigError
from historian import migrate as tool
from historian.migrator import FOLDER, MigrationError, migrate, read_migrations
from registry.load import load_plant
from registry.plant_file import parse_plant
from registry.rows import ensure_cell
from schemas.verdicts import Verdict, is_reject
from tests.integration import history as builders
from tests.integration.fix_history import history, sql, variant

__all__ = ["history", "sql", "variant"]

Sql = psycopg.Connection[Any]


def test_a_second_run_changes_nothing(history: str, sql: Sql, variant: str) -> None:
    rows = "SELECT version, name, variant, checksum, applied_at FROM schema_migrations ORDER BY version"
    before = sql.execute(rows).fetchall()
    assert [row[0] for row in before] == [migration.version for migration in read_migrations(FOLDER, variant)]
    assert {row[2] for row in before} == {variant}
    assert migrate(history) == []
    assert sql.execute(rows).fetchall() == before


def test_many_at_once_apply_each_once(database: str) -> None:
    applied: list[int] = []
    threads = [
        threading.Thread(target=lambda: applied.append(len(migrate(database, timescaledb="off")))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(applied) == [0, 0, 0, len(read_migrations(FOLDER, "plain"))]


def test_an_applied_file_may_not_change_and_a_newer_database_is_refused(database: str, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_a.sql").write_text("CREATE TABLE a ()")
    (folder / "0002_b.sql").write_text("CREATE TABLE b ()")
    assert [migration.name for migration in migrate(database, timescaledb="off", folder=folder)] == ["a", "b"]
    (folder / "0001_a.sql").write_text("CREATE TABLE a (x int)")
    with pytest.raises(MigrationError, match="0001_a has changed"):
        migrate(database, folder=folder)
    (folder / "0001_a.sql").write_text("CREATE TABLE a ()")
    (folder / "0002_b.sql").unlink()
    with pytest.raises(MigrationError, match="0002_b, which this version of Millrace does not know"):
        migrate(database, folder=folder)


def test_a_failing_migration_leaves_nothing_of_itself(database: str, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "0001_a.sql").write_text("CREATE TABLE a ()")
    (folder / "0002_b.sql").write_text("CREATE TABLE b (); SELECT 1 / 0")
    with pytest.raises(MigrationError, match="0002_b failed: division by zero"):
        migrate(database, timescaledb="off", folder=folder)
    with psycopg.connect(database) as connection:
        assert connection.execute("SELECT to_regclass('a')::text, to_regclass('b')").fetchone() == ("a", None)
    (folder / "0002_b.sql").write_text("CREATE TABLE b ()")
    assert len(migrate(database, folder=folder)) == 1


def test_every_table_view_and_column_has_a_comment(sql: Sql) -> None:
    silent = sql.execute(
        """SELECT c.relname, a.attname
           FROM pg_class c
           LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
           WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND NOT c.relispartition
             AND (obj_description(c.oid, 'pg_class') IS NULL OR col_description(c.oid, a.attnum) IS NULL)
           ORDER BY 1, 2"""
    ).fetchall()
    assert silent == []


def test_every_function_has_a_comment(sql: Sql) -> None:
    silent = sql.execute(
        """SELECT p.proname FROM pg_proc p
           WHERE p.pronamespace = 'public'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
             AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"""
    ).fetchall()
    assert silent == []


def test_partitions_inherit_the_comments(sql: Sql, variant: str) -> None:
    if variant != "plain":
        pytest.skip("chunks are TimescaleDB's own")
    sql.execute("SELECT ensure_partition('samples', now())")
    row = sql.execute(
        """SELECT obj_description(c.oid), col_description(c.oid, 1) FROM pg_class c WHERE relname LIKE 'samples_p%%' AND relkind = 'r'"""
    ).fetchone()
    assert row is not None
    assert None not in row


def test_verdicts_are_those_of_the_code(sql: Sql) -> None:
    rows = sql.execute("SELECT verdict, name, accepted FROM verdicts ORDER BY verdict").fetchall()
    assert rows == [(int(verdict), verdict.name, not is_reject(verdict)) for verdict in Verdict]


def test_both_variants_have_the_same_views_and_columns(sql: Sql) -> None:
    """Against a list, so that the two cannot drift apart when only one is at hand."""
    statistics = "start tag_id window_s count good mean m2 min min_time max max_time first first_time last last_time"
    wanted = {
        "samples": "time value tag_id quality verdict",
        "aggregates": f"{statistics} repaired contested lineage",
        "aggregates_1h": statistics,
        "aggregates_1d": statistics,
        "partitions": "partition_name table_name from_time to_time closed_at dense",
        "telemetry": "time path name value unit quality quality_code verdict device_id tag_id eu_low eu_high limit_low limit_high",
    }
    for name, columns in wanted.items():
        found = sql.execute(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (name,),
        ).fetchall()
        assert [row[0] for row in found] == columns.split(), name


def test_timescaledb_off_and_wrong_settings(make_database: Callable[[], str]) -> None:
    dsn = make_database()
    with pytest.raises(ConfigError, match=r"storage\.timescaledb is 'on'"):
        migrate(dsn, timescaledb="on")
    migrate(dsn, timescaledb="off")
    with psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT timescaledb FROM storage_settings").fetchone() == (False,)
        # Whoever begins a session, an analyst with psql too: compiling the query took longer than reading 100,000 samples of one tag.
        assert connection.execute("SHOW jit").fetchone() == ("off",)


def test_the_tool_says_what_it_did(database: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "platform.toml"
    config.write_text(
        f'sites = []\n[kafka]\nbootstrap_servers = ""\n[postgres]\ndsn = "{database}"\n[storage]\ntimescaledb = "off"\n'
    )
    assert tool.main(["--config", str(config)]) == 0
    assert tool.main(["--config", str(config)]) == 0
    count = len(read_migrations(FOLDER, "plain"))
    assert capsys.readouterr().out == f"{count} migrations applied\nschema is up to date\n"
    config.write_text(config.read_text().replace(database, "host=127.0.0.1 port=1"))
    assert tool.main(["--config", str(config)]) == 1
    assert "not available" in capsys.readouterr().err


def test_migrations_ship_with_the_code(tmp_path: Path) -> None:
    shutil.copytree(FOLDER, tmp_path / "copy")
    assert read_migrations(tmp_path / "copy", "plain") == read_migrations(FOLDER, "plain")


def test_a_registry_of_before_connections_keeps_addresses_digests_and_what_was_set_by_hand(
    database: str, tmp_path: Path
) -> None:
    before = tmp_path / "migrations"
    before.mkdir()
    for path in FOLDER.glob("*.sql"):
        if int(path.name[:4]) < 19:
            shutil.copy(path, before)
    migrate(database, timescaledb="off", folder=before)
    (device,) = (plant := parse_plant(builders.plant(power=builders.tag()))).devices
    (tag,) = device.tags
    with psycopg.connect(database, autocommit=True) as connection:
        for query in (
            "INSERT INTO sites VALUES ('north', 'acme')",
            "INSERT INTO gateways VALUES ('gw', 'north', 2)",
            f"""INSERT INTO devices (site, name, device_class, detector, planned_run_time_s, gateway_id, lane, protocol, source_digest)
                VALUES ('north', 'press-01', 'press', 'default', 2, 'gw', 0, 'opcua', '{device.digest()}')""",
            f"""INSERT INTO tags (device_id, name, tag_class, description, data_type, unit, eu_low, eu_high, limit_low, limit_high,
                                  period_ms, windows_s, historise, address, registry_version, source_digest)
                VALUES (1, 'power', 'fast', 'Power', 'DOUBLE', 'kW', 0, 100, -10, 250, 100, '{{1,60}}', 'ALL',
                        'opcua:ns=2;s=north.press-01.power', 7, '{device.tag_digest(tag)}')""",
            "UPDATE registry_state SET version = 7",
        ):
            connection.execute(query.encode())
        cell = ensure_cell(connection, "acme/north/forming/line-1/cell-1")
        place = "INSERT INTO device_paths (device_id, valid_from, cell_id, path) VALUES (1, '-infinity', %s, %s)"
        connection.execute(place, (cell, "acme/north/forming/line-1/cell-1/press-01"))
        migrate(database)
        assert str(load_plant(connection, plant)) == "registry version 8: changed connections 1"
        found = connection.execute(
            "SELECT registry_version, limit_high, address, valid_from, valid_to FROM tag_definitions_history"
        ).fetchall()
        assert found == [(7, 250.0, "opcua:ns=2;s=north.press-01.power", None, None)]
        assert connection.execute("SELECT connection FROM devices").fetchall() == [("opcua",)]
