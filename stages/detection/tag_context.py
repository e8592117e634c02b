"""One tag in its context: what was expected of it now, and statistics of how it differs, each as rarity in decades.

Expected is what explains the tag best of three: its level, its time of day, its time of week (`stages.detection.rhythm`). A
rhythm is believed once it has been round and was nearer to the values than the level by a fifth. Statistics, because faults
show in different ones: the deviation of this window (`point`), of the last eight together (`mean`), more or less movement than
usual (`busier`, `calmer`), a change against the hours before (`shift`, `drift`), a value beyond all seen (`beyond`), and the
spread of samples inside the window where there are enough (`spread`). Plain Python on purpose, like `tag_scale`: about 20 µs.

`look` changes nothing; `learn` takes the same `Look` in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.detection.protocol import CALM, DRIFT, RESTLESS, SHIFT, SPREAD
from stages.detection.protocol import LEVEL as ON_LEVEL
from stages.detection.rarity import FIELDS, Rarity
from stages.detection.rhythm import DAY_S, WEEK_S, Rhythm

LARGEST = 1e30
"""Values are held to it: their squares and their 32-bit profile stay finite."""
LEVEL, DAY, WEEK = 0, 1, 2
_OWN = ("point", "mean", "shift", "drift")
"""Statistics that depend on what explains the tag: a tail for each explanation."""
_SHARED = ("busier", "calmer", "spread")
_CALLED = (ON_LEVEL, SHIFT, SHIFT, DRIFT, RESTLESS, CALM, SPREAD)
"""What those statistics are for people."""
_UNEXPECTED = 1.5
"""Decades from which a value is not expected, one in thirty: from there on it is the level that is strange."""
_FURTHEST = 50.0
_BETTER = 0.8
_FLOOR = 0.002
"""Share of the range seen that is never a deviation."""
_CLIP, _BUSY_CLIP = 6.0, 8.0
_MEAN_OF, _BUSY_OF = 8.0, 24.0
_FAST = 0.5
_SHIFT_SHORT, _SHIFT_LONG = 6.0, 36.0
_DRIFT_SHORT, _DRIFT_LONG = 18.0, 108.0
_LEVEL_MEMORY, _SCALE_MEMORY, _BUSY_MEMORY = 300.0, 1_000.0, 2_000.0
_BEYOND = 0.15
"""A value this share of the range seen beyond it is half-way to being as rare as can be."""
_FEW = 4


@dataclass(slots=True, eq=False)
class Look:
    """A window of a tag as seen before it is learned.

    `decades` is how rare its rarest statistic is, `statistic` which one that is (an index of STATISTICS), `deviation` in usual deviations.
    """

    value: float
    context: int
    deviation: float
    decades: float
    statistic: int
    low: float
    high: float
    day_at: int
    week_at: int
    offs: tuple[float, float, float | None, float | None]
    """Distance from the level, from the last values, from the day's and the week's interval."""
    own: tuple[float, float, float, float]
    shared: tuple[float, float, float | None]
    mean: float
    busy: float
    log_variance: float | None


@dataclass(slots=True)
class _Course:
    """Fading means, as numbers for a snapshot."""

    seen: float = 0.0
    level: float = 0.0
    fast: float = 0.0
    shift_short: float = 0.0
    shift_long: float = 0.0
    drift_short: float = 0.0
    drift_long: float = 0.0
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    busy: float = 0.0
    usually_busy: float = 0.0
    log_variance: float = 0.0
    variances: float = 0.0
    context: float = 0.0


_COURSE = tuple(_Course.__slots__)


class TagContext:
    """What one tag usually does, by level, time of day and time of week. `memory` and `grace` are in windows."""

    def __init__(self, *, window_s: int, memory: float, grace: int) -> None:
        self._day = Rhythm(period_s=DAY_S, bins=48, window_s=window_s)
        self._week = Rhythm(period_s=WEEK_S, bins=168, window_s=window_s)
        self._course = _Course()
        self._scale = [0.0, 0.0, 0.0, 0.0]
        """Usual distance from the level, the last values, the day's and the week's interval; `_scaled` of how many."""
        self._scaled = [0.0, 0.0, 0.0, 0.0]
        self._own = [[Rarity(memory=memory, grace=grace) for _ in _OWN] for _ in (LEVEL, DAY, WEEK)]
        self._shared = [Rarity(memory=memory, grace=grace) for _ in _SHARED]

    # --- looking ---------------------------------------------------------------------------------------------------------

    def look(self, value: float, variance: float, good: int, time_us: int) -> Look | None:
        """What a window's mean looks like; None without a good sample."""
        if not good or value != value:  # noqa: PLR0124  # NaN
            return None
        course = self._course
        value = min(max(value, -LARGEST), LARGEST)
        if not course.seen:
            self._begin(value)
        floor = _FLOOR * (course.high - course.low) + 1e-9 * abs(course.level) + 1e-12
        day_at = self._day.bin_at(time_us) if self._day.possible else -1
        week_at = self._week.bin_at(time_us) if self._week.possible else -1
        day = _distance(self._day, day_at, value, 1.0)
        week = _distance(self._week, week_at, value, 2.0)
        offs = (value - course.level, value - course.fast, day, week)
        context = self._explained_by(day, week)
        if context == LEVEL:
            off, scale, low, high = offs[0], self._scale[0], course.level, course.level
        elif context == DAY:
            off, scale = day or 0.0, self._day.scale(day_at, self._scale[2])
            low, high = self._day.interval(day_at)
        else:
            off, scale = week or 0.0, self._week.scale(week_at, self._scale[3])
            low, high = self._week.interval(week_at)
        scale += floor
        deviation = off / scale
        before = course.mean if context == course.context else 0.0
        mean = before + (min(max(deviation, -_CLIP), _CLIP) - before) / _MEAN_OF
        moved = min(abs(offs[1]) / (self._scale[1] + floor), _BUSY_CLIP)
        busy = course.busy + (moved - course.busy) / _BUSY_OF
        change = math.log((busy + 0.05) / (course.usually_busy + 0.05)) if course.seen > 50.0 else 0.0
        own = (
            math.log1p(abs(deviation)),
            abs(mean),
            abs(_towards(course.shift_short, value, _SHIFT_SHORT) - _towards(course.shift_long, value, _SHIFT_LONG)),
            abs(_towards(course.drift_short, value, _DRIFT_SHORT) - _towards(course.drift_long, value, _DRIFT_LONG)),
        )
        log_variance = math.log(max(variance, 0.0) + floor * floor) if good >= _FEW else None
        spread = None
        if log_variance is not None and course.variances:
            spread = abs(log_variance - course.log_variance)
        shared = (max(change, 0.0), max(-change, 0.0), spread)
        decades, statistic = self._rarest(value, context, own, shared)
        reach = scale * math.expm1(min(self._own[context][0].number(_UNEXPECTED), _FURTHEST))
        low, high = low - reach, high + reach
        if statistic == ON_LEVEL and low <= value <= high:  # beyond all that was seen, though not far for this tag
            low, high = max(low, course.low), min(high, course.high)
        return Look(
            value=value,
            context=context,
            deviation=deviation,
            decades=decades,
            statistic=statistic,
            low=low,
            high=high,
            day_at=day_at,
            week_at=week_at,
            offs=offs,
            own=own,
            shared=shared,
            mean=mean,
            busy=busy,
            log_variance=log_variance,
        )

    def _begin(self, value: float) -> None:
        """A first value is where everything starts; nothing has been seen before it, so this changes no score."""
        course = self._course
        course.level = course.fast = course.shift_short = course.shift_long = value
        course.drift_short = course.drift_long = course.low = course.high = value

    def _explained_by(self, day: float | None, week: float | None) -> int:
        context, scale = LEVEL, self._scale[0]
        for rhythm, off, at, rounds in ((self._day, day, 2, 1.0), (self._week, week, 3, 0.5)):
            known = off is not None and self._scaled[at] > rounds * rhythm.round_windows
            if known and self._scale[at] < _BETTER * scale:
                context, scale = at - 1, self._scale[at]
        return context

    def _rarest(
        self, value: float, context: int, own: tuple[float, ...], shared: tuple[float, float, float | None]
    ) -> tuple[float, int]:
        """Decades of the rarest statistic, hardly more than the history can tell: one in `seen` is log10(seen) decades; and which it is."""
        found = [tail.decades(number) for tail, number in zip(self._own[context], own, strict=True)]
        found += [
            0.0 if number is None else tail.decades(number) for tail, number in zip(self._shared, shared, strict=True)
        ]
        at = max(range(len(found)), key=found.__getitem__)
        decades, statistic = found[at], _CALLED[at]
        if found[0] >= _UNEXPECTED:  # a value that is outside says it more simply than what it makes of a mean
            statistic = ON_LEVEL
        course = self._course
        most = math.log10(course.seen + 1.0)
        beyond = max(value - course.high, course.low - value, 0.0)
        if beyond and course.seen >= self._shared[0].grace:
            share = beyond / max(course.high - course.low, 1e-12 * abs(value), 1e-300)
            unseen = (most + 0.5) * share / (share + _BEYOND)
            decades = max(decades, unseen)
            if share >= _BEYOND:
                statistic = ON_LEVEL
        return (decades if decades <= most else most + min(0.25 * (decades - most), 1.0)), statistic

    # --- learning --------------------------------------------------------------------------------------------------------

    def learn(self, look: Look, *, tails: bool = True) -> None:
        """Take a window in, as it was looked at; without `tails` what is rare stays as rare as it was."""
        course, value = self._course, look.value
        floor = _FLOOR * (course.high - course.low) + 1e-9 * abs(course.level) + 1e-12
        if tails:
            for tail, number in zip(self._own[look.context], look.own, strict=True):
                tail.learn(number)
            for tail, shared in zip(self._shared, look.shared, strict=True):
                if shared is not None:
                    tail.learn(shared)
        course.seen += 1.0
        moved = min(abs(look.offs[1]) / (self._scale[1] + floor), _BUSY_CLIP)
        course.usually_busy += (moved - course.usually_busy) / min(course.seen, _BUSY_MEMORY)
        course.busy, course.mean, course.context = look.busy, look.mean, float(look.context)
        before = self._scale[2], self._scale[3]
        for at, off in enumerate(look.offs):
            if off is not None:
                self._learn_scale(at, abs(off), floor)
        reach = 4.0 * (self._scale[0] + floor)
        course.level += min(max(look.offs[0], -reach), reach) / min(course.seen, _LEVEL_MEMORY)
        course.fast += look.offs[1] * _FAST
        course.shift_short = _towards(course.shift_short, value, _SHIFT_SHORT)
        course.shift_long = _towards(course.shift_long, value, _SHIFT_LONG)
        course.drift_short = _towards(course.drift_short, value, _DRIFT_SHORT)
        course.drift_long = _towards(course.drift_long, value, _DRIFT_LONG)
        if look.day_at >= 0:
            self._day.learn(look.day_at, value, look.offs[2], before[0] + floor)
        if look.week_at >= 0:
            self._week.learn(look.week_at, value, look.offs[3], before[1] + floor)
        course.low, course.high = min(course.low, value), max(course.high, value)
        if look.log_variance is not None:
            course.variances += 1.0
            course.log_variance += (look.log_variance - course.log_variance) / min(course.variances, _SCALE_MEMORY)

    def _learn_scale(self, at: int, off: float, floor: float) -> None:
        if self._scaled[at] > 20.0:
            off = min(off, 8.0 * (self._scale[at] + floor))
        self._scaled[at] += 1.0
        self._scale[at] += (off - self._scale[at]) / min(self._scaled[at], _SCALE_MEMORY)

    # --- state -----------------------------------------------------------------------------------------------------------

    def row(self) -> list[float]:
        """All numbers but the rhythms, for a snapshot."""
        tails = [*(tail for tails in self._own for tail in tails), *self._shared]
        numbers = [number for tail in tails for number in tail.row()]
        return [*(getattr(self._course, name) for name in _COURSE), *self._scale, *self._scaled, *numbers]

    def rhythms(self) -> NDArray[np.float32]:
        """The profiles side by side, shape (3, bins of day and week)."""
        return np.hstack((self._day.rows(), self._week.rows()))

    def restore(self, row: list[float], rhythms: NDArray[np.float32]) -> None:
        """Inverse of `row` and `rhythms`; raises packing.StateError when they do not fit."""
        tails = [*(tail for tails in self._own for tail in tails), *self._shared]
        own = len(_COURSE)
        if len(row) != own + 8 + FIELDS * len(tails) or rhythms.shape != (3, self._day.bins + self._week.bins):
            msg = f"snapshot of a tag has {len(row)} numbers and profiles of {rhythms.shape}"
            raise packing.StateError(msg)
        self._course = _Course(*row[:own])
        self._scale, self._scaled = row[own : own + 4], row[own + 4 : own + 8]
        for number, tail in enumerate(tails):
            first = own + 8 + FIELDS * number
            tail.set_row(tuple(row[first : first + FIELDS]))
        self._day.set_rows(rhythms[:, : self._day.bins])
        self._week.set_rows(rhythms[:, self._day.bins :])


def _distance(rhythm: Rhythm, at: int, value: float, visits: float) -> float | None:
    """Signed distance from the interval expected in a bin; None when the bin is not known yet."""
    if at < 0 or not rhythm.knows(at, visits):
        return None
    low, high = rhythm.interval(at)
    return value - high if value > high else min(value - low, 0.0)


def _towards(mean: float, value: float, windows: float) -> float:
    return mean + (value - mean) / windows
