"""Thinning at the gateway, before samples are appended: absolute deadband and swinging door, vectorised over tags.

Enters: columns of one batch with slots (positions in a caller's table of tags); leaves: the samples to keep. Called by the
gateway once per frame. A band of 0 keeps everything. What always passes, in both: the first sample of a tag, a change of
quality, values that are not finite, a source time that does not advance, and one sample per `max_silence_us`, so that a
quiet tag can be told from a dead one. Per tag the order of samples is kept.

Both work in rounds: the k-th samples of all tags of the batch at once, so the cost is numpy's as long as batches are wide
(many tags, few samples each), as a gateway's are: 4,000 samples of 400 tags take about 0.5 ms.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_SILENCE_US = 60_000_000


class Batch(NamedTuple):
    """Columns of shape (n,): slot, source time in microseconds UTC, value, quality."""

    slot: NDArray[np.intp]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Batch:
        """Chosen rows."""
        return Batch(self.slot[chosen], self.time_us[chosen], self.value[chosen], self.quality[chosen])


def rounds(slot: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Positions of the first samples of each slot, then of the second ones, and so on."""
    if not len(slot):
        return
    order = np.argsort(slot, kind="stable")
    grouped = slot[order]
    starts = np.flatnonzero(np.r_[True, grouped[1:] != grouped[:-1]])
    rank = np.arange(len(slot)) - np.repeat(starts, np.diff(np.r_[starts, len(slot)]))
    by_rank = order[np.argsort(rank, kind="stable")]
    yield from np.split(by_rank, np.cumsum(np.bincount(rank))[:-1])


class AbsoluteDeadband:
    """Keeps a sample that differs from the last kept one of its tag by more than the tag's band.

    >>> import numpy as np
    >>> deadband = AbsoluteDeadband(np.array([0.5]))
    >>> value = np.array([20.0, 20.3, 20.4, 20.6, 20.7])
    >>> batch = Batch(np.zeros(5, np.intp), np.arange(5) * 100_000, value, np.zeros(5, np.uint16))
    >>> deadband.apply(batch).value.tolist()
    [20.0, 20.6]
    """

    def __init__(self, band: NDArray[np.float64], *, max_silence_us: int | NDArray[np.int64] = MAX_SILENCE_US) -> None:
        """`band` of each slot, in the tag's unit, shape (slots,); the silence is of all, or of each."""
        self._band = band
        self._max_silence_us = np.broadcast_to(np.asarray(max_silence_us, dtype=np.int64), band.shape)
        self._time_us = np.full(len(band), np.iinfo(np.int64).min // 2)
        self._value = np.full(len(band), np.nan)
        self._quality = np.zeros(len(band), dtype=np.uint16)

    def apply(self, batch: Batch) -> Batch:
        """Samples to keep."""
        banded = np.flatnonzero(self._band[batch.slot] > 0)
        if not len(banded):
            return batch
        keep = np.ones(len(batch.slot), dtype=np.bool_)
        for chosen in rounds(batch.slot[banded]):
            at = banded[chosen]
            slot, time_us, value, quality = batch.select(at)
            age_us = time_us - self._time_us[slot]
            # A comparison with NaN is false: values that are not finite, and the first ones, count as changed.
            within = np.abs(value - self._value[slot]) <= self._band[slot]
            drop = within & (quality == self._quality[slot]) & (age_us > 0) & (age_us < self._max_silence_us[slot])
            keep[at] = ~drop
            kept = slot[~drop]
            self._time_us[kept], self._value[kept], self._quality[kept] = time_us[~drop], value[~drop], quality[~drop]
        return batch.select(keep)


@dataclass(slots=True)
class _Doors:
    """State of one slot each: the last kept sample (pivot), the sample held back, and the slopes that still fit."""

    pivot_us: NDArray[np.int64]
    pivot: NDArray[np.float64]
    quality: NDArray[np.uint16]
    held_us: NDArray[np.int64]
    held: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    known: NDArray[np.bool_]
    holding: NDArray[np.bool_]


class SwingingDoor:
    """Keeps the corners of a polyline that stays within the tag's band of every sample.

    The newest sample of a tag is held back until a later one shows whether it is a corner (Bristol, US patent 4,669,097,
    in the variant that checks the line to the new sample itself, so that the band is a true bound of the error).

    >>> import numpy as np
    >>> door = SwingingDoor(np.array([0.1]))
    >>> value = np.array([0.0, 1.0, 2.0, 3.0, 2.0, 1.0])  # up, then down: the corner at 3 is kept
    >>> batch = Batch(np.zeros(6, np.intp), np.arange(6) * 100_000, value, np.zeros(6, np.uint16))
    >>> door.apply(batch).value.tolist(), door.flush(now_us=100_000_000).value.tolist()
    ([0.0, 3.0], [1.0])
    """

    def __init__(self, band: NDArray[np.float64], *, max_silence_us: int | NDArray[np.int64] = MAX_SILENCE_US) -> None:
        """`band` of each slot, in the tag's unit, shape (slots,); the silence is of all, or of each."""
        n = len(band)
        self._band = band
        self._max_silence_us = np.broadcast_to(np.asarray(max_silence_us, dtype=np.int64), band.shape)
        zeros, none = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.bool_)
        self._doors = _Doors(
            pivot_us=zeros.copy(), pivot=np.zeros(n), quality=np.zeros(n, dtype=np.uint16), held_us=zeros.copy(),
            held=np.zeros(n), low=np.full(n, -np.inf), high=np.full(n, np.inf), known=none.copy(), holding=none.copy(),
        )  # fmt: skip

    def apply(self, batch: Batch) -> Batch:
        """Samples to keep, held ones of earlier batches among them."""
        banded = self._band[batch.slot] > 0
        if not banded.any():
            return batch
        kept = [batch.select(~banded)]
        rest = batch.select(banded)
        for chosen in rounds(rest.slot):
            kept += self._round(rest.select(chosen))
        return _concatenate(kept)

    def flush(self, now_us: int) -> Batch | None:
        """Samples held back for longer than their tag may be silent: a tag that went quiet keeps its last word."""
        doors = self._doors
        slot = np.flatnonzero(doors.holding & (doors.held_us < now_us - self._max_silence_us))
        if not len(slot):
            return None
        return self._release(slot)

    def _round(self, new: Batch) -> list[Batch]:
        """One sample per slot."""
        doors, slot = self._doors, new.slot
        elapsed = (new.time_us - doors.pivot_us[slot]).astype(np.float64)
        ordered = (elapsed > 0) & (new.time_us > np.where(doors.holding[slot], doors.held_us[slot], -(1 << 62)))
        plain = doors.known[slot] & ordered & (new.quality == doors.quality[slot]) & np.isfinite(new.value)
        plain &= np.isfinite(doors.pivot[slot])
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = (new.value - doors.pivot[slot]) / elapsed
        inside = plain & (slope >= doors.low[slot]) & (slope <= doors.high[slot])
        overdue = elapsed >= self._max_silence_us[slot]
        # The line from the pivot to this sample misses one in between by more than the band: the held one is a corner.
        corner = slot[doors.holding[slot] & ~inside]
        kept = [self._release(corner)] if len(corner) else []
        direct = ~plain | (inside & overdue)
        if direct.any():
            kept.append(new.select(direct))
            self._pivot(new.select(direct))
        held = new.select(~direct)
        if len(held.slot):
            self._hold(held)
        return kept

    def _hold(self, new: Batch) -> None:
        doors, slot, band = self._doors, new.slot, self._band[new.slot]
        elapsed = (new.time_us - doors.pivot_us[slot]).astype(np.float64)
        offset = new.value - doors.pivot[slot]
        doors.low[slot] = np.maximum(doors.low[slot], (offset - band) / elapsed)
        doors.high[slot] = np.minimum(doors.high[slot], (offset + band) / elapsed)
        doors.held_us[slot], doors.held[slot], doors.holding[slot] = new.time_us, new.value, True

    def _release(self, slot: NDArray[np.intp]) -> Batch:
        doors = self._doors
        batch = Batch(slot, doors.held_us[slot], doors.held[slot], doors.quality[slot])
        self._pivot(batch)
        return batch

    def _pivot(self, batch: Batch) -> None:
        doors, slot = self._doors, batch.slot
        doors.pivot_us[slot], doors.pivot[slot], doors.quality[slot] = batch.time_us, batch.value, batch.quality
        doors.low[slot], doors.high[slot] = -np.inf, np.inf
        doors.known[slot], doors.holding[slot] = True, False


def _concatenate(batches: list[Batch]) -> Batch:
    return Batch(
        np.concatenate([batch.slot for batch in batches]),
        np.concatenate([batch.time_us for batch in batches]),
        np.concatenate([batch.value for batch in batches]),
        np.concatenate([batch.quality for batch in batches]),
    )
