"""The queue of the repair: ranges of time of a tag whose windows must be recomputed from samples.

Enters: ranges. Leaves: rows of `dirty_ranges`, in the same transaction as the samples that made them dirty. Who calls:
the store puts in, the repair takes out. Rows are only added and deleted, so writers never wait for the repair.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg

from historian.samples import DirtyRange


def mark(cursor: psycopg.Cursor[Any], ranges: Sequence[DirtyRange]) -> None:
    """Put ranges into the queue."""
    if not ranges:
        return
    cursor.execute(
        """INSERT INTO dirty_ranges (tag_id, from_time, to_time, reason)
           SELECT tag_id, to_time(from_us), to_time(to_us), reason
           FROM unnest(%s::integer[], %s::bigint[], %s::bigint[], %s::text[]) AS r(tag_id, from_us, to_us, reason)""",
        (
            [item.tag_id for item in ranges], [item.from_us for item in ranges], [item.to_us for item in ranges],
            [item.reason for item in ranges],
        ),
    )  # fmt: skip


def dequeue(cursor: psycopg.Cursor[Any], *, limit: int, quiet_s: float) -> list[DirtyRange]:
    """Remove and return ranges whose windows the stream has done with, oldest first; they come back when the transaction is rolled back.

    A range is ready when LIVE data of its lane has passed the end of its longest window, or when it has waited for `quiet_s`.
    Before that the stream may still fold into the same windows, and a repair would have to be done again. And not before a
    dense partition is closed: without an index each read of it would be of millions of rows.
    """
    rows = cursor.execute(
        """WITH newest AS (
               SELECT gateway_id, lane, max(newest_time) AS newest FROM ledger WHERE stream = 0 GROUP BY 1, 2
           ), ready AS (
               SELECT r.dirty_id
               FROM dirty_ranges r
               LEFT JOIN tags t USING (tag_id)
               LEFT JOIN devices d USING (device_id)
               LEFT JOIN newest n ON n.gateway_id = d.gateway_id AND n.lane = d.lane
               WHERE (n.newest >= r.to_time + make_interval(secs => (SELECT max(w) FROM unnest(t.windows_s) AS w))
                      OR r.marked_at <= now() - make_interval(secs => %s))
                 AND NOT EXISTS (SELECT FROM partitions p WHERE p.table_name = 'samples' AND p.dense AND p.closed_at IS NULL
                                 AND p.from_time <= r.to_time AND p.to_time > r.from_time)
               ORDER BY r.from_time
               LIMIT %s
           )
           DELETE FROM dirty_ranges r USING ready WHERE r.dirty_id = ready.dirty_id
           RETURNING r.tag_id, (extract(epoch FROM r.from_time) * 1000000)::bigint,
                     (extract(epoch FROM r.to_time) * 1000000)::bigint, r.reason""",
        (quiet_s, limit),
    ).fetchall()
    return [
        DirtyRange(tag_id=tag_id, from_us=from_us, to_us=to_us, reason=reason)
        for tag_id, from_us, to_us, reason in rows
    ]


def waiting(connection: psycopg.Connection[Any]) -> int:
    """Ranges in the queue."""
    row = connection.execute("SELECT count(*) FROM dirty_ranges").fetchone()
    return int(row[0]) if row else 0
