"""Gaps end when every tag of a device was heard again, not with the first stale value."""

from __future__ import annotations

from connectors.gap_tracker import SETTLING_US, GapTracker
from connectors.readings import Readings
from schemas.definitions import TagDefinition
from schemas.events import Gap
from tests.unit.served import definition

SECOND_US = 1_000_000
LAST = 100 * SECOND_US


def tags(*periods_ms: int) -> dict[int, TagDefinition]:
    return {
        number: definition(tag_id=number, device_id=7, lane=1, period_ms=period)
        for number, period in enumerate(periods_ms, start=1)
    }


def readings(*samples: tuple[int, float]) -> Readings:
    found = Readings()
    for tag_id, seconds in samples:
        found.tag_id.append(tag_id)
        found.time_us.append(LAST + round(seconds * SECOND_US))
        found.value.append(0.0)
        found.quality.append(0)
    return found


def reported() -> tuple[GapTracker, list[Gap]]:
    gaps: list[Gap] = []
    tracker = GapTracker(lambda device_id, gap: gaps.append(gap))
    tracker.begin(7, LAST, "cut")
    return tracker, gaps


def test_stale_value_of_a_slow_tag_does_not_end_the_gap() -> None:
    tracker, gaps = reported()
    known = tags(100, 1000)
    tracker.end(readings((2, 0.6)), known)
    assert gaps == []
    tracker.end(readings((1, 1.9), (1, 2.0)), known)
    assert [(gap.from_us, gap.to_us, gap.lane) for gap in gaps] == [(LAST, LAST + 1_900_000, 1)]


def test_tag_that_stays_silent_does_not_keep_the_gap_open() -> None:
    tracker, gaps = reported()
    known = tags(100, 60_000)
    tracker.end(readings((1, 1.0)), known)
    tracker.end(readings((1, 1.0 + SETTLING_US / SECOND_US)), known)
    assert [gap.to_us for gap in gaps] == [LAST + SECOND_US]


def test_connection_that_breaks_again_keeps_the_beginning() -> None:
    tracker, gaps = reported()
    known = tags(100, 1000)
    tracker.end(readings((2, 0.6)), known)
    tracker.begin(7, LAST + SECOND_US, "cut again")
    tracker.end(readings((1, 5.0), (2, 5.0)), known)
    assert [(gap.from_us, gap.to_us, gap.cause) for gap in gaps] == [(LAST, LAST + 5 * SECOND_US, "cut")]


def test_silence_of_a_period_is_no_gap() -> None:
    tracker, gaps = reported()
    tracker.end(readings((1, 0.1)), tags(100))
    assert gaps == []


def test_repeated_value_counts_as_heard() -> None:
    tracker, gaps = reported()
    known = tags(100, 60_000)
    tracker.repeated(known[2])
    tracker.end(readings((1, 1.0)), known)
    assert [gap.to_us for gap in gaps] == [LAST + SECOND_US]


def test_nothing_but_repeats_is_no_gap() -> None:
    tracker, gaps = reported()
    known = tags(100)
    tracker.repeated(known[1])
    tracker.end(readings(), known)
    tracker.end(readings((1, 30.0)), known)
    assert gaps == []
