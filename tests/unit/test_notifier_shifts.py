"""Roles by shifts of the plant: who has the shift is told; where nobody knows who has it, all are, and never nobody."""

from __future__ import annotations

import pytest

from base.errors import ConfigError
from notifier import routes_file
from notifier.book import Book
from notifier.shifts import NOTHING_KNOWN, Shifts
from schemas.shifts import PlannedTime, ShiftCalendar, ShiftTime
from tests.unit.notifying import MINUTE_US, T0_US, alarm

HOUR_US = 60 * MINUTE_US
FILE = """
targets:
  early-lead: {email: {host: mail.example.com, from: a@example.com, to: [early@example.com]}}
  late-lead: {email: {host: mail.example.com, from: a@example.com, to: [late@example.com]}}
roles:
  lead:
    - {tell: [early-lead], during_shift: early}
    - {tell: [late-lead], during_shift: [late, night]}
routes:
  - name: all
    steps: [{tell: [lead]}]
"""
NORTH = ShiftCalendar(
    scope="acme/north",
    from_us=T0_US - 24 * HOUR_US,
    until_us=T0_US + 24 * HOUR_US,
    planned=(PlannedTime(T0_US - 10 * HOUR_US, T0_US + 20 * HOUR_US),),
    shifts=(
        ShiftTime("early", T0_US - HOUR_US, T0_US + HOUR_US),
        ShiftTime("late", T0_US + HOUR_US, T0_US + 3 * HOUR_US),
    ),
    names=("early", "late", "night"),
)
KNOWN = Shifts(calendars={"acme/north": NORTH})
BOTH = ["early-lead", "late-lead"]


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (-11, BOTH),  # no calendar then: all time is planned
        (-2, []),  # planned to stand
        (0, ["early-lead"]),
        (0.999, ["early-lead"]),
        (1, ["late-lead"]),
        (3, []),
        (19, []),
        (21, BOTH),
        (25, BOTH),  # beyond what is known
        (-30, BOTH),
    ],
)
def test_who_has_the_shift_is_told(hours: float, told: list[str]) -> None:
    (step,) = routes_file.parse(FILE).routes[0].steps
    assert step.on_duty(T0_US + round(hours * HOUR_US), "acme/north/forming/press-01", KNOWN) == told


@pytest.mark.parametrize(
    ("shifts", "path", "why"),
    [
        (NOTHING_KNOWN, "acme/north/x", "no calendar has been told"),
        (KNOWN, "acme/northern/x", "no calendar covers acme/northern/x"),
        (KNOWN, "", "no calendar covers the whole plant"),
    ],
)
def test_where_nobody_knows_all_are_told(shifts: Shifts, path: str, why: str) -> None:
    (step,) = routes_file.parse(FILE).routes[0].steps
    assert step.on_duty(T0_US, path, shifts) == BOTH
    assert why in shifts.unknown({"early"}, path, T0_US)


def test_a_shift_that_there_is_not_is_a_mistake_that_silences_nobody() -> None:
    found = routes_file.parse(FILE.replace("during_shift: early", "during_shift: erly"))
    assert found.routes[0].steps[0].on_duty(T0_US + HOUR_US, "acme/north/x", KNOWN) == BOTH
    assert "no shift 'erly'; it has early, late, night" in KNOWN.unknown({"erly"}, "acme/north/x", T0_US)


def test_the_longest_scope_holds_and_a_role_may_name_another_place() -> None:
    line = ShiftCalendar(
        scope="acme/north/forming",
        from_us=NORTH.from_us,
        until_us=NORTH.until_us,
        planned=NORTH.planned,
        shifts=(ShiftTime("night", T0_US - HOUR_US, T0_US + HOUR_US),),
        names=NORTH.names,
    )
    shifts = Shifts(calendars={"acme/north": NORTH, "acme/north/forming": line})
    (step,) = routes_file.parse(FILE).routes[0].steps
    assert step.on_duty(T0_US, "acme/north/forming/press-01", shifts) == ["late-lead"]
    assert step.on_duty(T0_US, "acme/north/assembly/robot-01", shifts) == ["early-lead"]
    elsewhere = routes_file.parse(FILE.replace("during_shift: early", "during_shift: early, place: acme/north"))
    (step,) = elsewhere.routes[0].steps
    assert step.on_duty(T0_US, "acme/north/forming/press-01", shifts) == BOTH
    with pytest.raises(ConfigError, match=r"roles\.lead: place says where a shift is"):
        routes_file.parse(FILE.replace("during_shift: early", "place: acme/north"))


def test_a_calendar_and_a_shift_have_both_to_hold() -> None:
    both = FILE.replace("during_shift: early", "during_shift: early, during: never").replace(
        "roles:", "calendars: {never: {zone: UTC, times: [{days: [mon], from: 3, to: 4}]}}\nroles:"
    )
    (step,) = routes_file.parse(both).routes[0].steps
    assert step.on_duty(T0_US, "acme/north/x", KNOWN) == []


def test_an_alarm_is_told_to_who_has_the_shift_when_it_is_due() -> None:
    routes = routes_file.parse(FILE)
    assert routes.by_shifts
    book, about = Book(routes), alarm()
    book.take_alarm(about, T0_US)
    # Nothing is known: all are told; then it becomes known, and nobody is told twice.
    first = book.due(about.alarm_id, T0_US).notifications
    assert [one.target for one in first] == BOTH
    for one in first:
        book.take(one)
    book.shifts = KNOWN
    assert book.due(about.alarm_id, T0_US + 2 * HOUR_US).notifications == []
    fresh = Book(routes)
    fresh.shifts = KNOWN
    fresh.take_alarm(about, T0_US)
    assert [one.target for one in fresh.due(about.alarm_id, T0_US).notifications] == ["early-lead"]
