"""Windows of stored samples, computed as the stream computes them. Pure numpy.

Enters: samples of any tags. Leaves: `Windows` columns as `aggregates.upsert` takes them. Who calls: the repair. Mean
and m2 in two passes, so they differ from the stream's only in the last digits; everything else is equal, except that
two samples of one tag with the very same time are ordered by value here (the table does not know their sequence) and
by sequence in the stream.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from historian.aggregates import COLUMNS, Windows
from schemas.quality import is_good


def windows_of(
    tag_id: NDArray[np.int32],
    time_us: NDArray[np.int64],
    value: NDArray[np.float64],
    quality: NDArray[np.uint16],
    window_s: int,
) -> Windows:
    """Every window of `window_s` seconds with at least one sample, sorted by tag and start. Arrays of shape (n,), any order."""
    window_us = window_s * 1_000_000
    order = np.lexsort((value, time_us, tag_id))
    tag_id, time_us, value, good = tag_id[order], time_us[order], value[order], is_good(quality[order])
    start = time_us // window_us * window_us
    begins = np.ones(len(order), dtype=np.bool_)
    begins[1:] = (tag_id[1:] != tag_id[:-1]) | (start[1:] != start[:-1])
    starts = np.flatnonzero(begins)
    group = np.cumsum(begins) - 1
    windows = _empty(len(starts))
    windows["tag_id"], windows["start"] = tag_id[starts], start[starts]
    windows["window_s"][:] = window_s
    windows["count"] = np.bincount(group, minlength=len(starts))
    windows["good"] = np.bincount(group[good], minlength=len(starts))
    if good.any():
        _statistics(windows, group[good], time_us[good], value[good])
    return windows


def _empty(rows: int) -> Windows:
    types = {"timestamptz": np.int64, "int8": np.int64, "int4": np.int32, "float8": np.float64}
    columns: dict[str, NDArray[Any]] = {name: np.zeros(rows, dtype=types[kind]) for name, kind in COLUMNS}
    for name, kind in COLUMNS:
        if kind == "float8":
            columns[name][:] = np.nan
    return columns


def _statistics(
    windows: Windows, group: NDArray[np.int64], time_us: NDArray[np.int64], value: NDArray[np.float64]
) -> None:
    """Statistics of good samples, given in order of window and time."""
    filled, starts, counts = np.unique(group, return_index=True, return_counts=True)
    last = starts + counts - 1
    mean = np.add.reduceat(value, starts) / counts
    deviation = value - np.repeat(mean, counts)
    windows["mean"][filled] = mean
    windows["m2"][filled] = np.add.reduceat(deviation * deviation, starts)
    for name, reduce in (("min", np.minimum), ("max", np.maximum)):
        bound = reduce.reduceat(value, starts)
        hits = np.flatnonzero(value == np.repeat(bound, counts))
        windows[name][filled] = bound
        windows[f"{name}_time"][filled] = time_us[hits[np.searchsorted(hits, starts)]]
    windows["first"][filled], windows["first_time"][filled] = value[starts], time_us[starts]
    windows["last"][filled], windows["last_time"][filled] = value[last], time_us[last]
