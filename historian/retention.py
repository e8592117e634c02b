"""Drops what is older than `StorageSettings` keeps. Hours, days, commands and anomalies are kept for ever.

Enters: settings and the time. Leaves: fewer rows. Who calls: the maintenance service. Raw samples and windows go by
partition or chunk; windows shorter than a minute go earlier than those of a minute and longer, by DELETE, a day at a
time.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

from base.settings import StorageSettings
from historian import partitions

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]
_RECORDS = (("rejects", "rejected_at"), ("device_events", "time"), ("ledger_minute", "minute"))


def drop_old(connection: Connection, storage: StorageSettings, now: datetime, *, plain: bool) -> bool:
    """Drop what is too old; True when partitions went."""
    samples_before = now - timedelta(days=storage.samples_days)
    windows_before = now - timedelta(days=storage.windows_days)
    dropped: list[str] = []
    for table, before in (("samples", samples_before), ("aggregates", windows_before)):
        if plain:
            dropped += partitions.drop_older(connection, table, before)
        else:
            rows = connection.execute("SELECT drop_chunks(%s::regclass, %s::timestamptz)", (table, before)).fetchall()
            dropped += [row[0] for row in rows]
    _drop_fine_windows(connection, now - timedelta(days=storage.fine_windows_days))
    for table, column in _RECORDS:
        query = sql.SQL("DELETE FROM {} WHERE {} < %s").format(sql.Identifier(table), sql.Identifier(column))
        gone = connection.execute(query, (now - timedelta(days=storage.records_days),)).rowcount
        if gone:
            log.info("old records dropped", extra={"table": table, "rows": gone})
    return bool(dropped)


def _drop_fine_windows(connection: Connection, before: datetime) -> None:
    """Windows shorter than a minute that start before a time, day by day from the oldest."""
    rows = connection.execute(
        "SELECT from_time, to_time FROM partitions WHERE table_name = 'aggregates' AND from_time < %s ORDER BY from_time",
        (before,),
    ).fetchall()
    for from_time, to_time in rows:
        start = from_time
        while start < min(to_time, before):
            end = min(start + timedelta(days=1), to_time, before)
            gone = connection.execute(
                "DELETE FROM aggregates WHERE window_s < 60 AND start >= %s AND start < %s", (start, end)
            ).rowcount
            if gone:
                log.info("fine windows dropped", extra={"day": str(start), "rows": gone})
            start = end
