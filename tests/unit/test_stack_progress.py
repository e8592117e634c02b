"""Two readings of a job's counters, compared."""

from __future__ import annotations

import pytest

from stack.progress import Reading, SourceCount, compare


def reading(completed: int, *, job_id: str = "a", attempt: int = 1, **sources: tuple[int, int | None]) -> Reading:
    counts = {name: SourceCount(records=records, pending=pending) for name, (records, pending) in sources.items()}
    return Reading(job_id=job_id, state="RUNNING", attempt=attempt, completed=completed, sources=counts)


def test_completed_checkpoints_and_read_records_are_progress() -> None:
    advance = compare(reading(3, frames=(100, 7)), reading(5, frames=(160, 9)))
    assert (advance.checkpoints, advance.records, advance.restarted, advance.standing) == (2, 60, False, ())
    assert advance.good


def test_no_checkpoint_is_no_progress_whatever_is_read() -> None:
    assert not compare(reading(3, frames=(100, 0)), reading(3, frames=(900, 0))).good


def test_a_source_that_leaves_records_waiting_stands() -> None:
    advance = compare(reading(3, frames=(100, 7), acks=(5, 0)), reading(5, frames=(100, 90), acks=(9, 0)))
    assert advance.standing == ("frames",)
    assert not advance.good
    assert "frames" in str(advance)


@pytest.mark.parametrize(("before", "now"), [(0, 0), (None, None), (0, 5), (5, 0)])
def test_a_source_without_records_does_not_stand(before: int | None, now: int | None) -> None:
    """Records that came only now may be read in a moment; what is not known is held against nobody."""
    assert compare(reading(3, frames=(100, before)), reading(4, frames=(100, now))).good


def test_counters_begin_again_with_an_attempt() -> None:
    advance = compare(reading(3, frames=(100, 7)), reading(4, attempt=2, frames=(120, 7)))
    assert (advance.records, advance.restarted) == (120, True)


def test_a_counter_that_went_back_began_again() -> None:
    assert compare(reading(3, frames=(100, 7)), reading(4, frames=(10, 7))).records == 10


def test_another_submission_counts_from_zero() -> None:
    advance = compare(reading(30, frames=(100, 7)), reading(2, job_id="b", frames=(10, 7)))
    assert (advance.checkpoints, advance.records, advance.restarted) == (2, 10, True)


def test_a_source_that_is_new_counts_from_zero() -> None:
    advance = compare(reading(1), reading(2, frames=(10, 7)))
    assert (advance.records, advance.standing) == (10, ())
