"""Patience with silent services: graces, processes that start, watchers that slept."""

from __future__ import annotations

import pytest

from stack.health.answer import READY, Health, not_ready, silent, unknown
from stack.health.patience import MOST_PER_ROUND_S, Asked, Grace, Patience

SILENT = silent("nothing")
PERIOD_S = 3.0


class Clock:
    """Rounds of one service, three seconds apart unless told otherwise."""

    def __init__(self, *, grace_s: float = 12.0, start_grace_s: float = 60.0) -> None:
        self.patience = Patience(graces={"serving": Grace(grace_s=grace_s, start_grace_s=start_grace_s)})
        self.now_s = 1000.0
        self.restarted_at_s: list[float] = []

    def round(self, health: Health, *, pid: int = 7, after_s: float = PERIOD_S) -> bool:
        self.now_s += after_s
        over = self.patience.observe(self.now_s, {"serving": Asked(pid=pid, health=health)}) == ["serving"]
        if over:
            self.restarted_at_s.append(self.now_s)
        return over

    def rounds(self, health: Health, seconds: float, *, pid: int = 7) -> bool:
        return any([self.round(health, pid=pid) for _ in range(round(seconds / PERIOD_S))])


def test_a_service_that_is_silent_for_longer_than_its_grace_is_restarted_once() -> None:
    clock = Clock()
    clock.rounds(READY, 30)
    silent_from_s = clock.now_s
    clock.rounds(SILENT, 30)
    assert [at - silent_from_s for at in clock.restarted_at_s] == [12.0]


def test_a_silence_that_ends_in_time_is_forgotten() -> None:
    clock = Clock()
    clock.rounds(READY, 9)
    for _ in range(10):
        assert not clock.rounds(SILENT, 9)
        assert not clock.round(READY)


@pytest.mark.parametrize("health", [not_ready("the broker is away"), unknown("the JobManager does not answer")])
def test_only_silence_counts(health: Health) -> None:
    clock = Clock()
    clock.rounds(READY, 9)
    assert not clock.rounds(health, 600)


@pytest.mark.parametrize("asleep_s", [15.0, 60.0, 86_400.0])
def test_a_watcher_that_slept_does_not_count_its_own_absence(asleep_s: float) -> None:
    """It wakes with one failed check: it asked before it slept, or the whole machine slept and the service is not back yet."""
    clock = Clock()
    clock.rounds(READY, 9)
    assert not clock.round(SILENT, after_s=asleep_s)
    assert not clock.rounds(READY, 9)
    assert clock.patience.silent_s("serving") == 0.0


def test_a_watcher_that_sleeps_between_all_rounds_still_restarts_what_is_dead() -> None:
    clock = Clock(grace_s=12.0)
    clock.rounds(READY, 9)
    assert not clock.round(SILENT, after_s=300.0)
    assert clock.patience.silent_s("serving") == MOST_PER_ROUND_S
    assert clock.round(SILENT, after_s=300.0)


def test_a_new_process_has_the_time_of_a_start() -> None:
    clock = Clock(grace_s=12.0, start_grace_s=60.0)
    clock.rounds(READY, 9, pid=7)
    assert not clock.rounds(SILENT, 57, pid=8)
    assert not clock.round(READY, pid=8)
    assert clock.rounds(SILENT, 12, pid=8)


def test_a_process_that_never_answers_gets_longer_each_time() -> None:
    clock = Clock(start_grace_s=60.0)
    clock.round(SILENT, pid=0)
    found = []
    for pid in range(1, 7):
        began_s = clock.now_s
        while not clock.round(SILENT, pid=pid):
            pass
        found.append(clock.now_s - began_s)
    assert found == [60.0, 120.0, 240.0, 480.0, 480.0, 480.0]


def test_a_service_that_does_not_run_is_nobodys_business() -> None:
    clock = Clock()
    clock.rounds(READY, 9)
    assert not clock.rounds(SILENT, 600, pid=0)
