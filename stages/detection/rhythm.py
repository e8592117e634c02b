"""What is usual at a time of the day or of the week: a profile of a tag, learned as it goes.

A bin has the fading mean of the values seen in it and of their distance from what was expected. What is expected is an interval:
from the lowest to the highest of the bin and its two neighbours, so that a shift that begins a little early is no deviation.
Bins are 32-bit floats: 12 bytes each are the state of a tag.
"""

from __future__ import annotations

import math
from array import array

import numpy as np
from numpy.typing import NDArray

DAY_S, WEEK_S = 86_400, 604_800
_MEMORY = 6.0
"""Visits to a bin that are remembered."""
_LEAST_BINS = 4
_CLIP = 8.0


class Rhythm:
    """Profile over a period. `visits` of a bin is how often it was passed, 1 for each time round."""

    __slots__ = ("_bin_s", "_deviation", "_mean", "_per_visit", "_period_s", "_visits", "bins")

    def __init__(self, *, period_s: int, bins: int, window_s: int) -> None:
        self.bins = min(bins, period_s // window_s)
        self._period_s = period_s
        self._bin_s = period_s / max(self.bins, 1)
        self._per_visit = max(self._bin_s / window_s, 1.0)
        self._mean = array("f", [math.nan] * self.bins)
        self._deviation = array("f", bytes(4 * self.bins))
        self._visits = array("f", bytes(4 * self.bins))

    @property
    def round_windows(self) -> float:
        """Windows in one time round."""
        return self.bins * self._per_visit

    def bin_at(self, time_us: int) -> int:
        """Bin of a time; only to be asked when the profile is `possible`."""
        return min(int(time_us / 1e6 % self._period_s / self._bin_s), self.bins - 1)

    @property
    def possible(self) -> bool:
        """Whether windows are short enough for a profile."""
        return self.bins >= _LEAST_BINS

    def knows(self, at: int, visits: float) -> bool:
        """Whether a bin was visited as often as that."""
        return self._visits[at] >= visits and self._mean[at] == self._mean[at]  # not NaN

    def interval(self, at: int) -> tuple[float, float]:
        """Lowest and highest value expected in a bin."""
        mean = self._mean
        low = high = mean[at]
        for near in (mean[at - 1], mean[(at + 1) % self.bins]):
            if near < low:
                low = near
            elif near > high:
                high = near
        return low, high

    def scale(self, at: int, usual: float) -> float:
        """Usual distance from what is expected in a bin; `usual` is the tag's own, which counts as two visits."""
        deviation, visits = self._deviation, self._visits[at]
        near = max(deviation[at - 1], deviation[at], deviation[(at + 1) % self.bins])
        return (visits * near + 2.0 * usual) / (visits + 2.0)

    def learn(self, at: int, value: float, off: float | None, usual: float) -> None:
        """Take a value in; `off` is its distance from what was expected, None when nothing was."""
        per_visit = self._per_visit
        if self._mean[at] != self._mean[at]:  # NaN
            self._mean[at] = value
        visits = self._visits[at] = self._visits[at] + 1.0 / per_visit
        most = _MEMORY * per_visit
        if off is not None:
            off = min(abs(off), _CLIP * max(self._deviation[at], usual))
            self._deviation[at] += (off - self._deviation[at]) / max(2.0, min((visits - 1.0) * per_visit + 1.0, most))
        self._mean[at] += (value - self._mean[at]) / max(2.0, min(visits * per_visit, most))

    def rows(self) -> NDArray[np.float32]:
        """State, shape (3, bins)."""
        return np.array([self._mean, self._deviation, self._visits], dtype=np.float32).reshape(3, self.bins)

    def set_rows(self, rows: NDArray[np.float32]) -> None:
        """Inverse of `rows`."""
        self._mean, self._deviation, self._visits = (array("f", row.tobytes()) for row in rows)
