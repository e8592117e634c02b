"""Steps of healing: their order, their pauses, what is absent, and that a job is never given up."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from stack.healing.assessment import Condition
from stack.healing.ladder import Act, Ladder, Pauses, Step

TASKMANAGER, NEWEST = Step(act=Act.RESTART_TASKMANAGER), Step(act=Act.RESUBMIT)
PAUSES = Pauses()


def back(count: int) -> Step:
    return Step(act=Act.RESUBMIT, back=count)


class Keeper:
    """Takes every step that is due, and looks every second."""

    def __init__(self) -> None:
        self.ladder = Ladder()
        self.now_s = 0.0
        self.steps: list[Step] = []
        self.at_s: list[float] = []

    def see(self, condition: Condition, seconds: float = 1.0) -> list[Step]:
        """A condition for some time; the steps taken meanwhile."""
        before = len(self.steps)
        for _ in range(round(seconds)):
            self.now_s += 1.0
            step = self.ladder.due(self.now_s, condition)
            if step is not None:
                self.ladder.took(self.now_s, step)
                self.steps.append(step)
                self.at_s.append(self.now_s)
        return self.steps[before:]


def test_a_failing_job_climbs_the_whole_ladder_and_begins_again_further_back() -> None:
    keeper = Keeper()
    keeper.see(Condition.FAILING, 12_000)
    assert keeper.steps[:9] == [
        TASKMANAGER,
        NEWEST,
        back(1),
        TASKMANAGER,
        NEWEST,
        back(2),
        TASKMANAGER,
        NEWEST,
        back(3),
    ]


def test_pauses_double_up_to_a_bound_and_never_end() -> None:
    keeper = Keeper()
    keeper.see(Condition.STANDING, 12_000)
    gaps = [after - before for before, after in itertools.pairwise(keeper.at_s)]
    assert gaps[:6] == [45.0, 90.0, 180.0, 360.0, 600.0, 600.0]
    assert set(gaps[4:]) == {PAUSES.most_s}


def test_the_first_step_is_taken_at_once() -> None:
    assert Keeper().see(Condition.FAILING) == [TASKMANAGER]
    assert Keeper().see(Condition.ABSENT) == [NEWEST]


def test_a_job_that_starts_is_left_alone() -> None:
    keeper = Keeper()
    assert keeper.see(Condition.STARTING, 1000) == []
    assert keeper.see(Condition.FAILING) == [TASKMANAGER]
    assert keeper.see(Condition.STARTING, 1000) == []


def test_an_absent_job_that_fails_at_once_goes_on_from_the_restore_point_before() -> None:
    """What a damaged checkpoint looks like: the submission succeeds, and the job is gone a moment later."""
    keeper = Keeper()
    assert keeper.see(Condition.ABSENT) == [NEWEST]
    assert keeper.see(Condition.STARTING, 2) == []
    assert keeper.see(Condition.ABSENT, 5) == [back(1)]
    assert keeper.see(Condition.ADVANCING, 100) == []


def test_an_absent_job_is_never_given_a_taskmanager() -> None:
    keeper = Keeper()
    keeper.see(Condition.ABSENT, 12_000)
    assert keeper.steps[:6] == [NEWEST, back(1), NEWEST, back(2), NEWEST, back(3)]
    assert keeper.at_s[:5] == [1.0, 5.0, 13.0, 29.0, 61.0]


def test_progress_sends_the_next_fault_to_the_first_step() -> None:
    keeper = Keeper()
    assert keeper.see(Condition.FAILING, 60) == [TASKMANAGER, NEWEST]
    assert keeper.see(Condition.ADVANCING, 2) == []
    assert keeper.see(Condition.FAILING, 90) == [TASKMANAGER]


def test_pauses_are_forgotten_only_after_a_steady_time() -> None:
    keeper = Keeper()
    keeper.see(Condition.FAILING, 60)
    keeper.see(Condition.ADVANCING, PAUSES.steady_s / 2)
    assert keeper.ladder.taken == 2
    keeper.see(Condition.STARTING, 5)
    keeper.see(Condition.ADVANCING, PAUSES.steady_s - 2)
    assert keeper.ladder.taken == 2
    keeper.see(Condition.ADVANCING, 5)
    assert keeper.ladder.taken == 0
    assert keeper.see(Condition.ABSENT) == [NEWEST]


def test_a_jobmanager_that_dies_often_costs_no_old_restore_points() -> None:
    keeper = Keeper()
    for _ in range(10):
        assert keeper.see(Condition.ABSENT, 700)[0] == NEWEST
        keeper.see(Condition.ADVANCING, 10)


@given(st.lists(st.tuples(st.sampled_from(Condition), st.integers(1, 300)), max_size=30))
def test_whatever_happens_a_job_that_stays_ill_gets_every_step(seen: list[tuple[Condition, int]]) -> None:
    keeper = Keeper()
    for condition, seconds in seen:
        keeper.see(condition, seconds)
    taken = keeper.see(Condition.FAILING, 4 * PAUSES.most_s)
    assert {step.act for step in taken} == {Act.RESTART_TASKMANAGER, Act.RESUBMIT}
    assert any(step.back for step in taken)
    assert any(step == NEWEST for step in taken)
