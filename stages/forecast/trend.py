"""When does a level reach a limit: a robust fit of a few shapes to some dozens of levels, and an interval.

Enters: levels of one tag in slots of equal length. Leaves: a `Forecast`, or None where no trend is sure enough. Called by
`stages.forecast.lane` whenever a slot of a tag closes; pure and without state.

Every shape has one free size: y(t) = a + b f(t) + rhythm, t from 0 at the first level to 1 now. *Trends* are a straight
line, a parabola, growth that doubles (exponential), and a hinge: level at first, then straight. *No trends* are a step, a
ramp that has stopped, and nothing. A trend is believed when it explains more than these do (Schwarz's criterion), and its
size is many standard errors. Errors are those of as many independent levels as their residuals' autocorrelation leaves.
Residuals beyond two deviations count less (Huber's weights).

The interval is that of draws: a shape by its weight (Schwarz), level and size by their errors, and the time that is left
by a factor, because wear does not go on exactly as before. The draws are the same for every call (Halton's sequence), so
a replay says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from stages.config import ForecastConfig

Vector = NDArray[np.float64]

LEAST_LEVELS = 12
"""Fewer levels say nothing."""
_DOUBLINGS = (1.2, 2.5, 4.0, 7.0)
_POWERS = (2.0,)
_HINGES = (0.15, 0.3, 0.45, 0.6, 0.7, 0.8)
_STOPPED = (0.3, 0.5, 0.7, 0.85)
_EDGE = 3
"""A step has as many levels on either side."""
_DRAWS = 128
_MARGIN = 4.0
"""By how much of Schwarz's criterion a trend has to be better than a step or nothing."""
_LEAST_T = 4.0
"""Size of a trend, in its standard errors."""
_WANDERS = 0.2
"""Standard deviation of the logarithm of the time left, beside the errors of the fit."""
_SURE = 0.8
"""Share of the draws that have to reach the limit within the horizon."""
_HUBER = 2.0
_LEAST_INDEPENDENT = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """Times are seconds from now. `far_s` is infinite where a tenth of the draws never reach the limit.

    `near_s` to `far_s` is the interval that has the moment in four of five cases; `level` where the trend is now, `limit` what it
    reaches, both in the tag's unit.
    """

    near_s: float
    likely_s: float
    far_s: float
    level: float
    limit: float
    t: float
    """Size of the trend in standard errors."""


def forecast(levels: Vector, slot_s: float, low: float, high: float, config: ForecastConfig) -> Forecast | None:
    """When `levels`, shape (n,), NaN where there is none, oldest first, reach `low` or `high` (NaN: no such limit)."""
    count = len(levels)
    known = np.flatnonzero(~np.isnan(levels))
    if len(known) < max(LEAST_LEVELS, count // 2) or count * slot_s < config.least_rhythms * config.rhythm_s:
        return None
    shapes = _shapes(count, slot_s, config.rhythm_s)
    scale = float(np.ptp(levels[known]))
    if not scale > 0.0:
        return None
    centre = float(levels[known[0]])
    fit = _fit(shapes, known, (levels[known] - centre) / scale)
    if fit is None:
        return None
    limit = high if fit.size[fit.best] > 0.0 else low
    if not np.isfinite(limit):
        return None
    return _reach(
        shapes, fit, (limit - centre) / scale, count * slot_s, config, scale=scale, centre=centre, limit=limit
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Shapes:
    """f of every shape at the middles of the slots, (m, n): first the trends, then what is none. `base` (q, n): constant and rhythm."""

    of: Vector
    base: Vector
    hinge: Vector
    """Of the trends: where they begin, 0 for the beginning."""
    power: Vector
    """Of the trends: f is t to this power behind the hinge, where it does not double."""
    doubling: Vector
    """Of the trends: rate of growth, 0 for straight ones."""
    extra: Vector
    """Parameters that the choice of the shape costs, beside its size."""
    nothing: int
    """Index of the shape that is zero."""
    stops: int
    """Index of the first ramp that has stopped; those are the last."""


@lru_cache(maxsize=256)
def _shapes(count: int, slot_s: float, rhythm_s: float) -> _Shapes:
    t = (np.arange(count) + 0.5) / count
    base = [np.ones(count)]
    slots = rhythm_s / slot_s if rhythm_s else 0.0
    if slots > 2.2:
        angle = 2 * np.pi * (np.arange(count) + 0.5) / slots
        base += [np.cos(angle), np.sin(angle)]
        if slots > 6.0:
            base += [np.cos(2 * angle), np.sin(2 * angle)]
    hinges = [k for k in _HINGES if (1 - k) * count >= 8]
    trends = [
        t,
        *(t**power for power in _POWERS),
        *(np.exp(c * (t - 1.0)) for c in _DOUBLINGS),
        *(np.maximum(t - k, 0.0) for k in hinges),
    ]
    steps = [(np.arange(count) >= at).astype(np.float64) for at in range(_EDGE, count - _EDGE + 1)]
    stopped = [np.minimum(t, k) for k in _STOPPED]
    bent = 1 + len(_POWERS) + len(_DOUBLINGS)
    others = 1 + len(steps) + len(stopped)
    return _Shapes(
        of=np.array([*trends, np.zeros(count), *steps, *stopped]),
        base=np.array(base),
        hinge=np.array([*[0.0] * bent, *hinges]),
        power=np.array([1.0, *_POWERS, *[1.0] * (len(_DOUBLINGS) + len(hinges))]),
        doubling=np.array([*[0.0] * (bent - len(_DOUBLINGS)), *_DOUBLINGS, *[0.0] * len(hinges)]),
        extra=np.array([0.0, *[0.5] * (bent - 1), *[1.0] * len(hinges), -1.0, *[1.0] * (others - 1)]),
        nothing=len(trends),
        stops=len(trends) + 1 + len(steps),
    )


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Fit:
    """Of all shapes (m,). `mean` (m,) of f, and `level`, are by weight; `error` is the deviation of a level about the best trend."""

    best: int
    size: Vector
    sizes_error: Vector
    mean: Vector
    level: float
    levels_error: float
    weight: Vector
    """Of the trends, adding up to 1."""
    t: float


def _fit(shapes: _Shapes, known: NDArray[np.intp], y: Vector) -> _Fit | None:
    """Fit of all shapes to the levels at `known`; None when no trend explains them best."""
    of, base = shapes.of[:, known], shapes.base[:, known]
    trends = shapes.nothing
    weight = np.ones(len(y))
    for _ in range(2):
        weighted = base * weight
        gram = weighted @ base.T
        gram.flat[:: len(gram) + 1] += 1e-9 * len(y)
        joined = np.vstack([of, y])
        free = joined - np.linalg.solve(gram, weighted @ joined.T).T @ base
        f, r = free[:-1], free[-1]
        ff = np.maximum((f * f) @ weight, 1e-12)
        size = ((f * r) @ weight) / ff
        size[shapes.nothing] = 0.0
        rss = np.maximum((r * r) @ weight - size * size * ff, 1e-12 * len(y))
        best = int(np.argmin(rss[:trends]))
        residual = r - size[best] * f[best]
        spread = 1.4826 * float(np.median(np.abs(residual))) + 1e-9
        weight = np.minimum(1.0, _HUBER * spread / np.maximum(np.abs(residual), 1e-12))
    independent = _independent(residual * np.sqrt(weight))
    score = independent * np.log(rss / len(y)) + (1.0 + shapes.extra) * np.log(max(independent, 2.0))
    best = int(np.argmin(score[:trends]))
    own = score[best]
    if own > score[trends : shapes.stops].min() - _MARGIN or own > score[shapes.stops :].min():
        return None
    free_s = max(independent - len(base) - 1.0, 1.0)
    variance = rss / len(y) * independent / free_s
    inflated = len(y) / independent
    sizes_error = np.sqrt(variance * inflated / ff)
    t = abs(size[best]) / float(sizes_error[best])
    if t < _LEAST_T:
        return None
    chance = np.exp(-0.5 * (score[:trends] - own))
    total = float(weight.sum())
    return _Fit(
        best=best,
        size=size,
        sizes_error=sizes_error,
        mean=of @ weight / total,
        level=float(y @ weight) / total,
        levels_error=float(np.sqrt(variance[best] / independent)),
        weight=chance / chance.sum(),
        t=t,
    )


def _independent(residual: Vector) -> float:
    """So many independent levels tell as much as these, which follow one another."""
    n = len(residual)
    energy = float(residual @ residual)
    if energy <= 0.0:
        return float(n)
    lag = float(residual[1:] @ residual[:-1]) / energy
    lag = min(max(lag + (1.0 + 4.0 * max(lag, 0.0)) / n, 0.0), 0.97)  # what few levels show of it is too little
    return max(n * (1.0 - lag) / (1.0 + lag), _LEAST_INDEPENDENT)


def _reach(
    shapes: _Shapes,
    fit: _Fit,
    target: float,
    span_s: float,
    config: ForecastConfig,
    *,
    scale: float,
    centre: float,
    limit: float,
) -> Forecast | None:
    draws = _draws()
    which = np.minimum(np.searchsorted(np.cumsum(fit.weight), draws[0]), len(fit.weight) - 1)
    size = fit.size[which] + fit.sizes_error[which] * draws[1]
    level = fit.level + fit.levels_error * draws[2]
    hinge, doubling = shapes.hinge[which], shapes.doubling[which]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        f = fit.mean[which] + (target - level) / size
        straight = hinge + np.maximum(f, 0.0) ** (1.0 / shapes.power[which])
        grown = 1.0 + np.log(np.maximum(f, 1e-300)) / np.where(doubling > 0.0, doubling, 1.0)
        left = np.where(doubling > 0.0, grown, straight) - 1.0
        left = np.where((size * fit.size[fit.best] > 0.0) & np.isfinite(left), np.maximum(left, 0.0), np.inf)
        left = left * np.exp(_WANDERS * draws[3]) * span_s
    begun = float(shapes.hinge[fit.best])
    horizon_s = min(config.horizon_s, config.spans * (1.0 - begun) * span_s)
    near, likely, far = np.sort(left)[[_DRAWS // 10, _DRAWS // 2, _DRAWS - 1 - _DRAWS // 10]].tolist()
    if likely <= 0.0 or float((left <= horizon_s).mean()) < _SURE:
        return None
    f_now = 1.0 if shapes.doubling[fit.best] else 1.0 - begun
    now = fit.level + fit.size[fit.best] * (f_now - fit.mean[fit.best])
    return Forecast(
        near_s=near, likely_s=likely, far_s=far, level=float(now * scale + centre), limit=limit, t=float(fit.t)
    )


@lru_cache(maxsize=1)
def _draws() -> Vector:
    """Shape (4, draws): uniform, then three standard normal ones, evenly spread (Halton's sequence, bases 2, 3, 5, 7)."""
    normal = NormalDist()
    rows = [[_halton(at, base) for at in range(1, _DRAWS + 1)] for base in (2, 3, 5, 7)]
    return np.array([rows[0], *([normal.inv_cdf(each) for each in row] for row in rows[1:])])


def _halton(at: int, base: int) -> float:
    part, found = 1.0, 0.0
    while at:
        part /= base
        at, digit = divmod(at, base)
        found += digit * part
    return found
