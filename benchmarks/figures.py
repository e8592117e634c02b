"""Arithmetic of results: percentiles, histograms, rates, slopes. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Curve = Sequence[tuple[float, float]]
"""(seconds, total so far), ascending."""

_QUANTILES = (50, 95, 99)
_BINS_PER_DECADE = 10


def percentiles(values_ms: ArrayLike, prefix: str = "") -> dict[str, float]:
    """`p50_ms`, `p95_ms`, `p99_ms`, `max_ms` of values in milliseconds; nothing for none."""
    values = np.asarray(values_ms, dtype=np.float64)
    if not len(values):
        return {}
    found = {f"{prefix}p{q}_ms": round(float(np.percentile(values, q)), 1) for q in _QUANTILES}
    return found | {f"{prefix}max_ms": round(float(values.max()), 1)}


def histogram(values_ms: ArrayLike) -> dict[str, list[float]]:
    """Counts in bins of equal width on a logarithmic scale, ten a decade: `edges_ms` (n + 1) and `counts` (n)."""
    values = np.asarray(values_ms, dtype=np.float64)
    values = np.maximum(values[np.isfinite(values)], 0.1)
    if not len(values):
        return {"edges_ms": [], "counts": []}
    low = np.floor(np.log10(values.min()) * _BINS_PER_DECADE)
    high = np.floor(np.log10(values.max()) * _BINS_PER_DECADE) + 1
    edges = 10 ** (np.arange(low, high + 1) / _BINS_PER_DECADE)
    # The ends come from the values by way of a logarithm: what rounds out of the outermost bins belongs in them.
    edges[0], edges[-1] = min(edges[0], values.min()), max(edges[-1], values.max())
    counts, _ = np.histogram(values, edges)
    return {"edges_ms": [round(float(edge), 3) for edge in edges], "counts": [int(count) for count in counts]}


def rate_between(curve: Curve, low: float = 0.1, high: float = 0.9) -> float:
    """Per second between these fractions of the final total; NaN when the curve has no two points for it."""
    if not curve:
        return float("nan")
    total = curve[-1][1]
    start = next(point for point in curve if point[1] >= total * low)
    end = next(point for point in curve if point[1] >= total * high)
    return (end[1] - start[1]) / (end[0] - start[0]) if end[0] > start[0] else float("nan")


def rates(curve: Curve, step_s: float = 1.0) -> list[tuple[float, float]]:
    """Rate per second over steps of at least `step_s`: (end of the step, rate)."""
    found: list[tuple[float, float]] = []
    if not curve:
        return found
    at, total = curve[0]
    for seconds, value in curve[1:]:
        if seconds - at >= step_s:
            found.append((seconds, (value - total) / (seconds - at)))
            at, total = seconds, value
    return found


def slope_per_minute(points: Sequence[tuple[float, float]]) -> float:
    """Least-squares slope of values over seconds, per minute; NaN for fewer than two points."""
    if len(points) < 2:
        return float("nan")
    seconds, values = np.asarray(points, dtype=np.float64).T
    centred: NDArray[np.float64] = seconds - seconds.mean()
    spread = float((centred**2).sum())
    return float((centred * (values - values.mean())).sum()) / spread * 60 if spread else float("nan")


def rounded(value: Any, digits: int = 3) -> Any:
    """The same with floats rounded, through lists and dictionaries; NaN becomes None, which JSON can say."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, digits)
    if isinstance(value, dict):
        return {key: rounded(one, digits) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(one, digits) for one in value]
    return value
