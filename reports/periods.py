"""Which time a report is of: the shift, day or week that holds a moment, in the time zone of the place's calendar.

Enters: a connection, a scope, a moment. Leaves: a `Period`. Without a moment it is the last one that is over.
"""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg

from base.errors import NotFoundError
from base.moments import zone_of
from reports.model import Period, Span

Connection = psycopg.Connection[Any]
_SHIFTS_LOOKED_AT = timedelta(days=14)
_INSTANT = timedelta(microseconds=1)
"""A shift holds the moment in which it begins."""


def zone(connection: Connection, scope: str, at: datetime, given: str = "") -> ZoneInfo:
    """The zone given, that of the place's calendar, or UTC."""
    if given:
        return zone_of(given)
    moment = (scope, at, at + _INSTANT)
    found = connection.execute("SELECT time_zone FROM work_days(%s, %s, %s) LIMIT 1", moment).fetchone()
    return zone_of(found[0] if found else "UTC")


def period(
    connection: Connection, scope: str, span: Span, at: datetime | None, now: datetime, where: ZoneInfo
) -> Period:
    """The one that holds `at`; for None the last one before `now`. Raises NotFoundError for a shift where no calendar has one."""
    if span is Span.SHIFT:
        return _shift(connection, scope, at, now, where)
    day = (at or now).astimezone(where).date()
    if span is Span.WEEK:
        day -= timedelta(days=day.weekday())
    length = timedelta(days=7 if span is Span.WEEK else 1)
    if at is None:
        day -= length
    return Period(span=span, day=day, begin=_midnight(day, where), end=_midnight(day + length, where), zone=where)


def before(one: Period) -> tuple[datetime, datetime]:
    """The time of the same length that it is compared with: the day or week before, or as long a time as the shift."""
    if one.span is Span.SHIFT:
        return one.begin - (one.end - one.begin), one.begin
    length = timedelta(days=7 if one.span is Span.WEEK else 1)
    return _midnight(one.day - length, one.zone), one.begin


def steps(one: Period) -> list[tuple[datetime, datetime]]:
    """Hours of a shift or day, days of a week; the last may be shorter."""
    if one.span is Span.WEEK:
        edges = [_midnight(one.day + timedelta(days=number), one.zone) for number in range(8)]
    else:
        edges = [one.begin]
        while edges[-1] < one.end:
            # The first ends with the clock's hour.
            edges.append(min(edges[-1].replace(minute=0, second=0, microsecond=0) + timedelta(hours=1), one.end))
    return list(itertools.pairwise(edges))


def _shift(connection: Connection, scope: str, at: datetime | None, now: datetime, where: ZoneInfo) -> Period:
    moment = at or now
    over = "start_time <= %(at)s" if at else "end_time <= %(at)s"
    found = connection.execute(
        "SELECT shift, shift_day, start_time, end_time FROM shifts_between(%(scope)s, %(since)s, %(until)s)"
        f" WHERE {over} ORDER BY start_time DESC LIMIT 1",
        {"scope": scope, "since": moment - _SHIFTS_LOOKED_AT, "at": moment, "until": moment + _INSTANT},
    ).fetchone()
    if found is None:
        msg = (
            f"{scope} has no shift in the {_SHIFTS_LOOKED_AT.days} days before {moment.isoformat()}: enter a calendar"
            " (work_calendars), ask for a place that has one, or for --day"
        )
        raise NotFoundError(msg)
    name, day, begin, end = found
    return Period(span=Span.SHIFT, day=day, begin=begin, end=end, zone=where, shift=name)


def _midnight(day: date, where: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), where).astimezone(UTC)
