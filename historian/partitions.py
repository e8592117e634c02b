"""Native partitions: made before their first row, indexed when they close. With TimescaleDB there is nothing to do here.

Enters: a connection and times. Leaves: partitions of `samples` and `aggregates`. Who calls: the store (for what it is
about to write), the maintenance service (ahead of time, and to close).

What is hot can be read by tag, too (ADR 0031). At the registry's nominal rate when the partition is made:

Below 20,000 samples a second it has a BRIN on time and a btree on tag_id. When it closes it is vacuumed and gets a btree on
(tag_id, time) that carries value and quality, so that one tag over a range of time is an index-only scan, and the hot one goes.

Above, a BRIN on (tag_id, time) with few pages a range: the store writes each batch tag by tag, so a tag is in few of a batch's
ranges. `summarise` runs behind the rows every second: what came since then is all that a read has to look through. In place it costs
0.4 us a row, because PostgreSQL 15 looks for the range of every row again; summarising costs 0.2 us. The planner is told of the rows, too:
without statistics it does not use the BRIN.

From 100,000 on partitions are dense: short. One whose time has passed when it is made belongs to a backlog, which has to be
written at full speed: it has no index until it has stopped growing. When a dense partition closes it gets a btree on tag_id (0.6 us a
row, 7 bytes by deduplication). From 250,000 rows a second on, as they came, that is as much as the COPY: then the BRIN is all
it has. Where there is none yet it is built under a lock that lets nobody write to this one partition, 10 s for 75 million rows: CREATE
INDEX CONCURRENTLY would put every row into a BRIN a second time, one by one. What comes that late waits for it.

No row is ever moved: a process that is killed here leaves an index that is built again.
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
_GROWING = 1.01
"""A partition that has grown by more than this factor since the last look is still being filled, whatever its time."""
_STATISTICS_AFTER = 4
"""A hot partition that has grown by this factor gets new statistics. Autovacuum, which would see to it, is off there, and without any the
planner takes a tag's rows to lie everywhere and scans the partition."""
_LEAST_BYTES = 1 << 19
"""Below it, times the factor, a scan is quick enough."""
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


def summarise(connection: Connection) -> int:
    """Summarise what came into hot BRINs since the last time; returns how many ranges of pages. The connection must be in autocommit.

    A partition that has grown by `_STATISTICS_AFTER` since the planner last heard of it is analysed.
    """
    rows = connection.execute(
        """SELECT p.partition_name, brin_summarize_new_values(i.indexrelid),
                  pg_relation_size(i.indrelid) > %s * greatest(t.relpages * current_setting('block_size')::bigint, %s)
           FROM partitions p JOIN pg_index i ON i.indexrelid = to_regclass(quote_ident(p.partition_name || '_hot'))
           JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam JOIN pg_class t ON t.oid = i.indrelid
           WHERE p.closed_at IS NULL AND m.amname = 'brin' AND pg_relation_size(i.indrelid) > 0""",
        (_STATISTICS_AFTER, _LEAST_BYTES),
    ).fetchall()
    for name, _, grown in rows:
        if grown:
            with connection.transaction():
                # 3,000 rows tell where tags and times lie; the usual 30,000 are as many pages read.
                connection.execute("SET LOCAL default_statistics_target = 10")
                connection.execute(sql.SQL("ANALYZE {} (tag_id, time)").format(sql.Identifier(name)))
    return sum(ranges for _, ranges, _ in rows)


def close_ended(connection: Connection, now: datetime, sizes: dict[str, int] | None = None) -> list[str]:
    """Vacuum and index the partitions that have ended; returns their names. The connection must be in autocommit.

    `sizes` is what they had at the last look, kept by the caller: with it, those that still grow are left for the next time.
    """
    rows = connection.execute(
        """SELECT partition_name, table_name, dense, extract(epoch FROM to_time - from_time)::float8,
                  pg_relation_size(partition_name::regclass)
           FROM partitions
           WHERE closed_at IS NULL AND to_time <= CASE WHEN dense THEN %s::timestamptz ELSE %s END ORDER BY to_time""",
        (now - _CLOSE_DENSE_AFTER, now - _CLOSE_AFTER),
    ).fetchall()
    before = {name: size for name, *_, size in rows} if sizes is None else dict(sizes)
    if sizes is not None:
        sizes.clear()
        sizes.update({name: size for name, *_, size in rows})
    closed = []
    for name, table, dense, seconds, size in rows:
        if name not in before or size > before[name] * _GROWING:
            continue
        _close(connection, name, table, dense=dense, light=size / seconds >= _LIGHT_FROM_BYTES_PER_S)
        connection.execute("UPDATE partitions SET closed_at = clock_timestamp() WHERE partition_name = %s", (name,))
        log.info("partition closed", extra={"partition": name, "megabytes": size >> 20})
        closed.append(name)
    return closed


def _close(connection: Connection, name: str, table: str, *, dense: bool, light: bool) -> None:
    # A session's usual 64 MB would sort on disk.
    connection.execute("SET maintenance_work_mem = '256MB'")
    hot = f"{name}_hot"
    summarised = connection.execute("SELECT to_regclass(quote_ident(%s)) IS NOT NULL", (hot,)).fetchone() == (True,)
    if table == "samples" and dense:
        if summarised:
            connection.execute("SELECT brin_summarize_new_values(to_regclass(quote_ident(%s)))", (hot,))
        if not light:
            _index(connection, name, "tag", "(tag_id)")
        elif not summarised:
            _index(connection, name, "tag", "USING brin (tag_id, time) WITH (pages_per_range = 8)", concurrently=False)
    elif table == "samples":
        _index(connection, name, "tag_time", "(tag_id, time) INCLUDE (value, quality)")
        connection.execute(sql.SQL("DROP INDEX CONCURRENTLY IF EXISTS {}").format(sql.Identifier(hot)))
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


def waiting(connection: Connection, now: datetime) -> tuple[int, float]:
    """Partitions of samples that ought to be closed and are not, and since how many seconds the oldest; chunks do not count."""
    row = connection.execute(
        """SELECT count(*), coalesce(extract(epoch FROM max(%(now)s - to_time)), 0)::float8 FROM open_partition
           WHERE to_time <= %(now)s - %(after)s""",
        {"now": now, "after": _CLOSE_AFTER},
    ).fetchone()
    assert row is not None
    return int(row[0]), float(row[1])


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
