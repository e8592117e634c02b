"""The arithmetic of the accounting, on made-up numbers."""

from __future__ import annotations

import dataclasses
from typing import Any
from uuid import UUID

import pytest

from historian.accounting import account
from historian.accounting_sources import Books, Counters, Flight, LedgerEntry, holes
from schemas.frame import SequenceKey, Stream
from tests.integration.history import EPOCH

KEY = SequenceKey("gw", EPOCH, 0, Stream.LIVE)
# Ten frames of ten samples, whose checksums are their number.
SUM = sum(range(10))


def counters(**changes: int) -> Counters:
    given: dict[str, int] = {
        "next_sequence": 10,
        "produced": 100,
        "checksum": SUM,
        "delivered_sequence": 10,
        "buffered": 0,
        "dropped": 0,
    }
    return Counters(**{**given, **changes})


def ledger(*ranges: tuple[int, int], suppressed: int = 0, rejected: int = 0) -> LedgerEntry:
    numbers = [number for low, high in ranges for number in range(low, high)]
    stored = 10 * len(numbers) - suppressed - rejected
    return LedgerEntry(sequences=ranges, stored=stored, rejected=rejected, suppressed=suppressed, checksum=sum(numbers))


def measure(books: Books, one: Counters, *in_kafka: int) -> dict[str, Any]:
    missing = {KEY: books.missing(KEY, one.next_sequence)}
    flight = {KEY: {number: Flight(samples=10, checksum=number) for number in in_kafka}}
    return account(books, {KEY: one}, missing, flight, ())


def test_quiet_and_complete() -> None:
    found = measure(Books(ledger={KEY: ledger((0, 10), suppressed=7, rejected=2)}), counters())
    assert (found["closed"], found["produced"], found["stored"], found["rejected"], found["suppressed"]) == (
        True,
        100,
        91,
        2,
        7,
    )
    assert (found["difference"], found["in_flight"], found["checksums_compared"], found["checksums_differing"]) == (
        0,
        0,
        1,
        0,
    )
    assert found["lanes"][0]["gateway_id"] == "gw"


def test_frames_in_kafka_and_in_the_gateway() -> None:
    books = Books(ledger={KEY: ledger((0, 5))})
    found = measure(books, counters(delivered_sequence=7, buffered=30), 5, 6)
    assert (found["closed"], found["in_kafka"], found["in_gateway_buffers"], found["difference"]) == (True, 20, 30, 0)


def test_a_frame_in_kafka_that_the_gateway_has_not_heard_of_is_counted_once() -> None:
    books = Books(ledger={KEY: ledger((0, 5))})
    found = measure(books, counters(delivered_sequence=5, buffered=50), 5, 6)
    assert (found["in_kafka"], found["in_gateway_buffers"], found["difference"]) == (20, 30, 0)


def test_held_frames_are_held_and_not_in_flight() -> None:
    books = Books(ledger={KEY: ledger((0, 8))}, held={KEY: {8: 10, 9: 10}})
    found = measure(books, counters(), 8, 9)
    assert (found["closed"], found["held"], found["in_flight"], found["difference"]) == (True, 20, 0, 0)


def test_dropped_frames_are_covered_by_their_gap() -> None:
    books = Books(ledger={KEY: ledger((0, 3), (6, 10))}, gaps={KEY: [(3, 6)]})
    found = measure(books, counters(dropped=30))
    assert (found["closed"], found["dropped"], found["missing_frames"], found["difference"]) == (True, 30, 0, 0)


def test_a_lost_frame_is_a_difference_and_named() -> None:
    found = measure(Books(ledger={KEY: ledger((0, 4), (5, 10))}), counters())
    assert (found["closed"], found["difference"], found["missing_frames"]) == (False, 10, 1)


def test_corruption_shows_in_the_checksum() -> None:
    found = measure(Books(ledger={KEY: ledger((0, 10))}), counters(checksum=SUM + 1))
    assert (found["closed"], found["difference"], found["checksums_differing"]) == (False, 0, 1)


def test_what_was_replayed_is_no_longer_rejected() -> None:
    books = Books(ledger={KEY: ledger((0, 10), rejected=30)})
    replayed = KEY._replace(stream=Stream.REPLAY, epoch=UUID(int=5))
    books.ledger[replayed] = LedgerEntry(sequences=[(4, 6)], stored=12, rejected=5, suppressed=3, checksum=77)
    found = measure(books, counters())
    assert (found["closed"], found["produced"], found["difference"]) == (True, 100, 0)
    assert (found["stored"], found["rejected"], found["suppressed"], found["replayed"]) == (82, 15, 3, 15)
    assert (found["missing_frames"], found["checksums_compared"]) == (0, 1)


def test_old_counters_close_nothing() -> None:
    found = measure(Books(ledger={KEY: ledger((0, 10))}), counters(next_sequence=9, produced=90))
    assert found["closed"] is None
    assert "ahead of the newest counters" in found["not_measured"][0]
    found = account(Books(ledger={KEY: ledger((0, 10))}), {}, {}, {}, ())
    assert "reported no counters" in found["not_measured"][0]


def test_what_is_not_reached_is_said() -> None:
    found = account(Books(), {}, {}, {}, ["stored: the database does not answer"])
    assert (found["closed"], found["not_measured"]) == (None, ["stored: the database does not answer"])


@pytest.mark.parametrize(
    ("ranges", "end", "expected"),
    [
        ((), 3, [(0, 3)]),
        (((0, 3),), 3, []),
        (((1, 2), (4, 6)), 8, [(0, 1), (2, 4), (6, 8)]),
        (((0, 9),), 3, []),
        ((), 0, []),
    ],
)
def test_holes(ranges: tuple[tuple[int, int], ...], end: int, expected: list[tuple[int, int]]) -> None:
    assert holes(ranges, end) == expected


def test_calculated_samples_are_stored_and_no_gateway_produced_them() -> None:
    entry = dataclasses.replace(ledger((0, 8)), stored=80 + 16, calculated=16)
    found = measure(Books(ledger={KEY: entry}), counters(), 8, 9)
    assert (found["closed"], found["produced"], found["calculated"], found["stored"], found["in_flight"]) == (
        True,
        100,
        16,
        96,
        20,
    )
    assert (found["difference"], found["checksums_differing"]) == (0, 0)
    missing = measure(Books(ledger={KEY: dataclasses.replace(entry, stored=95)}), counters(), 8, 9)
    assert (missing["closed"], missing["difference"]) == (False, 1)
