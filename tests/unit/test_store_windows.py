"""Windows of stored samples equal the obvious loop, and what the stream merges of the same samples frame by frame."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from historian.windows import windows_of
from stages.windows import algebra

QUALITIES = [0, 0x0001, 0x4000, 0x8000]
samples = st.lists(
    st.tuples(st.integers(1, 3), st.integers(0, 20_000_000), st.sampled_from([-1.5, 0.0, 2.0, 1e6]), st.sampled_from(QUALITIES)),
    min_size=1, max_size=80, unique_by=lambda one: (one[0], one[1]),
)  # fmt: skip


def columns(rows: list[tuple[int, int, float, int]]) -> tuple[Any, Any, Any, Any]:
    tag, time, value, quality = zip(*rows, strict=True)
    return (
        np.array(tag, dtype=np.int32),
        np.array(time, dtype=np.int64),
        np.array(value),
        np.array(quality, dtype=np.uint16),
    )


@given(samples, st.sampled_from([1, 10]))
def test_windows_equal_a_loop(rows: list[tuple[int, int, float, int]], window_s: int) -> None:
    windows = windows_of(*columns(rows), window_s)
    expected: dict[tuple[int, int], list[tuple[int, float, int]]] = defaultdict(list)
    for tag, time, value, quality in rows:
        expected[tag, time // (window_s * 1_000_000) * window_s * 1_000_000].append((time, value, quality))
    assert list(zip(windows["tag_id"].tolist(), windows["start"].tolist(), strict=True)) == sorted(expected)
    for n, key in enumerate(sorted(expected)):
        good = sorted((time, value) for time, value, quality in expected[key] if quality < 0x4000)
        assert (windows["count"][n], windows["good"][n], windows["window_s"][n]) == (
            len(expected[key]),
            len(good),
            window_s,
        )
        if not good:
            assert math.isnan(windows["mean"][n])
            continue
        values = [value for _, value in good]
        mean = sum(values) / len(values)
        assert windows["mean"][n] == pytest.approx(mean, rel=1e-12)
        assert windows["m2"][n] == pytest.approx(sum((value - mean) ** 2 for value in values), rel=1e-9, abs=1e-12)
        for name, choose in (("min", min), ("max", max)):
            assert windows[name][n] == choose(values)
            assert windows[f"{name}_time"][n] == min(time for time, value in good if value == choose(values))
        assert (windows["first_time"][n], windows["first"][n]) == good[0]
        assert (windows["last_time"][n], windows["last"][n]) == good[-1]


@given(samples, st.lists(st.integers(0, 3), min_size=80, max_size=80), st.sampled_from([1, 10]))
def test_windows_equal_those_the_stream_merges_frame_by_frame(
    rows: list[tuple[int, int, float, int]], frame_of: list[int], window_s: int
) -> None:
    """Samples spread over frames in any way: partials of each frame, merged in the order of frames."""
    windows = windows_of(*columns(rows), window_s)
    keys = list(zip(windows["tag_id"].tolist(), windows["start"].tolist(), strict=True))
    folded = algebra.empty(len(keys))
    for frame in sorted(set(frame_of[: len(rows)])):
        own = [row for row, of in zip(rows, frame_of, strict=False) if of == frame]
        for key, part in partials(own, window_s):
            slot = keys.index(key)
            algebra.merge(folded[:, slot : slot + 1], part)
    real, good = folded.view(np.float64), windows["good"] > 0
    for name, row in (("count", algebra.COUNT), ("good", algebra.GOOD)):
        assert windows[name].tolist() == folded[row].tolist()
    for name, row in (("min", algebra.MIN), ("max", algebra.MAX), ("first", algebra.FIRST), ("last", algebra.LAST)):
        assert windows[name][good].tolist() == real[row][good].tolist()
    for name, row in (
        ("min_time", algebra.MIN_T),
        ("max_time", algebra.MAX_T),
        ("first_time", algebra.FIRST_T),
        ("last_time", algebra.LAST_T),
    ):
        assert windows[name][good].tolist() == folded[row][good].tolist()
    np.testing.assert_allclose(windows["mean"][good], real[algebra.MEAN][good], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(windows["m2"][good], real[algebra.M2][good], rtol=1e-9, atol=1e-3)


def partials(rows: list[tuple[int, int, float, int]], window_s: int) -> list[tuple[tuple[int, int], Any]]:
    """Partial of each (tag, window start) of one frame, as the stream makes them."""
    found = []
    window_us = window_s * 1_000_000
    for key in sorted({(tag, time // window_us * window_us) for tag, time, _, _ in rows}):
        tag, time, value, quality = columns(
            sorted(row for row in rows if (row[0], row[1] // window_us * window_us) == key)
        )
        runs = algebra.Runs(
            starts=np.zeros(1, dtype=np.intp), counts=np.array([len(tag)]), time_us=time, value=value,
            rank=np.arange(len(tag)), good=(quality & 0xC000) == 0,
        )  # fmt: skip
        found.append((key, algebra.summarise(runs)))
    return found
