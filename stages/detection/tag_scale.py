"""What is usual for one tag in one mode: scales for its level, its steps and its spread, as plain numbers.

Plain Python on purpose: devices have a handful of tags, and for those a float at a time costs a fifth of what numpy's
hundred small calls do (5 µs a tag against 150 µs a window). `stages.detection.scaling` owns one per tag and mode and
says when a window may be judged or learned.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import NamedTuple

CLIP = 4.0
LARGEST = 1e9
FEW = 4
"""Fewer samples than this say nothing about spread."""


class TagWindow(NamedTuple):
    """One closed window of one tag; all but `good`, the number of its good samples, are NaN when there is none."""

    good: int
    mean: float
    variance: float
    trend: float


@dataclass(slots=True)
class TagScale:
    """Exponentially weighted means and variances with the numbers of windows behind them.

    `prompt`: stays in this mode in a row after which the tag was soon back at its level. `spread` is the cube root of
    the variance, which is nearly normal whatever the number of samples (Wilson and Hilferty, 1931).
    """

    level_n: float = 0.0
    level: float = 0.0
    level_var: float = 0.0
    spread_n: float = 0.0
    spread: float = 0.0
    spread_var: float = 0.0
    step_n: float = 0.0
    step_var: float = 0.0
    seen_low: float = math.nan
    seen_high: float = math.nan
    prompt: float = 0.0

    def row(self) -> tuple[float, ...]:
        """All numbers, for a snapshot."""
        row: tuple[float, ...] = _ROW(self)
        return row

    def floor(self, resolution: float, span: float) -> float:
        """Smallest deviation of a mean that matters, in the tag's unit; `span` of its normal range, NaN when unknown."""
        if span != span:  # noqa: PLR0124  # NaN
            seen = self.seen_high - self.seen_low
            span = seen if seen == seen else 0.0  # noqa: PLR0124
        return resolution * span + 1e-9 * abs(self.level) + 1e-12

    def level_deviation(self, mean: float, floor: float) -> float:
        """Deviation of a window's mean from the usual level."""
        return bounded((mean - self.level) / math.sqrt(self.level_var + floor * floor))

    def step_deviation(self, mean: float, heading: float, floor: float) -> float:
        """Deviation of a window's mean from where the last windows were heading; 0 when that is NaN."""
        return bounded((mean - heading) / math.sqrt(self.step_var + floor * floor))

    def spread_deviation(self, window: TagWindow, floor: float) -> float:
        """Deviation of the variance about the window's trend.

        The trend is known from two noisy samples, so the variance about it lies somewhere in an interval; what counts
        is how far the usual one is outside. More spread has to be visible in the tag's range; less is judged against
        what was usual alone.
        """
        if window.good < FEW:
            return 0.0
        trend, usual = _trend_variance(window), self.spread
        doubt = 3.0 * math.sqrt(2.0 * usual * usual * usual * trend / 3.0)
        outside = math.cbrt(max(window.variance - trend - doubt, 0.0)) - usual
        small = 0.02 * usual + 1e-12
        if outside > 0.0:
            small += math.cbrt(0.01 * floor * floor)
        else:
            outside = min(math.cbrt(window.variance) - usual, 0.0)
        return bounded(outside / math.sqrt(self.spread_var + small * small))

    def see(self, mean: float) -> None:
        """Widen the range of means that were seen."""
        self.seen_low = min(mean, self.seen_low) if self.seen_low == self.seen_low else mean  # noqa: PLR0124
        self.seen_high = max(mean, self.seen_high) if self.seen_high == self.seen_high else mean  # noqa: PLR0124

    def learn_level(self, mean: float, floor: float, memory: float) -> None:
        """Follow the level."""
        self.level, self.level_var = _follow(mean, self.level, self.level_var, self.level_n, floor, memory)
        self.level_n += 1.0

    def learn_spread(self, window: TagWindow, memory: float) -> None:
        """Follow the spread, where a trend does not rule it."""
        if window.good < FEW:
            return
        trend = _trend_variance(window)
        usual = self.spread * self.spread * self.spread
        if self.spread_n and trend > max(usual, 0.5 * window.variance):
            return
        root, floor = math.cbrt(max(window.variance - trend, 0.0)), 0.02 * self.spread
        self.spread, self.spread_var = _follow(root, self.spread, self.spread_var, self.spread_n, floor, memory)
        self.spread_n += 1.0

    def learn_step(self, step: float, floor: float, memory: float) -> None:
        """Follow the variance of steps, whose mean is 0."""
        if self.step_n >= FEW:
            step = clipped(step, self.step_var, floor)
        self.step_var += (step * step - self.step_var) / min(self.step_n + 1.0, memory)
        self.step_n += 1.0


_ROW = attrgetter(*(field.name for field in fields(TagScale)))


def clipped(off: float, variance: float, floor: float) -> float:
    """A deviation held to `CLIP` standard deviations, so that a fault is not learned at once."""
    reach = CLIP * math.sqrt(variance + floor * floor)
    return min(max(off, -reach), reach)


def bounded(deviation: float) -> float:
    """A deviation within ±LARGEST; 0 for NaN."""
    return min(max(deviation, -LARGEST), LARGEST) if deviation == deviation else 0.0  # noqa: PLR0124


def _follow(
    value: float, mean: float, variance: float, count: float, floor: float, memory: float
) -> tuple[float, float]:
    """Mean and variance after one more value; the very first have nothing to be clipped against."""
    off = clipped(value - mean, variance, floor) if count >= FEW else value - mean
    weight = 1.0 / min(count + 1.0, memory)
    return mean + weight * off, (1.0 - weight) * (variance + weight * off * off)


def _trend_variance(window: TagWindow) -> float:
    """Variance that a straight line through the window's first and last sample has by itself."""
    return window.trend * window.trend * (window.good + 1.0) / (12.0 * max(window.good - 1.0, 1.0))
