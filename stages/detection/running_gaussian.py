"""A normal distribution learned one value at a time: count, mean and variance by Welford (1962), with weights by West (1979).

Written out, in the order of operations of river's `proba.Gaussian`, because the default detectors need nothing else of
river, and its import (scipy, pandas) takes 2 s of every recovery. `tests/unit/test_detection_gaussian.py` holds the two
equal to the last bit.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


class RunningGaussian:
    """`count` is the sum of weights, `mean` that of the values.

    >>> sizes = RunningGaussian()
    >>> for value in (6.0, 7.0, 8.0):
    ...     sizes.update(value)
    >>> sizes.mean, sizes.sigma, sizes.cdf(7.0)
    (7.0, 1.0, 0.5)
    """

    __slots__ = ("_squares", "count", "mean")

    def __init__(self) -> None:
        self.count, self.mean, self._squares = 0.0, 0.0, 0.0

    @classmethod
    def of(cls, count: float, mean: float, sigma: float) -> RunningGaussian:
        """Distribution with these moments: two values at equal distance from the mean."""
        gaussian = cls()
        if count:
            off = sigma * math.sqrt(max(count - 1.0, 0.0) / count)
            gaussian.update(mean - off, count / 2.0)
            gaussian.update(mean + off, count / 2.0)
        return gaussian

    @property
    def sigma(self) -> float:
        """Standard deviation of the sample; 0 for fewer than two values."""
        return float((self._squares / (self.count - 1)) ** 0.5) if self.count > 1 else 0.0

    def update(self, value: float, weight: float = 1.0) -> None:
        """Learn a value."""
        before = self.mean
        self.count += weight
        self.mean += (weight / self.count) * (value - before)
        self._squares += weight * (value - before) * (value - self.mean)

    def cdf(self, value: float) -> float:
        """Probability of at most `value`; 0 while the variance is 0."""
        sigma = self.sigma
        return 0.5 * (1.0 + math.erf((value - self.mean) / (sigma * math.sqrt(2.0)))) if sigma else 0.0

    def moments(self) -> NDArray[np.float64]:
        """Arguments of `of`, shape (3,)."""
        return np.array([self.count, self.mean, self.sigma])
