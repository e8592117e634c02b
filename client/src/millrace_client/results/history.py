"""History as columns: samples, windows and curves of several tags.

A table is a series for each tag that was selected, by tag, each by time. `to_pandas`, `to_polars` and `to_arrow` put all series under each
other, with times as UTC timestamps; each needs the extra of its name. Tables and series are equal to themselves only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from millrace_client.errors import NotFoundError
from millrace_client.results import frames
from millrace_client.results.columns import Column
from millrace_client.results.state import Tag

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


@dataclass(frozen=True, kw_only=True, slots=True)
class TagPeriod:
    """What a tag was from `start_us` on, until its next period; the first begins with the range. None for a limit that it had not."""

    start_us: int
    path: str
    unit: str
    eu_low: float | None = None
    eu_high: float | None = None
    limit_low: float | None = None
    limit_high: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class SampleSeries:
    """Samples of a tag. `time_us`: source times, int64; `value`: float64, in the unit; `quality`: uint16, high half of the StatusCode.

    `periods` say what the tag was through the range, oldest first: nearly always one.
    """

    COLUMNS: ClassVar[dict[str, str]] = {"time_us": "q", "value": "d", "quality": "H"}

    tag_id: int
    path: str
    unit: str
    time_us: Column
    value: Column
    quality: Column
    periods: tuple[TagPeriod, ...] = ()

    def __len__(self) -> int:
        return len(self.time_us)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class AggregateSeries:
    """Windows of a tag, each `window_s` long. `start_us`, `count`, `good`: int64; statistics: float64, NaN without a good sample.

    `repaired`: uint8, 1 for a window that was computed from the samples again after the stream had closed it.
    `periods` as of samples.
    """

    COLUMNS: ClassVar[dict[str, str]] = {"start_us": "q", "count": "q", "good": "q"} | {
        "mean": "d", "min": "d", "max": "d", "stddev": "d", "repaired": "B"}  # fmt: skip

    tag_id: int
    path: str
    unit: str
    window_s: int
    start_us: Column
    count: Column
    good: Column
    mean: Column
    min: Column
    max: Column
    stddev: Column
    repaired: Column
    periods: tuple[TagPeriod, ...] = ()

    def __len__(self) -> int:
        return len(self.start_us)


@dataclass(frozen=True, kw_only=True, eq=False, slots=True)
class ChartSeries:
    """A curve of a tag. `source`: "samples", or "windows" of `window_s`. `value`: samples or means, NaN where data is missing.

    Of samples `min`, `max` and `repaired` are empty, of windows `quality` is. `time_us`: of samples, or starts of windows.
    """

    COLUMNS: ClassVar[dict[str, str]] = {
        "time_us": "q", "value": "d", "min": "d", "max": "d", "quality": "H", "repaired": "B"}  # fmt: skip

    tag_id: int
    path: str
    unit: str
    source: str
    window_s: int
    time_us: Column
    value: Column
    min: Column
    max: Column
    quality: Column
    repaired: Column

    def __len__(self) -> int:
        return len(self.time_us)


S = TypeVar("S", SampleSeries, AggregateSeries, ChartSeries)


@dataclass(frozen=True, eq=False, slots=True)
class Table(Generic[S]):
    """Series by tag."""

    KIND: ClassVar[type]

    series: tuple[S, ...]

    def __iter__(self) -> Iterator[S]:
        return iter(self.series)

    def __len__(self) -> int:
        """Rows of all series."""
        return sum(map(len, self.series))

    def __getitem__(self, tag: int | str | Tag) -> S:
        """Series of a tag, by id, by path, or by the last part of its path when only one ends like that. Raises NotFoundError."""
        wanted = tag.tag_id if isinstance(tag, Tag) else tag
        found = [one for one in self.series if wanted in {one.tag_id, one.path}]
        found = found or [one for one in self.series if one.path.rpartition("/")[2] == wanted]
        if len(found) != 1:
            msg = f"{len(found)} series are called {wanted!r}; there are {', '.join(one.path for one in self.series[:10])}"
            raise NotFoundError(msg)
        return found[0]

    def to_pandas(self) -> pd.DataFrame:
        """One DataFrame, a row a sample or window; times are datetime64[us, UTC], paths categories. Needs `millrace-client[pandas]`."""
        return frames.to_pandas(self.KIND, self.series)

    def to_polars(self) -> pl.DataFrame:
        """One DataFrame, a row a sample or window; times are Datetime("us", "UTC"), paths an Enum. Needs `millrace-client[polars]`."""
        return frames.to_polars(self.KIND, self.series)

    def to_arrow(self) -> pa.Table:
        """One table, a chunk a tag; times are timestamp[us, UTC], paths dictionaries. Needs `millrace-client[arrow]`."""
        return frames.to_arrow(self.KIND, self.series)


class Samples(Table[SampleSeries]):
    """Samples by tag. Columns of frames: time, tag_id, path, unit, value, quality."""

    KIND = SampleSeries


class Aggregates(Table[AggregateSeries]):
    """Windows by tag. Columns of frames: start, tag_id, path, unit, window_s, count, good, mean, min, max, stddev, repaired."""

    KIND = AggregateSeries


class Chart(Table[ChartSeries]):
    """Curves by tag. Columns of frames: time, tag_id, path, unit, window_s, value, min, max, quality, repaired; null for none."""

    KIND = ChartSeries
