"""Brings the shifts of the model of work to the topic `work.shifts`, so that others know them while the database is away.

Enters: calendars, patterns and exceptions of the database. Leaves: for each scope that a calendar or an exception names, its shifts from
eight days ago to five weeks ahead; a tombstone for a scope that nothing names any more. Only what has changed is written, and each scope at
least once a day, so that what is known does not run out. A place has the shifts of the longest scope that covers it: the same calendars and
exceptions cover both. Who calls: maintenance. While the broker is away it is tried again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from base.errors import MillraceError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from schemas import topics
from schemas.shifts import PlannedTime, ShiftCalendar, ShiftTime

log = logging.getLogger(__name__)

BEHIND, AHEAD = timedelta(days=8), timedelta(days=35)
_AGAIN_S = 15.0
_TIMEOUT_S = 5.0
_SCOPES = "SELECT scope::text FROM work_calendars UNION SELECT scope::text FROM work_calendar_exceptions ORDER BY 1"
_NAMES = """
    SELECT shift FROM shift_pattern_shifts UNION SELECT shift FROM work_calendar_exceptions WHERE shift <> '' ORDER BY 1"""
_SHIFTS = """
    SELECT shift, (extract(epoch FROM start_time) * 1000000)::bigint, (extract(epoch FROM end_time) * 1000000)::bigint
    FROM shifts_between(%(scope)s, %(start)s, %(end)s) ORDER BY start_time"""
_PLANNED = """
    SELECT (extract(epoch FROM start_time) * 1000000)::bigint, (extract(epoch FROM end_time) * 1000000)::bigint
    FROM work_days(%(scope)s, %(start)s, %(end)s) ORDER BY start_time"""

Send = Callable[[Sequence[tuple[bytes, bytes | None]]], None]
"""Makes records durable (None: a tombstone); raises MillraceError."""


def read(connection: psycopg.Connection[Any], now: datetime) -> dict[str, ShiftCalendar]:
    """What the model of work says of each scope that it names; of whole days, so that it is the same all day."""
    day = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = day - BEHIND, day + AHEAD
    names = tuple(row[0] for row in connection.execute(_NAMES).fetchall())
    found: dict[str, ShiftCalendar] = {}
    for (scope,) in connection.execute(_SCOPES).fetchall():
        asked = {"scope": scope, "start": start, "end": end}
        found[scope] = ShiftCalendar(
            scope=scope,
            from_us=_us(start),
            until_us=_us(end),
            planned=_joined(connection.execute(_PLANNED, asked).fetchall()),
            shifts=tuple(ShiftTime(*row) for row in connection.execute(_SHIFTS, asked).fetchall()),
            names=names,
        )
    return found


class ShiftTopic:
    """Keeps the topic as the database says. `known`: reads what the topic has; `send`: writes to it."""

    def __init__(
        self,
        connection: psycopg.Connection[Any],
        known: Callable[[], Mapping[bytes, bytes]],
        send: Send,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection, self._known, self._send, self._clock_s = connection, known, send, clock_s
        self._written: dict[bytes, bytes] | None = None
        self._not_before_s = float("-inf")

    def publish(self, now: datetime) -> int:
        """Write what has changed; how many records. 0 also while the broker is away."""
        if self._clock_s() < self._not_before_s:
            return 0
        wanted = {one.key: one.encode() for one in read(self._connection, now).values()}
        try:
            if self._written is None:
                self._written = dict(self._known())
            records: list[tuple[bytes, bytes | None]] = [
                (key, value) for key, value in wanted.items() if self._written.get(key) != value
            ]
            records += [(key, None) for key in self._written if key not in wanted]
            if records:
                self._send(records)
        except MillraceError as error:
            log.warning("shifts wait for the broker", extra={"cause": str(error)})
            self._not_before_s = self._clock_s() + _AGAIN_S
            return 0
        self._written = wanted
        return len(records)


def reader(settings: KafkaSettings) -> Callable[[], Mapping[bytes, bytes]]:
    """Reads the topic to its end."""
    return lambda: kafka.read_newest(settings, topics.WORK_SHIFTS.name, bytes)


def sender(settings: KafkaSettings) -> Send:
    """Writes to the topic."""
    made = kafka.producer(settings, linger_ms=0, delivery_timeout_ms=int(_TIMEOUT_S * 1000))

    def send(records: Sequence[tuple[bytes, bytes | None]]) -> None:
        kafka.send(made, topics.WORK_SHIFTS.name, records, timeout_s=2 * _TIMEOUT_S)

    return send


def _joined(rows: Sequence[tuple[int, int]]) -> tuple[PlannedTime, ...]:
    found: list[PlannedTime] = []
    for start_us, end_us in rows:
        if found and start_us <= found[-1].end_us:
            found[-1] = PlannedTime(found[-1].start_us, max(end_us, found[-1].end_us))
        else:
            found.append(PlannedTime(start_us, end_us))
    return tuple(found)


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6)
