"""Faults that can be put on a device or a tag, at run time or by schedule, and what each does to a reading.

Enters: requests (`FaultRequest`) from the configuration or the admin interface. Leaves: changed readings, each with the names of the faults
that touched it, which the journal keeps. A fault changes what is *measured or reported*, never the machine itself, except that
`ignore_writes` and `refuse_writes` stand between a command and the machine.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from random import Random
from typing import Any, NamedTuple

from base.errors import ConflictError, InvalidRequestError, NotFoundError
from registry.plant import Protocol
from schemas import quality
from schemas.definitions import DataType
from simulator.plant import Device, Tag

SECOND_US = 1_000_000
BEYOND_F8 = 2**53 + 1
"""The smallest positive integer that a double cannot hold."""


class FaultKind(StrEnum):
    """What goes wrong."""

    DRIFT = "drift"
    """The reading runs away by `rate_per_s` (1 % of the normal range a second)."""
    SPIKE = "spike"
    """A reading is off by `magnitude` (40 % of the normal range) with `probability` (0.05)."""
    STUCK = "stuck"
    """The reading repeats itself bit for bit."""
    NOISE = "noise"
    """Gaussian noise of `deviation` (5 % of the normal range) on top."""
    OFFSET = "offset"
    """The reading is off by `magnitude` (20 % of the normal range), constantly."""
    BAD_QUALITY = "bad_quality"
    """The reading is marked with `quality` (0x808C, bad: sensor failure): on OPC UA a bad one has no value, on Sparkplug it keeps it."""
    OFFLINE = "offline"
    """The device's server has lost the device: OPC UA tags go to bad (no communication) once, Sparkplug says DDEATH; then silence."""
    WRONG_CLOCK = "wrong_clock"
    """Source timestamps are off by `offset_s` (3600)."""
    NAN = "nan"
    """The reading is NaN."""
    INFINITE = "infinite"
    """The reading is infinity."""
    OUT_OF_RANGE = "out_of_range"
    """The reading is `value` (beyond the upper limit by a tenth of the range)."""
    NOT_REPRESENTABLE = "not_representable"
    """A fraction where the registry says integer, 2.0 where it says boolean."""
    BEYOND_F8 = "beyond_f8"
    """2^53 + 1: an integer that a double cannot hold, which gateways refuse by name before it becomes a sample."""
    IGNORE_WRITES = "ignore_writes"
    """Writes are confirmed and do nothing."""
    REFUSE_WRITES = "refuse_writes"
    """Writes are refused."""


OF_DEVICE = frozenset({FaultKind.OFFLINE, FaultKind.WRONG_CLOCK, FaultKind.IGNORE_WRITES, FaultKind.REFUSE_WRITES})
"""Faults that a whole device has; all others are of one tag."""

_NUMERIC = frozenset({DataType.DOUBLE, DataType.INTEGER})
_DATA_TYPES: dict[FaultKind, frozenset[DataType]] = {
    FaultKind.DRIFT: _NUMERIC,
    FaultKind.SPIKE: _NUMERIC,
    FaultKind.NOISE: _NUMERIC,
    FaultKind.OFFSET: _NUMERIC,
    FaultKind.NAN: frozenset({DataType.DOUBLE}),
    FaultKind.INFINITE: frozenset({DataType.DOUBLE}),
    FaultKind.OUT_OF_RANGE: _NUMERIC,
    FaultKind.NOT_REPRESENTABLE: frozenset({DataType.INTEGER, DataType.BOOLEAN}),
    FaultKind.BEYOND_F8: frozenset({DataType.INTEGER}),
}
"""Data types that a fault makes sense for; any when it is not named."""

PARAMETERS: dict[FaultKind, frozenset[str]] = {
    FaultKind.DRIFT: frozenset({"rate_per_s"}),
    FaultKind.SPIKE: frozenset({"magnitude", "probability"}),
    FaultKind.NOISE: frozenset({"deviation"}),
    FaultKind.OFFSET: frozenset({"magnitude"}),
    FaultKind.BAD_QUALITY: frozenset({"quality"}),
    FaultKind.WRONG_CLOCK: frozenset({"offset_s"}),
    FaultKind.OUT_OF_RANGE: frozenset({"value"}),
}
"""Parameters of each kind; none when it is not named."""

TWENTY_YEARS_S = 20 * 365.25 * 86_400
BOUNDS: dict[str, tuple[float, float]] = {
    "probability": (0.0, 1.0),
    "deviation": (0.0, 1e300),
    "quality": (0, 0xFFFF),
    "offset_s": (-TWENTY_YEARS_S, TWENTY_YEARS_S),
}
"""What parameters can be; any finite number when not named."""


class Reading(NamedTuple):
    """What leaves a sensor. The Python type of `value` is the type on the wire; None is OPC UA's null."""

    value: float | int | bool | None
    quality: int = quality.GOOD


@dataclass(frozen=True, kw_only=True, slots=True)
class FaultRequest:
    """A fault to come. `start_s` from now, `duration_s` 0 for ever, `repeat_s` 0 once; otherwise it starts again every so many seconds."""

    device: str
    kind: FaultKind
    tag: str = ""
    start_s: float = 0.0
    duration_s: float = 0.0
    repeat_s: float = 0.0
    parameters: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if min(self.start_s, self.duration_s, self.repeat_s) < 0:
            msg = "start_s, duration_s and repeat_s are not negative"
            raise InvalidRequestError(msg)
        if self.repeat_s and not 0 < self.duration_s < self.repeat_s:
            msg = "a fault that repeats needs a duration_s shorter than repeat_s"
            raise InvalidRequestError(msg)
        known = PARAMETERS.get(self.kind, frozenset())
        if unknown := sorted(set(self.parameters) - known):
            msg = f"{self.kind} has no parameter {unknown[0]!r}; known: {', '.join(sorted(known)) or 'none'}"
            raise InvalidRequestError(msg)
        for name, value in self.parameters.items():
            low, high = BOUNDS.get(name, (-1e300, 1e300))
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
                msg = f"parameter {name} of {self.kind} is {value!r}, not a number from {low:g} to {high:g}"
                raise InvalidRequestError(msg)


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


class Faults:
    """All faults of a plant. Not thread-safe: one event loop owns it."""

    def __init__(self, devices: Iterable[Device], *, seed: int) -> None:
        self._devices = {device.key: device for device in devices}
        self._seed = seed
        self._last_id = 0
        self._of_device: dict[str, list[Fault]] = {}

    def add(self, request: FaultRequest, now_us: int) -> Fault:
        """Put a fault on; raises NotFoundError, InvalidRequestError or ConflictError naming what does not fit."""
        device = self._device(request.device)
        tag = self._tag(device, request)
        for other in self._of_device.get(device.key, ()):
            if other.kind is request.kind and other.tag is tag and not other.over(now_us):
                where = f"{device.key} {tag.name}" if tag else device.key
                msg = f"{where} has the fault {request.kind} already, as number {other.id}"
                raise ConflictError(msg)
        self._last_id += 1
        fault = Fault(
            id=self._last_id, request=request, device=device, tag=tag,
            from_us=now_us + int(request.start_s * SECOND_US), random=Random(f"{self._seed}/fault/{self._last_id}"),
        )  # fmt: skip
        self._of_device.setdefault(device.key, []).append(fault)
        return fault

    def remove(self, fault_id: int) -> Fault:
        """Take a fault off; raises NotFoundError."""
        for fault in self.all():
            if fault.id == fault_id:
                self._forget(fault)
                return fault
        msg = f"no fault {fault_id}"
        raise NotFoundError(msg)

    def all(self) -> list[Fault]:
        """Every fault in force or to come, oldest first."""
        return sorted((fault for faults in self._of_device.values() for fault in faults), key=lambda fault: fault.id)

    def expire(self, now_us: int) -> list[Fault]:
        """Forget the faults that are over; returns them."""
        over = [fault for fault in self.all() if fault.over(now_us)]
        for fault in over:
            self._forget(fault)
        return over

    def active(self, device: Device, kind: FaultKind, time_us: int) -> Fault | None:
        """The device's own fault of that kind, when it is in force."""
        for fault in self._of_device.get(device.key, ()):
            if fault.kind is kind and fault.elapsed_us(time_us) is not None:
                return fault
        return None

    def apply(self, tag: Tag, reading: Reading, time_us: int) -> tuple[Reading, str]:
        """The reading with the faults on its tag, in the order they were put on, and their names."""
        names: list[str] = []
        for fault in self._of_device.get(tag.device, ()):
            if fault.tag is not tag:
                continue
            elapsed_us = fault.elapsed_us(time_us)
            if elapsed_us is None:
                fault.holds = False
                continue
            changed = EFFECTS[fault.kind](fault, tag, reading, elapsed_us / SECOND_US)
            if changed is not reading:
                reading = changed
                names.append(fault.kind)
        return (reported(tag, reading), "+".join(names)) if names else (reading, "")

    def _forget(self, fault: Fault) -> None:
        faults = self._of_device[fault.device.key]
        faults.remove(fault)
        if not faults:
            del self._of_device[fault.device.key]

    def _device(self, name: str) -> Device:
        if name in self._devices:
            return self._devices[name]
        found = [device for device in self._devices.values() if device.name == name]
        if len(found) != 1:
            sites = ", ".join(sorted(device.key for device in found))
            msg = (
                f"device {name!r} is at several sites: {sites}"
                if found
                else f"no device {name!r}; give <site>.<device>"
            )
            raise NotFoundError(msg)
        return found[0]

    def _tag(self, device: Device, request: FaultRequest) -> Tag | None:
        if request.kind in OF_DEVICE:
            if request.tag:
                msg = f"{request.kind} is a fault of a whole device; leave tag away"
                raise InvalidRequestError(msg)
            return None
        tag = next((tag for tag in device.tags if tag.name == request.tag), None)
        if tag is None:
            known = ", ".join(tag.name for tag in device.tags)
            msg = f"{request.kind} is a fault of one tag, and {device.key} has no tag {request.tag!r}; known: {known}"
            raise (NotFoundError if request.tag else InvalidRequestError)(msg)
        if tag.data_type not in _DATA_TYPES.get(request.kind, frozenset(DataType)):
            msg = f"{request.kind} does not apply to {tag.name}, whose type is {tag.data_type}"
            raise InvalidRequestError(msg)
        return tag
