"""Domain type of the topic `work.shifts`: when the shifts of a part of the plant are, for whoever has to know without a database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from schemas import codec

RECORD = "ShiftCalendar"


@dataclass(frozen=True, slots=True)
class PlannedTime:
    """Time for which there is a calendar, microseconds UTC, `end_us` exclusive."""

    start_us: int
    end_us: int


@dataclass(frozen=True, slots=True)
class ShiftTime:
    """A shift, microseconds UTC, `end_us` exclusive."""

    shift: str
    start_us: int
    end_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ShiftCalendar:
    """Shifts of a scope from `from_us` to `until_us`, exceptions applied. Topic `work.shifts`, key scope; the newest record holds.

    A place has the shifts of the longest scope that covers it. Outside of `planned` all time is planned, without a shift.
    """

    scope: str
    from_us: int
    until_us: int
    planned: tuple[PlannedTime, ...] = ()
    shifts: tuple[ShiftTime, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return self.scope.encode()

    def encode(self) -> bytes:
        """Kafka value."""
        return codec.encode(
            RECORD,
            {
                "scope": self.scope,
                "from_us": self.from_us,
                "until_us": self.until_us,
                "planned": [{"start_us": one.start_us, "end_us": one.end_us} for one in self.planned],
                "shifts": [{"shift": one.shift, "start_us": one.start_us, "end_us": one.end_us} for one in self.shifts],
                "names": list(self.names),
            },
        )

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Record of a Kafka value; raises UndecodableError or UnknownSchemaError."""
        record: dict[str, Any] = codec.decode(message, RECORD)[1]
        changed = {
            "planned": tuple(PlannedTime(**one) for one in record["planned"]),
            "shifts": tuple(ShiftTime(**one) for one in record["shifts"]),
            "names": tuple(record["names"]),
        }
        return cls(**(record | changed))
