"""Fixtures of the history: a migrated database in each variant the server offers, and a store on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import psycopg
import pytest

from connectors.timescale.migrator import migrate
from connectors.timescale.store import HistorianStore
from stack import postgres

VARIANTS = ("plain", "timescaledb") if postgres.has_timescaledb() else ("plain",)


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """How the database stores telemetry."""
    return str(request.param)


@pytest.fixture
def history(make_database: Callable[[], str], variant: str) -> str:
    """Connection string of a migrated database."""
    dsn = make_database()
    migrate(dsn, timescaledb="auto" if variant == "timescaledb" else "off")
    return dsn


@pytest.fixture
def sql(history: str) -> Iterator[psycopg.Connection]:
    """A connection to it, in autocommit."""
    with psycopg.connect(history, autocommit=True) as connection:
        yield connection


@pytest.fixture
def store(history: str) -> Iterator[HistorianStore]:
    """A store on it."""
    opened = HistorianStore(history)
    yield opened
    opened.close()
