"""A fault in force, and what it does to a reading.

A fault changes what is *measured or reported*, never the machine itself. Called by `simulator.faults`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from schemas import quality
from schemas.definitions import DataType
from simulator.fault_kinds import FaultKind, FaultRequest
from simulator.plant import Device, Protocol, Tag

SECOND_US = 1_000_000
BEYOND_F8 = 2**53 + 1
"""The smallest positive integer that a double cannot hold."""


class Reading(NamedTuple):
    """What leaves a sensor. The Python type of `value` is the type on the wire; None is OPC UA's null."""

    value: float | int | bool | None
    quality: int = quality.GOOD


@dataclass(kw_only=True, slots=True, eq=False)
class Fault:
    """A fault in force or to come. Times are microseconds UTC on the simulation's clock."""

    id: int
    request: FaultRequest
    device: Device
    tag: Tag | None
    from_us: int
    random: Random
    held: float | int | bool | None = None
    holds: bool = False

    @property
    def kind(self) -> FaultKind:
        """What goes wrong."""
        return self.request.kind

    def elapsed_us(self, time_us: int) -> int | None:
        """How long it has been in force (this time) at that moment; None when it is not."""
        elapsed = time_us - self.from_us
        if elapsed < 0:
            return None
        if self.request.repeat_s:
            elapsed %= int(self.request.repeat_s * SECOND_US)
        if self.request.duration_s and elapsed >= int(self.request.duration_s * SECOND_US):
            return None
        return elapsed

    def over(self, time_us: int) -> bool:
        """Whether it will never be in force again."""
        request = self.request
        return bool(
            request.duration_s
            and not request.repeat_s
            and time_us >= self.from_us + int(request.duration_s * SECOND_US)
        )

    def describe(self, time_us: int) -> dict[str, Any]:
        """For people and programs."""
        request = self.request
        return {
            "id": self.id, "device": self.device.key, "tag": self.tag.name if self.tag else "", "kind": request.kind,
            "active": self.elapsed_us(time_us) is not None, "from_us": self.from_us, "duration_s": request.duration_s,
            "repeat_s": request.repeat_s, "parameters": dict(request.parameters),
        }  # fmt: skip

    def clock_offset_us(self, tag: Tag, quantum_us: int) -> int:
        """Shift of a wrong clock in whole quanta.

        The fault's number is added, and never a whole number of periods: two wrong clocks, or a wrong and a right one, do not give the same
        instant of a tag twice.
        """
        offset_us = int(self.request.parameters.get("offset_s", 3600.0) * SECOND_US)
        shift_us = (offset_us // quantum_us + 1 + self.id % 97) * quantum_us
        return shift_us if shift_us % tag.period_us else shift_us + quantum_us


Effect = Callable[[Fault, Tag, Reading, float], Reading]


def _numeric(reading: Reading, tag: Tag, change: float) -> Reading:
    value = 0 if reading.value is None else reading.value
    # A drifting integer stays an integer: whether it is one is another fault's matter.
    changed = value + change if tag.data_type is DataType.DOUBLE else round(value + change)
    return reading._replace(value=changed)


def _drift(fault: Fault, tag: Tag, reading: Reading, elapsed_s: float) -> Reading:
    return _numeric(reading, tag, fault.request.parameters.get("rate_per_s", 0.01 * tag.span) * elapsed_s)


def _spike(fault: Fault, tag: Tag, reading: Reading, elapsed_s: float) -> Reading:
    if fault.random.random() >= fault.request.parameters.get("probability", 0.05):
        return reading
    return _numeric(reading, tag, fault.request.parameters.get("magnitude", 0.4 * tag.span))


def _noise(fault: Fault, tag: Tag, reading: Reading, elapsed_s: float) -> Reading:
    deviation = fault.request.parameters.get("deviation", 0.05 * tag.span)
    return _numeric(reading, tag, fault.random.gauss(0.0, deviation))


def _offset(fault: Fault, tag: Tag, reading: Reading, elapsed_s: float) -> Reading:
    return _numeric(reading, tag, fault.request.parameters.get("magnitude", 0.2 * tag.span))


def _stuck(fault: Fault, tag: Tag, reading: Reading, elapsed_s: float) -> Reading:
    if not fault.holds:
        fault.held, fault.holds = reading.value, True
    return reading._replace(value=fault.held)


def _bad_quality(fault: Fault, tag: Tag, reading: Reading, elapsed_s: float) -> Reading:
    return reading._replace(quality=int(fault.request.parameters.get("quality", quality.BAD_SENSOR_FAILURE)))


def _out_of_range(fault: Fault, tag: Tag, reading: Reading, elapsed_s: float) -> Reading:
    low, high = tag.limits or tag.eu or (0.0, 1.0)
    value = fault.request.parameters.get("value", high + 0.1 * (high - low) + 1.0)
    return reading._replace(value=float(value) if tag.data_type is DataType.DOUBLE else int(value))


def _not_representable(fault: Fault, tag: Tag, reading: Reading, elapsed_s: float) -> Reading:
    value = 2.0 if tag.data_type is DataType.BOOLEAN else float(reading.value or 0) + 0.5
    return reading._replace(value=value)


EFFECTS: dict[FaultKind, Effect] = {
    FaultKind.DRIFT: _drift,
    FaultKind.SPIKE: _spike,
    FaultKind.STUCK: _stuck,
    FaultKind.NOISE: _noise,
    FaultKind.OFFSET: _offset,
    FaultKind.BAD_QUALITY: _bad_quality,
    FaultKind.NAN: lambda fault, tag, reading, elapsed_s: reading._replace(value=math.nan),
    FaultKind.INFINITE: lambda fault, tag, reading, elapsed_s: reading._replace(value=math.inf),
    FaultKind.OUT_OF_RANGE: _out_of_range,
    FaultKind.NOT_REPRESENTABLE: _not_representable,
    FaultKind.BEYOND_F8: lambda fault, tag, reading, elapsed_s: reading._replace(value=BEYOND_F8),
}


def reported(tag: Tag, reading: Reading) -> Reading:
    """The reading as the tag's protocol can say it.

    OPC UA servers send no value with a bad status (OPC 10000-4, 7.7.1). Sparkplug's Quality knows good, stale and bad, and keeps the value.
    """
    severity = reading.quality & quality.SEVERITY_MASK
    if tag.protocol is Protocol.OPCUA:
        return reading._replace(value=None) if severity == quality.BAD else reading
    known = {quality.GOOD: quality.GOOD, quality.UNCERTAIN: quality.UNCERTAIN_LAST_USABLE}
    return reading._replace(quality=known.get(severity, quality.BAD))
