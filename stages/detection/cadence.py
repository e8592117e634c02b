"""Cadence: several closed windows of a device merged to one longer one, for classes that need no score every second.

Called by `stages.detection.device` where a detector has `every` > 1. Windows are merged by the longer window's place on the
clock, so the result does not depend on where a restart fell. Statistics merge exactly, but for `trend`, which is the line through
the middles of the first and the last part.
"""

from __future__ import annotations

import numpy as np

from stages.detection.protocol import Features


class Merger:
    """Collects the parts of one longer window of `window_s` seconds."""

    def __init__(self, window_s: int) -> None:
        self._window_us = window_s * 1_000_000
        self.parts: list[Features] = []

    def put(self, features: Features) -> list[Features]:
        """Take the next window; the longer ones that it completes: none, one, or two after a gap."""
        found = []
        if self.parts and self.parts[0].start_us // self._window_us != features.start_us // self._window_us:
            found += self.rest()
        self.parts.append(features)
        if features.end_us % self._window_us == 0:
            found += self.rest()
        return found

    def rest(self) -> list[Features]:
        """What was collected so far, as one window."""
        parts, self.parts = self.parts, []
        return [merge(parts, self._window_us)] if parts else []


def merge(parts: list[Features], window_us: int) -> Features:
    """One window of several, in order of time."""
    count = np.stack([each.count for each in parts])
    known = count > 0
    mean, variance = (np.where(known, np.stack([getattr(p, n) for p in parts]), 0.0) for n in ("mean", "variance"))
    good = count.sum(axis=0)
    none = good == 0
    middle = (count * mean).sum(axis=0) / np.maximum(good, 1)
    squares = (np.maximum(count - 1, 0) * variance + count * (mean - middle) ** 2).sum(axis=0)
    low = np.where(known, np.stack([each.low for each in parts]), np.inf).min(axis=0)
    high = np.where(known, np.stack([each.high for each in parts]), -np.inf).max(axis=0)
    columns = np.arange(len(good))
    first, last = known.argmax(axis=0), len(parts) - 1 - known[::-1].argmax(axis=0)
    half = np.where(known, np.stack([each.trend for each in parts]), 0.0) / 2.0
    trend = mean[last, columns] + half[last, columns] - mean[first, columns] + half[first, columns]
    start_us = parts[0].start_us // window_us * window_us
    middle, squares, low, high, trend = (np.where(none, np.nan, each) for each in (middle, squares, low, high, trend))
    return Features(
        start_us=start_us,
        end_us=start_us + window_us,
        count=good,
        mean=middle,
        variance=squares / np.maximum(good - 1, 1),
        low=low,
        high=high,
        trend=trend,
    )
