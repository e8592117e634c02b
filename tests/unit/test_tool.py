"""How command-line tools end: one line on standard error, and the status of docs/command-line.md."""

from __future__ import annotations

import psycopg
import pytest

from base import tool
from base.errors import (
    ConfigError,
    ConflictError,
    InvalidRequestError,
    MillraceError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
)
from connectors.postgres import tool as over_database


class _ForeignError(Exception):
    pass


def _raising(error: Exception) -> int:
    raise error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ConfigError("no"), tool.WRONG),
        (InvalidRequestError("no"), tool.WRONG),
        (NotFoundError("no"), tool.WRONG),
        (UnavailableError("no"), tool.UNANSWERED),
        (ConflictError("no"), tool.FAILED),
        (PermissionDeniedError("no"), tool.FAILED),
        (MillraceError("no"), tool.FAILED),
        (OSError("no"), tool.FAILED),
        (_ForeignError("no"), tool.FAILED),
    ],
)
def test_an_error_is_said_and_has_its_status(error: Exception, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.run("thing", lambda: _raising(error), _ForeignError) == status
    assert capsys.readouterr().err == "thing: no\n"


def test_what_a_tool_finds_in_a_file_is_no_wrong_argument() -> None:
    assert tool.run("thing", lambda: _raising(ConfigError("line 3")), config=tool.FAILED) == tool.FAILED


def test_a_status_of_its_own_is_handed_on() -> None:
    assert tool.run("thing", lambda: tool.UNWELL) == 4


def test_an_error_that_nobody_foresaw_keeps_its_trace() -> None:
    with pytest.raises(_ForeignError):
        tool.run("thing", lambda: _raising(_ForeignError("a fault of ours")))


def test_a_database_that_does_not_answer_is_one_that_does_not_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert over_database.run("thing", lambda: _raising(psycopg.OperationalError("gone"))) == tool.UNANSWERED
    assert "thing: PostgreSQL is not available: gone" in capsys.readouterr().err
