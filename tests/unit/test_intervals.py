"""Interval sets against Python's own sets, and deduplication."""

from __future__ import annotations

import itertools
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.frame import SequenceKey, Stream
from stages.intake.dedup import REPLAYS, LaneDedup, Seen
from stages.intake.intervals import IntervalSet

numbers = st.lists(st.integers(min_value=0, max_value=60))
KEY = SequenceKey("gw", UUID(int=7), 0, Stream.LIVE)


def plain(ranges: IntervalSet) -> set[int]:
    return {number for start, end in ranges.ranges() for number in range(start, end + 1)}


@given(numbers)
def test_it_is_a_set(given_numbers: list[int]) -> None:
    found, expected = IntervalSet(), set[int]()
    for number in given_numbers:
        assert found.add(number) is (number not in expected)
        expected.add(number)
        assert not found.add(number), "adding twice changes nothing"
    assert plain(found) == expected
    assert len(found) == len(expected)
    assert all(found.contains(number) == (number in expected) for number in range(62))
    holes = {number for start, end in found.holes() for number in range(start, end + 1)}
    assert holes == set(range(max(expected, default=-1) + 1)) - expected
    pairs = list(found.ranges())
    assert all(before[1] + 1 < after[0] for before, after in itertools.pairwise(pairs))


@given(numbers, numbers)
def test_merging_is_union(left: list[int], right: list[int]) -> None:
    one = IntervalSet(tuple((number, number) for number in left))
    other = IntervalSet(tuple((number, number) for number in right))
    one.merge(other)
    assert plain(one) == set(left) | set(right)


@given(numbers)
def test_bytes_round_trip(given_numbers: list[int]) -> None:
    found = IntervalSet(tuple((number, number + 2) for number in given_numbers))
    assert IntervalSet.from_bytes(found.to_bytes()) == found


def test_order_does_not_matter_for_the_common_case() -> None:
    found = IntervalSet()
    for number in range(100_000):
        found.add(number)
    assert list(found.ranges()) == [(0, 99_999)]
    assert len(found.to_bytes()) == 16


@pytest.mark.parametrize("bad", [(-1, 3), (5, 4)])
def test_what_is_no_range_is_refused(bad: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="no range"):
        IntervalSet((bad,))


def test_torn_bytes_are_refused() -> None:
    with pytest.raises(ValueError, match="no interval set"):
        IntervalSet.from_bytes(b"123")


def restored(dedup: LaneDedup, remember: int) -> LaneDedup:
    fresh = LaneDedup(remember)
    fresh.restore({"dedup": dedup.to_bytes()})
    return fresh


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), max_size=60))
def test_an_identity_is_new_once_then_duplicate_or_conflict(frames: list[tuple[int, int]]) -> None:
    dedup, known = LaneDedup(remember=64), dict[int, int]()
    for sequence, checksum in frames:
        if sequence not in known:
            assert dedup.classify(KEY, sequence, checksum) is Seen.NEW
            dedup.record(KEY, sequence, checksum)
            known[sequence] = checksum
        expected = Seen.DUPLICATE if known[sequence] == checksum else Seen.CONFLICT
        assert dedup.classify(KEY, sequence, checksum) is expected
        dedup = restored(dedup, remember=64)


def test_streams_and_epochs_are_apart() -> None:
    dedup = LaneDedup(remember=8)
    dedup.record(KEY, 0, 1)
    assert dedup.classify(KEY._replace(stream=Stream.BACKFILL), 0, 1) is Seen.NEW
    assert dedup.classify(KEY._replace(epoch=UUID(int=8)), 0, 1) is Seen.NEW


def test_memory_of_checksums_is_bounded_and_can_be_resized() -> None:
    dedup = LaneDedup(remember=4)
    for sequence in range(10):
        dedup.record(KEY, sequence, sequence * 7)
    assert dedup.classify(KEY, 9, 1) is Seen.CONFLICT
    assert dedup.classify(KEY, 2, 1) is Seen.DUPLICATE, "its checksum is forgotten"
    larger = restored(dedup, remember=16)
    assert larger.classify(KEY, 9, 1) is Seen.CONFLICT
    assert larger.classify(KEY, 9, 63) is Seen.DUPLICATE
    for epoch in range(40):
        dedup.record(KEY._replace(epoch=UUID(int=epoch)), 0, 1)
    assert len(dedup.to_bytes()) < 40 * 200


def test_replays_are_bounded_and_cost_the_other_streams_nothing() -> None:
    dedup = LaneDedup(remember=4)
    dedup.record(KEY, 0, 1)
    live = dedup.to_bytes()
    replays = [KEY._replace(stream=Stream.REPLAY, epoch=UUID(int=number)) for number in range(REPLAYS + 50)]
    for each in replays:
        dedup.record(each, 3, 1)
    assert dedup.to_bytes() == live
    assert dedup.classify(KEY, 0, 2) is Seen.CONFLICT, "replays take no checksums away"
    assert dedup.classify(replays[-1], 3, 2) is Seen.CONFLICT
    assert dedup.classify(replays[60], 3, 1) is Seen.DUPLICATE
    assert dedup.classify(replays[0], 3, 1) is Seen.NEW, "forgotten: the ledger knows"
    again = LaneDedup(remember=4)
    again.restore({"dedup/REPLAY": dedup.to_bytes(replays=True), "dedup": live})
    assert set(again.sets) == set(dedup.sets)
    assert len(dedup.to_bytes(replays=True)) < 200 * REPLAYS
