"""One window of all tags of a lane: a packed array, and what of it has been emitted.

`rows` of a block has the rows of `stages.windows.algebra`, and one that says how many samples the last emission had
folded: a tag's window is pending when it has folded more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages import packing
from stages.intake.lane_table import Index
from stages.windows.algebra import COUNT, IDENTITY, ROWS, merge

EMITTED = ROWS
BLOCK_ROWS = ROWS + 1
LAYOUT = 1
BlockKey = tuple[int, int]
"""Window length in seconds, start in microseconds UTC."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Closed:
    """Windows of one length and start that are to be emitted.

    `slots` (k,) of the lane table, -1 for tags that left it; `rows` (14, k); `fresh` (k,): emitted for the first time.
    """

    size_s: int
    start_us: int
    tag_id: NDArray[np.int32]
    slots: NDArray[np.intp]
    rows: NDArray[np.int64]
    fresh: NDArray[np.bool_]


class Block:
    """One window of all tags of the lane: `rows` shape (15, T).

    `pending`: some tag may have more samples than were emitted.
    """

    __slots__ = ("pending", "rows")

    def __init__(self, rows: NDArray[np.int64]) -> None:
        self.rows = rows
        self.pending = True

    def fold(self, index: Index, part: NDArray[np.int64]) -> None:
        """Merge partials, shape (14, p), into the columns at `index`."""
        if isinstance(index, slice):
            merge(self.rows[:, index], part)
        else:
            columns = self.rows.take(index, axis=1)
            merge(columns, part)
            self.rows[:, index] = columns
        self.pending = True

    def close(self, wanted: NDArray[np.bool_] | None, key: BlockKey, tag_id: NDArray[np.int32]) -> Closed | None:
        """Pending windows among the `wanted` slots, shape (T,) (None: all), marked as emitted.

        None when there are none.
        """
        pending = self.rows[COUNT] > self.rows[EMITTED]
        due = pending if wanted is None else pending & wanted
        slots = np.flatnonzero(due)
        self.pending = wanted is not None and int(np.count_nonzero(pending)) > len(slots)
        if not len(slots):
            return None
        rows = self.rows[:ROWS].take(slots, axis=1)
        fresh = self.rows[EMITTED, slots] == 0
        self.rows[EMITTED, slots] = rows[COUNT]
        return Closed(size_s=key[0], start_us=key[1], tag_id=tag_id[slots], slots=slots, rows=rows, fresh=fresh)


def empty_block(slots: int) -> Block:
    """Block that has seen nothing."""
    rows = np.zeros((BLOCK_ROWS, slots), dtype=np.int64)
    rows[:ROWS] = IDENTITY[:, None]
    return Block(rows)


def to_bytes(block: Block, tag_id: NDArray[np.int32]) -> bytes:
    """State entry: the columns that have samples, with the tags they are of."""
    filled = block.rows[COUNT] > 0
    if filled.all():
        return packing.pack(LAYOUT, None, tag_id, block.rows)
    return packing.pack(LAYOUT, None, tag_id[filled], block.rows[:, filled])


def from_bytes(data: bytes) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Tags and rows, shape (15, k), of a state entry; raises packing.StateError."""
    _, (tag_id, rows) = packing.unpack(data, LAYOUT, "window")
    return tag_id, rows
