"""Curves for a drawing of so many pixels: where to read, and how to make fewer points of many without losing an extreme. Pure numpy.

Enters: columns by time, and the range and width of the drawing. Leaves: a `Curve`. A range of up to four samples a
pixel is drawn from its samples as they are. Beyond that windows are read, which have their minimum and maximum
already: a day at 10 samples a second is 1,440 windows of a minute in the place of 864,000 samples. Who calls:
`history`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from schemas.definitions import DataType, Historise, TagDefinition
from serving.handlers.selection import Range

SAMPLES_A_PIXEL = 4
_MOST_SAMPLES = 2_000_000
"""Read for a drawing where no windows are left; more is drawn from coarser windows."""
_SILENCE = 10
"""Nominal periods without a sample that are a gap, not a jitter."""
_COARSE_S = (3600, 86_400)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """Points by time; arrays of shape (n,), or empty where the source has no such column. NaN is drawn as a gap.

    `source`: "samples" or "windows"; `window_s`: length of the windows, 0 for samples. `value`: samples, or means of windows.
    """

    source: str
    window_s: int
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    quality: NDArray[np.uint16]
    repaired: NDArray[np.bool_]


def sources(tag: TagDefinition, seconds: float, pixels: int) -> list[int]:
    """Where to look, best first: 0 for samples, else the length of windows. Later ones are for what is not kept any more."""
    samples = seconds * 1000 / tag.period_ms
    lengths = sorted({*tag.windows_s, *_COARSE_S})
    fitting = [length for length in lengths if seconds / length >= pixels]
    if samples <= SAMPLES_A_PIXEL * pixels or not fitting:
        return [0, *lengths] if samples <= _MOST_SAMPLES else [*lengths]
    best = fitting[-1]
    coarser = [length for length in lengths if length > best]
    return [best, *([0] if samples <= _MOST_SAMPLES else []), *coarser]


def joined(parts: Sequence[tuple[NDArray[Any], ...]]) -> tuple[NDArray[Any], ...]:
    """Columns of several pages, one behind the other."""
    return tuple(np.concatenate(columns) for columns in zip(*parts, strict=True))


def of_samples(tag: TagDefinition, within: Range, pixels: int, columns: tuple[NDArray[Any], ...]) -> Curve:
    """Samples: all of them, or of each pixel the first, the smallest, the largest and the last."""
    time_us, value, quality = columns
    chosen = np.arange(len(time_us))
    if len(time_us) > SAMPLES_A_PIXEL * pixels:
        chosen = outline(_pixel(time_us, within, pixels), value)
    time_us, value, quality = time_us[chosen], value[chosen], quality[chosen].view(np.uint16)
    breaks = np.empty(0, np.int64)
    if _is_periodic(tag) and len(time_us) > 1:
        longest_us = max(_SILENCE * tag.period_ms * 1000, 2 * (within.end_us - within.start_us) // pixels)
        breaks = np.flatnonzero(np.diff(time_us) > longest_us) + 1
    behind = time_us[breaks - 1] + tag.period_ms * 1000
    return Curve(
        source="samples",
        window_s=0,
        time_us=np.insert(time_us, breaks, behind),
        value=np.insert(value, breaks, np.nan),
        min=np.empty(0),
        max=np.empty(0),
        # A gap is no value of any quality: it has that of the sample before it.
        quality=np.insert(quality, breaks, quality[breaks - 1]),
        repaired=np.empty(0, np.bool_),
    )


def of_windows(
    tag: TagDefinition, within: Range, pixels: int, window_s: int, columns: tuple[NDArray[Any], ...]
) -> Curve:
    """Windows: as they are, or several in one where there are more than four a pixel. Windows without a good sample are gaps."""
    start_us, _, good, mean, low, high, _, repaired = columns
    per_pixel = within.seconds / window_s / pixels
    if per_pixel > SAMPLES_A_PIXEL:
        window_s *= int(np.ceil(per_pixel))
        start_us, mean, low, high, repaired = _merged(start_us, window_s, good, mean, low, high, repaired)
    breaks = np.empty(0, np.int64)
    if _is_periodic(tag) and len(start_us) > 1:
        breaks = np.flatnonzero(np.diff(start_us) > window_s * 1_000_000) + 1
    behind = start_us[breaks - 1] + window_s * 1_000_000
    return Curve(
        source="windows",
        window_s=window_s,
        time_us=np.insert(start_us, breaks, behind),
        value=np.insert(mean, breaks, np.nan),
        min=np.insert(low, breaks, np.nan),
        max=np.insert(high, breaks, np.nan),
        quality=np.empty(0, np.uint16),
        repaired=np.insert(repaired, breaks, False),
    )


def outline(pixel: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.int64]:
    """Places of the first, smallest, largest and last value of each pixel, ascending. `pixel` ascends; shapes (n,) in, (m,) out."""
    starts = np.flatnonzero(np.diff(pixel, prepend=pixel[0] - 1))
    lasts = np.append(starts[1:], len(pixel)) - 1
    which = np.cumsum(np.diff(pixel, prepend=pixel[0]) != 0)
    # Of equal ones the first: the place is the least one that has the extreme.
    lowest, highest = np.minimum.reduceat(value, starts), np.maximum.reduceat(value, starts)
    places = np.arange(len(value))
    smallest = np.minimum.reduceat(np.where(value == lowest[which], places, len(value) - 1), starts)
    largest = np.minimum.reduceat(np.where(value == highest[which], places, len(value) - 1), starts)
    found: NDArray[np.int64] = np.unique(
        np.concatenate([starts, np.minimum(smallest, lasts), np.minimum(largest, lasts), lasts])
    )
    return found


def _pixel(time_us: NDArray[np.int64], within: Range, pixels: int) -> NDArray[np.int64]:
    width_us = max(1, -(-(within.end_us - within.start_us) // pixels))
    return (time_us - within.start_us) // width_us


def _merged(
    start_us: NDArray[np.int64],
    length_s: int,
    good: NDArray[np.int64],
    mean: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    repaired: NDArray[np.bool_],
) -> tuple[NDArray[Any], ...]:
    """Windows put together to longer ones; means are weighted by their good samples."""
    if not len(start_us):
        return start_us, mean, low, high, repaired
    longer = start_us // (length_s * 1_000_000)
    starts = np.flatnonzero(np.diff(longer, prepend=longer[0] - 1))
    samples = np.add.reduceat(good, starts)
    total = np.add.reduceat(np.where(good > 0, mean * good, 0.0), starts)
    return (
        longer[starts] * length_s * 1_000_000,
        np.divide(total, samples, out=np.full(len(starts), np.nan), where=samples > 0),
        np.fmin.reduceat(low, starts),
        np.fmax.reduceat(high, starts),
        np.logical_or.reduceat(repaired, starts),
    )


def _is_periodic(tag: TagDefinition) -> bool:
    """Whether silence means that something is missing, and not that nothing has changed."""
    return tag.data_type is DataType.DOUBLE and tag.deadband == 0 and tag.historise is Historise.ALL
