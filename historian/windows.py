"""Windows of stored samples, by the stream's own algebra (`stages.windows.algebra`). Pure numpy.

Enters: samples of any tags. Leaves: `Windows` columns as `aggregates.upsert` takes them. Who calls: the repair. All
samples of a window are summarised at once, so mean and m2 differ from the stream's, which merges partials, only in the
last digits; everything else is equal, except that two samples of one tag with the very same time are ordered by value
here (the table does not know their sequence) and by sequence in the stream.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from historian.aggregates import Windows
from schemas.quality import is_good
from stages.windows import algebra

_REAL = {
    "mean": algebra.MEAN,
    "m2": algebra.M2,
    "min": algebra.MIN,
    "max": algebra.MAX,
    "first": algebra.FIRST,
    "last": algebra.LAST,
}
_TIMES = {
    "min_time": algebra.MIN_T,
    "max_time": algebra.MAX_T,
    "first_time": algebra.FIRST_T,
    "last_time": algebra.LAST_T,
}


def windows_of(
    tag_id: NDArray[np.int32],
    time_us: NDArray[np.int64],
    value: NDArray[np.float64],
    quality: NDArray[np.uint16],
    window_s: int,
) -> Windows:
    """Every window of `window_s` seconds with at least one sample, sorted by tag and start. Arrays of shape (n,), any order.

    >>> import numpy as np
    >>> tags, times = np.array([7, 7, 7], np.int32), np.array([0, 400_000, 1_200_000])
    >>> windows = windows_of(tags, times, np.array([1.0, 3.0, 5.0]), np.zeros(3, np.uint16), 1)
    >>> windows["start"].tolist(), windows["count"].tolist(), windows["mean"].tolist()
    ([0, 1000000], [2, 1], [2.0, 5.0])
    """
    window_us = window_s * 1_000_000
    order = np.lexsort((value, time_us, tag_id))
    tag_id, time_us, value, good = tag_id[order], time_us[order], value[order], is_good(quality[order])
    number = time_us // window_us
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = (tag_id[1:] != tag_id[:-1]) | (number[1:] != number[:-1])
    starts = np.flatnonzero(begins)
    runs = algebra.Runs(
        starts=starts,
        counts=np.diff(starts, append=len(order)),
        time_us=time_us,
        value=value,
        rank=np.arange(len(order)),
        good=None if good.all() else good,
    )
    with np.errstate(all="ignore"):  # values near the end of the double range may overflow their m2
        rows = algebra.summarise(runs)
    return _columns(rows, tag_id[starts], number[starts] * window_us, window_s)


def _columns(rows: NDArray[np.int64], tag_id: NDArray[np.int32], start_us: NDArray[np.int64], window_s: int) -> Windows:
    """Columns of partials, shape (14, n). Statistics of a window without a good sample are NaN."""
    real, nothing = rows.view(np.float64), rows[algebra.GOOD] == 0
    columns: Windows = {
        "start": start_us,
        "tag_id": tag_id,
        "window_s": np.full(len(start_us), window_s, dtype=np.int32),
        "count": rows[algebra.COUNT],
        "good": rows[algebra.GOOD],
        "lineage": np.zeros(len(start_us), dtype=np.int32),
    }
    columns |= {name: np.where(nothing, np.nan, real[row]) for name, row in _REAL.items()}
    return columns | {name: np.where(nothing, start_us, rows[row]) for name, row in _TIMES.items()}
