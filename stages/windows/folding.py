"""How samples get into the windows of one length: by tag when they all lie in one window, else window by window.

Called by `stages.windows.event_windows` once per micro-batch and window length. No Python per sample or tag.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stages.intake.lane_table import Index, TagView
from stages.intake.segments import Segments
from stages.windows.algebra import Runs, summarise
from stages.windows.block import Block, BlockKey
from stages.windows.device_clocks import DeviceClocks


class Windows(Protocol):
    """The open windows of a lane."""

    clocks: DeviceClocks

    def block(self, key: BlockKey) -> Block:
        """Block to fold into."""

    def lateness_us(self, size_s: int) -> int:
        """How long windows of a length can be restated, microseconds of their device's clock."""


class Samples:
    """Samples of a micro-batch that are folded, `chosen` (None: all).

    Window lengths in whose windows they all fit share their partials by tag.
    """

    def __init__(
        self,
        segments: Segments,
        view: TagView,
        good: NDArray[np.bool_] | None,
        chosen: NDArray[np.intp] | None,
    ) -> None:
        self.segments, self.view, self.chosen = segments, view, chosen
        self._good = good
        self._by_tag: tuple[Index, NDArray[np.int64]] | None = None

    def by_tag(self, chosen: NDArray[np.intp] | None) -> tuple[Index, NDArray[np.int64]]:
        """Columns and partials of chosen samples, all of which lie in one window: the runs are the tags."""
        if chosen is not self.chosen:
            return self._summarise(chosen)
        if self._by_tag is None:
            self._by_tag = self._summarise(chosen)
        return self._by_tag

    def _summarise(self, chosen: NDArray[np.intp] | None) -> tuple[Index, NDArray[np.int64]]:
        segments, view = self.segments, self.view
        if chosen is None:
            index = view.index if segments.present is None else view.slots[segments.present]
            return index, summarise(self.runs(None, segments.starts, segments.counts))
        entry = segments.entry[chosen]
        starts = _starts(entry[1:] != entry[:-1])
        return view.slots[entry[starts]], summarise(self.runs(chosen, starts, np.diff(starts, append=len(entry))))

    def runs(self, chosen: NDArray[np.intp] | None, starts: NDArray[np.intp], counts: NDArray[np.intp]) -> Runs:
        """Runs of chosen samples."""
        segments, good = self.segments, self._good
        time_us, value, rank = segments.time_us, segments.value, segments.rank
        if chosen is not None:
            time_us, value, rank = time_us[chosen], value[chosen], rank[chosen]
            good = None if good is None else good[chosen]
        return Runs(starts=starts, counts=counts, time_us=time_us, value=value, rank=rank, good=good)


class SizeFold:
    """Folding of a micro-batch into the windows of one length."""

    def __init__(self, windows: Windows, samples: Samples, size_s: int) -> None:
        self._windows, self._samples = windows, samples
        self._segments, self._view = samples.segments, samples.view
        self._size_s = size_s
        self._size_us = size_s * 1_000_000

    def run(self) -> NDArray[np.bool_] | None:
        """Mask of late samples, shape (n,) in sorted order, or None."""
        chosen = self._windowed()
        if chosen is not None and not len(chosen):
            return None
        time_us = self._segments.time_us if chosen is None else self._segments.time_us[chosen]
        oldest_us, newest_us = int(time_us.min()), int(time_us.max())
        late = None
        clocks = self._windows.clocks
        lateness_us = self._windows.lateness_us(self._size_s)
        if oldest_us < clocks.highest_floor_us(lateness_us):
            late, chosen = self._drop_late(chosen, time_us, clocks.floor_us(lateness_us))
            if not len(chosen):
                return late
            time_us = self._segments.time_us[chosen]
            oldest_us, newest_us = int(time_us.min()), int(time_us.max())
        number = oldest_us // self._size_us
        if number == newest_us // self._size_us:
            self._windows.block((self._size_s, number * self._size_us)).fold(*self._samples.by_tag(chosen))
        else:
            self._fold_many(chosen, time_us)
        return late

    def _windowed(self) -> NDArray[np.intp] | None:
        """Chosen samples of tags that have windows of this length."""
        chosen = self._samples.chosen
        if self._view.windowed_all[self._size_s]:
            return chosen
        mine = self._view.windowed[self._size_s][self._segments.entry]
        return np.flatnonzero(mine) if chosen is None else chosen[mine[chosen]]

    def _drop_late(
        self, chosen: NDArray[np.intp] | None, time_us: NDArray[np.int64], floor_us: NDArray[np.int64]
    ) -> tuple[NDArray[np.bool_] | None, NDArray[np.intp]]:
        if chosen is None:
            chosen = np.arange(self._segments.samples)
        end_us = (time_us // self._size_us + 1) * self._size_us
        too_late = end_us <= floor_us[self._view.device[self._segments.entry[chosen]]]
        if not too_late.any():
            return None, chosen
        late = np.zeros(self._segments.samples, dtype=np.bool_)
        late[chosen[too_late]] = True
        return late, chosen[~too_late]

    def _fold_many(self, chosen: NDArray[np.intp] | None, time_us: NDArray[np.int64]) -> None:
        entry = self._segments.entry if chosen is None else self._segments.entry[chosen]
        number = time_us // self._size_us
        starts = _starts((entry[1:] != entry[:-1]) | (number[1:] != number[:-1]))
        part = summarise(self._samples.runs(chosen, starts, np.diff(starts, append=len(entry))))
        slots, number = self._view.slots[entry[starts]], number[starts]
        order = np.argsort(number, kind="stable")
        bounds = _starts(number[order][1:] != number[order][:-1]).tolist()
        for start, stop in zip(bounds, [*bounds[1:], len(order)], strict=True):
            mine = order[start:stop]
            key = (self._size_s, int(number[mine[0]]) * self._size_us)
            self._windows.block(key).fold(slots[mine], part.take(mine, axis=1))


def _starts(changes: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Starts of runs, given whether each sample but the first begins one."""
    return np.concatenate((np.zeros(1, dtype=np.intp), np.flatnonzero(changes) + 1))
