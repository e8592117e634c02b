"""Hours without TimescaleDB: computed once they are over, and again when they changed.

With TimescaleDB its own policies do this.

Enters: marks of `rollup_stale`, put there by a trigger on `aggregates`. Leaves: rows of `rollup_1h`. Who calls: the
maintenance service. Until an hour is rolled up the view `aggregates_1h` computes it from its windows, so nothing here
is urgent and nobody ever reads an old figure. Marks are taken first and windows read after, so a change that comes in
between brings a mark that stays.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]
_GRACE = timedelta(minutes=2)
_HOURS_AT_ONCE = 24


def roll_up(connection: Connection, now: datetime) -> int:
    """Roll up hours that are over and stale; returns how many."""
    with connection.transaction():
        hours = [
            row[0]
            for row in connection.execute(
                "SELECT DISTINCT hour FROM rollup_stale WHERE hour <= %s ORDER BY hour LIMIT %s",
                (now - timedelta(hours=1) - _GRACE, _HOURS_AT_ONCE),
            ).fetchall()
        ]
    for hour in hours:
        with connection.transaction():
            connection.execute("DELETE FROM rollup_stale WHERE hour = %s", (hour,))
            # Windows that retention took away must not take the hour with them: what has counted more stays, unless samples were corrected.
            connection.execute(_ROLL_UP, (hour,))
            connection.execute(_DROP_EMPTY, (hour,))
    return len(hours)


def thin_marks(connection: Connection) -> None:
    """Leave one mark per hour: every transaction of the store adds one."""
    connection.execute(
        """DELETE FROM rollup_stale s USING (SELECT hour, min(mark_id) AS keep FROM rollup_stale GROUP BY hour HAVING count(*) > 1) k
           WHERE s.hour = k.hour AND s.mark_id > k.keep"""
    )


_ROLL_UP = """
INSERT INTO rollup_1h AS r
SELECT * FROM hour_of_windows(%s)
ON CONFLICT (tag_id, window_s, start) DO UPDATE SET
    (count, good, mean, m2, min, min_time, max, max_time, first, first_time, last, last_time) =
    (EXCLUDED.count, EXCLUDED.good, EXCLUDED.mean, EXCLUDED.m2, EXCLUDED.min, EXCLUDED.min_time, EXCLUDED.max, EXCLUDED.max_time,
     EXCLUDED.first, EXCLUDED.first_time, EXCLUDED.last, EXCLUDED.last_time)
WHERE EXCLUDED.count >= r.count
   OR EXISTS (SELECT FROM corrections c WHERE c.tag_id = r.tag_id AND c.windows_follow
              AND c.from_time < r.start + interval '1 hour' AND c.to_time > r.start)"""
_DROP_EMPTY = """
DELETE FROM rollup_1h r USING corrections c
WHERE r.start = %s AND c.tag_id = r.tag_id AND c.windows_follow AND c.from_time < r.start + interval '1 hour' AND c.to_time > r.start
  AND r.start >= (SELECT min(from_time) FROM partitions WHERE table_name = 'aggregates')
  AND NOT EXISTS (SELECT FROM aggregates a WHERE a.tag_id = r.tag_id AND a.window_s = r.window_s
                  AND a.start >= r.start AND a.start < r.start + interval '1 hour')"""
