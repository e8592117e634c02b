"""Has a tag been there before, and come back: what is emptied and filled again is no wear, until it goes further than it ever did.

Enters: the levels of a tag, oldest first, whenever there is a new one. Leaves: whether a forecast is worth telling. A *rise* towards a
limit is over, a *reset*, when most of it is lost again. It counts when it was large and slow: a night, a weekend and a change of
product come and go at once, and noise is small. From the first reset on a forecast is told where the tag is beyond the furthest place from
which it came back, and no sooner: so the first round of a tank is told like wear, and wear of a machine that is maintained in time is
told when the maintenance is late.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages.forecast.trend import Forecast

Levels = NDArray[np.float64]

_TROUGH, _PEAK, _STEEPEST, _FURTHEST = range(4)
_ROWS = 4
_LARGE, _REACHED = 0.25, 0.9
"""A rise counts when it takes between these shares of the way from its beginning to the limit: with more, the limit was reached."""
_LOST = 0.6
"""It is over when this share of it is lost."""
_SLOW = 0.5
"""No day of it may make more than this share of it; a dip that comes and goes at once never does less and loses `_LOST`."""
_BEYOND = 0.25
"""Share of the way from the furthest reset to the limit behind which a forecast is told all the same."""
_FORGETS = 0.25
"""A reset before the furthest one brings that nearer by this share of the way between them."""


class Resets:
    """Rises and resets of k tags, towards each of two limits. `rows` (k, 8): those of the high limit, then of the low one."""

    def __init__(self, tags: int) -> None:
        self.rows = np.full((tags, 2 * _ROWS), np.nan, dtype=np.float32)

    def forget(self, tag: int) -> None:
        """A tag has other limits: what was seen on the way to the old ones says nothing."""
        self.rows[tag] = np.nan

    def see(self, tag: int, levels: Levels, rhythm: int, low: float, high: float) -> None:
        """A new level of a tag, the last of `levels`; `rhythm` of them make a day, which is no rise."""
        now, before = _mean(levels[-rhythm:]), _mean(levels[-2 * rhythm : -rhythm])
        if np.isnan(now):
            return
        for row, sign, limit in ((self.rows[tag, :_ROWS], 1.0, high), (self.rows[tag, _ROWS:], -1.0, low)):
            if not np.isnan(limit):
                _follow(row, sign * now, sign * (now - before), sign * limit)

    def came_back(self, tag: int, found: Forecast, low: float) -> bool:
        """Whether a tag came back from where a forecast says that it is now."""
        down = found.limit == low
        row, sign = (self.rows[tag, _ROWS:], -1.0) if down else (self.rows[tag, :_ROWS], 1.0)
        furthest, limit = float(row[_FURTHEST]), sign * found.limit
        return sign * found.level < furthest + _BEYOND * (limit - furthest)  # never where there was no reset: NaN


def _mean(levels: Levels) -> float:
    known = levels[~np.isnan(levels)]
    return float(known.mean()) if len(known) else np.nan


def _follow(row: NDArray[np.float32], now: float, moved: float, limit: float) -> None:
    """One more level, upwards."""
    trough, peak = float(row[_TROUGH]), float(row[_PEAK])
    if not now > trough:  # also the very first
        row[:_FURTHEST] = now, now, 0.0
        return
    rise = peak - trough
    if peak - now <= _LOST * rise:
        row[_PEAK] = max(now, peak)
        row[_STEEPEST] = np.fmax(row[_STEEPEST], moved)
        return
    way = limit - trough
    if _LARGE * way <= rise <= _REACHED * way and row[_STEEPEST] <= _SLOW * rise:
        furthest = float(row[_FURTHEST])
        row[_FURTHEST] = np.fmax(peak, furthest + _FORGETS * (peak - furthest))
    row[:_FURTHEST] = now, now, 0.0
