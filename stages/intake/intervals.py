"""Interval sets of sequence numbers: what has been seen, in a few bytes, with its holes visible.

Used by deduplication, one set per (gateway, epoch, lane, stream). Sequences come almost in order, so a set is nearly
always a single range and `add` extends its end in constant time.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator

_PAIR = struct.Struct("<qq")


class IntervalSet:
    """Set of non-negative integers as sorted, disjoint, non-adjacent ranges, each inclusive at both ends.

    >>> seen = IntervalSet()
    >>> [seen.add(number) for number in (0, 1, 2, 5, 5)]
    [True, True, True, True, False]
    >>> seen, list(seen.holes())
    (IntervalSet(((0, 2), (5, 5))), [(3, 4)])
    >>> 3 in seen, len(seen)
    (False, 4)
    """

    __slots__ = ("_ends", "_starts")

    def __init__(self, ranges: tuple[tuple[int, int], ...] = ()) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []
        for start, end in ranges:
            self.add_range(start, end)

    def add(self, number: int) -> bool:
        """Put `number` in; False when it was in already."""
        ends = self._ends
        if ends and number == ends[-1] + 1:
            ends[-1] = number
            return True
        if number in self:
            return False
        self.add_range(number, number)
        return True

    def add_range(self, start: int, end: int) -> None:
        """Put all of start..end in. Raises ValueError for a negative or reversed range."""
        if start < 0 or end < start:
            msg = f"{start}..{end} is no range of sequence numbers"
            raise ValueError(msg)
        low = bisect_right(self._starts, start)
        if low and self._ends[low - 1] >= start - 1:
            low -= 1
        high = bisect_right(self._starts, end + 1)
        if low < high:
            start = min(start, self._starts[low])
            end = max(end, self._ends[high - 1])
        self._starts[low:high] = [start]
        self._ends[low:high] = [end]

    def merge(self, other: IntervalSet) -> None:
        """Union in place."""
        for start, end in other.ranges():
            self.add_range(start, end)

    def __contains__(self, number: int) -> bool:
        at = bisect_right(self._starts, number) - 1
        return at >= 0 and number <= self._ends[at]

    def contains(self, number: int) -> bool:
        """Whether `number` is in the set."""
        return number in self

    def __len__(self) -> int:
        return sum(end - start + 1 for start, end in self.ranges())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IntervalSet) and self._starts == other._starts and self._ends == other._ends

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"IntervalSet({tuple(self.ranges())})"

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Ranges in order, inclusive at both ends."""
        return zip(self._starts, self._ends, strict=True)

    def holes(self) -> Iterator[tuple[int, int]]:
        """Missing ranges below the greatest number, inclusive: from 0 on, since sequences are contiguous from 0."""
        expected = 0
        for start, end in self.ranges():
            if start > expected:
                yield expected, start - 1
            expected = end + 1

    def to_bytes(self) -> bytes:
        """Pairs of little-endian int64."""
        return b"".join(_PAIR.pack(start, end) for start, end in self.ranges())

    @classmethod
    def from_bytes(cls, data: bytes) -> IntervalSet:
        """Inverse of `to_bytes`; raises ValueError when the bytes are no set."""
        if len(data) % _PAIR.size:
            msg = f"{len(data)} bytes are no interval set"
            raise ValueError(msg)
        return cls(tuple((start, end) for start, end in _PAIR.iter_unpack(data)))
