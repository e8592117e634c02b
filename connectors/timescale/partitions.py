"""Native partitions: made before their first row, indexed when they close. With TimescaleDB there is nothing to do here.

Enters: a connection and times. Leaves: partitions of `samples` and `aggregates`. Who calls: the store (for what it is
about to write), the maintenance service (ahead of time, and to close).

The hot partition of samples has a BRIN on time only. When it closes it is vacuumed and gets a btree on (tag_id, time)
that carries value and quality, so that one tag over a range of time is an index-only scan: in the heap each page holds
about 150 rows of as many tags.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]
_CLOSE_AFTER = timedelta(minutes=5)
"""A partition closes this long after its end; what comes later goes through the btree, which only costs rate."""


class PartitionCache:
    """Ranges that are known to have a partition, so that a batch usually asks nothing. One per connection."""

    def __init__(self) -> None:
        self._ranges: dict[str, list[tuple[int, int]]] = {"samples": [], "aggregates": []}

    def forget(self) -> None:
        """Ask again: retention may have dropped some."""
        for ranges in self._ranges.values():
            ranges.clear()

    def ensure(self, connection: Connection, table: str, from_us: int, to_us: int) -> None:
        """Make the partitions of `from_us`..`to_us` (microseconds since 1970, inclusive), each in a transaction of its own."""
        at = from_us
        while at <= to_us:
            end = next((high for low, high in self._ranges[table] if low <= at < high), None)
            if end is None:
                low, end = _ensure(connection, table, at)
                self._ranges[table].append((low, end))
            at = end


def _ensure(connection: Connection, table: str, at_us: int) -> tuple[int, int]:
    with connection.transaction():
        row = connection.execute(
            """SELECT CASE WHEN isfinite(from_time) THEN (extract(epoch FROM from_time) * 1000000)::bigint END,
                      CASE WHEN isfinite(to_time) THEN (extract(epoch FROM to_time) * 1000000)::bigint END
               FROM ensure_partition(%s, to_time(%s::bigint))""",
            (table, at_us),
        ).fetchone()
    assert row is not None
    low, high = row
    return -(1 << 62) if low is None else low, 1 << 62 if high is None else high


def make_ahead(connection: Connection, now: datetime, partitions: int) -> None:
    """Make the present and the next `partitions` partitions of both tables."""
    for table in ("samples", "aggregates"):
        at = now
        for _ in range(partitions + 1):
            row = connection.execute("SELECT to_time FROM ensure_partition(%s, %s)", (table, at)).fetchone()
            assert row is not None
            if not isinstance(row[0], datetime) or row[0] <= at:
                return  # TimescaleDB makes its own
            at = row[0]


def close_ended(connection: Connection, now: datetime) -> list[str]:
    """Vacuum and index the partitions that have ended; returns their names. The connection must be in autocommit."""
    rows = connection.execute(
        "SELECT partition_name, table_name FROM partitions WHERE closed_at IS NULL AND to_time <= %s ORDER BY to_time",
        (now - _CLOSE_AFTER,),
    ).fetchall()
    closed = []
    for name, table in rows:
        _close(connection, name, table)
        connection.execute("UPDATE partitions SET closed_at = clock_timestamp() WHERE partition_name = %s", (name,))
        log.info("partition closed", extra={"partition": name})
        closed.append(name)
    return closed


def _close(connection: Connection, name: str, table: str) -> None:
    if table == "samples":
        index = f"{name}_tag_time"
        # A build that was interrupted leaves an invalid index behind.
        connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(index)))
        # CONCURRENTLY: late samples are written meanwhile.
        connection.execute(
            sql.SQL("CREATE INDEX CONCURRENTLY {} ON {} (tag_id, time) INCLUDE (value, quality)").format(
                sql.Identifier(index), sql.Identifier(name)
            )
        )
    connection.execute(sql.SQL("VACUUM (ANALYZE, FREEZE) {}").format(sql.Identifier(name)))


def drop_older(connection: Connection, table: str, before: datetime) -> list[str]:
    """Drop the partitions that end before a time; returns their names."""
    rows = connection.execute(
        "SELECT partition_name FROM partitions WHERE table_name = %s AND to_time <= %s ORDER BY to_time",
        (table, before),
    ).fetchall()
    for (name,) in rows:
        with connection.transaction():
            # Detached first: DROP of an attached partition would lock the parent against everybody.
            connection.execute(
                sql.SQL("ALTER TABLE {} DETACH PARTITION {}").format(sql.Identifier(table), sql.Identifier(name))
            )
            connection.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(name)))
            connection.execute("DELETE FROM partitions WHERE partition_name = %s", (name,))
        log.info("partition dropped", extra={"partition": name})
    return [name for (name,) in rows]
