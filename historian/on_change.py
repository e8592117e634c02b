"""Which samples of ON_CHANGE tags are repeats, and the little that must be remembered to know.

Enters: accepted samples of the ON_CHANGE tags of one lane, in order of arrival, and the state left by those before.
Leaves: a mask of repeats and the next state. Who calls: the historian's store, inside its transaction, with the lane's
state row locked.

A sample is a repeat when the sample of its tag that came before it has the same value and quality bit for bit, is not
newer, and lies in the same ten minutes. So a value is on record at least every ten minutes (a reader looks back no
further), and a sample out of order is always stored, and so is the one that comes after it. Only LIVE samples that
were folded into the stream's windows can be repeats: windows that are recomputed from samples need every one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

STATE_DTYPE = np.dtype([("tag_id", "<i4"), ("time_us", "<i8"), ("value", "<u8"), ("quality", "<u2")])
KEEP_EVERY_US = 600_000_000


def read_state(state: bytes | None) -> NDArray[Any]:
    """Rows of a stored state, sorted by tag; none for None."""
    return np.frombuffer(state or b"", dtype=STATE_DTYPE)


def repeats(
    tag_id: NDArray[np.int32],
    time_us: NDArray[np.int64],
    value: NDArray[np.float64],
    quality: NDArray[np.uint16],
    may_repeat: NDArray[np.bool_],
    state: NDArray[Any],
) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Mask of repeats, shape (n,), in order of arrival, and the state behind them. `value` is compared by its bits."""
    known = len(state)
    rows = np.empty(known + len(tag_id), dtype=STATE_DTYPE)
    rows[:known] = state
    new = rows[known:]
    new["tag_id"], new["time_us"], new["value"], new["quality"] = tag_id, time_us, value.view(np.uint64), quality
    order = np.argsort(rows["tag_id"], kind="stable")  # within a tag: what was known, then in order of arrival
    rows = rows[order]
    same_tag = rows["tag_id"][1:] == rows["tag_id"][:-1]
    before, after = rows[:-1], rows[1:]
    repeat = np.zeros(len(rows), dtype=np.bool_)
    repeat[1:] = (
        same_tag
        & (after["value"] == before["value"])
        & (after["quality"] == before["quality"])
        & (after["time_us"] >= before["time_us"])
        & (after["time_us"] // KEEP_EVERY_US == before["time_us"] // KEEP_EVERY_US)
    )
    last = np.ones(len(rows), dtype=np.bool_)
    last[:-1] = ~same_tag
    in_order_of_arrival = np.empty(len(rows), dtype=np.bool_)
    in_order_of_arrival[order] = repeat
    return in_order_of_arrival[known:] & may_repeat, rows[last]
