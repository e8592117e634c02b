"""How machines behave that have no fault: seeded samples of a machine's tags, by kind.

Every kind is a function from a source of chance to a `Run`: samples of shape (windows, samples in a window, tags). Some of what they do
is no fault though it looks like one: changes of mode, restarts, gaps, bursts. No parameter was fitted to a detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
WINDOWS = 3_000
FORTNIGHT = 4_032
"""Windows of five minutes."""


@dataclass(kw_only=True, slots=True, eq=False)
class Run:
    """`samples` (windows, samples, tags), NaN where missing; `period` is of cyclic kinds, in windows, 0 for others.

    `mode` and `settled_s` (windows,) are what the machine says of itself; empty where it says nothing.
    """

    window_s: int
    samples: Values
    period: float = 0.0
    mode: list[str] = field(default_factory=list)
    settled_s: Values = field(default_factory=lambda: np.empty(0))


Chance = np.random.Generator


def course(chance: Chance, length: int, memory: float, tags: int = 1) -> Values:
    """Slow movement of deviation 1, shape (length, tags)."""
    steps = chance.normal(0.0, np.sqrt(1.0 - memory * memory), (length, tags))
    values, last = np.empty((length, tags)), chance.normal(0.0, 1.0, tags)
    for at in range(length):
        last = memory * last + steps[at]
        values[at] = last
    return values


def _units(chance: Chance, tags: int) -> tuple[Values, Values]:
    """Levels and deviations of tags of different units."""
    deviations = 10.0 ** chance.uniform(-1.0, 1.5, tags)
    return deviations * chance.uniform(5.0, 50.0, tags), deviations


def _sampled(chance: Chance, means: Values, noise: Values | float, samples: int) -> Values:
    """Samples around the means of windows, shape (windows, samples, tags)."""
    return means[:, None, :] + chance.normal(0.0, 1.0, (len(means), samples, means.shape[1])) * noise


def _steady(chance: Chance) -> Run:
    tags = int(chance.integers(1, 8))
    levels, deviations = _units(chance, tags)
    means = levels + 0.3 * deviations * course(chance, WINDOWS, 0.8, tags)
    return Run(window_s=10, samples=_sampled(chance, means, deviations, 10))


def _sluggish(chance: Chance) -> Run:
    tags = int(chance.integers(1, 5))
    levels, deviations = _units(chance, tags)
    means = levels + deviations * course(chance, WINDOWS, 0.95, tags)
    return Run(window_s=60, samples=_sampled(chance, means, 0.1 * deviations, 1))


def _load(chance: Chance) -> Run:
    tags = int(chance.integers(4, 13))
    levels, deviations = _units(chance, tags)
    causes = course(chance, WINDOWS, 0.97, 2)
    weights = chance.uniform(0.6, 1.4, (2, tags)) * chance.choice([-1.0, 1.0], (2, tags))
    means = levels + deviations * (causes @ weights)
    return Run(window_s=10, samples=_sampled(chance, means, 0.25 * deviations, 5))


def _cyclic(chance: Chance) -> Run:
    tags, period = int(chance.integers(1, 4)), float(chance.uniform(12.0, 40.0))
    levels, deviations = _units(chance, tags)
    turned = np.cumsum(2.0 * np.pi / period * (1.0 + 0.04 * chance.normal(0.0, 1.0, WINDOWS)))
    shapes = [waveform(turned + chance.uniform(0.0, 6.0), chance.random() < 0.5) for _ in range(tags)]
    means = levels + 4.0 * deviations * np.stack(shapes, axis=1)
    return Run(window_s=1, samples=_sampled(chance, means, 0.5 * deviations, 1), period=period)


def waveform(turned: Values, square: bool) -> Values:
    """A cycle's course at an angle: a sine, or a press that works for a third of it."""
    return np.where(np.sin(turned) > 0.5, 1.0, -1.0) if square else np.sin(turned)


def _hours() -> Values:
    return np.asarray(np.arange(FORTNIGHT) / 12.0)


def _daily(chance: Chance) -> Run:
    tags = int(chance.integers(1, 4))
    levels, deviations = _units(chance, tags)
    rhythm = np.sin(2.0 * np.pi * (_hours()[:, None] - chance.uniform(0.0, 24.0, tags)) / 24.0)
    means = levels + deviations * (6.0 * rhythm + course(chance, FORTNIGHT, 0.8, tags))
    return Run(window_s=300, samples=_sampled(chance, means, 0.5 * deviations, 1))


def _shifts(chance: Chance) -> Run:
    levels, deviations = _units(chance, 1)
    hour, day = _hours() % 24.0, _hours() // 24.0 % 7.0
    busy = (hour > 6.0) & (hour < 22.0) & (day < 5.0)
    means = levels + deviations * np.where(busy, 12.0, 0.0)[:, None]
    return Run(window_s=300, samples=_sampled(chance, means, deviations, 1))


def _counts(chance: Chance) -> Run:
    tags = int(chance.integers(1, 4))
    rate = np.exp(chance.uniform(1.0, 4.0, tags) + 0.5 * course(chance, WINDOWS, 0.98, tags))
    counts = chance.poisson(rate * chance.gamma(1.5, 1.0 / 1.5, rate.shape)).astype(np.float64)
    return Run(window_s=60, samples=counts[:, None, :])


def _sparse(chance: Chance) -> Run:
    happens = chance.random((WINDOWS, 1)) < 0.15
    counts = np.where(happens, 1.0 + chance.negative_binomial(1, 0.2, (WINDOWS, 1)), 0.0)
    return Run(window_s=60, samples=counts[:, None, :])


def _skewed(chance: Chance) -> Run:
    tags = int(chance.integers(1, 4))
    levels, _ = _units(chance, tags)
    means = levels * np.exp(0.5 * course(chance, WINDOWS, 0.9, tags) + 0.5 * chance.normal(0.0, 1.0, (WINDOWS, tags)))
    return Run(window_s=60, samples=means[:, None, :])


def _discrete(chance: Chance) -> Run:
    """A set point that stays, a valve that opens and closes, a level with two digits."""
    valve, is_open = np.empty(WINDOWS), 0.0
    left = chance.exponential(20.0)
    for at in range(WINDOWS):
        left -= 1.0
        if left <= 0.0:
            is_open, left = 1.0 - is_open, chance.exponential(20.0)
        valve[at] = is_open
    rounded = np.round(40.0 + course(chance, WINDOWS, 0.9)[:, 0])
    return Run(window_s=10, samples=np.stack([np.full(WINDOWS, 21.5), valve, rounded], axis=1)[:, None, :])


def _moded(chance: Chance) -> Run:
    """A machine that says whether it works; temperatures follow slowly."""
    idle = np.array([0.0, 4.0, 0.3, 24.0, 23.0])
    busy = np.array([60.0, 45.0, 3.2, 52.0, 58.0]) * chance.uniform(0.8, 1.2, 5)
    lag_s, noise = np.array([2.0, 0.5, 1.0, 300.0, 240.0]), np.array([0.1, 0.4, 0.04, 0.05, 0.05])
    samples, mode, settled = np.empty((WINDOWS, 10, 5)), [], np.empty(WINDOWS)
    works, left_s, value, since_s = True, chance.exponential(1_800.0), busy.copy(), np.inf
    for at in range(WINDOWS):
        changed = False
        mode.append("6" if works else "11")
        settled[at] = since_s
        for second in range(10):
            value = (busy if works else idle) + (value - (busy if works else idle)) * np.exp(-1.0 / lag_s)
            samples[at, second] = value
            left_s -= 1.0
            if left_s <= 0.0:
                works, changed = not works, True
                left_s = chance.exponential(1_800.0) + 60.0 if works else chance.uniform(20.0, 400.0)
                since_s = 0.0
                mode[-1] = "6" if works else "11"
                settled[at] = -float(second)
            since_s += 1.0
        if changed:
            since_s = 10.0 + settled[at]
    return Run(
        window_s=10, samples=samples + chance.normal(0.0, 1.0, samples.shape) * noise, mode=mode, settled_s=settled
    )


def _hopping(chance: Chance) -> Run:
    """Three ways to work that nobody announces."""
    levels, deviations = _units(chance, 2)
    modes = chance.uniform(-8.0, 8.0, (3, 2))
    means, at = np.empty((WINDOWS, 2)), 0
    while at < WINDOWS:
        stay = int(chance.uniform(20.0, 120.0))
        means[at : at + stay] = modes[chance.integers(0, 3)]
        at += stay
    return Run(window_s=60, samples=_sampled(chance, levels + deviations * means, deviations, 1))


def _restarts(chance: Chance) -> Run:
    """Runs, stops for some minutes every hour or so, starts again; now and then nothing is heard for a while."""
    tags = int(chance.integers(2, 5))
    levels, deviations = _units(chance, tags)
    means = levels + 0.3 * deviations * course(chance, WINDOWS, 0.9, tags)
    noise = np.broadcast_to(deviations, means.shape).copy()
    at = int(chance.uniform(50.0, 200.0))
    while at < WINDOWS:
        stop = int(chance.uniform(8.0, 25.0))
        means[at : at + stop], noise[at : at + stop] = 0.0, 0.02 * deviations
        at += stop + int(chance.uniform(80.0, 250.0))
    samples = means[:, None, :] + chance.normal(0.0, 1.0, (WINDOWS, 5, tags)) * noise[:, None, :]
    for at in chance.integers(0, WINDOWS - 60, 6).tolist():
        samples[at : at + int(chance.integers(3, 60))] = np.nan
    lost = chance.random((WINDOWS, tags)) < 0.01
    samples = np.where(lost[:, None, :], np.nan, samples)
    return Run(window_s=10, samples=samples)


def _wide(chance: Chance) -> Run:
    tags = 60
    levels, deviations = _units(chance, tags)
    means = levels + 0.5 * deviations * course(chance, WINDOWS // 2, 0.5, tags)
    return Run(window_s=60, samples=_sampled(chance, means, deviations, 1))


USUAL: dict[str, Callable[[Chance], Run]] = {
    "steady": _steady,
    "sluggish": _sluggish,
    "load-following": _load,
    "cyclic": _cyclic,
    "daily": _daily,
    "shifts": _shifts,
    "bursty counts": _counts,
    "sparse counts": _sparse,
    "skewed": _skewed,
    "discrete": _discrete,
    "announced modes": _moded,
    "unannounced modes": _hopping,
    "restarts and gaps": _restarts,
    "sixty tags": _wide,
}
