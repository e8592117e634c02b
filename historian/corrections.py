"""Corrections of stored samples: what the historian and the repair do about them. The corrections themselves are SQL functions.

Enters: columns of new frames (the store), ranges of tags that are being recomputed (the repair). Leaves: what a replay
sends again is taken out before it is stored, as a correction of its own; windows that have no sample left are gone.
All of it inside the caller's transaction. See docs/adr/0030.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg

from historian.samples import Columns, Fate
from schemas.frame import Stream

Cursor = psycopg.Cursor[Any]


def supersede(cursor: Cursor, columns: Columns) -> int:
    """Take out stored samples of the tags and times that REPLAY frames bring; returns how many. Costs nothing without such frames."""
    replayed = np.zeros(len(columns.fate), dtype=np.bool_)
    for place, key in enumerate(columns.keys):
        if key.stream is Stream.REPLAY:
            replayed[columns.of(place)] = True
    replayed &= columns.fate == Fate.STORED
    if not replayed.any():
        return 0
    row = cursor.execute(
        _SUPERSEDE,
        (columns.tag_id[replayed].tolist(), columns.time_us[replayed].tolist(), columns.value[replayed].tolist()),
    ).fetchone()
    assert row is not None
    return int(row[0])


def drop_empty_windows(cursor: Cursor, tag_ids: Sequence[int], from_us: int, to_us: int) -> int:
    """Delete windows of a range whose samples were all taken out by corrections; returns how many."""
    asked = {"tags": list(tag_ids), "from": from_us, "to": to_us}
    if not cursor.execute(_CORRECTED, asked).fetchone():
        return 0
    row = cursor.execute(_DROP, asked).fetchone()
    assert row is not None
    return int(row[0])


_SUPERSEDE = """
SELECT supersede_replayed(array_agg(r.tag_id), array_agg(to_time(r.time_us)), array_agg(r.value), 'sent again by a replay')
FROM unnest(%s::integer[], %s::bigint[], %s::float8[]) AS r(tag_id, time_us, value)"""
_CORRECTED = """
SELECT 1 FROM corrections
WHERE tag_id = ANY (%(tags)s) AND windows_follow AND from_time < to_time(%(to)s) AND to_time > to_time(%(from)s) LIMIT 1"""
# Never where retention took the samples: their windows are all that is left of them. The hour they are in changes with them.
_DROP = """
WITH gone AS (
    DELETE FROM aggregates a
    WHERE a.tag_id = ANY (%(tags)s) AND a.start >= to_time(%(from)s) AND a.start < to_time(%(to)s)
      AND a.start >= (SELECT min(p.from_time) FROM partitions p WHERE p.table_name = 'samples')
      AND EXISTS (SELECT FROM superseded_samples s JOIN corrections c USING (correction_id)
                  WHERE c.windows_follow AND s.tag_id = a.tag_id
                    AND s.time >= a.start AND s.time < a.start + make_interval(secs => a.window_s))
      AND NOT EXISTS (SELECT FROM samples s
                      WHERE s.tag_id = a.tag_id AND s.time >= a.start AND s.time < a.start + make_interval(secs => a.window_s)
                        AND s.time >= to_time(%(from)s) AND s.time < to_time(%(to)s))
    RETURNING date_bin('1 hour', a.start, timestamptz '2000-01-01 00:00:00+00') AS hour, a.window_s
)
SELECT count(*), mark_hours_stale(array_agg(DISTINCT hour) FILTER (WHERE window_s >= 60)) FROM gone"""
