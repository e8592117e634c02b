"""Every case runs straight through; restored before every step; cut once at each step; and beside all others, moved between instances.

The cases of `cases/` say what must come out. Moving between instances is what savepoints do to keys at other parallelisms.
"""

from __future__ import annotations

import pytest

from tests.golden.alarms.runner import CASES, run, run_together


@pytest.mark.parametrize("name", CASES.names())
def test_straight(name: str) -> None:
    assert run(name) == CASES.expected(name)


@pytest.mark.parametrize("name", CASES.names())
def test_restored_before_every_step(name: str) -> None:
    assert run(name, lambda number: number > 0) == CASES.expected(name)


@pytest.mark.parametrize("name", CASES.names())
def test_cut_at_any_step(name: str) -> None:
    for cut in range(1, len(CASES.load(name)["steps"])):
        assert run(name, cut.__eq__) == CASES.expected(name)


@pytest.mark.parametrize("instances", [(1, 2, 3), (3, 1, 2), (2, 3, 5)], ids=str)
def test_together_over_other_numbers_of_instances(instances: tuple[int, ...]) -> None:
    found = run_together(instances)
    for name in CASES.names():
        assert found[name] == CASES.expected(name), name


def test_there_are_cases_and_each_has_both_files() -> None:
    names = CASES.names()
    assert len(names) >= 24
    assert names == CASES.with_outcome()
