"""Shifts on their way to the topic: what the notifier makes of them is what the database says of every place with its exceptions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from base.errors import UnavailableError
from historian.shift_topic import ShiftTopic, read
from notifier.shifts import Shifts
from schemas.shifts import ShiftCalendar
from tests.integration.fix_history import history_template, plain_history

__all__ = ["history_template", "plain_history"]

# The clock goes back in Berlin in the night to the 25th, and a week later in Chicago.
NOW = datetime(2026, 10, 24, 9, 30, tzinfo=UTC)
PLANT = (
    "INSERT INTO shift_patterns (name, time_zone) VALUES ('three', 'Europe/Berlin'), ('two', 'America/Chicago')",
    """INSERT INTO shift_pattern_shifts (pattern, shift, weekdays, starts, ends) VALUES
       ('three', 'early', '{1,2,3,4,5,6,7}', '06:00', '14:00'), ('three', 'late', '{1,2,3,4,5}', '14:00', '22:00'),
       ('three', 'night', '{1,2,3,4,5,6}', '22:00', '06:00'),
       ('two', 'day', '{1,2,3,4,5}', '07:00', '15:30'), ('two', 'swing', '{1,2,3,4,5}', '15:30', '00:00')""",
    """INSERT INTO work_calendars (scope, valid_from, pattern) VALUES
       ('acme/north', '2026-01-01', 'three'), ('acme/north/forming', '2026-11-10', 'two'), ('acme/south', '2026-10-20', 'two')""",
    """INSERT INTO work_calendar_exceptions (scope, day, shift, kind, starts, ends) VALUES
       ('acme/north', '2026-10-27', '', 'CLOSED', NULL, NULL),
       ('acme/north/forming/line-1', '2026-10-27', 'late', 'EXTRA', '12:00', '20:00'),
       ('acme/north', '2026-10-28', 'early', 'CHANGED', '05:00', '13:00')""",
)
PLACES = (
    "acme/north", "acme/north/forming", "acme/north/forming/line-1/cell/press-01", "acme/north/forming/line-2", "acme/south/any",
)  # fmt: skip
NAMES = ("day", "early", "late", "night", "swing")


class Log:
    """The topic."""

    def __init__(self) -> None:
        self.records: dict[bytes, bytes] = {}
        self.away = False

    def known(self) -> Mapping[bytes, bytes]:
        return self.records

    def send(self, records: Sequence[tuple[bytes, bytes | None]]) -> None:
        if self.away:
            msg = "the broker is away"
            raise UnavailableError(msg)
        for key, value in records:
            if value is None:
                del self.records[key]
            else:
                self.records[key] = value

    def shifts(self) -> Shifts:
        found = map(ShiftCalendar.decode, self.records.values())
        return Shifts(calendars={one.scope: one for one in found})


@pytest.fixture
def history(plain_history: str) -> str:
    with psycopg.connect(plain_history) as sql:
        for statement in PLANT:
            sql.execute(statement)
    return plain_history


def test_who_has_a_shift_is_who_the_database_says_at_every_place_and_hour(history: str) -> None:
    with psycopg.connect(history, autocommit=True) as sql:
        shifts = Shifts(calendars=read(sql, NOW))
        assert set(shifts.calendars) == {
            "acme/north",
            "acme/north/forming",
            "acme/north/forming/line-1",
            "acme/south",
        }
        begin, end = NOW - timedelta(days=6), NOW + timedelta(days=30)
        for place in PLACES:
            rows = sql.execute(
                "SELECT shift, start_time, end_time FROM shifts_between(%s, %s, %s)", (place, begin, end)
            ).fetchall()
            days = sql.execute("SELECT start_time, end_time FROM work_days(%s, %s, %s)", (place, begin, end)).fetchall()
            at = begin
            while at < end:
                time_us = round(at.timestamp() * 1e6)
                wanted = {shift for shift, start, until in rows if start <= at < until}
                has_calendar = any(start <= at < until for start, until in days)
                for name in NAMES:
                    told = shifts.counts({name}, place, time_us)
                    assert told == (name in wanted or not has_calendar), (place, at, name)
                at += timedelta(minutes=20)


def test_the_night_in_which_the_clock_goes_back_has_nine_hours(history: str) -> None:
    with psycopg.connect(history, autocommit=True) as sql:
        shifts = Shifts(calendars=read(sql, NOW))
    hours = [
        at for at in range(24) if shifts.on({"night"}, "acme/north", _us(datetime(2026, 10, 24, 20, tzinfo=UTC)) + at * 3_600_000_000)
    ]  # fmt: skip
    assert hours == list(range(9))


def test_only_what_has_changed_is_written_and_what_is_gone_is_taken_back(history: str) -> None:
    log, clock = Log(), [0.0]
    with psycopg.connect(history, autocommit=True) as sql:
        topic = ShiftTopic(sql, log.known, log.send, lambda: clock[0])
        assert topic.publish(NOW) == 4
        assert topic.publish(NOW + timedelta(minutes=5)) == 0
        assert ShiftTopic(sql, log.known, log.send).publish(NOW) == 0  # after a restart
        sql.execute("DELETE FROM work_calendars WHERE scope = 'acme/south'")
        log.away = True
        assert topic.publish(NOW) == 0
        log.away = False
        assert topic.publish(NOW) == 0, "it waits before it tries again"
        clock[0] += 60
        assert topic.publish(NOW) == 1
        assert b"acme/south" not in log.records
        # A new day, so that what is known does not run out.
        assert topic.publish(NOW + timedelta(days=1)) == 3
        last = max(one.until_us for one in log.shifts().calendars.values())
        assert last > _us(NOW + timedelta(days=35))


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
