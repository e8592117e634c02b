"""The event-time clocks of a lane's devices: one per device, so that a wrong one shuts nobody else's windows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stages import packing

UNSET_US = -(1 << 62)
LAYOUT = 1


class DeviceClocks:
    """Arrays of shape (D,), microseconds UTC.

    `clock_us`: newest accepted source time. `seen_us`: processing time of the device's last sample. `forgotten_us`:
    windows that end at or before it have left the state because the device was silent. `newest_us` is the greatest
    clock.
    """

    __slots__ = ("_alive_us", "changed", "clock_us", "devices", "forgotten_us", "newest_us", "seen_us")

    def __init__(self, devices: NDArray[np.int32]) -> None:
        self.devices = devices
        self.clock_us = np.full(len(devices), UNSET_US, dtype=np.int64)
        self.seen_us = np.full(len(devices), UNSET_US, dtype=np.int64)
        self.forgotten_us = np.full(len(devices), UNSET_US, dtype=np.int64)
        self.newest_us = UNSET_US
        self.changed = False
        self._alive_us: int | None = None

    def advance(self, device: NDArray[np.intp], time_us: NDArray[np.int64], now_us: int) -> None:
        """Samples of devices (positions, shape (k,)) were seen at `now_us` with source times up to `time_us` (k,)."""
        np.maximum.at(self.clock_us, device, time_us)
        self.seen_us[device] = now_us
        self.newest_us = int(self.clock_us.max())
        self.changed = True

    def floor_us(self, lateness_us: int) -> NDArray[np.int64]:
        """Windows of each device that end at or before this are no longer in the state, shape (D,)."""
        return np.maximum(self.clock_us - lateness_us, self.forgotten_us)

    def highest_floor_us(self, lateness_us: int) -> int:
        """Greatest of `floor_us`: what begins after it is late for nobody."""
        return max(self.newest_us - lateness_us, int(self.forgotten_us.max(initial=UNSET_US)))

    def running_us(self, now_us: int, idle_us: int) -> NDArray[np.int64]:
        """Clocks that run on with processing time, `idle_us` behind, shape (D,)."""
        silent_us = np.maximum(now_us - self.seen_us - idle_us, 0)
        return np.where(self.clock_us == UNSET_US, UNSET_US, self.clock_us + silent_us)

    def alive_since(self, now_us: int) -> None:
        """Note when this process began to watch: silence before that may have been ours, and forgets nothing."""
        if self._alive_us is None:
            self._alive_us = now_us

    def forget_silent(self, running_us: NDArray[np.int64], now_us: int, forget_us: int, up_to_us: int) -> bool:
        """Devices silent for `forget_us` forget windows up to `up_to_us`, within their running clock.

        True if one did.
        """
        since_us = np.maximum(self.seen_us, self._alive_us if self._alive_us is not None else now_us)
        silent = (self.clock_us != UNSET_US) & (now_us - since_us >= forget_us)
        target = np.minimum(running_us, up_to_us)
        moved = silent & (target > self.forgotten_us)
        if not moved.any():
            return False
        self.forgotten_us[moved] = target[moved]
        self.changed = True
        return True

    def relayout(self, devices: NDArray[np.int32]) -> DeviceClocks:
        """The same clocks for another list of devices."""
        fresh = DeviceClocks(devices)
        _, new, old = np.intersect1d(devices, self.devices, assume_unique=True, return_indices=True)
        for name in ("clock_us", "seen_us", "forgotten_us"):
            getattr(fresh, name)[new] = getattr(self, name)[old]
        fresh.newest_us = int(fresh.clock_us.max(initial=UNSET_US))
        fresh._alive_us = self._alive_us
        fresh.changed = True
        return fresh

    def to_bytes(self) -> bytes:
        """State part."""
        return packing.pack(LAYOUT, None, self.devices, self.clock_us, self.seen_us, self.forgotten_us)

    @classmethod
    def from_bytes(cls, data: bytes) -> DeviceClocks:
        """Inverse of `to_bytes`."""
        _, (devices, clock_us, seen_us, forgotten_us) = packing.unpack(data, LAYOUT, "clocks")
        clocks = cls(devices)
        clocks.clock_us, clocks.seen_us, clocks.forgotten_us = clock_us, seen_us, forgotten_us
        clocks.newest_us = int(clock_us.max(initial=UNSET_US))
        return clocks
