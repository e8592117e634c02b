"""Savepoints of every released version, on a real cluster with the present code: each job goes on as it did.

All jobs of a version share one cluster.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.state import savepoints, stored
from tests.state.outcome import assert_same

pytestmark = pytest.mark.timeout(900)
Outcomes = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def resumed() -> Callable[[Path], Outcomes]:
    """What the jobs made of a version's savepoints and of what followed, by job."""
    return cache(savepoints.resume)


@pytest.mark.parametrize(("version", "name"), stored.of(*(f"savepoint-{job}" for job in savepoints.NAMES)))
def test_job_goes_on_from_the_savepoint(resumed: Callable[[Path], Outcomes], version: Path, name: str) -> None:
    assert_same(resumed(version)[name], stored.read_expected(version, name))
