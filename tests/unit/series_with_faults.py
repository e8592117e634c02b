"""Seeded series for tests of detection: how machines, meters and servers behave, and what can go wrong with them.

None of them is a published data set, and no parameter was fitted to them. A series is `length` samples every `PERIOD_S` seconds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

PERIOD_S = 300
LENGTH = 4_032
"""A fortnight."""
START_US = 1_767_225_600_000_000
Values = NDArray[np.float64]


def _correlated(chance: np.random.Generator, length: int, memory: float, deviation: float) -> Values:
    values, last = np.empty(length), 0.0
    for at, step in enumerate(chance.normal(0.0, deviation, length).tolist()):
        last = memory * last + step
        values[at] = last
    return values


def _hours(length: int) -> Values:
    return np.asarray(np.arange(length) * PERIOD_S / 3600.0)


def _white(chance: np.random.Generator, length: int) -> Values:
    return 50.0 + chance.normal(0.0, 1.0, length)


def _sluggish(chance: np.random.Generator, length: int) -> Values:
    return 20.0 + _correlated(chance, length, 0.9, 0.5)


def _daily(chance: np.random.Generator, length: int) -> Values:
    hour = _hours(length) % 24.0
    return np.asarray(40.0 + 15.0 * np.sin(2.0 * np.pi * (hour - 9.0) / 24.0) + _correlated(chance, length, 0.8, 0.8))


def _shifts(chance: np.random.Generator, length: int) -> Values:
    hour = _hours(length) % 24.0
    values: Values = np.where((hour > 8.0) & (hour < 17.0), 80.0, 20.0) + chance.normal(0.0, 1.5, length)
    return values


def _counts(chance: np.random.Generator, length: int) -> Values:
    hours = _hours(length)
    weekend = np.where(hours // 24 % 7 < 5, 1.0, 0.6)
    rate: Values = (30.0 + 25.0 * np.sin(2.0 * np.pi * (hours % 24.0 - 9.0) / 24.0)) * weekend
    counts: Values = chance.poisson(np.maximum(rate, 1.0)).astype(np.float64)
    return counts


def _pulsing(chance: np.random.Generator, length: int) -> Values:
    pulses: Values = 30.0 * (np.arange(length) % 36 == 0)
    return 35.0 + chance.normal(0.0, 2.0, length) + pulses


USUAL: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "white": _white,
    "sluggish": _sluggish,
    "daily": _daily,
    "shifts": _shifts,
    "counts": _counts,
    "pulsing": _pulsing,
}


def usual(kind: str, seed: int, length: int = LENGTH) -> Values:
    """A series without a fault."""
    return USUAL[kind](np.random.default_rng([seed, list(USUAL).index(kind)]), length)


# --- faults: change a series in place from `at` on ----------------------------------------------------------------------


def _span(values: Values, at: int) -> float:
    low, high = np.quantile(values[:at], [0.02, 0.98])
    return float(high - low)


def _spike(values: Values, at: int, chance: np.random.Generator) -> None:
    values[at : at + 3] += 1.5 * _span(values, at)


def _level_shift(values: Values, at: int, chance: np.random.Generator) -> None:
    values[at:] += _span(values, at)


def _drift(values: Values, at: int, chance: np.random.Generator) -> None:
    length = 200
    values[at : at + length] += np.linspace(0.0, 2.0 * _span(values, at), length)


def _restless(values: Values, at: int, chance: np.random.Generator) -> None:
    length = 200
    values[at : at + length] += chance.normal(0.0, 0.4 * _span(values, at), length)


def _flat(values: Values, at: int, chance: np.random.Generator) -> None:
    values[at : at + 200] = values[at - 1]


def _outage(values: Values, at: int, chance: np.random.Generator) -> None:
    values[at : at + 60] = min(0.0, float(values.min()))


FAULTS: dict[str, Callable[[Values, int, np.random.Generator], None]] = {
    "spike": _spike,
    "level shift": _level_shift,
    "drift": _drift,
    "restless": _restless,
    "flat line": _flat,
    "outage": _outage,
}


def faulty(kind: str, fault: str, seed: int, at: int = 3_000) -> Values:
    """A series with one fault from row `at` on."""
    values = usual(kind, seed)
    FAULTS[fault](values, at, np.random.default_rng(seed + 1))
    return values


def missing_day(seed: int, at: int = 2_880) -> Values:
    """Shifts of which one did not come: every value is a usual one, at the wrong time. `at` is its midnight."""
    values = usual("shifts", seed)
    values[at : at + 288] = 20.0 + np.random.default_rng(seed + 1).normal(0.0, 1.5, 288)
    return values


def related(seed: int, length: int = LENGTH, tags: int = 6, broken_at: int | None = None) -> Values:
    """Tags that follow two common causes, shape (length, tags). From `broken_at` on, tag 2 follows a cause of its own, as far."""
    chance = np.random.default_rng(seed)
    causes = np.stack([_correlated(chance, length, 0.9, 0.4) for _ in range(2)], axis=1)
    weights = chance.normal(0.0, 1.0, (2, tags))
    weights[:, 2] = (1.0, -1.0)
    values = causes @ weights + chance.normal(0.0, 0.2, (length, tags))
    if broken_at is not None:
        own = np.stack([_correlated(chance, length, 0.9, 0.4) for _ in range(2)], axis=1) @ weights[:, 2]
        values[broken_at:, 2] = own[broken_at:] + chance.normal(0.0, 0.2, length - broken_at)
    return np.asarray(values * np.linspace(1.0, 20.0, tags) + np.linspace(10.0, 90.0, tags))
