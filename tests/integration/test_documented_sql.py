"""Every query of the documents runs as it is written, on each storage variant; those of docs/sql.md find what they say.

Those about the simulated week are in test_documented_week.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from historian.store import HistorianStore
from tests.docs.blocks import all_blocks
from tests.integration import documented_history, sql_contract
from tests.integration.documented_queries import of_week
from tests.integration.fix_history import history, sql, store, variant

__all__ = ["history", "sql", "store", "variant"]

QUERIES = [block.text for block in all_blocks("sql") if not block.words and not of_week(block.text)]
Sql = psycopg.Connection[Any]


def test_the_document_has_queries() -> None:
    assert len(QUERIES) > 15


@pytest.fixture
def answers(history: str, store: HistorianStore, sql: Sql) -> dict[str, list[dict[str, Any]]]:
    """Rows of every query, by the query's text."""
    documented_history.fill(history, store)
    with sql.cursor(row_factory=dict_row) as cursor:
        return {query: cursor.execute(query.encode()).fetchall() for query in QUERIES}


def one(answers: dict[str, list[dict[str, Any]]], words: str) -> list[dict[str, Any]]:
    """Rows of the one query with these words."""
    (found,) = [rows for query, rows in answers.items() if words in query]
    return found


def test_every_query_finds_what_it_says(answers: dict[str, list[dict[str, Any]]]) -> None:
    assert [query for query, rows in answers.items() if not rows] == []
    (night,) = [row for row in one(answers, "shifts_between") if row["shift"] == "night"]
    assert night["length"] == timedelta(hours=9), "the clock goes back"
    assert [(row["reason"], row["planned"], row["entered_by"]) for row in one(answers, "FROM downtimes_between")] == [
        ("mechanical/jam", False, "anna"),
        ("setup/changeover", True, "bert"),
    ]
    checks = one(answers, "checksums_agree")
    assert len(checks) >= 4
    assert all(row["counts_agree"] and row["checksums_agree"] for row in checks)
    (energy,) = one(answers, "AS energy")
    assert energy["energy"] == pytest.approx(documented_history.SPAN_US / documented_history.STEP_US / 8, rel=0.05)
    (weighted,) = one(answers, "time_weighted_mean")  # a quotient of sums over intervals that depend on the time of day
    assert weighted["time_weighted_mean"] == pytest.approx(24.0, rel=1e-12)
    live = next(row for row in one(answers, "FROM lane") if row["stream"] == "LIVE")
    assert live["missing_frames"] == 1
    assert [row["state"] for row in one(answers, "ORDER BY version;")] == ["ACCEPTED", "EXECUTING", "SUCCEEDED"]
    parts = {(row["name"], row["effect"], row["readback"]) for row in one(answers, "jsonb_to_recordset(c.outcomes)")}
    assert parts == {("speed_setpoint", "APPLIED", 24.0), ("packml_command", "REFUSED", None)}
    assert {row["reason"] for row in one(answers, "FROM dirty_ranges")} == {"BACKFILL", "CORRECTION"}
    (anomaly,) = one(answers, "ORDER BY start_time DESC;")
    assert anomaly["contributors"] == [f"{documented_history.DEVICE}/power"]
    (said,) = one(answers, "AS no_fault")
    assert (said["no_fault"], said["fault"], said["episodes"]) == (0, 0, 1)
    assert max(row["oee"] for row in one(answers, "FROM oee\n") if row["oee"] is not None) > 0


def test_every_view_of_the_document_is_there_with_a_comment(history: str, sql: Sql) -> None:
    for name in sql_contract.views():
        row = sql.execute("SELECT obj_description(%s::regclass)", [name]).fetchone()
        assert row is not None, name
        assert row[0], name


def test_people_can_read_all_of_it_and_change_nothing(history: str, sql: Sql) -> None:
    sql.execute("SET ROLE millrace_reader")
    for query in QUERIES:
        if "dirty_ranges" in query:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                sql.execute(query.encode())
        else:
            sql.execute(query.encode())
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        sql.execute("DELETE FROM samples")


def test_what_the_document_names_is_what_was_promised(history: str, sql: Sql) -> None:
    """A line that is gone or changed breaks somebody's queries: see "What stays as it is". New ones are added to the file."""
    found, promised = sql_contract.lines(sql), sql_contract.FILE.read_text().splitlines()
    assert [line for line in promised if line not in found] == [], "broken promises"
    assert [line for line in found if line not in promised] == [], "new: add them to tests/integration/sql_contract.txt"
    assert found == promised, "the order of columns is part of the promise"
