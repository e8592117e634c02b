"""Every threat and every requirement has a test or a reason, and the pages of docs/security say which."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract import security_tables as tables

COUNTS = {"iec-62443-3-3": 51, "asvs-5.0": 253}
"""Requirements of the standards: 13 + 12 + 9 + 3 + 4 + 2 + 8 system requirements; 70 of level 1 and 183 of level 2."""


def test_every_entry_has_a_test_or_a_reason_and_every_mark_is_known() -> None:
    assert list(tables.problems()) == []


@pytest.mark.parametrize("name", tables.PAGES)
def test_the_page_has_the_table_of_now(name: str) -> None:
    text = tables.PAGES[name].read_text()
    assert text == tables.page(name, text), "write it anew: python -m tests.contract.security_tables"


@pytest.mark.parametrize("name", COUNTS)
def test_the_standards_are_whole(name: str) -> None:
    assert len({entry.id for entry in tables.entries(name)}) == COUNTS[name]


def test_levels_of_asvs_are_one_and_two() -> None:
    levels = [entry.more["level"] for entry in tables.entries("asvs-5.0")]
    assert (levels.count("1"), levels.count("2")) == (70, 183)


def test_every_zone_and_conduit_of_the_page_has_its_threats() -> None:
    text = tables.PAGES["threats"].read_text()
    drawn = set(re.findall(r"^\| ((?:Z|C)\d)\b", text, re.MULTILINE))
    threatened = {entry.more["where"].split()[0] for entry in tables.entries("threats")}
    assert threatened <= drawn
    assert {one for one in drawn if one.startswith("C")} <= threatened


@pytest.mark.parametrize(
    ("fields", "message"),
    [("title: a\n  open: ''", "open needs a reason"), ("title: a\n  reason: because it is", "reason is no field")],
)
def test_an_entry_that_is_not_whole_is_refused(
    fields: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x.yaml").write_text(f"SR 9.9:\n  {fields}\n")
    monkeypatch.setattr(tables, "DATA", tmp_path)
    with pytest.raises(ValueError, match=message):
        tables.entries("x")


def test_a_requirement_with_nothing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.yaml").write_text("SR 9.9:\n  title: a\nSR 1.1:\n  title: a\n  open: not there yet, really\n")
    monkeypatch.setattr(tables, "DATA", tmp_path)
    found = list(tables.problems(["x"]))
    assert "SR 9.9 has neither a test nor a status (design, n/a or open)" in found
    assert "SR 1.1 has tests and the status open: say in `note` what the tests do not" in found
    assert any(one.startswith("V6.5.1 is named by ") for one in found)
