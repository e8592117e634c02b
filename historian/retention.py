"""Drops what is older than `storage_policy` keeps, and nothing before what is made of it is there.

Enters: policies and the time. Leaves: fewer rows. Who calls: the maintenance service.

Samples and windows go by partition or chunk once no class keeps them; before that the rows of classes that keep less go by
DELETE, piece by piece. Samples go when their windows count them all and nothing about them waits for repair; where windows are missing,
the repair is told, and the samples stay until it was there. Windows of a minute and longer go when their hours are rolled
up. What has to wait is said in the log and tried again the next time. Hours and days are kept for ever, and so is an alarm that stands.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from historian import partitions, storage_policy
from historian.storage_policy import EVERY, Policy

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]
_RECORDS = (
    ("rejects", "rejected_at", ""),
    ("device_events", "time", ""),
    ("ledger_minute", "minute", ""),
    (
        "alarm_events",
        "time",
        " AND NOT EXISTS (SELECT FROM alarms a WHERE a.alarm_id = alarm_events.alarm_id AND a.state <> 'NORMAL')",
    ),
    ("alarms", "updated_at", " AND state = 'NORMAL'"),
)
"""Table, column of time, and what of it may go."""
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_TABLES = {"samples": ("samples", "time"), "fine_windows": ("aggregates", "start"), "windows": ("aggregates", "start")}
_LENGTHS = {"samples": "", "fine_windows": " AND window_s < 60", "windows": " AND window_s >= 60"}


def drop_old(connection: Connection, now: datetime, *, plain: bool) -> bool:
    """Drop what is too old; True when partitions went. The connection must be in autocommit."""
    policies = storage_policy.read(connection)
    gone = False
    for resolution in ("samples", "windows"):
        of_it = [policy for policy in policies if policy.resolution == resolution]
        gone |= _drop_partitions(connection, of_it, now, plain=plain)
    policies = storage_policy.read(connection)
    for policy in policies:
        if policy.resolution in _TABLES:
            _delete_rows(connection, policy, policies, now)
        elif policy.resolution == "records" and policy.keep is not None:
            _drop_records(connection, now - policy.keep)
    return gone


def _drop_partitions(connection: Connection, policies: Sequence[Policy], now: datetime, *, plain: bool) -> bool:
    """Drop partitions that no class keeps, oldest first, as far as what is made of them is there."""
    (table, _), resolution = _TABLES[policies[0].resolution], policies[0].resolution
    longest = _longest(policies)
    if longest is None:
        return False
    rows = connection.execute(
        "SELECT from_time, to_time FROM partitions WHERE table_name = %s AND to_time <= %s ORDER BY to_time",
        (table, now - longest),
    ).fetchall()
    dropped = waiting = False
    for from_time, to_time in rows:
        if not _made_of_it(connection, resolution, from_time, to_time):
            waiting = True
        if waiting:  # oldest first; but what the later ones lack is asked for already
            continue
        if plain:
            partitions.drop_older(connection, table, to_time)
        else:
            connection.execute("SELECT drop_chunks(%s::regclass, %s::timestamptz)", (table, to_time))
            log.info("chunk dropped", extra={"table": table, "to": str(to_time)})
        for policy in policies:
            storage_policy.dropped(connection, policy, to_time)
        dropped = True
    return dropped


def _made_of_it(
    connection: Connection, resolution: str, from_time: datetime, to_time: datetime, tags: Sequence[int] | None = None
) -> bool:
    """Whether all that is made of the samples or windows of a range of time is there and in nobody's queue; of some tags, or of all."""
    low, high = _hour(from_time), _hour(to_time - timedelta(microseconds=1)) + _HOUR
    row = connection.execute(
        """SELECT (SELECT count(*) FROM dirty_ranges WHERE from_time < %(high)s AND to_time >= %(low)s
                                                   AND (%(tags)s::integer[] IS NULL OR tag_id = ANY (%(tags)s))),
                  (SELECT count(*) FROM rollup_stale WHERE hour >= %(low)s AND hour < %(high)s)""",
        {"low": low, "high": high, "tags": tags},
    ).fetchone()
    assert row is not None
    ranges, hours = row
    if not ranges and resolution == "samples":
        ranges = connection.execute(
            """INSERT INTO dirty_ranges (tag_id, from_time, to_time, reason)
               SELECT tag_id, hour, hour + interval '1 hour' - interval '1 microsecond', 'RETENTION' FROM hours_without_windows(%s, %s)
               WHERE %s::integer[] IS NULL OR tag_id = ANY (%s)""",
            (low, high, tags, tags),
        ).rowcount
    if ranges or hours:
        log.warning(
            "old rows stay until what is made of them is there",
            extra={
                "resolution": resolution,
                "from": str(from_time),
                "to": str(to_time),
                "ranges": ranges,
                "hours": hours,
            },
        )
    return not ranges and not hours


def _delete_rows(connection: Connection, policy: Policy, policies: Sequence[Policy], now: datetime) -> None:
    """Rows of one class at one resolution in partitions that others keep, from where the last run ended."""
    table, column = _TABLES[policy.resolution]
    of_table = [p for p in policies if p.resolution != "fine_windows" and _TABLES.get(p.resolution) == (table, column)]
    if policy.keep is None or policy.keep == _longest(of_table):
        return  # gone with their partitions
    before = _hour(now - policy.keep)
    row = connection.execute("SELECT min(from_time) FROM partitions WHERE table_name = %s", (table,)).fetchone()
    if row is None or row[0] is None:
        return
    start = _hour(max(row[0], policy.dropped_before or row[0]))
    tags = _tags(connection, policy, policies)
    query = sql.SQL("DELETE FROM {} WHERE {} >= %s AND {} < %s" + _LENGTHS[policy.resolution]).format(
        sql.Identifier(table), sql.Identifier(column), sql.Identifier(column)
    )
    if tags is not None:
        query += sql.SQL(" AND tag_id = ANY (%s)")
    while start < before:
        end = min(start + (_DAY if policy.resolution == "fine_windows" else _HOUR), before)
        if policy.resolution != "fine_windows" and not _made_of_it(connection, policy.resolution, start, end, tags):
            return
        gone = connection.execute(query, (start, end, *([tags] if tags is not None else []))).rowcount
        storage_policy.dropped(connection, policy, end)
        if gone:
            extra = {"resolution": policy.resolution, "tag_class": policy.tag_class, "from": str(start), "rows": gone}
            log.info("old rows dropped", extra=extra)
        start = end


def _longest(policies: Iterable[Policy]) -> timedelta | None:
    """How long the class that keeps longest keeps; None: for ever."""
    keeps = [policy.keep for policy in policies]
    return None if None in keeps else max(keep for keep in keeps if keep is not None)


def _tags(connection: Connection, policy: Policy, policies: Iterable[Policy]) -> list[int] | None:
    """Tags that a policy is for; None for all."""
    others = [p.tag_class for p in policies if p.resolution == policy.resolution and p.tag_class != EVERY]
    if not others:
        return None
    query = "SELECT tag_id FROM tags WHERE " + (
        "tag_class <> ALL (%s)" if policy.tag_class == EVERY else "tag_class = ANY (%s)"
    )
    rows = connection.execute(query, (others if policy.tag_class == EVERY else [policy.tag_class],)).fetchall()
    return [tag_id for (tag_id,) in rows]


def _drop_records(connection: Connection, before: datetime) -> None:
    for table, column, condition in _RECORDS:
        query = sql.SQL("DELETE FROM {} WHERE {} < %s" + condition).format(
            sql.Identifier(table), sql.Identifier(column)
        )
        gone = connection.execute(query, (before,)).rowcount
        if gone:
            log.info("old records dropped", extra={"table": table, "rows": gone})


def _hour(time: datetime) -> datetime:
    return time.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
