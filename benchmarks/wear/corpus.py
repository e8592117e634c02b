"""Synthetic run-to-failure series, and series that do not wear: hourly means, seeded, with the truth beside them.

Even seeds are for design, odd ones are held out. The limit of every series is 100 above a level of about 50; a failure is the moment when
the level itself, without noise and rhythm, reaches the limit. No parameter of the corpus was fitted to the forecasts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]
Chance = np.random.Generator

START_US = 1_767_571_200_000_000
"""A Monday."""
HOUR_US = 3_600_000_000
LIMIT_LOW, LIMIT_HIGH = 0.0, 100.0
DESIGN, HELD_OUT = "design", "held out"
SEEDS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One series."""

    kind: str
    seed: int

    @property
    def half(self) -> str:
        """Which half of the corpus it is of."""
        return DESIGN if self.seed % 2 == 0 else HELD_OUT


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Made:
    """A case made: hourly means, NaN where nothing was heard; `begins`, `fails` are hours, None where nothing wears or it never fails."""

    case: Case
    mean: Values
    begins: int | None = None
    fails: float | None = None


def _level(chance: Chance) -> float:
    return float(chance.uniform(40.0, 60.0))


def _life(chance: Chance) -> int:
    """Hours of wear: five to fifty days."""
    return int(24 * np.exp(chance.uniform(np.log(5.0), np.log(50.0))))


def _worn(chance: Chance, of: Callable[[Values, Chance], Values], *, healthy: int = 0) -> tuple[Values, int, float]:
    """Level, hour in which the wear begins, hour in which the limit is reached. `of` goes from 0 at t = 0 to 1 at t = 1."""
    life, level = _life(chance), _level(chance)
    hours = np.arange(healthy + life + 48)
    t = np.maximum((hours - healthy) / life, 0.0)
    rise = (LIMIT_HIGH - level) * of(t, chance)
    return np.asarray(level + rise), healthy, float(healthy + life)


def _linear(chance: Chance) -> tuple[Values, int, float]:
    return _worn(chance, lambda t, _: t)


def _exponential(chance: Chance) -> tuple[Values, int, float]:
    rate = float(chance.uniform(1.5, 5.0))
    return _worn(chance, lambda t, _: np.expm1(rate * t) / np.expm1(rate))


def _power(chance: Chance) -> tuple[Values, int, float]:
    power = float(chance.uniform(1.3, 2.5))
    return _worn(chance, lambda t, _: t**power)


def _onset(chance: Chance) -> tuple[Values, int, float]:
    return _worn(chance, lambda t, _: t, healthy=int(chance.uniform(3, 40) * 24))


def _wandering(chance: Chance) -> tuple[Values, int, float]:
    """Wear by steps of different size, forward only (a gamma process)."""
    life, level = _life(chance), _level(chance)
    steps = chance.gamma(life / 400.0 if life < 400 else 1.0, 1.0, life * 2)
    rise = np.cumsum(steps / steps[:life].sum()) * (LIMIT_HIGH - level)
    fails = int(np.argmax(rise >= LIMIT_HIGH - level))
    return (level + rise)[: fails + 48], 0, float(fails)


def _sawtooth(chance: Chance) -> tuple[Values, int, float]:
    """Maintained twice before it would have failed, then not."""
    life, level = _life(chance), _level(chance)
    slope = (LIMIT_HIGH - level) / life
    parts = [level + slope * np.arange(int(life * chance.uniform(0.35, 0.8))) for _ in range(2)]
    begins = sum(map(len, parts))
    return np.concatenate([*parts, level + slope * np.arange(life + 48)]), begins, float(begins + life)


def _rounds(chance: Chance, hours: int) -> Values:
    """The level of something that fills and is emptied before it is full, again and again: each round as the last, but not quite."""
    empty, full = chance.uniform(8.0, 25.0), chance.uniform(60.0, 85.0)
    round_h = 24 * np.exp(chance.uniform(np.log(1.5), np.log(15.0)))
    parts, length = list[Values](), 0
    while length < hours:
        bottom, top = empty + chance.uniform(-4.0, 4.0), full - chance.exponential(8.0)
        fills = max(int(round_h * chance.uniform(0.7, 1.3) * (top - bottom) / (full - empty)), 6)
        parts += [np.linspace(bottom, top, fills), np.linspace(top, empty, int(chance.integers(1, 7)))]
        length += sum(map(len, parts[-2:]))
    return np.concatenate(parts)


def _not_emptied(chance: Chance) -> tuple[Values, int, float]:
    """Emptied some times before it is full, then not."""
    rounds = _rounds(chance, int(24 * chance.uniform(20.0, 40.0)))
    life, level = _life(chance), float(rounds[-1])
    return (
        np.concatenate([rounds, level + (LIMIT_HIGH - level) / life * np.arange(life + 48)]),
        len(rounds),
        float(len(rounds) + life),
    )


WEARS: dict[str, Callable[[Chance], tuple[Values, int, float]]] = {
    "linear": _linear,
    "exponential": _exponential,
    "power": _power,
    "onset": _onset,
    "gamma": _wandering,
    "saw-tooth": _sawtooth,
    "not emptied": _not_emptied,
}
NOISES = ("quiet", "noisy", "rhythm", "sluggish", "shifts")


def _noise(kind: str, chance: Chance, length: int) -> Values:
    hours = np.arange(length)
    if kind == "quiet":
        return chance.normal(0.0, 0.5, length)
    if kind == "noisy":
        return chance.normal(0.0, 6.0, length)
    if kind == "rhythm":
        phase, size = chance.uniform(0.0, 2 * np.pi), chance.uniform(3.0, 10.0)
        return np.asarray(chance.normal(0.0, 1.5, length) + size * np.sin(2 * np.pi * hours / 24 + phase))
    if kind == "sluggish":
        return np.asarray(course(chance, length, float(chance.uniform(0.8, 0.97))) * 3.0)
    from_h, size = int(chance.integers(5, 8)), chance.uniform(4.0, 15.0)
    hour, day = hours % 24, hours // 24 % 7
    works = (hour >= from_h) & (hour < from_h + 16) & (day < 5)
    return np.asarray(chance.normal(0.0, 1.5, length) + np.where(works, 0.0, -size))


def course(chance: Chance, length: int, memory: float) -> Values:
    """Slow movement of deviation 1, shape (length,)."""
    steps = chance.normal(0.0, np.sqrt(1.0 - memory * memory), length)
    values, last = np.empty(length), float(chance.normal())
    for at in range(length):
        last = memory * last + steps[at]
        values[at] = last
    return values


_QUIET_HOURS = 60 * 24


def _steps(chance: Chance) -> Values:
    """Another level every week or so, for good."""
    values = np.full(_QUIET_HOURS, _level(chance))
    for at in np.cumsum(chance.exponential(180.0, 20)).astype(int):
        values[at:] = chance.uniform(25.0, 75.0)
    return values


def _modes(chance: Chance) -> Values:
    """Two or three products, each for hours to days."""
    levels, values, at = chance.uniform(25.0, 75.0, int(chance.integers(2, 4))), np.empty(_QUIET_HOURS), 0
    while at < _QUIET_HOURS:
        length = int(chance.exponential(30.0)) + 3
        values[at : at + length] = chance.choice(levels)
        at += length
    return values


def _stopped(chance: Chance) -> Values:
    """Drifts, and stays where it is."""
    hours = np.arange(_QUIET_HOURS)
    begin, end = sorted(chance.uniform(48, _QUIET_HOURS / 2, 2))
    size = float(chance.choice([-1.0, 1.0]) * chance.uniform(8.0, 30.0))
    return np.asarray(_level(chance) + size * np.clip((hours - begin) / max(end - begin, 48.0), 0.0, 1.0))


def _flat(chance: Chance) -> Values:
    return np.full(_QUIET_HOURS, _level(chance))


def _seasons(chance: Chance) -> Values:
    """A rhythm of weeks: the weather."""
    hours, size = np.arange(_QUIET_HOURS), chance.uniform(4.0, 12.0)
    level = _level(chance)
    phase = 2 * np.pi * hours / (24 * chance.uniform(8.0, 25.0)) + chance.uniform(0, 6.28)
    return np.asarray(level + size * np.sin(phase))


def _refilled(chance: Chance) -> Values:
    """A tank that is used and filled again, when somebody gets round to it."""
    return np.asarray(LIMIT_HIGH - _rounds(chance, _QUIET_HOURS)[:_QUIET_HOURS])


def _batches(chance: Chance) -> Values:
    """A vessel that fills slowly, waits, and is emptied slowly."""
    low, high = chance.uniform(10.0, 30.0), chance.uniform(60.0, 90.0)
    leg_h = 24 * np.exp(chance.uniform(np.log(0.4), np.log(6.0)))
    parts, length = list[Values](), 0
    while length < _QUIET_HOURS:
        top = high - chance.uniform(0.0, 0.3) * (high - low)
        times = [int(leg_h * chance.uniform(0.5, 1.5)) + 2 for _ in range(4)]
        parts += [np.linspace(low, top, times[0]), np.full(times[1] // 2, top)]
        parts += [np.linspace(top, low, times[2]), np.full(times[3] // 2, low)]
        length += sum(map(len, parts[-4:]))
    return np.concatenate(parts)[:_QUIET_HOURS]


UNWORN: dict[str, Callable[[Chance], Values]] = {
    "flat": _flat,
    "steps": _steps,
    "modes": _modes,
    "stopped": _stopped,
    "seasons": _seasons,
    "refilled": _refilled,
    "batches": _batches,
}


def cases(seeds: int = SEEDS) -> list[Case]:
    """All cases, wearing ones first. A seed chooses the noise, so neighbours have all of them in both halves."""
    return [Case(kind=kind, seed=seed) for kind in (*WEARS, *UNWORN) for seed in range(seeds)]


def make(case: Case) -> Made:
    """The series of a case; the same for the same case on any machine. One in four has gaps."""
    chance = np.random.default_rng([case.seed, zlib.crc32(case.kind.encode())])
    noise = NOISES[case.seed // 2 % len(NOISES)]
    if case.kind in WEARS:
        level, begins, fails = WEARS[case.kind](chance)
        made = level + _noise(noise, chance, len(level))
        return Made(case=case, mean=_gaps(made, case, chance), begins=begins, fails=fails)
    level = UNWORN[case.kind](chance)
    return Made(case=case, mean=_gaps(level + _noise(noise, chance, len(level)), case, chance))


def _gaps(values: Values, case: Case, chance: Chance) -> Values:
    if case.seed // 2 % 4 == 1:
        for at in chance.integers(0, len(values), 4):
            values[at : at + int(chance.exponential(8.0)) + 1] = np.nan
    return values
