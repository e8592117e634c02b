"""ADWIN: a window over a stream that shrinks when its older and its newer part have different means.

Bifet and Gavaldà, "Learning from time-changing data with adaptive windowing", SDM 2007 (ADWIN2: an exponential histogram). Written
out because the library's keeps its state where a snapshot cannot reach it; `tests/unit/test_detection_drift.py` holds it to
river's. Values have to be bounded. State: at most `_PER_ROW` + 1 buckets for each power of two, so 20 rows hold a million values
in 2 KB. An update costs about 1 µs, a look for a cut, every `_CLOCK` values, about 40 µs.
"""

from __future__ import annotations

import math

_PER_ROW = 5
_CLOCK = 32
_LEAST = 5
"""Values that either part of a cut has at least."""
_ROWS = 40


class Adwin:
    """`delta`: how unlikely a cut is while nothing changes. `rows[i]` has buckets (total, variance · size) of 2^i values, newest first."""

    __slots__ = ("_since", "delta", "rows", "total", "variance", "width")

    def __init__(self, delta: float = 0.002) -> None:
        self.delta = delta
        self.rows: list[list[tuple[float, float]]] = [[]]
        self.width, self.total, self.variance = 0, 0.0, 0.0
        self._since = 0

    @property
    def mean(self) -> float:
        """Mean of the window."""
        return self.total / self.width if self.width else 0.0

    def update(self, value: float) -> float | None:
        """Take a value in. After a cut, how far the mean moved there; else None."""
        if self.width:
            off = value - self.mean
            self.variance += off * off * self.width / (self.width + 1.0)
        self.width += 1
        self.total += value
        self.rows[0].insert(0, (value, 0.0))
        self._compress()
        self._since += 1
        if self._since % _CLOCK or self.width <= 2 * _LEAST:
            return None
        return self._cut()

    def _compress(self) -> None:
        for number, row in enumerate(self.rows):
            if len(row) <= _PER_ROW:
                break
            size = float(1 << number)
            (total2, variance2), (total1, variance1) = row[-2], row[-1]
            off = (total1 - total2) / size
            merged = (total1 + total2, variance1 + variance2 + off * off * size / 2.0)
            del row[-2:]
            if number + 1 == len(self.rows):
                self.rows.append([])
            self.rows[number + 1].insert(0, merged)
            if number + 1 >= _ROWS:
                self._drop_oldest()

    def _drop_oldest(self) -> None:
        number = len(self.rows) - 1
        size = 1 << number
        total, variance = self.rows[number].pop()
        rest = self.width - size
        if rest:
            off = total / size - (self.total - total) / rest
            self.variance = max(self.variance - variance - off * off * size * rest / self.width, 0.0)
        self.width, self.total = rest, self.total - total
        while len(self.rows) > 1 and not self.rows[-1]:
            self.rows.pop()

    def _cut(self) -> float | None:
        largest: float | None = None
        while change := self._difference():
            largest = change if largest is None or abs(change) > abs(largest) else largest
            self._drop_oldest()
        return largest

    def _difference(self) -> float:
        """Newer mean less older mean where the two are furthest apart for what chance makes of them; 0 when chance explains all."""
        width = self.width
        if width <= 2 * _LEAST:
            return 0.0
        log_term = math.log(2.0 * math.log(width) / self.delta)
        spread = self.variance / width
        old_n, old = 0, 0.0
        furthest, found = 1.0, 0.0
        for number in range(len(self.rows) - 1, -1, -1):
            size = 1 << number
            for total, _ in reversed(self.rows[number]):
                old_n, old = old_n + size, old + total
                new_n = width - old_n
                if new_n < _LEAST:
                    return found
                if old_n < _LEAST:
                    continue
                harmonic = 1.0 / (old_n - _LEAST + 1.0) + 1.0 / (new_n - _LEAST + 1.0)
                reach = math.sqrt(2.0 * harmonic * spread * log_term) + 2.0 / 3.0 * harmonic * log_term
                change = (self.total - old) / new_n - old / old_n
                if abs(change) > furthest * reach:
                    furthest, found = abs(change) / reach, change
        return found

    def numbers(self) -> list[float]:
        """State: width, total, variance, clock, number of rows, their lengths, then the buckets."""
        lengths = [float(len(row)) for row in self.rows]
        buckets = [number for row in self.rows for bucket in row for number in bucket]
        return [
            float(self.width),
            self.total,
            self.variance,
            float(self._since),
            float(len(lengths)),
            *lengths,
            *buckets,
        ]

    def set_numbers(self, numbers: list[float]) -> None:
        """Inverse of `numbers`; raises ValueError when they do not fit together."""
        width, self.total, self.variance, since, rows = numbers[:5]
        lengths = [int(each) for each in numbers[5 : 5 + int(rows)]]
        buckets = numbers[5 + int(rows) :]
        if len(lengths) != int(rows) or len(buckets) != 2 * sum(lengths):
            msg = f"ADWIN of {rows:g} rows and {len(buckets)} numbers"
            raise ValueError(msg)
        pairs = iter(zip(buckets[::2], buckets[1::2], strict=True))
        self.rows = [[next(pairs) for _ in range(length)] for length in lengths] or [[]]
        self.width, self._since = int(width), int(since)
