"""The drill on a small line: the database is destroyed under load, restored or taken over, and every row is compared. Minutes each."""

from __future__ import annotations

import argparse

import pytest

from benchmarks.__main__ import parser
from benchmarks.scenarios import SCENARIOS
from stack.reporting import Progress

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1800)]


@pytest.mark.security("SR 7.4")
@pytest.mark.parametrize("standby", [False, True], ids=["backup", "standby"])
def test_nothing_that_comes_from_kafka_is_lost(standby: bool) -> None:
    options: argparse.Namespace = parser().parse_args(["restore"])
    for name, value in SCENARIOS["restore"].smoke.items():
        setattr(options, name, value)
    options.standby = standby
    found = SCENARIOS["restore"].run(options, Progress(sink=print))
    assert (found["samples_lost"], found["samples_duplicated"], found["windows_lost"], found["commands_lost"]) == (
        0,
        0,
        0,
        0,
    )
    assert found["ledger_exact"]
    assert found["command_transitions"] > found["commands"] > 0
    assert found["passed"]
