"""Alarms on the whole line, as the benchmark runs it: raised by the simulator, seen, acknowledged, stored, told; a process is killed.

A line of its own for each test, some minutes: a campaign. The long trials are `./millrace bench alarms` with its options.
"""

from __future__ import annotations

import argparse

import pytest

from benchmarks.alarms import campaign, course, flooding
from stack.reporting import Progress

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(1_800)]
QUIET = Progress(sink=print)


def test_every_alarm_is_seen_acknowledged_over_stored_and_counted() -> None:
    found = course.run(alarms=5, rate_hz=0.5, beside=None, progress=QUIET)
    assert found["contradictions"] == []
    assert found["seen"] == found["seen_in_page_feed"] == found["acknowledged"] == found["normal_again"] == 5
    assert found["without_frame"] == 0


def test_a_flood_loses_nothing_and_hides_nothing_that_is_critical() -> None:
    found = flooding.run(beside=None, seed=1, progress=QUIET)
    assert found["contradictions"] == []
    assert found["lines_max"] <= 20


@pytest.mark.parametrize("name", ["alarms", "notifier", "serving"])
def test_a_killed_process_loses_no_alarm_and_no_notification(name: str) -> None:
    options = argparse.Namespace(kills=1, only=name, kinds="kill", raises=4, down_min=0.0, minutes=0.0, json=None)
    found = campaign.run(options, QUIET)
    assert [one["wrong"] for one in found["kills_done"]] == [[]]
    assert found["wrong_at_the_end"] == []
    assert found["alarms"] == found["acknowledged"] == 4
