"""What serving notes of the line's progress: commands that nobody has recorded, in whatever order two topics are read."""

from __future__ import annotations

from uuid import UUID

from serving.caches import progress
from serving.caches.progress import Progress

A, B = UUID(int=1), UUID(int=2)


def test_a_command_waits_from_its_request_to_its_record() -> None:
    noted = Progress()
    noted.requested(A, 5)
    noted.requested(B, 7)
    assert noted.oldest_unrecorded_us == 5
    noted.recorded(A, 6)
    assert noted.oldest_unrecorded_us == 7
    noted.recorded(B, 8)
    assert noted.oldest_unrecorded_us == 0


def test_a_record_that_is_read_before_its_request_counts() -> None:
    """As after a start of the server, which reads both topics from their beginnings."""
    noted = Progress()
    noted.recorded(A, 6)
    noted.requested(A, 5)
    assert noted.oldest_unrecorded_us == 0
    noted.requested(B, 7)
    assert noted.oldest_unrecorded_us == 7


def test_more_records_than_are_remembered_leave_no_old_request_waiting() -> None:
    noted, many = Progress(), 3 * progress.REMEMBERED
    for number in range(1, many + 1):
        noted.recorded(UUID(int=number), 10 * number)
    for number in range(1, many + 1):
        noted.requested(UUID(int=number), 10 * number - 5)
    assert noted.oldest_unrecorded_us == 0
