"""Records of `telemetry.aggregates`: closed windows of one lane and one length, as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from schemas import codec
from stages.windows import algebra
from stages.windows.block import Closed

_REAL = (
    ("mean", algebra.MEAN),
    ("min", algebra.MIN),
    ("max", algebra.MAX),
    ("first", algebra.FIRST),
    ("last", algebra.LAST),
)
_TIMES = (
    ("min_time_us", algebra.MIN_T),
    ("max_time_us", algebra.MAX_T),
    ("first_time_us", algebra.FIRST_T),
    ("last_time_us", algebra.LAST_T),
)


def encode(
    gateway_id: str, lane: int, closed: Iterable[Closed], *, closed_time_us: int, lineage: int
) -> Iterator[bytes]:
    """One AggregateBatch per window length; `lineage` of the state that folded them.

    A window without good samples has NaN values and its start as their times.
    """
    by_size: dict[int, list[Closed]] = {}
    # The same after a restore, which loses the order of blocks.
    for each in sorted(closed, key=lambda one: one.start_us):
        by_size.setdefault(each.size_s, []).append(each)
    for size_s, several in sorted(by_size.items()):
        rows = several[0].rows if len(several) == 1 else np.concatenate([each.rows for each in several], axis=1)
        real = rows.view(np.float64)
        start_us = np.repeat([each.start_us for each in several], [len(each.slots) for each in several])
        columns = {name: real[row] for name, row in _REAL} | {name: rows[row] for name, row in _TIMES}
        nothing = rows[algebra.GOOD] == 0
        if nothing.any():
            columns |= {name: np.where(nothing, np.nan, real[row]) for name, row in _REAL}
            columns |= {name: np.where(nothing, start_us, rows[row]) for name, row in _TIMES}
        yield codec.encode(
            "AggregateBatch",
            {
                "gateway_id": gateway_id,
                "lane": lane,
                "window_s": size_s,
                "closed_time_us": closed_time_us,
                "lineage": lineage,
                "tag_id": np.concatenate([each.tag_id for each in several]),
                "start_us": start_us.astype(np.int64),
                "count": rows[algebra.COUNT].astype(np.int32),
                "good": rows[algebra.GOOD].astype(np.int32),
                "m2": real[algebra.M2],
                **columns,
            },
        )
