"""Upsert of windows: the row that has folded more samples wins, and whatever lost or is in doubt is marked for repair.

Enters: `Windows` (columns), from the stream's AggregateBatch records or from the repair. Leaves: rows of `aggregates`,
dirty ranges. Who calls: the historian's store and the repair, inside their transaction. Order does not matter.

Marked dirty: a window that met a row of another lineage (each of the two states may have missed samples of the other), and
one that replaced a repaired row, or came with fewer samples or with as many others (the repaired one held samples the stream
never folds, such as BACKFILL; a repair that was early lacks what the stream folded last). Of one lineage fewer samples are an
earlier state of the same window, said again after a restart. Rows go through a temporary table by binary COPY, then one
INSERT ... ON CONFLICT sorted by key, so writers never deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from connectors.postgres import binary_copy

Cursor = psycopg.Cursor[Any]

COLUMNS = (
    ("start", "timestamptz"), ("tag_id", "int4"), ("window_s", "int4"), ("count", "int8"), ("good", "int8"), ("mean", "float8"),
    ("m2", "float8"), ("min", "float8"), ("min_time", "timestamptz"), ("max", "float8"), ("max_time", "timestamptz"),
    ("first", "float8"), ("first_time", "timestamptz"), ("last", "float8"), ("last_time", "timestamptz"), ("lineage", "int4"),
)  # fmt: skip
NAMES = tuple(name for name, _ in COLUMNS)
_STATISTICS = NAMES[5:-1]
Windows = dict[str, NDArray[Any]]
"""Columns by name as in COLUMNS, shape (n,); times in microseconds since 1970 UTC.

Statistics of a window with no good sample are ignored.
"""


@dataclass(kw_only=True, slots=True)
class UpsertResult:
    """Windows given, rows written, windows marked dirty."""

    given: int = 0
    written: int = 0
    contested: int = 0


def windows_of_records(records: Iterable[dict[str, Any]]) -> Windows:
    """Columns of AggregateBatch records."""
    batch = list(records)
    columns: Windows = {}
    for name, _ in COLUMNS:
        if name in {"window_s", "lineage"}:  # of the whole record
            parts = [np.full(len(record["tag_id"]), record[name], dtype=np.int32) for record in batch]
        else:
            parts = [
                record["start_us" if name == "start" else f"{name}_us" if name.endswith("_time") else name]
                for record in batch
            ]
        columns[name] = np.concatenate(parts)
    return columns


def select(windows: Windows, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Windows:
    """The chosen ones, by mask or by place."""
    return {name: column[chosen] for name, column in windows.items()}


def upsert(cursor: Cursor, windows: Windows, *, repaired: bool) -> UpsertResult:
    """Write windows; with `repaired` a row with as many samples is replaced too, and nothing is marked dirty."""
    best, contested = _one_per_window(windows)
    if not len(best["start"]):
        return UpsertResult()
    for name, kind in COLUMNS[5:]:
        if kind == "timestamptz":  # of a window without a good sample: anything, and not always a timestamp
            best[name] = np.where(best["good"] > 0, best[name], best["start"])
    cursor.execute(_TEMPORARY)
    cursor.execute("DELETE FROM incoming_windows")  # of an earlier upsert in the same transaction
    with cursor.copy(_COPY) as copy:
        for part in binary_copy.framed(binary_copy.chunks(binary_copy.pack(COLUMNS, best))):
            copy.write(part)
    if repaired:
        written = cursor.execute(_UPSERT_REPAIRED).rowcount
        return UpsertResult(given=len(windows["start"]), written=written)
    row = cursor.execute(_UPSERT_STREAM).fetchone()
    assert row is not None
    written, marked = row
    # Usually all are written, and none has to be looked for.
    if written < len(best["start"]):
        marked += cursor.execute(_MARK_UNWRITTEN).rowcount
    if contested is not None:
        cursor.execute(_MARK, (contested["tag_id"], contested["start"], contested["window_s"]))
        marked += len(contested["start"])
    return UpsertResult(given=len(windows["start"]), written=written, contested=marked)


def _one_per_window(windows: Windows) -> tuple[Windows, Windows | None]:
    """The fullest of each window of the batch, and those of several lineages."""
    arrival = np.arange(len(windows["start"]))
    order = np.lexsort((arrival, windows["start"], windows["window_s"], windows["tag_id"]))
    keys = [windows[name][order] for name in ("tag_id", "window_s", "start")]
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = np.any([key[1:] != key[:-1] for key in keys], axis=0)
    if begins.all():
        return select(windows, order), None
    starts = np.flatnonzero(begins)
    group = np.cumsum(begins) - 1
    by_count = order[np.lexsort((arrival, windows["count"][order], group))]
    fullest = by_count[np.append(starts[1:], len(order)) - 1]
    lineage = windows["lineage"][order]
    several = np.minimum.reduceat(lineage, starts) != np.maximum.reduceat(lineage, starts)
    return select(windows, fullest), select(windows, fullest[several]) if several.any() else None


_TEMPORARY = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS incoming_windows ON COMMIT DELETE ROWS AS
SELECT {", ".join(NAMES)} FROM aggregates WITH NO DATA"""
_COPY = f"COPY incoming_windows ({', '.join(NAMES)}) FROM STDIN (FORMAT binary)"
_SELECT = ", ".join(
    [
        *(f"i.{name}" for name in NAMES[:5]),
        *(f"CASE WHEN i.good > 0 THEN i.{name} END" for name in _STATISTICS),
        "nullif(i.lineage, 0)",
    ]
)
_SET = ", ".join(f"{name} = EXCLUDED.{name}" for name in NAMES[3:])
_UPSERT = f"""
INSERT INTO aggregates AS a ({", ".join(NAMES)}, repaired)
SELECT {_SELECT}, {{repaired}} FROM incoming_windows i ORDER BY tag_id, window_s, start
ON CONFLICT (tag_id, window_s, start) DO UPDATE SET {_SET}, repaired = EXCLUDED.repaired, contested = {{contested}}
WHERE EXCLUDED.count {{better}} a.count"""
# Where samples were corrected, fewer of them are no sign of a window that knows less.
_UPSERT_REPAIRED = f"""{_UPSERT.format(repaired="true", contested="false", better=">=")}
OR EXISTS (SELECT FROM corrections c WHERE c.tag_id = a.tag_id AND c.windows_follow
           AND c.from_time < a.start + make_interval(secs => a.window_s) AND c.to_time > a.start)"""
# `contested` says that this very statement replaced a row that was put together from other samples than this state of the stream folded.
_UPSERT_STREAM = f"""
WITH written AS (
    {_UPSERT.format(repaired="false", contested="coalesce(a.repaired OR a.lineage <> EXCLUDED.lineage, false)", better=">")}
    RETURNING tag_id, start, window_s, contested
), marked AS (
    INSERT INTO dirty_ranges (tag_id, from_time, to_time, reason)
    SELECT tag_id, start, start + make_interval(secs => window_s) - interval '1 microsecond', 'CONTESTED' FROM written WHERE contested
)
SELECT count(*), count(*) FILTER (WHERE contested) FROM written"""
_MARK_UNWRITTEN = """
INSERT INTO dirty_ranges (tag_id, from_time, to_time, reason)
SELECT i.tag_id, i.start, i.start + make_interval(secs => i.window_s) - interval '1 microsecond', 'CONTESTED'
FROM incoming_windows i
JOIN aggregates a USING (tag_id, window_s, start)
WHERE CASE WHEN a.count > i.count THEN (a.lineage = i.lineage) IS NOT TRUE
           WHEN a.repaired THEN (a.good, a.first_time, a.last_time, a.min, a.max)
                                IS DISTINCT FROM (i.good, i.first_time, i.last_time, i.min, i.max)
                             OR abs(a.mean - i.mean) > 1e-9 * greatest(abs(i.min), abs(i.max))
           ELSE a.lineage <> i.lineage END"""
_MARK = """
INSERT INTO dirty_ranges (tag_id, from_time, to_time, reason)
SELECT tag_id, to_time(start_us), to_time(start_us) + make_interval(secs => window_s) - interval '1 microsecond', 'CONTESTED'
FROM unnest(%s::integer[], %s::bigint[], %s::integer[]) AS i(tag_id, start_us, window_s)"""
