"""Which connection strings may be used: over a network only with TLS and a verified name."""

from __future__ import annotations

import pytest

from base.errors import ConfigError
from connectors.postgres import transport
from connectors.postgres.database import connect
from connectors.postgres.pool import ReadPool

PROVEN = "sslmode=verify-full sslrootcert=/ca.pem"


@pytest.fixture(autouse=True)
def without_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGSSLMODE"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "dbname=millrace",
        "host=/run/postgresql dbname=millrace",
        "host=127.0.0.1",
        "host=db.example,/run/postgresql hostaddr=127.0.0.1,",
        "host=localhost",
        "host=::1",
        "postgresql://user@127.0.0.1:29432/millrace",
        f"host=db.example {PROVEN}",
        "postgresql://user@db.example/millrace?sslmode=verify-full&sslrootcert=/ca.pem",
        "host=db.example,db2.example sslmode=verify-full",
    ],
)
def test_this_machine_and_verified_servers_are_taken(dsn: str) -> None:
    transport.check(dsn)


@pytest.mark.security("T-DB-SPOOF", "SR 3.1", "V12.3.1")
@pytest.mark.parametrize(
    "dsn",
    [
        "host=db.example dbname=millrace",
        "host=10.0.0.5",
        "host=127.0.0.1,db.example",
        "host=localhost hostaddr=10.0.0.5",
        "host=a,db.example hostaddr=127.0.0.1,",
        "postgresql://user@db.example/millrace",
        *(f"host=db.example sslmode={mode}" for mode in ("disable", "allow", "prefer", "require", "verify-ca")),
    ],
)
def test_a_server_over_a_network_that_need_not_prove_itself_is_refused(dsn: str) -> None:
    with pytest.raises(ConfigError, match="add sslmode=verify-full"):
        transport.check(dsn)


@pytest.mark.parametrize("dsn", ["service=elsewhere", "postgresql:///millrace?service=elsewhere&sslmode=verify-full"])
def test_a_service_file_says_what_nobody_has_checked(dsn: str) -> None:
    with pytest.raises(ConfigError, match="service=elsewhere"):
        transport.check(dsn)


def test_libpq_s_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    with pytest.raises(ConfigError, match=r"leads to db\.example"):
        transport.check("dbname=millrace")
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    transport.check("dbname=millrace")


def test_nothing_connects_otherwise() -> None:
    for opens in (
        lambda: connect("host=db.example", application="test"),
        lambda: ReadPool("host=db.example", application="test"),
    ):
        with pytest.raises(ConfigError, match=r"db\.example"):
            opens()
