"""What people's SQL programs are given: libpq itself reads the password, and nobody else in arguments or environment."""

from __future__ import annotations

import os
import shlex
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict

from stack import __main__ as commands
from stack import addresses, postgres
from stack import config as configuration
from stack.config import StackConfig

HARD = r"a:b\c'd \' #e"
"""All that means something in connection strings, in files of passwords, or to the shell."""


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    config = StackConfig(state=tmp_path / "it's\\here", host="::1")
    config.secrets.mkdir(parents=True)
    for role in (postgres.OWNER, postgres.ANALYST):
        postgres.password_file(config, role).write_text(f"{HARD} of {role}\n")
    return config


def read_by_libpq(dsn: str) -> str:
    """The password that it would send; nothing needs to answer there."""
    connection = pq.PGconn.connect_start(dsn.encode())
    try:
        return connection.password.decode()
    finally:
        connection.finish()


def passfile(config: StackConfig) -> Path:
    return Path(str(conninfo_to_dict(postgres.dsn(config, with_password=False))["passfile"]))


@pytest.mark.security("T-HOST-PROC", "V13.3.2")
@pytest.mark.parametrize("role", [postgres.OWNER, postgres.ANALYST])
def test_libpq_reads_the_password_in_a_private_file(config: StackConfig, role: str) -> None:
    dsn = postgres.dsn(config, role=role, with_password=False)
    assert HARD not in dsn
    given, whole = conninfo_to_dict(dsn), conninfo_to_dict(postgres.dsn(config, role=role))
    assert read_by_libpq(dsn) == whole.pop("password") == f"{HARD} of {role}"
    assert stat.S_IMODE(Path(str(given.pop("passfile"))).stat().st_mode) == 0o600
    assert given == whole
    assert whole["sslmode"] == "verify-full"


def test_each_role_has_a_file_of_its_own(config: StackConfig) -> None:
    analyst = postgres.dsn(config, role=postgres.ANALYST, with_password=False)
    assert read_by_libpq(f"{analyst} user={postgres.OWNER}") == ""


def test_a_replaced_password_and_a_mode_that_libpq_refuses_are_put_right(config: StackConfig) -> None:
    file = passfile(config)
    file.chmod(0o644)
    assert passfile(config) == file
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    postgres.password_file(config).write_text("another")
    assert read_by_libpq(postgres.dsn(config, with_password=False)) == "another"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.security("T-HOST-PROC", "V13.3.2")
def test_psql_is_started_without_the_password(
    config: StackConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, Sequence[str], Mapping[str, str]]] = []

    def execve(*call: Any) -> NoReturn:
        started.append(call)
        raise SystemExit

    server = tmp_path / "lib" / "99" / "bin" / "postgres"
    server.parent.mkdir(parents=True)
    server.touch()
    monkeypatch.setattr(postgres, "_INSTALL", tmp_path / "lib")
    monkeypatch.setattr(configuration, "load", lambda: config)
    monkeypatch.setenv("PGPASSWORD", "of another server")
    monkeypatch.setattr(os, "execve", execve)
    with pytest.raises(SystemExit):
        commands.main(["psql", "-c", "SELECT 1"])
    ((program, arguments, environment),) = started
    assert (program, arguments[2:]) == (str(server.with_name("psql")), ["-c", "SELECT 1"])
    monkeypatch.delenv("PGPASSWORD")  # libpq here would take it too
    assert read_by_libpq(arguments[1]) == f"{HARD} of {postgres.OWNER}"
    assert not [text for text in (*arguments, *environment.values()) if HARD in text]
    assert "PGPASSWORD" not in environment
    assert environment["PATH"] == os.environ["PATH"]


@pytest.mark.security("T-HOST-PROC")
def test_the_line_for_analysts_survives_the_shell(config: StackConfig) -> None:
    line = addresses.lines(config)["sql"]
    assert HARD not in line
    program, dsn = shlex.split(line)
    assert program == "psql"
    assert read_by_libpq(dsn) == f"{HARD} of {postgres.ANALYST}"
