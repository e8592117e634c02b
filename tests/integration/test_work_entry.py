"""Entering the plant's work: rules of jobs, lots and batches, the trace of every change, and what each role may do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests.integration.fix_history import plain_history
from tests.integration.history import register, tag

__all__ = ["plain_history"]

Sql = psycopg.Connection[Any]
T0 = datetime(2026, 9, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
TABLES = {
    "shift_patterns", "shift_pattern_shifts", "work_calendars", "work_calendar_exceptions", "material_definitions", "ideal_cycle_times",
    "job_orders", "job_responses", "material_lots", "material_actuals", "downtime_reasons", "downtime_entries", "packml_reasons",
    "scrap_reasons", "scrap_entries", "recipes", "recipe_phases", "batches", "batch_phases",
}  # fmt: skip
HAPPENED = {
    "job_orders",
    "job_responses",
    "material_lots",
    "material_actuals",
    "downtime_entries",
    "scrap_entries",
    "batches",
    "batch_phases",
}


@pytest.fixture
def sql(plain_history: str) -> Iterator[Sql]:
    """A plant of one press with an order, a lot, reasons and a recipe."""
    register(plain_history, power=tag())
    with psycopg.connect(plain_history, autocommit=True) as connection:
        connection.execute("SET timezone = 'UTC'")
        connection.execute("SELECT set_config('millrace.who', 'planning', false)")
        connection.execute("INSERT INTO material_definitions (material) VALUES ('cap')")
        connection.execute(
            """INSERT INTO job_orders (job_order, material, quantity, scope, planned_start, planned_end)
               SELECT n, 'cap', 100, 'acme/north', %s, %s FROM unnest(ARRAY['J1', 'J2', 'J3']) AS n""",
            (T0, T0 + 8 * HOUR),
        )
        connection.execute("UPDATE job_orders SET status = 'CANCELLED' WHERE job_order = 'J3'")
        connection.execute("INSERT INTO material_lots (lot, material) VALUES ('L1', 'cap')")
        connection.execute("INSERT INTO scrap_reasons (reason) VALUES ('crack')")
        connection.execute("INSERT INTO downtime_reasons (reason) VALUES ('bearing')")
        connection.execute("INSERT INTO recipes (recipe, version, material) VALUES ('brew', '2', 'cap')")
        connection.execute("SELECT set_config('millrace.who', '', false)")
        yield connection


def one(sql: Sql, query: str, *arguments: Any) -> Any:
    row = sql.execute(query, arguments).fetchone()
    assert row is not None
    return row[0] if len(row) == 1 else tuple(row)


def device(sql: Sql) -> int:
    return int(one(sql, "SELECT device_id FROM devices"))


def start(sql: Sql, order: str, at: datetime, until: datetime | None = None) -> UUID:
    made = one(sql, "SELECT start_job(%s, %s, %s, 'anna', end_time => %s)", order, device(sql), at, until)
    assert isinstance(made, UUID)
    return made


def status(sql: Sql, order: str) -> Any:
    return one(sql, "SELECT status FROM job_orders WHERE job_order = %s", order)


def test_a_machine_works_on_one_order_at_a_time(sql: Sql) -> None:
    first = start(sql, "J1", T0)
    assert status(sql, "J1") == "RUNNING"
    with pytest.raises(
        psycopg.errors.ExclusionViolation, match=r"works on job order J1 from 2026-09-21 12:00:00\+00 to now"
    ):
        start(sql, "J2", T0 + HOUR)
    sql.execute("SELECT complete_job(%s, %s, 'anna')", (first, T0 + HOUR))
    assert status(sql, "J1") == "COMPLETED"
    second = start(sql, "J2", T0 + HOUR)
    at = "SELECT job_order FROM running_job(%s, %s)"
    assert [one(sql, at, device(sql), T0 + minutes * HOUR / 60) for minutes in (0, 59, 60, 600)] == [
        "J1",
        "J1",
        "J2",
        "J2",
    ]
    assert sql.execute(at, (device(sql), T0 - HOUR)).fetchall() == []
    with pytest.raises(psycopg.errors.ExclusionViolation, match="another job order before 2026-09-21 14:00"):
        sql.execute("SELECT complete_job(%s, %s, 'anna')", (first, T0 + 2 * HOUR))
    sql.execute("SELECT complete_job(%s, %s, 'anna', order_completed => false)", (second, T0 + 2 * HOUR))
    assert status(sql, "J2") == "RUNNING"


def test_a_late_entry_of_work_fits_where_nothing_was_and_is_refused_elsewhere(sql: Sql) -> None:
    start(sql, "J1", T0)
    start(sql, "J2", T0 - 2 * HOUR, T0)
    with pytest.raises(psycopg.errors.ExclusionViolation, match="J2 from 2026-09-21 10:00"):
        start(sql, "J2", T0 - 3 * HOUR, T0 - HOUR)
    with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="J3 is cancelled"):
        start(sql, "J3", T0 - 9 * HOUR, T0 - 8 * HOUR)
    with pytest.raises(psycopg.errors.NoDataFound, match="no job order J9"):
        start(sql, "J9", T0 - 9 * HOUR)
    with pytest.raises(psycopg.errors.CheckViolation):
        start(sql, "J2", T0 - 4 * HOUR, T0 - 4 * HOUR)


def test_lots_and_scrap_belong_to_the_order_that_ran(sql: Sql) -> None:
    job = start(sql, "J1", T0)
    sql.execute("SELECT record_material('L1', %s, 'PRODUCED', 90, %s, %s, 'anna')", (device(sql), T0, T0 + HOUR))
    sql.execute("SELECT record_scrap(%s, %s, 10, 'crack', 'anna')", (device(sql), T0 + HOUR))
    sql.execute("SELECT record_scrap(%s, %s, 1, 'crack', 'anna')", (device(sql), T0 - HOUR))
    path = "acme/north/forming/line-1/cell-1/press-01"
    assert one(sql, "SELECT job_order, material, device_path, job_response FROM material_actual") == (
        "J1",
        "cap",
        path,
        job,
    )
    assert sql.execute("SELECT quantity, job_order FROM scrap_entry ORDER BY time").fetchall() == [
        (1, None),
        (10, "J1"),
    ]
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
        sql.execute("SELECT record_scrap(%s, %s, 1, 'unheard', 'anna')", (device(sql), T0))


def test_a_batch_ends_with_its_phases_and_can_be_corrected(sql: Sql) -> None:
    sql.execute("SELECT start_batch('B1', 'brew', '2', %s, %s, 'anna', lot => 'L1')", (device(sql), T0))
    phase = "SELECT enter_batch_phase('B1', %s, %s, %s, %s, 'anna')"
    sql.execute(phase, ("heat", device(sql), T0, None))
    sql.execute(phase, ("heat", device(sql), T0, T0 + HOUR))
    sql.execute(phase, ("hold", device(sql), T0 + HOUR, None))
    for hours in (2, 3):
        sql.execute("SELECT complete_batch('B1', %s, 'anna', golden => true)", (T0 + hours * HOUR,))
    assert one(sql, "SELECT end_time, golden, lot, material FROM batch") == (T0 + 3 * HOUR, True, "L1", "cap")
    phases = sql.execute("SELECT phase, start_time, end_time FROM batch_phase ORDER BY 2").fetchall()
    assert phases == [("heat", T0, T0 + HOUR), ("hold", T0 + HOUR, T0 + 2 * HOUR)]
    with pytest.raises(psycopg.errors.NoDataFound, match="no batch B2"):
        sql.execute("SELECT complete_batch('B2', %s, 'anna')", (T0,))


def test_every_change_leaves_both_rows_with_who_and_why(sql: Sql) -> None:
    sql.execute("DELETE FROM scrap_reasons")
    sql.execute("INSERT INTO scrap_reasons (reason, entered_by, why) VALUES ('chip', 'anna', 'new')")
    with sql.transaction():
        sql.execute("SELECT sign_work('bert', 'clearer')")
        sql.execute("UPDATE scrap_reasons SET description = 'a piece is missing'")
        sql.execute("UPDATE scrap_reasons SET description = 'a piece is missing'")  # changes nothing
    sql.execute("UPDATE scrap_reasons SET reason = 'chipped'")
    me = one(sql, "SELECT session_user")
    rows = sql.execute(
        """SELECT who, why, key ->> 'reason', before ->> 'reason', before ->> 'description', after ->> 'reason', after ->> 'description'
           FROM work_change WHERE table_name = 'scrap_reasons' ORDER BY change_id"""
    ).fetchall()
    assert rows == [
        ("planning", "", "crack", None, None, "crack", ""),
        (me, "", "crack", "crack", "", None, None),
        ("anna", "new", "chip", None, None, "chip", ""),
        ("bert", "clearer", "chip", "chip", "", "chip", "a piece is missing"),
        (me, "", "chipped", "chip", "a piece is missing", "chipped", "a piece is missing"),
    ]


def test_every_table_of_work_is_signed_and_traced(sql: Sql) -> None:
    signed = sql.execute(
        "SELECT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid WHERE attname = 'entered_by' AND relkind = 'r'"
    )
    assert {name for (name,) in signed} == TABLES
    traced = sql.execute(
        """SELECT tgrelid::regclass::text, array_agg(tgname::text ORDER BY tgname)
           FROM pg_trigger WHERE tgname IN ('stamp', 'trace') GROUP BY 1"""
    )
    assert dict(traced.fetchall()) == {table: ["stamp", "trace"] for table in TABLES}


def test_what_the_roles_may_do(sql: Sql) -> None:
    may = """SELECT c.relname, string_agg(p, ' ' ORDER BY p)
             FROM pg_class c CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p
             WHERE c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
               AND has_table_privilege(%s, c.oid, p) GROUP BY 1"""
    planner = dict(sql.execute(may, ("millrace_planner",)).fetchall())
    reader = dict(sql.execute(may, ("millrace_reader",)).fetchall())
    assert {t for t, rights in planner.items() if "INSERT" in rights} == TABLES
    assert {t for t, rights in planner.items() if "DELETE" in rights} & HAPPENED == set()
    assert planner["downtime_entries"] == "INSERT SELECT"
    assert planner["work_changes"] == "SELECT"
    assert reader.keys() == planner.keys()
    assert {reader[t] for t in TABLES | {"work_changes", "work_change", "job_order", "downtime_entry"}} == {"SELECT"}


def test_the_planner_enters_through_the_functions(sql: Sql) -> None:
    machine = device(sql)
    sql.execute("SET ROLE millrace_planner")
    sql.execute("SELECT enter_downtime(%s, %s, %s, 'bearing', 'anna', 'heard it')", (machine, T0, T0 + HOUR))
    start(sql, "J1", T0)
    assert one(sql, "SELECT who, why FROM work_change WHERE table_name = 'downtime_entries'") == ("anna", "heard it")
    for forbidden in (
        "DELETE FROM job_responses",
        "UPDATE downtime_entries SET reason = NULL",
        "DELETE FROM work_changes",
        "UPDATE devices SET lane = 0",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            sql.execute(forbidden)


@pytest.mark.parametrize("zone", ["Berlin", "europe/berlin", "EST5", "+02", "posix/Europe/Berlin", "localtime", ""])
def test_a_zone_is_one_of_iana(sql: Sql, zone: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        sql.execute("INSERT INTO shift_patterns (name, time_zone) VALUES ('p', %s)", (zone,))


@pytest.mark.parametrize("scope", ["", "/acme", "acme/", "acme//north", "a/b/c/d/e/f/g"])
def test_a_scope_is_a_path(sql: Sql, scope: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        sql.execute(
            "INSERT INTO work_calendar_exceptions (scope, day, kind) VALUES (%s, '2026-01-01', 'CLOSED')", (scope,)
        )
