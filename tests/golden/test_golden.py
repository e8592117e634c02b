"""Every case runs straight through, and again with the logic restored from its state after every step.

A third time they run through the real cluster, with savepoints, a crash and another parallelism after each:
`tests/integration/test_jobs_rescaled.py`.
"""

from __future__ import annotations

import pytest

from tests.golden.runner import CASES, run


@pytest.mark.parametrize("crashing", [False, True], ids=["straight", "restored after every step"])
@pytest.mark.parametrize("name", CASES.names())
def test_case(name: str, crashing: bool) -> None:
    assert run(name, crashing=crashing) == CASES.expected(name)


def test_there_are_cases_and_each_has_both_files() -> None:
    names = CASES.names()
    assert len(names) >= 14
    assert names == CASES.with_outcome()
