"""Kinds of faults: what goes wrong, with which parameters, for which data types; and a request for one.

Enters: requests of the configuration, the admin interface or the command line. Leaves: a checked `FaultRequest`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from base.errors import InvalidRequestError
from schemas.definitions import DataType


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
DATA_TYPES: dict[FaultKind, frozenset[DataType]] = {
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
