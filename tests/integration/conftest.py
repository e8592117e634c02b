"""Real components for integration tests, started once per session and only when a test asks for them.

By default they are local processes of `stack` on ports of their own. With MILLRACE_TESTCONTAINERS=1 and a Docker engine, broker,
database and MQTT broker are containers instead; Flink is local either way.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from stack import flink, instance, postgres
from stack.health.answer import Answer
from stack.instance import Instance
from tests.connectors.broker import Broker
from tests.integration.fix_history import history_template
from tests.integration.fix_week import week, week_dsn

# Of the session: a module that imported them would make its own.
__all__ = ["history_template", "week", "week_dsn"]


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where a broker listens."""

    host: str
    port: int


def _use_containers() -> bool:
    if os.environ.get("MILLRACE_TESTCONTAINERS") != "1" or shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def stack() -> Iterator[Instance]:
    """An empty instance; `stack.require("kafka", "flink")` starts services."""
    with instance.temporary() as running:
        yield running


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """Bootstrap servers of a broker without topics."""
    if _use_containers():
        from tests.integration import containers

        with containers.kafka() as bootstrap_servers:
            yield bootstrap_servers
    else:
        yield request.getfixturevalue("stack").require("kafka").bootstrap_servers


@pytest.fixture(scope="session")
def postgres_admin_dsn(request: pytest.FixtureRequest) -> Iterator[str]:
    """Connection string of a superuser."""
    if _use_containers():
        from tests.integration import containers

        with containers.postgres() as dsn:
            yield dsn
    else:
        yield postgres.superuser_dsn(request.getfixturevalue("stack").require("postgres"))


@pytest.fixture
def make_database(postgres_admin_dsn: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases that are dropped after the test; returns the connection string of each."""
    names: list[str] = []

    def make() -> str:
        name = f"test_{uuid4().hex[:12]}"
        with psycopg.connect(postgres_admin_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
        names.append(name)
        return psycopg.conninfo.make_conninfo(postgres_admin_dsn, dbname=name)

    yield make
    with psycopg.connect(postgres_admin_dsn, autocommit=True) as connection:
        for name in names:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database(make_database: Callable[[], str]) -> str:
    """Connection string of an empty database, dropped after the test."""
    return make_database()


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """An MQTT broker that lets anybody in, which that of the stack does not."""
    if _use_containers():
        from tests.integration import containers

        with containers.mosquitto() as (host, port):
            yield Address(host=host, port=port)
    else:
        options = ("allow_anonymous true", "max_queued_messages 100000", "set_tcp_nodelay true")
        broker = Broker(tmp_path_factory.mktemp("mosquitto"), options=options)
        broker.start()
        yield Address(host="127.0.0.1", port=broker.port)
        broker.stop()


@pytest.fixture(scope="session")
def flink_cluster(stack: Instance) -> Instance:
    """The instance with a JobManager and three TaskManagers."""
    stack.require("flink")
    assert flink.jobmanager_health(stack.config).answer is Answer.READY
    return stack
