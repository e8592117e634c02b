"""The algebra of windows: partial statistics of samples, and how two partials of one window merge.

`summarise` reduces runs of samples to partials; `merge` folds partials into a block of window rows. Merging is
associative and commutative (within 1e-9 relative for mean and m2, exactly for the rest), so windows do not depend on
how samples were split into frames or in which order those came. Mean and m2 by Chan, Golub and LeVeque (1979). Ties in
time are broken by rank: sequence, then position in the frame.

>>> import numpy as np
>>> def partial(*values, at_us):
...     n = len(values)
...     times = at_us + np.arange(n) * 100_000
...     runs = Runs(starts=np.array([0]), counts=np.array([n]), time_us=times, value=np.array(values), rank=np.arange(n), good=None)
...     return summarise(runs)
>>> window = empty(1)
>>> merge(window, partial(1.0, 3.0, at_us=0))
>>> merge(window, partial(8.0, at_us=500_000))
>>> window[COUNT].tolist(), window.view(np.float64)[[MEAN, M2, MIN, MAX, LAST], 0].tolist(), window[MAX_T].tolist()
([3], [4.0, 26.0, 1.0, 8.0, 8.0], [500000])

Rows of a block or a partial, int64 of shape (14, p); rows marked f8 hold the bits of a double. All but COUNT are of
good samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

COUNT, GOOD, MEAN, M2, MIN, MIN_T, MAX, MAX_T, FIRST, FIRST_T, FIRST_RANK, LAST, LAST_T, LAST_RANK = range(14)
ROWS = 14
FAR_US = np.iinfo(np.int64).max
RANK_BITS = 16
"""Positions fit 16 bits (frame.MAX_SAMPLES), sequences the other 47."""


def _identity() -> NDArray[np.int64]:
    column = np.zeros(ROWS, dtype=np.int64)
    real = column.view(np.float64)
    real[MIN], real[MAX] = np.inf, -np.inf
    column[[MIN_T, MAX_T, FIRST_T, FIRST_RANK]] = FAR_US
    column[[LAST_T, LAST_RANK]] = -FAR_US
    return column


IDENTITY = _identity()
"""Column of a window that has seen nothing: merging it changes nothing."""


def empty(columns: int) -> NDArray[np.int64]:
    """Rows of `columns` windows that have seen nothing, shape (14, columns)."""
    rows = np.empty((ROWS, columns), dtype=np.int64)
    rows[:] = IDENTITY[:, None]
    return rows


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Runs:
    """Samples in runs: per-sample arrays (n,), sorted by run then time then rank.

    `starts` and `counts` (p,). `good` None: all are.
    """

    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    rank: NDArray[np.int64]
    good: NDArray[np.bool_] | None

    @property
    def last(self) -> NDArray[np.intp]:
        """Index of each run's last sample, shape (p,)."""
        return self.starts + self.counts - 1

    def only_good(self) -> tuple[NDArray[np.int64], Runs]:
        """Good samples of each run, shape (p,), and the runs of good samples alone: those with none are not among them."""
        assert self.good is not None
        good = np.add.reduceat(self.good, self.starts, dtype=np.int64)
        counts = good[good > 0]
        starts = np.zeros(len(counts), dtype=np.intp)
        np.cumsum(counts[:-1], out=starts[1:])
        keep = np.flatnonzero(self.good)
        return good, Runs(
            starts=starts,
            counts=counts,
            time_us=self.time_us[keep],
            value=self.value[keep],
            rank=self.rank[keep],
            good=None,
        )


def summarise(runs: Runs) -> NDArray[np.int64]:
    """Partials of the runs, shape (14, p). Every run has at least one sample."""
    if runs.good is not None:
        good, kept = runs.only_good()
        rows = empty(len(runs.starts))
        if len(kept.starts):
            rows[:, good > 0] = summarise(kept)
        rows[COUNT], rows[GOOD] = runs.counts, good
        return rows
    starts, last, value, time_us = runs.starts, runs.last, runs.value, runs.time_us
    rows = np.empty((ROWS, len(starts)), dtype=np.int64)
    real = rows.view(np.float64)
    rows[COUNT] = rows[GOOD] = runs.counts
    if len(value) == len(starts):
        real[MEAN] = real[MIN] = real[MAX] = real[FIRST] = real[LAST] = value
        real[M2] = 0.0
        rows[MIN_T] = rows[MAX_T] = rows[FIRST_T] = rows[LAST_T] = time_us
        rows[FIRST_RANK] = rows[LAST_RANK] = runs.rank
        return rows
    mean = np.add.reduceat(value, starts) / runs.counts
    deviation = value - np.repeat(mean, runs.counts)
    real[MEAN] = mean
    real[M2] = np.add.reduceat(deviation * deviation, starts)
    for extreme, at, reduce in ((MIN, MIN_T, np.minimum), (MAX, MAX_T, np.maximum)):
        bound = reduce.reduceat(value, starts)
        hits = np.flatnonzero(value == np.repeat(bound, runs.counts))
        real[extreme] = bound
        rows[at] = time_us[hits[np.searchsorted(hits, starts)]]
    real[FIRST], rows[FIRST_T], rows[FIRST_RANK] = value[starts], time_us[starts], runs.rank[starts]
    real[LAST], rows[LAST_T], rows[LAST_RANK] = value[last], time_us[last], runs.rank[last]
    return rows


def merge(into: NDArray[np.int64], part: NDArray[np.int64]) -> None:
    """Fold `part` into `into` in place, column by column.

    Shapes (14, p) both, but `into` may have more rows. `into` may be a strided view.
    """
    real, part_real = into.view(np.float64), part.view(np.float64)
    into[COUNT] += part[COUNT]
    before, added = into[GOOD], part[GOOD]
    total = before + added
    weight = added / np.maximum(total, 1)
    delta = part_real[MEAN] - real[MEAN]
    shift = delta * weight
    # Grouped so that an identity on either side adds 0, not 0 times infinity.
    real[M2] += part_real[M2] + shift * (delta * before)
    real[MEAN] += shift
    into[GOOD] = total
    for extreme, at, beats in ((MIN, MIN_T, np.less), (MAX, MAX_T, np.greater)):
        theirs, ours = part_real[extreme], real[extreme]
        wins = beats(theirs, ours)
        wins |= (theirs == ours) & (part[at] < into[at])
        if wins.any():
            np.copyto(ours, theirs, where=wins)
            np.copyto(into[at], part[at], where=wins)
    for edge, at, rank, beats in ((FIRST, FIRST_T, FIRST_RANK, np.less), (LAST, LAST_T, LAST_RANK, np.greater)):
        wins = beats(part[at], into[at])
        wins |= (part[at] == into[at]) & beats(part[rank], into[rank])
        if wins.any():
            np.copyto(into[edge], part[edge], where=wins)
            np.copyto(into[at], part[at], where=wins)
            np.copyto(into[rank], part[rank], where=wins)
