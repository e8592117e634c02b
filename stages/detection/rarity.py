"""How rare a number is among those seen before, in decades: 3 means that one in a thousand is as large.

Each series of statistics that a detector watches (a deviation, a mean of deviations, a change of spread) gets one of these, so
that all speak the same unit and none needs a threshold of its own. Below the 90 % quantile nothing is rare. Above it the
excesses follow a generalised Pareto distribution (Pickands, 1975) whose two moments are followed with a fading memory, so that a
series with heavy tails is not alarming by nature. Excesses are clipped before they are learned: an anomaly is not learned at once.
"""

from __future__ import annotations

import math

BELOW = 0.9
"""Share of numbers that lie under the threshold above which a tail is modelled."""
_HEAVIEST = 0.45
"""Largest shape parameter; from 0.5 on a tail has no variance to estimate it from."""
_EXPONENTIAL = 1e-3
"""A tail of a smaller shape is an exponential one."""
_CLIP = 8.0
FIELDS = 5
"""Numbers of a row of state."""


class Rarity:
    """The upper tail of one statistic. `grace` numbers are seen before anything is rare; about 1 µs each way."""

    __slots__ = ("_above", "_grace", "_limit", "_mean", "_memory", "_seen", "_variance")

    def __init__(self, *, memory: float, grace: int) -> None:
        self._memory, self._grace = memory, grace
        self._seen = self._limit = self._above = self._mean = self._variance = 0.0

    @property
    def grace(self) -> int:
        """Numbers that are seen before anything is rare."""
        return self._grace

    @property
    def limit(self) -> float:
        """The 90 % quantile so far."""
        return self._limit

    def decades(self, number: float) -> float:
        """How rare `number` is: 0 for a usual one, then -log10 of the share of numbers at least as large."""
        if number <= self._limit or self._seen < self._grace:
            return 0.0
        mean, shape = self._tail()
        over = (number - self._limit) / mean
        log_share = over if shape < _EXPONENTIAL else math.log1p(shape * over / (1.0 - shape)) / shape
        return (log_share - math.log(1.0 - BELOW)) / math.log(10.0)

    def number(self, decades: float) -> float:
        """The number that is so rare, from 1 decade on."""
        mean, shape = self._tail()
        log_share = decades * math.log(10.0) + math.log(1.0 - BELOW)
        over = log_share if shape < _EXPONENTIAL else math.expm1(shape * log_share) * (1.0 - shape) / shape
        return self._limit + over * mean

    def _tail(self) -> tuple[float, float]:
        """Mean excess and shape."""
        mean = max(self._mean, 1e-9 * abs(self._limit), 1e-300)
        return mean, min(
            max(0.5 * (1.0 - mean * mean / max(self._variance, 1e-12 * mean * mean, 1e-300)), 0.0), _HEAVIEST
        )

    def learn(self, number: float) -> None:
        """Take a number in."""
        if not self._seen:
            self._limit = number
        self._seen += 1.0
        step = max(self._mean, 0.05 * abs(self._limit)) * max(0.02, 2.0 * self._seen**-0.6)
        if number <= self._limit:
            self._limit -= step * (1.0 - BELOW)
            return
        excess = number - self._limit
        self._above += 1.0
        if self._above > 5.0:
            excess = min(excess, _CLIP * self._mean)
        weight = 1.0 / min(self._above, self._memory * (1.0 - BELOW))
        off = excess - self._mean
        self._mean += weight * off
        self._variance = (1.0 - weight) * (self._variance + weight * off * off)
        self._limit += step * BELOW

    def row(self) -> tuple[float, ...]:
        """State: five numbers."""
        return self._seen, self._limit, self._above, self._mean, self._variance

    def set_row(self, row: tuple[float, ...]) -> None:
        """Inverse of `row`."""
        self._seen, self._limit, self._above, self._mean, self._variance = row
