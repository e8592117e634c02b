"""Samples of a frame, or of a micro-batch, sorted by tag, then time, then position: the order in which every stage sees them.

Gateways write frames in the order of arrival, so a stable radix sort of the 16-bit dictionary index (38 µs for 10,000
samples) nearly always gives time order within each tag as well; only a frame that is out of order within a tag pays for
a full sort. A frame already in that order pays for a comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stages.intake.lane_table import TagView
from stages.intake.micro_batch import MicroBatch


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Segments:
    """Per-sample arrays have shape (n,), in sorted order; per-segment arrays (p,), one segment per tag present.

    `position` is each sample's place in the micro-batch, `rank` its place in the order of processing, `closed_us` the close
    time of its frame. `orderly`: each tag's samples came in the order of their times. `present` is the dictionary entry
    of each segment, or None when the segments are the dictionary itself. `single`: every segment has one sample.
    """

    entry: NDArray[np.intp]
    position: NDArray[np.intp]
    rank: NDArray[np.int64]
    closed_us: int | NDArray[np.int64]
    in_order: bool
    orderly: bool
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]
    starts: NDArray[np.intp]
    counts: NDArray[np.intp]
    present: NDArray[np.intp] | None
    single: bool

    @property
    def samples(self) -> int:
        """Number of samples, n."""
        return len(self.value)


def sort(batch: MicroBatch, view: TagView) -> Segments:
    """Segments of a micro-batch; `view` is that of its dictionary."""
    entry, time_us = batch.tag_index.astype(np.intp), batch.time_us
    if view.remap is not None:
        entry = view.remap[entry]
    n, entries = len(entry), len(batch.tag_ids)
    position = np.arange(n)
    value, quality, in_order, orderly = batch.value, batch.quality, True, True
    if n > 1:
        step = entry[1:] - entry[:-1]
        if step.min() < 0:
            position = np.argsort(entry.astype(np.uint16), kind="stable")
            entry, time_us, value, quality = entry[position], time_us[position], value[position], quality[position]
            step = entry[1:] - entry[:-1]
            in_order = False
        if ((time_us[1:] < time_us[:-1]) & (step == 0)).any():
            again = np.lexsort((time_us, entry))  # stable: ties keep the order of position
            position, entry, time_us, value, quality = (
                position[again],
                entry[again],
                time_us[again],
                value[again],
                quality[again],
            )
            in_order = orderly = False
    starts, counts, present = segment_by(entry, entries)
    return Segments(
        entry=entry,
        position=position,
        rank=batch.ranks(position),
        closed_us=batch.closed_us if isinstance(batch.closed_us, int) else batch.closed_us[position],
        in_order=in_order,
        orderly=orderly,
        time_us=time_us,
        value=value,
        quality=quality,
        starts=starts,
        counts=counts,
        present=present,
        single=len(starts) == n,
    )


def segment_by(
    entry: NDArray[np.intp], entries: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp] | None]:
    """Starts, counts and dictionary entries of the runs of a sorted `entry`.

    None for the entries when all are present.
    """
    counts = np.bincount(entry, minlength=entries)
    present = None
    if counts.min() == 0:
        present = np.flatnonzero(counts)
        counts = counts[present]
    starts = np.zeros(len(counts), dtype=np.intp)
    np.cumsum(counts[:-1], out=starts[1:])
    return starts, counts, present
