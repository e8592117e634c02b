"""What was: samples and windows of tags as columns, and charts of them, from SQL.

Enters: selections. Leaves: columns in pages, tag by tag, each by time. A page is a statement of its own, so a slow
reader holds no connection to the database, and memory is a page or two for each call however much is read. Samples
are only ever added: a page read later is right for the moment in which it is read. Raises the branches of
`base.errors`; UnavailableError while the database is away. Both faces call it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base.errors import InvalidRequestError
from base.ids import Clock, now_us
from connectors.postgres.pool import ReadPool
from schemas.definitions import TagDefinition
from serving.caches.plant import Plant
from serving.handlers import chart, pages, periods
from serving.handlers.chart import Curve
from serving.handlers.periods import Period
from serving.handlers.selection import Range, Selection, range_of, tags_of
from serving.seen import seen

MAX_CHART_TAGS = 20
MAX_PIXELS = 4000
DEFAULT_PIXELS = 1000
HOUR_S, DAY_S = 3600, 86_400
_WANTED_WINDOWS = 500


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Samples:
    """Some samples of one tag, by time. Arrays of shape (n,)."""

    tag: TagDefinition
    first: bool
    """The first page of this tag."""
    last: bool
    """The last page of this tag."""
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]
    periods: tuple[Period, ...] = ()
    """What the tag was in the range; with the first page."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Windows:
    """Some windows of one tag, by start. Arrays of shape (n,); a statistic without a good sample is NaN."""

    tag: TagDefinition
    first: bool
    last: bool
    window_s: int
    start_us: NDArray[np.int64]
    count: NDArray[np.int64]
    good: NDArray[np.int64]
    mean: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    stddev: NDArray[np.float64]
    repaired: NDArray[np.bool_]
    periods: tuple[Period, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Series:
    """The curve of one tag for a drawing."""

    tag: TagDefinition
    curve: Curve


@dataclass(kw_only=True, slots=True)
class HistoryHandlers:
    """The registry, which says what there is, and the database, which says what was."""

    plant: Plant
    database: ReadPool
    ready: Callable[[], None]
    """Raises UnavailableError while the registry is being read."""
    clock: Clock = now_us

    async def read_samples(
        self, selection: Selection, *, limit: int = 0, good_only: bool = False
    ) -> AsyncGenerator[Samples, None]:
        """Samples tag by tag, in pages; of each tag the newest `limit`, or all for 0. A tag without samples has one empty page."""
        self.ready()
        if limit < 0:
            msg = f"limit is {limit}, not 0 or above"
            raise InvalidRequestError(msg)
        within = range_of(selection.start_us, selection.end_us, now_us=self.clock())
        tags = tags_of(seen(self.plant), selection)
        defined = await periods.of_tags(self.database, (tag.tag_id for tag in tags), within)
        for tag in tags:
            async for first, last, columns in pages.samples(
                self.database, tag, within, limit=limit, good_only=good_only
            ):
                time_us, value, quality = columns
                yield Samples(
                    tag=tag,
                    first=first,
                    last=last,
                    time_us=time_us,
                    value=value,
                    quality=quality.view(np.uint16),
                    periods=defined.get(tag.tag_id, ()) if first else (),
                )

    async def read_aggregates(self, selection: Selection, *, window_s: int = 0) -> AsyncGenerator[Windows, None]:
        """Windows tag by tag, in pages. `window_s`: one that the tag has, an hour, a day; 0 for the longest with at least 500 windows."""
        self.ready()
        within = range_of(selection.start_us, selection.end_us, now_us=self.clock())
        tags = tags_of(seen(self.plant), selection)
        lengths = [_window(tag, window_s, within) for tag in tags]
        defined = await periods.of_tags(self.database, (tag.tag_id for tag in tags), within)
        for tag, length in zip(tags, lengths, strict=True):
            async for first, last, columns in pages.windows(self.database, tag, within, length):
                found = _windows(tag, length, first, last, columns)
                yield dataclasses.replace(found, periods=defined.get(tag.tag_id, ())) if first else found

    async def read_chart(self, selection: Selection, *, pixels: int = 0) -> list[Series]:
        """A curve of each tag, of at most about four points a pixel, that shows every extreme."""
        self.ready()
        if not 0 <= pixels <= MAX_PIXELS:
            msg = f"pixels is {pixels}, not between 0 and {MAX_PIXELS}"
            raise InvalidRequestError(msg)
        within = range_of(selection.start_us, selection.end_us, now_us=self.clock())
        tags = tags_of(seen(self.plant), selection, at_most=MAX_CHART_TAGS)
        return [Series(tag=tag, curve=await self._curve(tag, within, pixels or DEFAULT_PIXELS)) for tag in tags]

    async def _curve(self, tag: TagDefinition, within: Range, pixels: int) -> Curve:
        """The first source that has anything: fine windows are dropped after days, samples after weeks, coarse windows after a year."""
        empty: Curve | None = None
        for length in chart.sources(tag, within.seconds, pixels):
            if length:
                read = pages.windows(self.database, tag, within, length)
                parts = [columns async for _, _, columns in read]
                curve = chart.of_windows(tag, within, pixels, length, chart.joined(parts))
            else:
                read = pages.samples(self.database, tag, within)
                parts = [columns async for _, _, columns in read]
                curve = chart.of_samples(tag, within, pixels, chart.joined(parts))
            if len(curve.time_us):
                return curve
            empty = empty or curve
        assert empty is not None
        return empty


def _window(tag: TagDefinition, asked: int, within: Range) -> int:
    lengths = sorted({*tag.windows_s, HOUR_S, DAY_S})
    if asked in lengths:
        return asked
    if asked:
        shown = ", ".join(f"{length}" for length in lengths)
        msg = f"{tag.path} has no windows of {asked} s; it has {shown}"
        raise InvalidRequestError(msg)
    return max((length for length in lengths if within.seconds / length >= _WANTED_WINDOWS), default=lengths[0])


def _windows(tag: TagDefinition, window_s: int, first: bool, last: bool, columns: tuple[NDArray[Any], ...]) -> Windows:
    start_us, count, good, mean, low, high, stddev, repaired = columns
    return Windows(
        tag=tag,
        first=first,
        last=last,
        window_s=window_s,
        start_us=start_us,
        count=count,
        good=good,
        mean=mean,
        min=low,
        max=high,
        stddev=stddev,
        repaired=repaired,
    )
