"""History of the fake plant: samples of each tag by time, and what is computed from them. No locks, no streams."""

from __future__ import annotations

import math
import statistics
from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence

from millrace_client.results import (
    Aggregate,
    AggregateSeries,
    ChartSeries,
    Quality,
    SampleSeries,
    Tag,
    TagPeriod,
    Value,
)

_MAX_SAMPLES = 100_000
_WINDOWS_S = (1, 60, 3_600, 86_400)
_MIN_WINDOWS = 500


class Archive:
    """Samples by tag; of each the newest 100,000."""

    def __init__(self) -> None:
        self._samples: dict[int, list[Value]] = {}

    def add(self, tag_id: int, value: Value) -> None:
        """Keep a sample, wherever its time puts it; of two at the same time the later one counts."""
        samples = self._samples.setdefault(tag_id, [])
        place = bisect_left(samples, value.time_us, key=_time)
        if place < len(samples) and samples[place].time_us == value.time_us:
            samples[place] = value
            return
        insort(samples, value, key=_time)
        del samples[:-_MAX_SAMPLES]

    def count(self, tag_id: int) -> int:
        """Samples of a tag."""
        return len(self._samples.get(tag_id, ()))

    def between(self, tag_id: int, start_us: int, end_us: int) -> list[Value]:
        """Samples of a tag in a range."""
        samples = self._samples.get(tag_id, [])
        return samples[bisect_left(samples, start_us, key=_time) : bisect_left(samples, end_us, key=_time)]

    def samples(self, tag: Tag, start_us: int, end_us: int, *, limit: int = 0, good_only: bool = False) -> SampleSeries:
        """Samples of a tag as columns."""
        found = self.between(tag.tag_id, start_us, end_us)
        if good_only:
            found = [value for value in found if value.quality is Quality.GOOD]
        return _samples(tag, found[-limit:] if limit else found, start_us)

    def windows(self, tag: Tag, start_us: int, end_us: int, window_s: int) -> AggregateSeries:
        """Windows of a tag that begin in a range, as columns; 0: the longest that gives at least 500 windows."""
        length_s = window_s or _longest(start_us, end_us, _MIN_WINDOWS)
        found = list(self._windows(tag.tag_id, start_us, end_us, length_s))
        return AggregateSeries(
            tag_id=tag.tag_id,
            path=tag.path,
            unit=tag.unit,
            window_s=length_s,
            start_us=[one.start_us for one in found],
            count=[one.count for one in found],
            good=[one.good for one in found],
            mean=[_or_nan(one.mean) for one in found],
            min=[_or_nan(one.min) for one in found],
            max=[_or_nan(one.max) for one in found],
            stddev=[_or_nan(one.stddev) for one in found],
            repaired=[0] * len(found),
            periods=(_period(tag, start_us),),
        )

    def chart(self, tag: Tag, start_us: int, end_us: int, pixels: int) -> ChartSeries:
        """A curve of a tag: its samples when there are few, else the windows that are about as many as pixels."""
        found = self.between(tag.tag_id, start_us, end_us)
        if len(found) <= pixels:
            samples = _samples(tag, found, start_us)
            return ChartSeries(
                tag_id=tag.tag_id,
                path=tag.path,
                unit=tag.unit,
                source="samples",
                window_s=0,
                time_us=samples.time_us,
                value=samples.value,
                min=[],
                max=[],
                quality=samples.quality,
                repaired=[],
            )
        windows = self.windows(tag, start_us, end_us, _longest(start_us, end_us, pixels // 2))
        return ChartSeries(
            tag_id=tag.tag_id,
            path=tag.path,
            unit=tag.unit,
            source="windows",
            window_s=windows.window_s,
            time_us=windows.start_us,
            value=windows.mean,
            min=windows.min,
            max=windows.max,
            quality=[],
            repaired=windows.repaired,
        )

    def window(self, tag_id: int, start_us: int, window_s: int) -> Aggregate:
        """A window of a tag."""
        samples = self.between(tag_id, start_us, start_us + window_s * 1_000_000)
        good = [value.value for value in samples if value.quality is Quality.GOOD]
        return Aggregate(
            tag_id=tag_id,
            start_us=start_us,
            window_s=window_s,
            count=len(samples),
            good=len(good),
            mean=math.fsum(good) / len(good) if good else None,
            min=min(good, default=None),
            max=max(good, default=None),
            first=good[0] if good else None,
            last=good[-1] if good else None,
            stddev=statistics.stdev(good) if len(good) > 1 else None,
        )

    def _windows(self, tag_id: int, start_us: int, end_us: int, window_s: int) -> Iterator[Aggregate]:
        length_us = window_s * 1_000_000
        first = -(-start_us // length_us) * length_us
        starts = {value.time_us // length_us * length_us for value in self.between(tag_id, first, end_us + length_us)}
        return (self.window(tag_id, at, window_s) for at in sorted(starts) if at < end_us)


def _period(tag: Tag, start_us: int) -> TagPeriod:
    """A plant in memory never changes its definitions."""
    return TagPeriod(start_us=start_us, path=tag.path, unit=tag.unit, eu_low=tag.eu_low, eu_high=tag.eu_high)


def _samples(tag: Tag, values: Sequence[Value], start_us: int) -> SampleSeries:
    return SampleSeries(
        tag_id=tag.tag_id,
        path=tag.path,
        unit=tag.unit,
        time_us=[value.time_us for value in values],
        value=[value.value for value in values],
        quality=[value.quality_code for value in values],
        periods=(_period(tag, start_us),),
    )


def _longest(start_us: int, end_us: int, count: int) -> int:
    """Length of the longest windows that are at least so many in a range, or of the shortest there are."""
    long_enough = [length_s for length_s in _WINDOWS_S if (end_us - start_us) / 1e6 / length_s >= count]
    return max(long_enough, default=_WINDOWS_S[0])


def _time(value: Value) -> int:
    return value.time_us


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
