"""What is usual for tags in a mode: scales for their levels, steps and spreads, as rows of numbers, all tags at once.

A table of scales has shape (19, n), a row per name below and a column per tag; the tags may be those of one device or of a
whole lane, the cost is nearly the same. `stages.detection.scaling` owns the tables and says when a window may be scored or
learned. Rows are exponentially weighted means and variances with the numbers of windows behind them. `PROMPT`: stays in this
mode in a row after which the tag was soon back at its level. `SPREAD` is the cube root of the variance, which is nearly normal
whatever the number of samples (Wilson and Hilferty, 1931). `REACH` and `AGAIN` are of
`stages.detection.reach`, the last six of `stages.detection.trailing`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

(
    LEVEL_N, LEVEL, LEVEL_VAR, SPREAD_N, SPREAD, SPREAD_VAR, STEP_N, STEP_VAR, SEEN_LOW, SEEN_HIGH, PROMPT,
    REACH, AGAIN, MOVES_N, MOVES, MOVES_VAR, MEANS_N, MEANS, MEANS_VAR,
) = range(19)  # fmt: skip
ROWS, ROWS_OF_0_1 = 19, 11
"""Of a table, and of one that version 0.1.0 wrote: it ends with `PROMPT`."""
CLIP = 4.0
LARGEST = 1e9
FAR = 3.5
"""Standard deviations that any tag reaches now and then: the least `REACH`."""
FEW = 4
"""Fewer samples than this say nothing about spread."""

Vector = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class TagWindows:
    """A closed window of each tag, shape (n,); all but `good`, the number of its good samples, are NaN where there is none."""

    good: NDArray[np.int64]
    mean: Vector
    variance: Vector
    trend: Vector

    @property
    def trend_variance(self) -> Vector:
        """Variance that a straight line through each window's first and last sample has by itself."""
        variance: Vector = self.trend * self.trend * (self.good + 1.0) / (12.0 * np.maximum(self.good - 1.0, 1.0))
        return variance


def unseen(tags: int) -> Vector:
    """Scales of tags of which nothing is known."""
    scales = np.zeros((ROWS, tags))
    scales[SEEN_LOW] = scales[SEEN_HIGH] = np.nan
    scales[REACH] = FAR
    return scales


def floors(scales: Vector, resolution: Vector, span: Vector) -> Vector:
    """Smallest deviations of means that matter, in the tags' units; `span` of their normal ranges, NaN where unknown."""
    seen = scales[SEEN_HIGH] - scales[SEEN_LOW]
    width = np.where(np.isnan(span), np.where(np.isnan(seen), 0.0, seen), span)
    floor: Vector = resolution * width + 1e-9 * np.abs(scales[LEVEL]) + 1e-12
    return floor


def level_deviation(scales: Vector, mean: Vector, floor: Vector) -> Vector:
    """Deviation of windows' means from the usual levels."""
    return bounded((mean - scales[LEVEL]) / np.sqrt(scales[LEVEL_VAR] + floor * floor))


def step_deviation(scales: Vector, mean: Vector, heading: Vector, floor: Vector) -> Vector:
    """Deviation of windows' means from where the last windows were heading; 0 where that is NaN."""
    return bounded((mean - heading) / np.sqrt(scales[STEP_VAR] + floor * floor))


def spread_deviation(scales: Vector, windows: TagWindows, floor: Vector) -> Vector:
    """Deviation of the variances about the windows' trends.

    A trend is known from two noisy samples, so the variance about it lies somewhere in an interval; what counts is how far
    the usual one is outside. More spread has to be visible in the tag's range; less is compared with what was usual alone.
    """
    trend, usual = windows.trend_variance, scales[SPREAD]
    tolerance = 3.0 * np.sqrt(2.0 * usual * usual * usual * trend / 3.0)
    outside = np.cbrt(np.maximum(windows.variance - trend - tolerance, 0.0)) - usual
    small = 0.02 * usual + 1e-12
    more = outside > 0.0
    small = np.where(more, small + np.cbrt(0.01 * floor * floor), small)
    outside = np.where(more, outside, np.minimum(np.cbrt(windows.variance) - usual, 0.0))
    deviation = bounded(outside / np.sqrt(scales[SPREAD_VAR] + small * small))
    return np.where(windows.good < FEW, 0.0, deviation)


def see(scales: Vector, mean: Vector, where: Mask) -> None:
    """Widen the ranges of means that were seen, where `where` says so."""
    np.copyto(scales[SEEN_LOW], np.fmin(mean, scales[SEEN_LOW]), where=where)
    np.copyto(scales[SEEN_HIGH], np.fmax(mean, scales[SEEN_HIGH]), where=where)


def learn_level(scales: Vector, mean: Vector, floor: Vector, memory: Vector, where: Mask) -> None:
    """Follow the levels."""
    follow(scales[LEVEL_N : LEVEL_VAR + 1], mean, floor, memory, where)


def learn_spread(scales: Vector, windows: TagWindows, memory: Vector, where: Mask) -> None:
    """Follow the spreads, where a trend does not rule them."""
    trend = windows.trend_variance
    usual = scales[SPREAD] * scales[SPREAD] * scales[SPREAD]
    ruled = (scales[SPREAD_N] > 0) & (trend > np.maximum(usual, 0.5 * windows.variance))
    root = np.cbrt(np.maximum(windows.variance - trend, 0.0))
    floor = 0.02 * scales[SPREAD]
    follow(scales[SPREAD_N : SPREAD_VAR + 1], root, floor, memory, where & (windows.good >= FEW) & ~ruled)


def learn_step(scales: Vector, step: Vector, floor: Vector, memory: Vector, where: Mask) -> None:
    """Follow the variances of steps, whose means are 0."""
    count, variance = scales[STEP_N], scales[STEP_VAR]
    held = np.where(count >= FEW, clipped(step, variance, floor), step)
    np.copyto(variance, variance + (held * held - variance) / np.minimum(count + 1.0, memory), where=where)
    count += where


def clipped(off: Vector, variance: Vector, floor: Vector) -> Vector:
    """Deviations held to `CLIP` standard deviations, so that a fault is not learned at once."""
    reach = CLIP * np.sqrt(variance + floor * floor)
    return np.minimum(np.maximum(off, -reach), reach)


def bounded(deviation: Vector) -> Vector:
    """Deviations within ±LARGEST; 0 for NaN."""
    return np.nan_to_num(np.minimum(np.maximum(deviation, -LARGEST), LARGEST), copy=False, nan=0.0)


def follow(rows: Vector, value: Vector, floor: Vector, memory: Vector, where: Mask) -> None:
    """Counts, means and variances, shape (3, n), after one more value; the very first have nothing to be clipped against."""
    count, mean, variance = rows
    off = value - mean
    off = np.where(count >= FEW, clipped(off, variance, floor), off)
    weight = 1.0 / np.minimum(count + 1.0, memory)
    np.copyto(variance, (1.0 - weight) * (variance + weight * off * off), where=where)
    np.copyto(mean, mean + weight * off, where=where)
    count += where
