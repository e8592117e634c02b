"""Recomputes windows from samples where the stream could not know everything.

That is BACKFILL, REPLAY, late samples, corrections, and windows in doubt.

Enters: ranges from the queue `dirty_ranges`. Leaves: rows of `aggregates` with `repaired`, at every window length of
the tag; hours and days follow from those. Who calls: the maintenance service, every second, one at a time (advisory
lock). One transaction takes ranges out of the queue and writes their windows, so a crash repeats it; doing it twice
changes nothing.

Samples that come later bring their own mark. A window of the stream that comes later and knows more or less than the
repaired one is marked by the upsert. What `historise` left out of `samples` cannot be recomputed: for those tags the
stream's row, which counted more, stays.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg import sql

from connectors.postgres import binary_copy
from historian import aggregates, corrections, dirty
from historian.partitions import PartitionCache
from historian.samples import DirtyRange
from historian.windows import windows_of

Connection = psycopg.Connection[Any]

_COLUMNS = (("time", "timestamptz"), ("value", "float8"), ("tag_id", "int4"), ("quality", "int2"))
_SPAN_US = 300_000_000
"""One read covers five minutes, or the longest window of its tags."""
_SAMPLES_AT_ONCE = 2_000_000
"""Samples of one read as the tags' periods let expect, so that memory stays at a few hundred MB however much is dirty."""
RANGES_AT_ONCE = 20_000
QUIET_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Tag:
    windows_s: list[int]
    period_ms: int
    fine_from_us: int
    windows_from_us: int
    """From where on retention has left windows."""

    @property
    def span_us(self) -> int:
        return max(_SPAN_US, max(self.windows_s) * 1_000_000)

    @property
    def expected(self) -> int:
        """Samples in a read."""
        return self.span_us // (self.period_ms * 1000) + 1

    def keeps(self, window_s: int, item: DirtyRange) -> bool:
        """Whether retention has left windows of this length in a range."""
        return item.to_us >= (self.fine_from_us if window_s < 60 else self.windows_from_us)


@dataclass(kw_only=True, slots=True)
class RepairResult:
    """Ranges done, windows written."""

    ranges: int = 0
    windows: int = 0


def repair(
    connection: Connection, partitions: PartitionCache, *, limit: int = RANGES_AT_ONCE, quiet_s: float = QUIET_S
) -> RepairResult:
    """Work off up to `limit` ranges that are ready; raises psycopg.Error, with the ranges still in the queue."""
    result = RepairResult()
    with connection.transaction(), connection.cursor() as cursor:
        ranges = dirty.dequeue(cursor, limit=limit, quiet_s=quiet_s)
        if not ranges:
            return result
        result.ranges = len(ranges)
        tags = _tags(cursor, {item.tag_id for item in ranges})
        for group in _groups(ranges, tags):
            result.windows += _repair_group(connection, cursor, partitions, group, tags)
    return result


def _tags(cursor: psycopg.Cursor[Any], tag_ids: Iterable[int]) -> dict[int, _Tag]:
    rows = cursor.execute(
        """SELECT t.tag_id, t.windows_s, t.period_ms,
                  (SELECT array_agg(CASE WHEN isfinite(p.dropped_before)
                                         THEN (extract(epoch FROM p.dropped_before) * 1000000)::bigint ELSE 0 END ORDER BY r.place)
                   FROM unnest(ARRAY['fine_windows', 'windows']) WITH ORDINALITY AS r(resolution, place)
                   CROSS JOIN LATERAL storage_policy_of(r.resolution, t.tag_class) p)
           FROM tags t WHERE t.tag_id = ANY (%s)""",
        (list(tag_ids),),
    ).fetchall()
    return {
        tag_id: _Tag(windows_s=windows_s, period_ms=period_ms, fine_from_us=fine, windows_from_us=coarse)
        for tag_id, windows_s, period_ms, (fine, coarse) in rows
    }


def _groups(ranges: Sequence[DirtyRange], tags: Mapping[int, _Tag]) -> Iterator[list[DirtyRange]]:
    """Pieces of ranges that one read can serve: the same span of time, and no more tags than memory takes."""
    pieces: dict[tuple[int, int], dict[int, list[DirtyRange]]] = {}
    for item in ranges:
        if item.tag_id not in tags:  # a tag that never was has no windows
            continue
        span_us = tags[item.tag_id].span_us
        for slot in range(item.from_us // span_us, item.to_us // span_us + 1):
            low, high = max(item.from_us, slot * span_us), min(item.to_us, (slot + 1) * span_us - 1)
            piece = DirtyRange(tag_id=item.tag_id, from_us=low, to_us=high, reason=item.reason)
            pieces.setdefault((slot * span_us, span_us), {}).setdefault(item.tag_id, []).append(piece)
    for place in sorted(pieces):
        group: list[DirtyRange] = []
        expected = 0
        for tag_id, found in sorted(pieces[place].items()):
            if group and expected + tags[tag_id].expected > _SAMPLES_AT_ONCE:
                yield group
                group, expected = [], 0
            group += found
            expected += tags[tag_id].expected
        yield group


def _repair_group(
    connection: Connection,
    cursor: psycopg.Cursor[Any],
    partitions: PartitionCache,
    ranges: Sequence[DirtyRange],
    tags: Mapping[int, _Tag],
) -> int:
    # Whole windows of every length: each divides an hour, so this multiple of them all is an hour at most.
    whole_us = math.lcm(*(window_s for item in ranges for window_s in tags[item.tag_id].windows_s)) * 1_000_000
    from_us = min(item.from_us for item in ranges) // whole_us * whole_us
    to_us = (max(item.to_us for item in ranges) // whole_us + 1) * whole_us
    tag_ids = sorted({item.tag_id for item in ranges})
    written = corrections.drop_empty_windows(cursor, tag_ids, from_us, to_us)
    rows = _read(cursor, tag_ids, from_us, to_us)
    if not len(rows):
        return written
    time_us = rows["time"].astype(np.int64) + binary_copy.EPOCH_2000_US
    tag_id, value = rows["tag_id"].astype(np.int32), rows["value"].astype(np.float64)
    quality = rows["quality"].astype(np.int16).view(np.uint16)
    for window_s in sorted({window for item in ranges for window in tags[item.tag_id].windows_s}):
        of_length = [
            item for item in ranges if window_s in (tag := tags[item.tag_id]).windows_s and tag.keeps(window_s, item)
        ]
        if not of_length:
            continue
        touched = _touched(of_length, window_s)
        of_interest = np.isin(tag_id, np.unique(touched >> 32).astype(np.int32))
        windows = windows_of(
            tag_id[of_interest], time_us[of_interest], value[of_interest], quality[of_interest], window_s
        )
        windows = aggregates.select(windows, np.isin(_keys(windows["tag_id"], windows["start"], window_s), touched))
        if len(windows["start"]):
            partitions.ensure(connection, "aggregates", int(windows["start"].min()), int(windows["start"].max()))
            written += aggregates.upsert(cursor, windows, repaired=True).written
    return written


def _keys(tag_id: NDArray[Any], start_us: NDArray[Any], window_s: int) -> NDArray[np.int64]:
    """One integer per (tag, window): windows since 1970 fit 32 bits until 2106."""
    keys: NDArray[np.int64] = (tag_id.astype(np.int64) << 32) + start_us // (window_s * 1_000_000)
    return keys


def _touched(ranges: Sequence[DirtyRange], window_s: int) -> NDArray[np.int64]:
    """Keys of all windows that overlap one of the ranges."""
    window_us = window_s * 1_000_000
    first = np.array([(item.tag_id << 32) + item.from_us // window_us for item in ranges], dtype=np.int64)
    last = np.array([(item.tag_id << 32) + item.to_us // window_us for item in ranges], dtype=np.int64)
    counts = last - first + 1
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    touched: NDArray[np.int64] = np.unique(np.repeat(first, counts) + offsets)
    return touched


def _read(cursor: psycopg.Cursor[Any], tag_ids: Iterable[int], from_us: int, to_us: int) -> NDArray[Any]:
    query = sql.SQL(
        "COPY (SELECT time, value, tag_id, quality FROM samples WHERE time >= to_time({}) AND time < to_time({}) AND tag_id = ANY ({}))"
        " TO STDOUT (FORMAT binary)"
    ).format(sql.Literal(from_us), sql.Literal(to_us), sql.Literal(list(tag_ids)))
    with cursor.copy(query) as copy:
        return binary_copy.unpack(b"".join(bytes(part) for part in copy), _COLUMNS)
