"""Arithmetic of benchmark results."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import figures


def test_percentiles_are_named_with_their_prefix() -> None:
    found = figures.percentiles(np.arange(1, 101), "sql_")
    assert found == {"sql_p50_ms": 50.5, "sql_p95_ms": 95.0, "sql_p99_ms": 99.0, "sql_max_ms": 100.0}


def test_no_values_give_no_percentiles() -> None:
    assert figures.percentiles([]) == {}


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=200))
def test_a_histogram_holds_every_value(values: list[float]) -> None:
    found = figures.histogram(values)
    assert sum(found["counts"]) == len(values)
    assert len(found["edges_ms"]) == len(found["counts"]) + 1
    assert sorted(found["edges_ms"]) == found["edges_ms"]


def test_rate_leaves_out_start_and_end() -> None:
    # Slow at both ends, 100 a second between.
    curve = [(0, 0), (5, 10), (6, 110), (7, 210), (13, 220)]
    assert figures.rate_between(curve, 0.04, 0.95) == pytest.approx(100)


def test_rate_of_a_single_point_is_unknown() -> None:
    assert math.isnan(figures.rate_between([(0.0, 10.0)]))
    assert math.isnan(figures.rate_between([]))


def test_rates_take_steps_of_at_least_a_second() -> None:
    assert figures.rates([(0, 0), (0.5, 50), (1.0, 100), (2.0, 300)]) == [(1.0, 100.0), (2.0, 200.0)]


def test_slope_is_per_minute() -> None:
    assert figures.slope_per_minute([(0, 100), (30, 101), (60, 102)]) == pytest.approx(2.0)
    assert math.isnan(figures.slope_per_minute([(0, 1)]))


def test_rounded_makes_json_without_nan() -> None:
    text = json.dumps(figures.rounded({"a": float("nan"), "b": [(1.23456, 2)], "c": {"d": 1.0005}}), allow_nan=False)
    assert json.loads(text)["b"] == [[1.235, 2]]
