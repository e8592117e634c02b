"""Fixtures of the history: a migrated database in each variant the server offers, and a store on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

from historian.migrator import migrate
from historian.store import HistorianStore
from stack import postgres

_EMPTY = "template0"
"""TimescaleDB's launcher looks into template1 at times, and then that cannot be copied."""
VARIANTS = ("plain", "timescaledb") if postgres.has_timescaledb() else ("plain",)


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """How the database stores telemetry."""
    return str(request.param)


@pytest.fixture(scope="session")
def history_template(postgres_admin_dsn: str) -> Iterator[Callable[[str], str]]:
    """Names of migrated databases by variant, made once and copied for every test: migrating takes most of a second."""
    names: dict[str, str] = {}

    def template(variant: str) -> str:
        if variant not in names:
            names[variant] = _create(postgres_admin_dsn, _EMPTY)
            migrate(
                make_conninfo(postgres_admin_dsn, dbname=names[variant]),
                timescaledb="auto" if variant == "timescaledb" else "off",
            )
        return names[variant]

    yield template
    for name in names.values():
        _drop(postgres_admin_dsn, name)


@contextmanager
def copy_of(admin_dsn: str, template: str) -> Iterator[str]:
    """Connection string of a copy that is dropped afterwards."""
    name = _create(admin_dsn, template)
    try:
        yield make_conninfo(admin_dsn, dbname=name)
    finally:
        _drop(admin_dsn, name)


def _create(admin_dsn: str, template: str) -> str:
    name = f"history_{uuid4().hex[:12]}"
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        if template != _EMPTY:  # workers of an extension may sit in it, and then it cannot be copied
            connection.execute(SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(Identifier(template)))
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (template,))
        connection.execute(SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template)))
    return name


def _drop(admin_dsn: str, name: str) -> None:
    with psycopg.connect(admin_dsn, autocommit=True) as connection:
        connection.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))


@pytest.fixture
def history(postgres_admin_dsn: str, history_template: Callable[[str], str], variant: str) -> Iterator[str]:
    """Connection string of a migrated database."""
    with copy_of(postgres_admin_dsn, history_template(variant)) as dsn:
        yield dsn


@pytest.fixture
def plain_history(postgres_admin_dsn: str, history_template: Callable[[str], str]) -> Iterator[str]:
    """The same without TimescaleDB, for tests that do not look at how samples are stored."""
    with copy_of(postgres_admin_dsn, history_template("plain")) as dsn:
        yield dsn


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
