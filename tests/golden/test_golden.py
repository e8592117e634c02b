"""Every case runs straight through, and again with the logic restored from its state after every step."""

from __future__ import annotations

import json

import pytest

from tests.golden.runner import CASES, case_names, run


@pytest.mark.parametrize("crashing", [False, True], ids=["straight", "restored after every step"])
@pytest.mark.parametrize("name", case_names())
def test_case(name: str, crashing: bool) -> None:
    expected = json.loads((CASES / f"{name}.expected.json").read_text())
    assert run(name, crashing=crashing) == expected


def test_there_are_cases_and_each_has_both_files() -> None:
    names = case_names()
    assert len(names) >= 12
    assert names == sorted(path.name.removesuffix(".expected.json") for path in CASES.glob("*.expected.json"))
