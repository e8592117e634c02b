"""What the observers make of what they see."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import freshness
from benchmarks.generate import Expected
from benchmarks.ledger_watch import fresh, lag, parse_ranges
from benchmarks.pace import Sent
from benchmarks.push_watch import shown_us


def test_multiranges_are_read() -> None:
    assert parse_ranges("{[0,3),[5,6)}") == ((0, 3), (5, 6))
    assert parse_ranges("{}") == ()


@pytest.mark.parametrize(
    ("before", "now", "numbers"),
    [
        ((), ((0, 3),), [0, 1, 2]),
        (((0, 3),), ((0, 3),), []),
        (((0, 3),), ((0, 5),), [3, 4]),
        (((0, 3), (4, 6)), ((0, 7),), [3, 6]),
        (((2, 3),), ((0, 1), (2, 4)), [0, 3]),
    ],
)
def test_fresh_sequences(
    before: tuple[tuple[int, int], ...], now: tuple[tuple[int, int], ...], numbers: list[int]
) -> None:
    assert fresh(before, now) == numbers


def test_lag_is_what_was_sent_less_what_had_arrived_by_then() -> None:
    assert lag([(0, 10), (5, 20), (9, 30)], [(1, 10), (5, 15), (20, 30)]) == [(0, 10), (5, 5), (9, 15)]


def test_a_newer_value_shows_the_older_one_too() -> None:
    pushed = {7: [(100, 10), (200, 30)]}
    assert shown_us(pushed, 7, 10) == (100, 0)
    assert shown_us(pushed, 7, 20) == (200, 1)
    assert shown_us(pushed, 7, 40, 1) == (0, 2)


def sent(rows: list[tuple[int, int, int, bool, int]]) -> Sent:
    """Rows of gateway, sequence, close time, late, watched source time."""
    columns = list(zip(*rows, strict=True))
    closed = np.array(columns[2], dtype=np.int64)
    return Sent(
        gateway=np.array(columns[0], dtype=np.int64),
        sequence=np.array(columns[1], dtype=np.int64),
        closed_us=closed,
        sent_us=closed + 1_000,
        late=np.array(columns[3]),
        watched_us=np.array(columns[4], dtype=np.int64),
        source_us=closed[:, None] - np.array([100_000, 50_000], dtype=np.int64),
        expected=Expected.of(1, 0, 1),
    )


def test_ways_are_measured_per_frame_and_what_never_came_is_counted() -> None:
    frames = sent(
        [
            (0, 0, 1_000_000, False, 900_000),
            (0, 1, 2_000_000, False, 1_900_000),
            (0, 2, 3_000_000, True, 2_900_000),  # late by design: not measured
            (0, 3, 4_000_000, False, 3_900_000),  # never seen
            (0, 4, 4_500_000, False, 0),  # no watched value
        ]
    )
    readable = {("g", 0): 1_100_000, ("g", 1): 2_300_000, ("g", 2): 3_000_001, ("g", 4): 4_600_000}
    pushed = {7: [(1_050_000, 900_000), (2_200_000, 1_950_000)]}
    ways = freshness.measure(frames, ["g"], [7], readable, pushed, from_us=2_000_000)
    assert ways.sql_closed.tolist() == [300.0, 100.0]
    assert ways.sql_source.tolist() == [400.0, 350.0, 200.0, 150.0]
    assert ways.push_closed.tolist() == [200.0]
    assert ways.push_source.tolist() == [300.0]
    assert (ways.sql_missing, ways.push_missing) == (1, 1)
    assert ways.by_second["SQL"] == [(0.0, 300.0), (2.0, 100.0)]
    assert frames.behind_ms.tolist() == [1.0] * 4
