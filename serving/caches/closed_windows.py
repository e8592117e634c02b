"""Windows as the telemetry job closes them, for those that watch: columns of some tags.

Enters: AggregateBatch records as decoded. Leaves: the part of each that a reader wants. Nothing is kept: without
readers a record is not even decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

_COLUMNS = ("tag_id", "start_us", "count", "good", "mean", "m2", "min", "max", "first", "last")


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClosedWindows:
    """Windows of one length. Arrays of shape (n,); statistics are NaN without a good sample, `m2` is the sum of squared deviations."""

    window_s: int
    tag_id: NDArray[np.int32]
    start_us: NDArray[np.int64]
    count: NDArray[np.int32]
    good: NDArray[np.int32]
    mean: NDArray[np.float64]
    m2: NDArray[np.float64]
    min: NDArray[np.float64]
    max: NDArray[np.float64]
    first: NDArray[np.float64]
    last: NDArray[np.float64]

    @classmethod
    def of(cls, batch: Mapping[str, Any]) -> Self:
        """Of a decoded record."""
        return cls(window_s=batch["window_s"], **{name: batch[name] for name in _COLUMNS})

    @property
    def stddev(self) -> NDArray[np.float64]:
        """Sample standard deviations; NaN with fewer than two good samples."""
        enough = self.good > 1
        variance = np.divide(self.m2, self.good - 1, out=np.full(len(self.good), np.nan), where=enough)
        found: NDArray[np.float64] = np.sqrt(variance)
        return found

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        """Some of the windows."""
        return type(self)(window_s=self.window_s, **{name: getattr(self, name)[chosen] for name in _COLUMNS})


class Wanted:
    """What one reader wants: the tags, which may change, and the length of the windows, 0 for all."""

    def __init__(self, tag_ids: Iterable[int], window_s: int) -> None:
        self._window_s = window_s
        self.select(tag_ids)

    def select(self, tag_ids: Iterable[int]) -> None:
        """Want exactly these tags from now on."""
        self._tag_ids = np.array(sorted(tag_ids), np.int32)

    def __call__(self, windows: ClosedWindows) -> ClosedWindows | None:
        """The wanted part of some windows, None for nothing."""
        if self._window_s not in {0, windows.window_s}:
            return None
        chosen = np.isin(windows.tag_id, self._tag_ids)
        return windows.take(chosen) if chosen.any() else None
