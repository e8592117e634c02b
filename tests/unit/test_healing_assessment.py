"""The state of a job from its progress: no progress told from no input, slow from stuck, and a keeper that slept from a job that stands."""

from __future__ import annotations

from dataclasses import replace

import pytest

from stack.healing.assessment import MOST_PER_LOOK_S, Assessment, Bounds, Condition
from stack.progress import Reading, SourceCount

PERIOD_S = 5.0
BOUNDS = Bounds()


class Job:
    """A job that is looked at every five seconds."""

    def __init__(self) -> None:
        self.assessment = Assessment()
        self.now_s = 500.0
        self.reading = Reading(
            job_id="a", state="RUNNING", attempt=0, completed=0, sources={"frames": SourceCount(records=0, pending=0)}
        )

    def look(self, *, after_s: float = PERIOD_S) -> Condition:
        self.now_s += after_s
        return self.assessment.look(self.now_s, self.reading)

    def checkpoint(self, *, records: int = 0, pending: int = 0) -> None:
        source = self.reading.sources["frames"]
        sources = {"frames": SourceCount(records=source.records + records, pending=pending)}
        self.reading = replace(self.reading, completed=self.reading.completed + 1, sources=sources)

    def restart(self) -> None:
        sources = {"frames": replace(self.reading.sources["frames"], records=0)}
        self.reading = replace(self.reading, attempt=self.reading.attempt + 1, sources=sources)

    def until(self, wanted: Condition, *, within_s: float = 1000.0) -> float:
        """Seconds until the job is found in a condition, without anything changing."""
        began_s = self.now_s
        while self.now_s < began_s + within_s:
            if self.look() is wanted:
                return self.now_s - began_s
        pytest.fail(f"never {wanted}")


@pytest.fixture
def job() -> Job:
    """A job that has advanced."""
    found = Job()
    assert found.look() is Condition.STARTING
    found.checkpoint(records=100)
    assert found.look() is Condition.ADVANCING
    return found


def test_an_idle_job_whose_checkpoints_complete_is_well(job: Job) -> None:
    for _ in range(200):
        job.checkpoint()
        assert job.look() is Condition.ADVANCING


def test_a_job_that_drains_slowly_is_well(job: Job) -> None:
    for _ in range(200):
        job.checkpoint(records=1, pending=1_000_000)
        assert job.look() is Condition.ADVANCING


def test_a_source_that_stands_before_waiting_records_is_found_although_checkpoints_complete(job: Job) -> None:
    found = set()
    for _ in range(60):
        job.checkpoint(records=0, pending=50)
        found.add(job.look())
    assert Condition.STANDING in found


def test_a_job_without_checkpoints_stands(job: Job) -> None:
    assert job.until(Condition.STANDING) == BOUNDS.standing_s


def test_a_slow_checkpoint_is_no_fault(job: Job) -> None:
    for _ in range(22):
        assert job.look() in (Condition.ADVANCING, Condition.STARTING)
    job.checkpoint(records=10)
    assert job.look() is Condition.ADVANCING


def test_a_job_that_restarts_again_and_again_fails(job: Job) -> None:
    found = []
    for _ in range(4):
        job.restart()
        found.append(job.look())
    assert found == [Condition.STARTING, Condition.STARTING, Condition.FAILING, Condition.FAILING]


def test_a_taskmanager_that_was_killed_twice_is_no_failing_job(job: Job) -> None:
    for _ in range(2):
        job.restart()
    for _ in range(20):
        assert job.look() is Condition.STARTING
    job.checkpoint(records=5)
    assert job.look() is Condition.ADVANCING


def test_many_restarts_in_a_moment_are_given_their_time(job: Job) -> None:
    for _ in range(6):
        job.restart()
    assert job.look(after_s=1.0) is Condition.STARTING
    assert job.until(Condition.FAILING) <= BOUNDS.failing_s


def test_restarts_with_progress_between_them_are_no_failure(job: Job) -> None:
    for _ in range(30):
        job.restart()
        assert job.look() is Condition.STARTING
        job.checkpoint(records=3)
        assert job.look() is Condition.ADVANCING


@pytest.mark.parametrize("asleep_s", [60.0, 3600.0])
def test_a_keeper_that_slept_or_waited_does_not_call_a_job_standing(job: Job, asleep_s: float) -> None:
    job.look(after_s=asleep_s)
    assert job.assessment.without_s == MOST_PER_LOOK_S
    job.checkpoint()
    assert job.look() is Condition.ADVANCING


def test_a_job_that_is_gone_is_absent_and_a_new_one_starts(job: Job) -> None:
    assert job.assessment.look(job.now_s + 5, None) is Condition.ABSENT
    job.reading = replace(job.reading, job_id="b", completed=0)
    assert job.look() is Condition.STARTING
    job.checkpoint()
    assert job.look() is Condition.ADVANCING


def test_another_job_id_starts_anew_even_when_its_predecessor_was_not_seen_to_go(job: Job) -> None:
    for _ in range(20):
        job.look()
    job.reading = replace(job.reading, job_id="b", completed=0, attempt=5)
    assert job.look() is Condition.STARTING
    assert job.assessment.without_s == 0


def test_what_was_forgiven_is_counted_anew_and_has_to_advance_again(job: Job) -> None:
    job.until(Condition.STANDING)
    job.assessment.forgive()
    assert job.look() is Condition.STARTING
    assert job.until(Condition.STANDING) == BOUNDS.standing_s
