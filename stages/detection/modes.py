"""Modes of a lane's machines: the tags that say what a machine is meant to do, and when they changed.

Those are the tags that can be written (set points), and `packml_state`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.definitions import TagDefinition
from stages.intake.lane_table import LaneTable, TagView
from stages.intake.segments import Segments
from stages.telemetry.latest import TIME, VALUE, LaneLatest

MODE_TAG = "packml_state"


def says_mode(tag: TagDefinition) -> bool:
    """Whether a tag is part of its device's mode. A calculated one is not: what changes the mode has to be known before its frame is."""
    return not tag.calculated and (tag.writable or tag.name == MODE_TAG)


class ModeChange(NamedTuple):
    """A device is in `mode` since the event time `time_us`."""

    device_id: int
    mode: str
    time_us: int


class LaneModes:
    """The last values of the tags that say a mode, of all watched devices of a table."""

    def __init__(self, table: LaneTable, *, enabled: bool = True) -> None:
        self._table = table
        slots = [
            slot
            for slot, tag in enumerate(table.tags)
            if enabled and tag.detector and not table.foreign[slot] and says_mode(tag)
        ]
        self._slots = np.array(slots, dtype=np.intp)
        self._values = np.full(len(slots), np.iinfo(np.int64).min, dtype=np.int64)
        """Bits of f8."""
        self.devices: Collection[int] = {table.tags[slot].device_id for slot in slots}
        """Devices that have a mode."""

    def would_change(self, segments: Segments, view: TagView) -> bool:
        """Whether some sample says another mode than the one known: its frame has to be seen by itself."""
        if not len(self._slots):
            return False
        known = np.zeros(len(self._table.tags) + 1, dtype=np.int64)
        says = np.zeros(len(known), dtype=np.bool_)
        known[self._slots], says[self._slots] = self._values, True
        slots = view.slots[segments.entry]
        return bool((says[slots] & (segments.value.view(np.int64) != known[slots])).any())

    def observe(self, latest: LaneLatest) -> Iterator[ModeChange]:
        """Changes that the latest values show, in the order of devices."""
        values = latest.rows[VALUE, self._slots]
        if not (values != self._values).any():
            return
        yield from self._changes(latest.rows[TIME], values)

    def _changes(self, times: NDArray[np.int64], values: NDArray[np.int64]) -> Iterator[ModeChange]:
        known = ~np.isnan(values.view(np.float64))  # a mode that cannot be read has not changed
        changed = self._slots[known & (values != self._values)]
        self._values = np.where(known, values, self._values)
        device_of = self._table.device
        for device in np.unique(device_of[changed]).tolist():
            own = self._values[device_of[self._slots] == device]
            mode = ",".join(f"{value:g}" for value in own.view(np.float64).tolist())
            since_us = int(times[changed[device_of[changed] == device]].max())
            yield ModeChange(int(self._table.devices[device]), mode, since_us)
