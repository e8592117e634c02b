"""CSV files of the model of work: the example set, all or nothing, and errors that name their place."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from base.errors import InvalidRequestError
from registry.load import load_plant
from registry.plant_file import read_plant
from tests.integration.fix_history import copy_of, plain_history
from work.exporting import export
from work.importing import Imported, import_files
from work.tables import NAMES, describe

__all__ = ["plain_history"]

Sql = psycopg.Connection[Any]
STACK = Path(__file__).resolve().parents[2] / "stack"
EXAMPLES = sorted((STACK / "work").glob("*.csv"))
PRESS = "acme/north/forming/line-1/blanking/press-01"


@pytest.fixture
def open_plant(postgres_admin_dsn: str, history_template: Callable[[str], str]) -> Iterator[Callable[[], Sql]]:
    """Databases with the example plant and nothing of its work."""
    with ExitStack() as stack:

        def open_one() -> Sql:
            dsn = stack.enter_context(copy_of(postgres_admin_dsn, history_template("plain")))
            connection = stack.enter_context(psycopg.connect(dsn, autocommit=True))
            connection.execute("SET timezone = 'UTC'")
            load_plant(connection, read_plant(STACK / "plant.yaml"))
            return connection

        yield open_one


@pytest.fixture
def plant(open_plant: Callable[[], Sql]) -> Sql:
    """One of them."""
    return open_plant()


def enter(plant: Sql, *paths: Path, **options: Any) -> list[Imported]:
    return import_files(plant, paths, who="anna", why="plan", **options)


def totals(done: list[Imported]) -> tuple[int, int, int]:
    return sum(t.added for t in done), sum(t.changed for t in done), sum(t.unchanged for t in done)


def text(plant: Sql, table: str) -> str:
    out = io.StringIO()
    export(plant, table, out)
    return out.getvalue()


def unsigned(exported: str) -> list[dict[str, str]]:
    """Rows without who, when and why."""
    rows = csv.DictReader(io.StringIO(exported))
    return [{k: v for k, v in row.items() if k not in ("entered_at", "entered_by", "why")} for row in rows]


def count(plant: Sql, table: str) -> int:
    row = plant.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def test_the_example_set_gives_every_machine_planned_time_and_every_state_a_reason(plant: Sql) -> None:
    rows = sum(len(path.read_text().splitlines()) - 1 for path in EXAMPLES)
    assert totals(enter(plant, *EXAMPLES)) == (rows, 0, 0)
    assert totals(enter(plant, *EXAMPLES)) == (0, 0, rows)
    assert count(plant, "work_changes") == rows
    busy = plant.execute(
        """SELECT d.path, sum(b.end_time - b.start_time)
           FROM device d CROSS JOIN LATERAL planned_busy(d.device_id, '2026-03-28 00:00Z', '2026-03-30 00:00Z') b
           WHERE b.shift IS NOT NULL GROUP BY d.path"""
    ).fetchall()
    assert len(busy) == 38
    assert {total for _, total in busy} == {timedelta(days=2)}, "both sites work around the clock, also when it changes"
    closed = plant.execute(
        "SELECT shift FROM shifts_between(%s, '2026-05-01 06:00Z', '2026-05-02 03:00Z')", (PRESS,)
    ).fetchall()
    assert closed == []
    unexplained = plant.execute(
        """SELECT n FROM generate_series(1, 17) AS n
           WHERE n <> 6 AND NOT EXISTS (SELECT FROM packml_reasons p WHERE p.packml_state = packml_state_name(n))"""
    ).fetchall()
    assert unexplained == []


def test_every_table_goes_out_and_in_again(open_plant: Callable[[], Sql], tmp_path: Path) -> None:
    plant, other = open_plant(), open_plant()
    enter(plant, *EXAMPLES)
    device = plant.execute("SELECT device_id FROM device WHERE path = %s", (PRESS,)).fetchone()
    assert device is not None
    for statement in (
        "SELECT start_job('N-1001', %s, '2026-12-01 06:00Z', 'anna', end_time => '2026-12-01 06:00:00.000001Z')",
        "SELECT record_material('coil-7781', %s, 'CONSUMED', 0.1, '2026-12-01 06:00Z', NULL, 'anna')",
        "SELECT enter_downtime(%s, '2026-12-01 08:00Z', '2026-12-01 09:00Z', 'mechanical/jam', 'anna', 'said \"jam\", twice')",
        "SELECT enter_downtime(%s, '2026-12-01 08:30Z', NULL, NULL, 'bert')",
        "SELECT record_scrap(%s, '2026-12-01 08:30Z', 1e9, 'startup', 'anna')",
        "SELECT start_batch('B1', 'cure cap', '2', %s, '2026-12-01 06:00Z', 'anna')",
        "SELECT enter_batch_phase('B1', 'soak', %s, '2026-12-01 06:00Z', NULL, 'anna')",
    ):
        plant.execute(statement, device)
    plant.execute("INSERT INTO ideal_cycle_times (scope, cycle_time_s) VALUES ('acme', 1.1)")
    paths = []
    for name in NAMES:
        assert describe(plant, name).key, name
        paths.append(tmp_path / f"{name}.csv")
        paths[-1].write_text(text(plant, name))
        assert len(paths[-1].read_text().splitlines()) > 1, name
    added, changed, unchanged = totals(enter(other, *reversed(paths)))
    assert (changed, unchanged) == (0, 0)
    assert added == sum(count(plant, name) for name in NAMES)
    for name in NAMES:
        assert unsigned(text(other, name)) == unsigned(text(plant, name)), name
    assert totals(enter(other, *paths)) == (0, 0, added)


def test_what_is_wrong_is_said_with_its_place_and_nothing_is_entered(plant: Sql, tmp_path: Path) -> None:
    enter(plant, *EXAMPLES)
    orders, entries = tmp_path / "job_orders.csv", tmp_path / "downtime_entries.csv"
    orders.write_text(
        "job_order,material,quantity,scope,planned_start,planned_end\n"
        "good,cap-40,10,acme/north,2026-12-01T06:00Z,2026-12-02T06:00Z\n"
        "naive,cap-40,10,acme/north,2026-12-01 06:00,2026-12-02T06:00Z\n"
        "many,cap-40,much,acme/north,2026-12-01T06:00Z,\n"
        '"two\nlines",unheard,10,acme/north,2026-12-01T06:00Z,2026-12-02T06:00Z\n'
        "none,cap-40,0,acme/north,2026-12-01T06:00Z,2026-12-02T06:00Z\n"
        "place,cap-40,1,acme//north,2026-12-01T06:00Z,2026-12-02T06:00Z\n"
        "good,cap-40,10,acme/north,2026-12-01T06:00Z,2026-12-02T06:00Z\n"
        "short,cap-40\n"
    )
    entries.write_text(
        "device_path,start_time,end_time,reason\n"
        f"{PRESS},2026-12-01T06:00+01:00,2026-12-01T07:00+01:00,mechanical/jam\n"
        "acme/north/press-99,2026-12-01T06:00+01:00,,fault\n"
    )
    with pytest.raises(InvalidRequestError) as error:
        enter(plant, entries, orders)
    lines = [line.removeprefix(f"{tmp_path}/") for line in str(error.value).splitlines()]
    assert lines == [
        "job_orders.csv:3:planned_start: '2026-12-01 06:00' has no offset; write 2026-03-29T06:00:00+02:00 (with its offset; Z is UTC)",
        "job_orders.csv:4:quantity: 'much' is no number; write 12.5",
        "job_orders.csv:4:planned_end: is empty",
        "job_orders.csv:9:job_order: has the key of line 2: job_order",
        "job_orders.csv:10: has 2 cells, the header has 6",
        "job_orders.csv:5:material: 'unheard' is not entered",
        "job_orders.csv:7:quantity: '0' is refused by " + rule(plant, "job_orders_quantity_check"),
        "job_orders.csv:8:scope: 'acme//north' is refused by " + rule(plant, "scope_path_check"),
        "downtime_entries.csv:3:device_path: 'acme/north/press-99' is no device; `./millrace devices` lists them",
        "nothing was entered",
    ]
    assert count(plant, "downtime_entries") == 0
    assert count(plant, "job_orders") == 6


def rule(plant: Sql, name: str) -> str:
    row = plant.execute("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", (name,)).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize(
    ("name", "header", "message"),
    [
        ("orders.csv", "job_order", "a file is named as its table: shift_patterns.csv"),
        ("job_orders.csv", "job_order,color", "job_orders has no column 'color'; it has job_order, material"),
        ("job_orders.csv", "job_order,material", "column quantity is missing"),
        ("job_orders.csv", "job_order,job_order", "a column is twice"),
        ("job_orders.csv", "", "column job_order is missing"),
    ],
)
def test_files_that_are_no_table_are_refused(plant: Sql, tmp_path: Path, name: str, header: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(header)
    with pytest.raises(InvalidRequestError, match=message):
        enter(plant, path)


def test_a_changed_row_is_changed_a_dry_run_is_not_and_missing_leaves_it(plant: Sql, tmp_path: Path) -> None:
    path = tmp_path / "scrap_reasons.csv"
    path.write_text("reason,description\nchip,a piece\nburr,\n")
    assert totals(enter(plant, path, dry_run=True)) == (2, 0, 0)
    assert (count(plant, "scrap_reasons"), count(plant, "work_changes")) == (0, 0)
    assert totals(enter(plant, path)) == (2, 0, 0)
    path.write_text("\ufeffreason,description\r\nchip,a piece is missing\r\nburr,\r\ndent,\r\n")
    assert totals(enter(plant, path, missing_only=True)) == (1, 0, 2)
    assert totals(enter(plant, path)) == (0, 1, 2)
    assert plant.execute("SELECT who, why, after ->> 'description' FROM work_change ORDER BY change_id DESC LIMIT 1").fetchone() == (
        "anna", "plan", "a piece is missing",
    )  # fmt: skip


def test_an_entry_is_not_changed_but_followed_by_a_newer_one(plant: Sql, tmp_path: Path) -> None:
    enter(plant, *EXAMPLES)
    path = tmp_path / "downtime_entries.csv"
    row = "00000000-0000-4000-8000-000000000001," + PRESS + ",2026-12-01T06:00Z,2026-12-01T07:00Z,{}\n"
    path.write_text("entry,device_path,start_time,end_time,reason\n" + row.format("fault"))
    assert [totals(enter(plant, path)) for _ in range(2)] == [(1, 0, 0), (0, 0, 1)]
    path.write_text("entry,device_path,start_time,end_time,reason\n" + row.format("idle"))
    with pytest.raises(InvalidRequestError, match=r"csv:2:entry: an entry is never changed: enter a newer one"):
        enter(plant, path)
    path.write_text("device_path,start_time,end_time,reason\n" + row.format("idle").split(",", 1)[1])
    assert [totals(enter(plant, path)) for _ in range(2)] == [(1, 0, 0), (0, 0, 1)]


def test_an_overlap_names_both_rows(plant: Sql, tmp_path: Path) -> None:
    enter(plant, *EXAMPLES)
    path = tmp_path / "work_calendars.csv"
    path.write_text("scope,valid_from,pattern\nacme/north,2026-08-01,utilities\n")
    with pytest.raises(InvalidRequestError, match=r"csv:2: overlaps another row of work_calendars: Key .*2026-08-01"):
        enter(plant, path)
