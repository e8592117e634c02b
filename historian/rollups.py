"""Hours and days: rolled up once they are over, and again when they changed, however old they are.

Enters: marks of `rollup_stale`, put there by a trigger on `aggregates` and by the repair where it takes windows away. Leaves:
rows of `rollup_1h`, or with TimescaleDB refreshed continuous aggregates. Who calls: the maintenance service.

A mark goes when its hour is rolled up, and only the marks that were read before: a change that comes in between brings a mark that
stays, and after a crash the hour is rolled up again. Hours whose windows retention has begun to take are never computed from
what is left of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_HOURS_AT_ONCE = 24


@dataclass(kw_only=True, slots=True)
class _Stale:
    """Hours that are over and changed, the marks that say so, and from where on windows are complete."""

    hours: list[datetime]
    marks: list[int]
    days_before: datetime
    complete_from: datetime


def roll_up(connection: Connection, now: datetime, *, plain: bool) -> int:
    """Roll up the oldest hours that are over and stale; returns how many. The connection must be in autocommit."""
    stale = _stale(connection, now)
    if not stale.hours:
        return 0
    if plain:
        for hour in stale.hours:
            connection.execute(_ROLL_UP if hour >= stale.complete_from else _TOP_UP, {"hour": hour})
    else:
        _refresh(connection, stale)
    connection.execute("DELETE FROM rollup_stale WHERE mark_id = ANY (%s)", (stale.marks,))
    return len(stale.hours)


def thin_marks(connection: Connection) -> None:
    """Leave one mark per hour, the newest: every transaction of the store adds one."""
    connection.execute(
        """DELETE FROM rollup_stale s USING (SELECT hour, max(mark_id) AS keep FROM rollup_stale GROUP BY hour HAVING count(*) > 1) k
           WHERE s.hour = k.hour AND s.mark_id < k.keep"""
    )


def _stale(connection: Connection, now: datetime) -> _Stale:
    row = connection.execute(
        """SELECT max(refresh_after) FILTER (WHERE resolution = 'hours'), max(refresh_after) FILTER (WHERE resolution = 'days'),
                  nullif(max(dropped_before) FILTER (WHERE resolution = 'windows'), '-infinity')
           FROM storage_policy"""
    ).fetchone()
    assert row is not None
    after_hour, after_day, complete_from = row
    rows = connection.execute(
        """SELECT hour, array_agg(mark_id) FROM rollup_stale WHERE hour <= %s GROUP BY hour ORDER BY hour LIMIT %s""",
        (now - _HOUR - after_hour, _HOURS_AT_ONCE),
    ).fetchall()
    return _Stale(
        hours=[hour for hour, _ in rows],
        marks=[mark for _, marks in rows for mark in marks],
        days_before=_day(now - after_day),
        complete_from=complete_from or datetime.min.replace(tzinfo=UTC),
    )


def _refresh(connection: Connection, stale: _Stale) -> None:
    """The hours, then the days they are in as far as those are over: TimescaleDB does again what changed in those ranges, no more."""
    hours = [hour for hour in stale.hours if hour >= stale.complete_from]
    for start, end in _runs(hours, _HOUR):
        connection.execute("CALL refresh_continuous_aggregate('aggregates_1h', %s, %s)", (start, end))
    days = {_day(hour) for hour in hours}
    row = connection.execute("SELECT rolled_up_before('days')").fetchone()
    done = row[0] if row and isinstance(row[0], datetime) else None
    newest = max((day for day in days if day < stale.days_before), default=None)
    if done is not None and newest is not None:
        # Days up to the newest are read as they are rolled up from now on: those without a mark in between, too.
        days |= {done + n * _DAY for n in range((newest - done).days)}
    for start, end in _runs((day for day in days if day < stale.days_before), _DAY):
        connection.execute("CALL refresh_continuous_aggregate('aggregates_1d', %s, %s)", (start, end))


def _runs(starts: Iterable[datetime], step: timedelta) -> list[tuple[datetime, datetime]]:
    """Stretches of time that pieces of one length cover, ends exclusive.

    >>> from datetime import datetime, timedelta
    >>> hours = [datetime(2026, 3, 1, hour) for hour in (4, 1, 2)]
    >>> [(start.hour, end.hour) for start, end in _runs(hours, timedelta(hours=1))]
    [(1, 3), (4, 5)]
    """
    found: list[tuple[datetime, datetime]] = []
    for start in sorted(starts):
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], start + step)
        else:
            found.append((start, start + step))
    return found


def _day(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


_UPSERT = """
INSERT INTO rollup_1h AS r
SELECT * FROM hour_of_windows(%(hour)s)
ON CONFLICT (tag_id, window_s, start) DO UPDATE SET
    (count, good, mean, m2, min, min_time, max, max_time, first, first_time, last, last_time) =
    (EXCLUDED.count, EXCLUDED.good, EXCLUDED.mean, EXCLUDED.m2, EXCLUDED.min, EXCLUDED.min_time, EXCLUDED.max, EXCLUDED.max_time,
     EXCLUDED.first, EXCLUDED.first_time, EXCLUDED.last, EXCLUDED.last_time)"""
_ROLL_UP = f"""
WITH gone AS (
    DELETE FROM rollup_1h r WHERE r.start = %(hour)s
    AND NOT EXISTS (SELECT FROM aggregates a WHERE (a.tag_id, a.window_s) = (r.tag_id, r.window_s)
                    AND a.start >= %(hour)s AND a.start < %(hour)s::timestamptz + interval '1 hour')
){_UPSERT}"""
# Windows that retention took away must not take their hour along: what has counted more stays.
_TOP_UP = f"{_UPSERT} WHERE EXCLUDED.count >= r.count"
