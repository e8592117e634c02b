"""Events of tools in the audit log name who runs them, the same way whichever tool it is."""

from __future__ import annotations

import ast
import getpass
from pathlib import Path

import pytest

from base.account import os_user
from schemas.audit import Outcome, by_tool

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.security("T-PEOPLE-INSIDER")
def test_an_event_of_a_tool_says_who_runs_it_and_that_the_system_says_so() -> None:
    event = by_tool("access", "sign-out-everywhere", Outcome.ALLOW, name="ann", reason="left")
    assert (event.subject, event.credential, event.name, event.reason) == (os_user(), "system", "ann", "left")


def test_a_user_that_the_system_has_no_name_for_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        msg = "uid not found: 4711"
        raise KeyError(msg)

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert "4711" in by_tool("privacy", "privacy:forget", Outcome.ALLOW).subject


def test_who_runs_a_tool_is_asked_of_the_system_in_one_place() -> None:
    asking = [
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("[a-z]*/**/*.py")
        if path.parts[len(ROOT.parts)] != "tests"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr == "getuser"
    ]
    assert asking == ["base/account.py"]
