"""Mean, least and greatest value of a tag over the last while: of the value that held, whenever it was said.

A tag says its value when it changes, or every so often: its value holds until the next one. So the mean is weighted by time, and a
window of a tag that has been still is that value. A window moves in steps of a fiftieth of its length, and is 49 to 50 of them long. A
bad value, and one that has held for longer than it may, is not known; a window is known when at least half of its length is.
"""

from __future__ import annotations

import math
from array import array
from typing import NamedTuple

import numpy as np

from stages import packing

LAYOUT = 1
STEPS = 50
_NEVER = -1


class WindowKey(NamedTuple):
    """A window of a tag; every rule that asks for the same shares it."""

    tag_id: int
    length_us: int
    hold_us: int
    """How long a value holds at most; 0 for until the next one."""


class Figures(NamedTuple):
    """What a window is, by the words of expressions."""

    mean: float
    min: float
    max: float


class HeldWindow:
    """Fed with samples in ascending time; asked at any time from the last one on."""

    def __init__(self, key: WindowKey) -> None:
        self._length_us, self._hold_us = key.length_us, key.hold_us
        self._step_us = key.length_us // STEPS
        self._number = [_NEVER] * STEPS
        """Which step of time a place holds: places are used in turn."""
        self._good_us = [0] * STEPS
        self._area = [0.0] * STEPS
        self._low, self._high = [math.inf] * STEPS, [-math.inf] * STEPS
        self._last_us, self._value = _NEVER, math.nan

    def add(self, time_us: int, value: float) -> None:
        """A value from now on; NaN for one that is not known."""
        if self._last_us != _NEVER and self._value == self._value:
            self._held(self._last_us, self._until(time_us), self._value)
        self._last_us, self._value = time_us, value

    def at(self, time_us: int) -> Figures | None:
        """The window that ends at a time, at the last sample at the earliest; None when it is not known."""
        time_us = max(time_us, self._last_us)
        last = time_us // self._step_us
        begin_us = (last - STEPS + 1) * self._step_us
        good_us, area, low, high = 0, 0.0, math.inf, -math.inf
        for place, number in enumerate(self._number):
            if last - STEPS < number <= last:
                good_us += self._good_us[place]
                area += self._area[place]
                low, high = min(low, self._low[place]), max(high, self._high[place])
        if self._last_us != _NEVER and self._value == self._value:
            lasted_us = self._until(time_us) - max(self._last_us, begin_us)
            if lasted_us >= 0:
                good_us += lasted_us
                area += self._value * lasted_us
                low, high = min(low, self._value), max(high, self._value)
        if 2 * good_us < self._length_us:
            return None
        # A mean is between the least and the greatest, whatever adding up makes of it.
        return Figures(min(max(area / good_us, low), high), low, high)

    def _until(self, time_us: int) -> int:
        return min(time_us, self._last_us + self._hold_us) if self._hold_us else time_us

    def _held(self, begin_us: int, end_us: int, value: float) -> None:
        step_us = self._step_us
        last = (end_us - 1) // step_us
        for number in range(max(begin_us // step_us, last - STEPS + 1), last + 1):
            place = number % STEPS
            if self._number[place] != number:
                self._number[place], self._good_us[place], self._area[place] = number, 0, 0.0
                self._low[place], self._high[place] = math.inf, -math.inf
            held_us = min(end_us, (number + 1) * step_us) - max(begin_us, number * step_us)
            self._good_us[place] += held_us
            self._area[place] += value * held_us
            self._low[place], self._high[place] = min(self._low[place], value), max(self._high[place], value)

    def to_bytes(self) -> bytes:
        """A part of the state, 2 KB."""
        fields = {"last_us": self._last_us, "value": None if self._value != self._value else self._value}
        # By way of `array`, which takes lists four times as fast as numpy does: this is written whenever the tag speaks.
        whole = np.frombuffer(array("q", self._number + self._good_us), dtype=np.int64)
        real = np.frombuffer(array("d", self._area + self._low + self._high), dtype=np.float64)
        return packing.pack(LAYOUT, fields, whole.reshape(2, STEPS), real.reshape(3, STEPS))

    def restore(self, data: bytes) -> None:
        """Put back what `to_bytes` gave; raises StateError."""
        fields, (whole, real) = packing.unpack(data, LAYOUT, "window")
        self._number, self._good_us = whole.tolist()
        self._area, self._low, self._high = real.tolist()
        self._last_us = int(fields["last_us"])
        self._value = math.nan if fields["value"] is None else float(fields["value"])
