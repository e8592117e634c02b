"""Fixtures of the simulated week: one database for each engine and session, read by every test of its answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest
from psycopg.rows import DictRow, dict_row

from simulator.week import Week, make
from simulator.week.make import last_change_of_clocks
from tests.integration.fix_history import VARIANTS, copy_of
from tests.integration.week import load

Sql = psycopg.Connection[DictRow]


@pytest.fixture(scope="session")
def week() -> Week:
    """The newest whole week in which the clocks of its zone changed."""
    return make(last_change_of_clocks(datetime.now(UTC)))


@pytest.fixture(scope="session", params=VARIANTS)
def week_dsn(
    request: pytest.FixtureRequest, postgres_admin_dsn: str, history_template: Callable[[str], str], week: Week
) -> Iterator[str]:
    """A database with the week in it."""
    with copy_of(postgres_admin_dsn, history_template(request.param)) as dsn:
        load.fill(dsn, week)
        with psycopg.connect(dsn, autocommit=True) as connection:
            # For whoever puts this schema first, now() is the end of the week.
            connection.execute("CREATE SCHEMA week_clock")
            connection.execute("GRANT USAGE ON SCHEMA week_clock TO PUBLIC")
            end = datetime.fromtimestamp(week.end_us // 1_000_000, UTC).isoformat()
            connection.execute(
                "CREATE FUNCTION week_clock.now() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE"
                f" RETURN timestamptz '{end}'".encode()
            )
        yield dsn


@pytest.fixture
def asked(week_dsn: str) -> Iterator[Sql]:
    """A connection to it that reads as people do, at the end of the week."""
    with psycopg.connect(week_dsn, autocommit=True, row_factory=dict_row) as connection:
        connection.execute("SET search_path = week_clock, pg_catalog, public")
        connection.execute("SET ROLE millrace_reader")
        yield connection


def rows(connection: psycopg.Connection[Any], query: str, *parameters: Any) -> list[dict[str, Any]]:
    """Rows of a query."""
    found: list[dict[str, Any]] = connection.execute(query.encode(), parameters or None).fetchall()
    return found
