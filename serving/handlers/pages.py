"""Columns of one tag from SQL, page by page.

A page is one statement with one row: each column is an array. Its rows are the first of a slice of time, all rows of
the last time among them, so the next page begins behind it and no row is lost or read twice. The slice is as long as
a page needs to be by the tag's period, and grows or shrinks with what is found: a partition that a backlog fills has
no index by tag, and is read for its slice only, once. The next page is asked for while the caller works on this
one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, LiteralString, TypeAlias

import numpy as np
from numpy.typing import NDArray

from connectors.postgres.pool import ReadPool
from schemas.definitions import TagDefinition
from serving.handlers.selection import Range, at, since_epoch_us

Columns: TypeAlias = tuple[NDArray[Any], ...]
Page: TypeAlias = tuple[bool, bool, Columns]
"""Whether it is the first and the last of its tag, and the columns, the time first."""

PAGE_ROWS = 65_536
FIRST_ROWS = 8_192
"""Of the first page: somebody waits for it."""
_GROWTH = 16.0
_SLICES = 256
"""A range is never cut into more slices than about so many by a period that promises more rows than there are."""

_SAMPLES: LiteralString = """
    SELECT count(*), max(time), array_agg(time), array_agg(value), array_agg(quality)
    FROM (SELECT time, value, quality FROM samples
          WHERE tag_id = %(tag)s AND time >= %(start)s AND time < %(end)s{good}
          ORDER BY time FETCH FIRST %(rows)s ROWS WITH TIES) page"""
_GOOD: LiteralString = " AND quality::integer & 49152 = 0"
_NEWEST: LiteralString = """
    WITH newest AS (
        SELECT min(time) AS first FROM (
            SELECT time FROM samples WHERE tag_id = %(tag)s AND time >= %(start)s AND time < %(end)s{good}
            ORDER BY time DESC LIMIT %(limit)s) page)
    SELECT first, (SELECT count(*) FROM samples WHERE tag_id = %(tag)s AND time >= first AND time < %(end)s{good}) FROM newest"""
_WINDOW_COLUMNS: LiteralString = """
    SELECT count(*), max(start), array_agg(start), array_agg(count), array_agg(good), array_agg(coalesce(mean, 'NaN')),
           array_agg(coalesce(min, 'NaN')), array_agg(coalesce(max, 'NaN')), array_agg(coalesce(stddev, 'NaN')), array_agg(repaired)
    FROM ({rows} AND start >= %(start)s AND start < %(end)s ORDER BY start FETCH FIRST %(rows)s ROWS WITH TIES) page"""
_STREAMED: LiteralString = """
    SELECT start, count, good, mean, min, max, repaired, CASE WHEN good > 1 THEN sqrt(m2 / (good - 1)) END AS stddev
    FROM aggregates WHERE tag_id = %(tag)s AND window_s = %(window)s"""
_HOURS: LiteralString = (
    "SELECT start, count, good, mean, min, max, stddev, false AS repaired FROM aggregate_1h WHERE tag_id = %(tag)s"
)
_DAYS: LiteralString = (
    "SELECT start, count, good, mean, min, max, stddev, false AS repaired FROM aggregate_1d WHERE tag_id = %(tag)s"
)
_ROLLED_UP: dict[int, LiteralString] = {3600: _HOURS, 86_400: _DAYS}


async def samples(
    database: ReadPool, tag: TagDefinition, within: Range, *, limit: int = 0, good_only: bool = False
) -> AsyncGenerator[Page, None]:
    """Pages of time_us, value and quality (int16) of the newest `limit` samples, or of all."""
    good = _GOOD if good_only else ""
    skip = 0
    if limit:
        asked = {"tag": tag.tag_id, "limit": limit, **within.parameters}
        ((first, count),) = await database.fetch(_NEWEST.format(good=good), asked)
        if first is not None:
            within = Range(start_us=since_epoch_us(first), end_us=within.end_us)
            skip = max(0, count - limit)  # of those with the same time as the first
    statement = _SAMPLES.format(good=good)

    def read(parameters: dict[str, Any]) -> Awaitable[list[Any]]:
        return database.fetch(statement, {"tag": tag.tag_id, **parameters}, binary=True)

    async for one in _pages(
        read, within, period_us=tag.period_ms * 1000, empty=(np.empty(0, "i8"), np.empty(0), np.empty(0, "i2"))
    ):
        is_first, is_last, columns = one
        yield (is_first, is_last, tuple(column[skip:] for column in columns)) if skip else one
        skip = max(0, skip - len(columns[0]))


async def windows(database: ReadPool, tag: TagDefinition, within: Range, window_s: int) -> AsyncGenerator[Page, None]:
    """Pages of start_us, count, good, mean, min, max, stddev and repaired."""
    rolled_up = window_s not in tag.windows_s
    statement = _WINDOW_COLUMNS.replace("{rows}", _ROLLED_UP[window_s] if rolled_up else _STREAMED)

    def read(parameters: dict[str, Any]) -> Awaitable[list[Any]]:
        return database.fetch(statement, {"tag": tag.tag_id, "window": window_s, **parameters}, binary=True)

    empty = (*(np.empty(0, "i8") for _ in range(3)), *(np.empty(0) for _ in range(4)), np.empty(0, "?"))
    async for one in _pages(read, within, period_us=window_s * 1_000_000, empty=empty):
        yield one


async def _pages(
    read: Callable[[dict[str, Any]], Awaitable[list[Any]]], within: Range, *, period_us: int, empty: Columns
) -> AsyncGenerator[Page, None]:
    """Pages of a range; one that is empty when nothing is in it. Slices without rows make no page."""
    step = Steps(within, period_us)
    coming: asyncio.Task[list[Any]] | None = asyncio.ensure_future(read(step.parameters))
    held: Columns | None = None
    first = True
    try:
        while coming is not None:
            ((count, newest, *columns),) = await coming
            coming = asyncio.ensure_future(read(step.parameters)) if step.advance(count, newest) else None
            if not count:
                continue
            if held is not None:
                yield first, False, held
                first = False
            held = tuple(columns)
            if first and coming is not None:
                # The caller has the first page before the second is there.
                yield True, False, held
                first, held = False, None
        yield first, True, empty if held is None else held
    finally:
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


class Steps:
    """Where the next page begins, how far it may reach, and how many rows it may have."""

    def __init__(self, within: Range, period_us: int) -> None:
        self._end_us, self._rows = within.end_us, FIRST_ROWS
        least_us = max(1, (within.end_us - within.start_us) // _SLICES)
        self._from_us, self._reach_us = within.start_us, max(period_us * FIRST_ROWS, least_us)

    @property
    def parameters(self) -> dict[str, Any]:
        """Of the statement."""
        return {"start": at(self._from_us), "end": at(self._to_us), "rows": self._rows}

    @property
    def _to_us(self) -> int:
        return min(self._end_us, self._from_us + self._reach_us)

    def advance(self, count: int, newest: Any) -> bool:
        """Go on behind a page of `count` rows up to `newest`; False at the end."""
        if count >= self._rows:  # there may be more of the slice
            behind_us = since_epoch_us(newest) + 1
            covered_us = max(1, behind_us - self._from_us)
        else:
            behind_us, covered_us = self._to_us, self._to_us - self._from_us
        growth = _GROWTH if not count else min(_GROWTH, PAGE_ROWS / count)
        self._reach_us = max(1, int(covered_us * growth))
        self._rows = PAGE_ROWS
        self._from_us = behind_us
        return behind_us < self._end_us
