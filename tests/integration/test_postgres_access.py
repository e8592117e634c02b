"""How the stack's PostgreSQL is reached: over TLS 1.3 with its name proven, or not at all; its certificate changes while it runs."""

from __future__ import annotations

import os
import subprocess

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from authority.authority import Authority
from historian.migrator import migrate
from stack import addresses, doors, postgres, postgres_roles, renewal, trust
from stack.config import StackConfig
from stack.instance import Instance
from tests.integration.polling import eventually


@pytest.fixture(scope="module")
def config(stack: Instance) -> StackConfig:
    """A server with every role of the stack."""
    running = stack.require("postgres")
    postgres_roles.create_database(running)
    migrate(postgres.dsn(running), timescaledb=running.timescaledb)
    postgres_roles.create_service_roles(running)
    return running


@pytest.mark.security("T-DB-READ", "SR 1.2", "SR 3.1", "V11.4.2", "V12.1.1", "V13.2.1")
@pytest.mark.parametrize("role", [postgres.OWNER, *postgres.GROUPS])
def test_every_role_comes_over_tls_1_3_and_no_role_without(config: StackConfig, role: str) -> None:
    dsn = postgres.dsn(config, role=role)
    with psycopg.connect(dsn) as connection:
        used = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        assert connection.execute(used).fetchone() == (True, "TLSv1.3")
    for weaker in ({"sslmode": "disable"}, {"ssl_max_protocol_version": "TLSv1.2"}):
        with pytest.raises(psycopg.OperationalError, match=r"no encryption|protocol version"):
            psycopg.connect(make_conninfo(dsn, **weaker))


@pytest.mark.security("T-DB-RIGHTS")
def test_the_superuser_comes_over_the_socket_alone(config: StackConfig) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects connection"):
        psycopg.connect(make_conninfo(postgres.dsn(config), user="postgres"))
    assert postgres.socket_dir(config).stat().st_mode & 0o077 == 0


@pytest.mark.security("T-DB-SPOOF", "SR 1.9", "V12.3.2", "V12.3.4")
def test_a_server_that_another_authority_vouches_for_is_not_believed(
    config: StackConfig, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Authority(tmp_path_factory.mktemp("other") / "authority")
    other.ensure("postgres", *trust.holders(config)[postgres.CERTIFICATE])
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        psycopg.connect(make_conninfo(postgres.dsn(config), sslrootcert=str(other.root_file)))
    with pytest.raises(psycopg.OperationalError, match="does not match host name"):
        psycopg.connect(make_conninfo(postgres.dsn(config), host="elsewhere.example", hostaddr=config.host))


@pytest.mark.drill("database-passwords")
@pytest.mark.security("SR 1.5", "V13.3.1")
@pytest.mark.parametrize("role", postgres.ROLES)
def test_a_password_is_replaced_while_the_role_is_connected(config: StackConfig, role: str) -> None:
    dsn, before = postgres.dsn(config, role=role, with_password=False), postgres.dsn(config, role=role)
    with psycopg.connect(dsn, autocommit=True) as open_before:
        postgres_roles.replace_password(config, role)
        # What was connected goes on, and the same connection string opens another.
        assert open_before.execute("SELECT current_user").fetchone() == (role,)
        with psycopg.connect(dsn) as after:
            assert after.execute("SELECT current_user").fetchone() == (role,)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(before)
    assert postgres.password_file(config, role).stat().st_mode & 0o777 == 0o600


@pytest.mark.drill("database-certificate")
def test_a_renewed_certificate_is_in_use_without_a_restart(config: StackConfig) -> None:
    started = "SELECT pg_postmaster_start_time()"
    with psycopg.connect(postgres.dsn(config), autocommit=True) as open_before:
        since = open_before.execute(started).fetchone()
        before, renewed = doors.shown(config, postgres.CERTIFICATE), trust.authority(config).renew(postgres.CERTIFICATE)
        assert doors.shown(config, postgres.CERTIFICATE) == before
        renewal.reload(config, postgres.CERTIFICATE)
        eventually(lambda: doors.shown(config, postgres.CERTIFICATE) == renewed.serial, what="the new certificate")
        assert open_before.execute(started).fetchone() == since
        with psycopg.connect(postgres.dsn(config)) as after:
            assert after.execute(started).fetchone() == since
    key = postgres.tls_dir(config) / "server.pem"
    assert key.stat().st_mode & 0o777 == 0o600
    assert postgres.tls_dir(config).stat().st_mode & 0o077 == 0


@pytest.mark.security("SR 7.6")
def test_the_line_for_analysts_can_be_copied(config: StackConfig) -> None:
    line = addresses.lines(config)["sql"]
    assert "sslmode=verify-full" in line
    assert postgres.password(config, postgres.ANALYST) not in line
    environment = os.environ | {"PATH": f"{postgres.bin_dir()}:{os.environ['PATH']}"}

    def run(statement: str) -> subprocess.CompletedProcess[str]:
        command = f'{line} -XAt -c "{statement}"'
        return subprocess.run(command, shell=True, env=environment, capture_output=True, text=True, check=False)

    assert run("SELECT count(*) >= 0 FROM telemetry").stdout == "t\n"
    assert "permission denied" in run("DELETE FROM samples").stderr
