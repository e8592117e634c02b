"""Fewer points that show the same: nothing extreme is lost, silence is a gap, sources are tried in order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.handlers import chart
from serving.handlers.pages import FIRST_ROWS, PAGE_ROWS, Steps
from serving.handlers.selection import Range, at, since_epoch_us
from tests.unit.served import definition

TAG = definition(period_ms=100, windows_s=(1, 60), deadband=0.0)
DAY = Range(start_us=86_400_000_000 * 20_000, end_us=86_400_000_000 * 20_001)


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-1e6, 1e6)), min_size=1, max_size=200))
def test_the_outline_has_first_last_and_extremes_of_each_pixel(points: list[tuple[int, float]]) -> None:
    points.sort(key=lambda point: point[0])
    pixel, value = np.array([p for p, _ in points]), np.array([v for _, v in points])
    chosen = chart.outline(pixel, value)
    assert (np.diff(chosen) > 0).all()
    for one in np.unique(pixel):
        mine, kept = np.flatnonzero(pixel == one), chosen[pixel[chosen] == one]
        assert len(kept) <= 4
        assert {mine[0], mine[-1]} <= set(kept.tolist())
        assert (value[kept].min(), value[kept].max()) == (value[mine].min(), value[mine].max())


@pytest.mark.parametrize(
    ("seconds", "pixels", "expected"),
    [
        (60, 1000, [0, 1, 60, 3600, 86_400]),  # 600 samples
        (86_400, 1000, [60, 0, 3600, 86_400]),  # 1,440 windows of a minute
        (3600, 1000, [1, 0, 60, 3600, 86_400]),
        (30 * 86_400, 1000, [60, 3600, 86_400]),  # 26 million samples are not read for a drawing
        (3 * 366 * 86_400, 1000, [86_400]),
    ],
)
def test_the_longest_windows_that_fill_the_pixels_come_first(seconds: int, pixels: int, expected: list[int]) -> None:
    assert chart.sources(TAG, seconds, pixels) == expected


def test_silence_of_a_periodic_tag_is_a_gap() -> None:
    time_us = DAY.start_us + np.concatenate([np.arange(10), 10_000 + np.arange(10)]) * 100_000
    columns = time_us, np.arange(20.0), np.zeros(20, np.int16)
    curve = chart.of_samples(TAG, DAY, 4000, columns)
    assert np.flatnonzero(np.isnan(curve.value)).tolist() == [10]
    assert (np.diff(curve.time_us) > 0).all()
    quiet = definition(period_ms=100, windows_s=(1, 60), deadband=0.5)
    assert not np.isnan(chart.of_samples(quiet, DAY, 4000, columns).value).any()


def test_many_windows_a_pixel_become_longer_ones_with_their_extremes() -> None:
    n = 86_400
    start_us = DAY.start_us + np.arange(n) * 1_000_000
    mean, good = np.ones(n), np.full(n, 10)
    low, high = np.zeros(n), np.full(n, 2.0)
    low[5000], high[70_000] = -7.0, 7.0
    columns = start_us, good, good, mean, low, high, np.zeros(n), np.arange(n) == 50
    curve = chart.of_windows(TAG, DAY, 1000, 1, columns)
    assert curve.window_s == 87
    assert len(curve.value) <= 1000
    assert (curve.min.min(), curve.max.max(), curve.value.max()) == (-7.0, 7.0, 1.0)
    assert curve.repaired.sum() == 1


@pytest.mark.parametrize("period_ms", [1, 100, 3_600_000])
def test_pages_walk_over_the_whole_range_once(period_ms: int) -> None:
    """Rows at given times; each page is what the statement would give."""
    rng = np.random.default_rng(3)
    times = DAY.start_us + np.sort(rng.integers(0, 86_400_000_000, 300_000))
    times[1000:2000] = times[1000]  # many at one time
    step, seen, statements = Steps(DAY, period_ms * 1000), 0, 0
    more = True
    while more:
        asked = step.parameters
        low, high = np.searchsorted(times, [since_epoch_us(asked["start"]), since_epoch_us(asked["end"])])
        page = times[low:high]
        if len(page) > asked["rows"]:  # WITH TIES
            page = page[: np.searchsorted(page, page[asked["rows"] - 1], side="right")]
        assert len(page) <= max(PAGE_ROWS, FIRST_ROWS) + 1000
        assert low == seen
        seen, statements = seen + len(page), statements + 1
        more = step.advance(len(page), at(int(page[-1])) if len(page) else None)
    assert seen == len(times)
    assert statements < 300
