"""What some windows say together though none is strange by itself: how much a tag moves, and where it is.

Movement is that of the mean from one window to the next but one (a structure function of lag 2): noise and cycles both show in it, and a
slow drift does not. Its fading mean finds a cycle that stops or changes its frequency, a flat line, a tag that has become restless; the
fading mean of the means finds a level that is a little off for long. Each is compared with what is usual for it in the mode. A window
that is strange by itself is no part of either, and a shift is over when the last few windows are back: neither outlasts its
fault by much. What is rare is learned slowly, because neighbouring fading means say the same thing again.

Rows of `stages.detection.tag_scale`, and of the courses of `stages.detection.scaling`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stages.detection import tag_scale
from stages.detection.tag_scale import MEANS_N, MEANS_VAR, MOVES, MOVES_N, MOVES_VAR, Mask, Vector

_OF, _FEW = 32.0, 4.0
"""Windows of a fading mean; half of them are seen before anything is said. Windows that say that a shift is over."""
_MOST_MOVED = 8.0
"""Movement counts up to so many times what is usual."""
_LEAST = 0.05
"""Smallest deviation of logarithms that matters: five percent more or less movement."""
_GAIN = 1.3
"""A fading mean leaves its usual range seldom: it takes fewer standard deviations to be as rare as a window is by itself."""
_NEAR = 1.0
"""Standard deviations of fading means within which a tag is back."""
_RARE, _SLOWER = 3.0, 8.0
"""From so many deviations on it is learned so much more slowly."""


class Trailing(NamedTuple):
    """Fading means with a window's: rows of courses, what is compared, its deviations, and where there is anything to compare."""

    rows: Vector
    value: Vector
    deviation: Vector
    counts: Mask


def movement(scales: Vector, rows: Vector, moved: Vector, floor: Vector) -> Trailing:
    """How much tags move: above 0 restless, below calm. `moved` is NaN where a window says nothing; rows: mean, windows in it."""
    known = ~np.isnan(moved)
    most = np.where(scales[MOVES_N] > 0.0, _MOST_MOVED * np.exp(scales[MOVES]), np.inf)
    after = _faded(rows, np.minimum(moved, most), known)
    value = np.log(after[0] + 0.1 * floor)
    deviation = _deviation(scales[MOVES_N : MOVES_VAR + 1], value, np.full(value.shape, _LEAST))
    return Trailing(after, value, deviation, known & (after[1] >= _OF / 2.0))


def shift(scales: Vector, rows: Vector, mean: Vector, floor: Vector, where: Mask) -> Trailing:
    """Where tags have been. Rows: mean, windows in it, mean of the last few, which is NaN where there was none."""
    level, deviation = scales[tag_scale.LEVEL], np.sqrt(scales[tag_scale.LEVEL_VAR] + floor * floor)
    off = mean - level
    after = np.empty_like(rows)
    after[:2] = _faded(rows[:2], level + _held(off, tag_scale.CLIP * deviation), where)
    near = level + _held(off, 0.5 * tag_scale.CLIP * deviation)
    last = np.where(np.isnan(rows[2]), near, rows[2] + (near - rows[2]) / _FEW)
    after[2] = np.where(where, last, rows[2])
    usual = scales[MEANS_N : MEANS_VAR + 1]
    shifted = _deviation(usual, after[0], floor)
    back = np.sign(shifted) * (after[2] - usual[1]) <= _NEAR * np.sqrt(usual[2] + floor * floor)
    over = where & back & (usual[0] > 0.0) & (np.abs(shifted) > tag_scale.FAR)
    after[0] = np.where(over, usual[1], after[0])
    return Trailing(after, after[0], np.where(over, 0.0, shifted), where & (after[1] >= _OF / 2.0))


def usual_of_means(scales: Vector, floor: Vector) -> Vector:
    """What counts as one deviation of the fading mean of means."""
    deviation: Vector = np.sqrt(scales[MEANS_VAR] + floor * floor) / _GAIN
    return deviation


def learn(scales: Vector, moving: Trailing, shifted: Trailing, floor: Vector, memory: Vector) -> None:
    """Follow what is usual."""
    least = np.full(floor.shape, _LEAST)
    for first, seen, smallest in ((MOVES_N, moving, least), (MEANS_N, shifted, floor)):
        slow = memory * np.where(np.abs(seen.deviation) > _RARE, _SLOWER, 1.0)
        tag_scale.follow(scales[first : first + 3], seen.value, smallest, slow, seen.counts)


def _faded(rows: Vector, value: Vector, where: Mask) -> Vector:
    """Means and the numbers of windows in them after one more."""
    mean, count = rows
    count = count + where
    share = 1.0 / np.minimum(np.maximum(count, 1.0), _OF)
    return np.stack((np.where(where, mean + share * (value - mean), mean), count))


def _deviation(usual: Vector, value: Vector, floor: Vector) -> Vector:
    """Deviations from usual means, rows (windows, mean, variance)."""
    return tag_scale.bounded(_GAIN * (value - usual[1]) / np.sqrt(usual[2] + floor * floor))


def _held(off: Vector, most: Vector) -> Vector:
    held: Vector = np.minimum(np.maximum(off, -most), most)
    return held
