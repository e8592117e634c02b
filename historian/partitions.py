"""Native partitions: made before their first row, indexed when they close. With TimescaleDB there is nothing to do here.

Enters: a connection and times. Leaves: partitions of `samples` and `aggregates`. Who calls: the store (for what it is
about to write), the maintenance service (ahead of time, and to close).

The hot partition of samples has a BRIN on time only. When it closes it is vacuumed and gets a btree on (tag_id, time)
that carries value and quality, so that one tag over a range of time is an index-only scan: in the heap each page holds
about 150 rows of many tags.

At 100,000 samples a second and more (the registry's nominal rate when the partition is made) that would cost more CPU
than the COPY: BRIN 0.6 us a row while rows come, the covering btree 1.3 us a row behind them. Such dense partitions are
short and have no index while they are hot. The store writes each batch tag by tag, so a tag's rows share pages, and a
btree on tag_id (0.6 us a row, 7 bytes by deduplication) is enough when they close.

From 250,000 rows a second on, as they came, that is still as much as the COPY. Those partitions get a BRIN on (tag_id, time)
with few pages a range (0.15 us a row, next to no bytes): a tag is in few of a batch's ranges. It is built under a lock that
lets nobody write to this one partition, 10 s for 75 million rows: CREATE INDEX CONCURRENTLY would put every row into a BRIN a
second time, one by one. What comes that late, half a minute or more after its time, waits for it.
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from typing import Any, LiteralString

import psycopg
from psycopg import sql

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]
_CLOSE_AFTER = timedelta(minutes=5)
"""A partition closes this long after its end; what comes later goes through the btree, which only costs rate."""
_CLOSE_DENSE_AFTER = timedelta(seconds=30)
_LIGHT_FROM_BYTES_PER_S = 250_000 * 52
"""From so many bytes of rows in a second of a partition on, its index has to cost next to nothing."""


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
        """SELECT partition_name, table_name, dense, pg_relation_size(partition_name::regclass) / extract(epoch FROM to_time - from_time)
           FROM partitions
           WHERE closed_at IS NULL AND to_time <= CASE WHEN dense THEN %s::timestamptz ELSE %s END ORDER BY to_time""",
        (now - _CLOSE_DENSE_AFTER, now - _CLOSE_AFTER),
    ).fetchall()
    closed = []
    for name, table, dense, bytes_per_s in rows:
        _close(connection, name, table, dense=dense, light=bytes_per_s >= _LIGHT_FROM_BYTES_PER_S)
        connection.execute("UPDATE partitions SET closed_at = clock_timestamp() WHERE partition_name = %s", (name,))
        log.info("partition closed", extra={"partition": name})
        closed.append(name)
    return closed


def _close(connection: Connection, name: str, table: str, *, dense: bool, light: bool) -> None:
    # A session's usual 64 MB would sort on disk.
    connection.execute("SET maintenance_work_mem = '256MB'")
    if table == "samples" and dense and light:
        _index(connection, name, "tag", "USING brin (tag_id, time) WITH (pages_per_range = 8)", concurrently=False)
    elif table == "samples" and dense:
        _index(connection, name, "tag", "(tag_id)")
    elif table == "samples":
        _index(connection, name, "tag_time", "(tag_id, time) INCLUDE (value, quality)")
    # Frozen now, while its pages are in memory, or at dense rates whenever autovacuum must: bitmap scans need no visibility map.
    action = "ANALYZE {}" if dense else "VACUUM (ANALYZE, FREEZE) {}"
    connection.execute(sql.SQL(action).format(sql.Identifier(name)))


def _index(
    connection: Connection, partition: str, suffix: str, what: LiteralString, *, concurrently: bool = True
) -> None:
    """Build an index, while late samples are written if `concurrently`, after dropping what an interrupted build left behind."""
    index = sql.Identifier(f"{partition}_{suffix}")
    connection.execute(sql.SQL("DROP INDEX IF EXISTS {}").format(index))
    create = sql.SQL("CREATE INDEX CONCURRENTLY" if concurrently else "CREATE INDEX")
    connection.execute(sql.SQL("{} {} ON {} " + what).format(create, index, sql.Identifier(partition)))


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
