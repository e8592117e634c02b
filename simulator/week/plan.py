"""What is planned in the week: shifts in local time, orders and what they make, recipes, ideal cycle times."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from simulator.week.model import Shift

LINE = "acme/south/machining/line-1"
CELLS = {
    f"{LINE}/milling-a": ("mill-01", "mill-02", "robot-01"),
    f"{LINE}/milling-b": ("mill-03", "mill-04", "robot-02"),
}
DEVICES = tuple(f"{cell}/{name}" for cell, names in CELLS.items() for name in names)
BATCH_DEVICE = f"{LINE}/milling-b/mill-03"

MATERIALS = {
    "housing": "Gear housing",
    "flange": "Pump flange",
    "cover": "Bearing cover",
    "bar-40": "Aluminium bar, 40 mm",
    "pallet": "Pallet of finished pieces",
}
IDEAL_S = {"housing": 42.0, "flange": 60.0}
"""Ideal cycle times of the mills; `cover` has none of its own, so that of the machine's class holds."""
CLASS_IDEAL_S = 45.0
ROBOT_IDEAL_S = 20.0

RECIPE = ("run-in", "1")
PHASES = (("warm-up", 600.0, 35.0), ("load", 900.0, 52.0), ("cool-down", 480.0, 30.0))
"""Name, nominal seconds, temperature that the spindle goes to."""


class PlannedShift(NamedTuple):
    """A shift of a pattern. One whose end is not after its start ends on the next day."""

    name: str
    weekdays: tuple[int, ...]
    starts: time
    ends: time


PATTERNS = {
    "three shifts": (
        PlannedShift("early", (1, 2, 3, 4, 5, 6), time(6), time(14)),
        PlannedShift("late", (1, 2, 3, 4, 5), time(14), time(22)),
        PlannedShift("night", (1, 2, 3, 4, 5, 6), time(22), time(6)),
    ),
    "two shifts": (
        PlannedShift("early", (1, 2, 3, 4, 5, 6), time(6), time(14)),
        PlannedShift("night", (1, 2, 3, 4, 5, 6), time(22), time(6)),
    ),
}
CALENDARS = {LINE: "three shifts", f"{LINE}/milling-b": "two shifts"}


class Exception_(NamedTuple):
    """A day that differs: a shift that is not worked, one more, or one with other hours."""

    scope: str
    weekday: int
    kind: str
    shift: str
    starts: time | None = None
    ends: time | None = None


EXCEPTIONS = (
    Exception_(LINE, 2, "CLOSED", "late"),
    Exception_(LINE, 6, "EXTRA", "extra", time(14), time(18)),
    Exception_(LINE, 4, "CHANGED", "early", time(7), time(14)),
)
"""Of the line; the other cell has a calendar of its own, and these days hold there too."""


class PlannedOrder(NamedTuple):
    """An order of the line. It begins `after_h` hours into the week; `quantity` of pieces of all mills together."""

    job_order: str
    material: str
    after_h: float
    until_h: float
    quantity: float


ORDERS = (
    PlannedOrder("WO-1001", "housing", 3.0, 31.0, 5000.0),
    PlannedOrder("WO-1002", "flange", 31.0, 57.5, 4200.0),
    PlannedOrder("WO-1003", "cover", 57.5, 81.0, 3000.0),
    PlannedOrder("WO-1004", "housing", 81.0, 126.0, 8000.0),
    PlannedOrder("WO-1005", "flange", 132.0, 168.0, 6000.0),
)


def microseconds(at: datetime) -> int:
    """Microseconds since 1970 UTC, exact."""
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def shifts(zone: str, start_us: int, end_us: int) -> list[Shift]:
    """Shifts that are worked in the range, per scope with a calendar, clipped to the range, in order of time."""
    tz = ZoneInfo(zone)
    first, last = (datetime.fromtimestamp(at / 1e6, tz).date() for at in (start_us, end_us))
    found = []
    for scope, pattern in CALENDARS.items():
        day = first - timedelta(days=1)
        while day <= last:
            for name, starts, ends in _hours(scope, pattern, day):
                until = day if ends > starts else day + timedelta(days=1)
                low, high = (
                    microseconds(datetime.combine(d, t, tz).astimezone(UTC)) for d, t in ((day, starts), (until, ends))
                )
                if low < end_us and high > start_us:
                    found.append(Shift(scope, name, day, max(low, start_us), min(high, end_us)))
            day += timedelta(days=1)
    return sorted(found, key=lambda shift: (shift.scope, shift.start_us))


def _hours(scope: str, pattern: str, day: date) -> list[tuple[str, time, time]]:
    weekday = day.isoweekday()
    hours = {one.name: (one.starts, one.ends) for one in PATTERNS[pattern] if weekday in one.weekdays}
    for one in EXCEPTIONS:
        if one.weekday != weekday or not (scope + "/").startswith(one.scope + "/"):
            continue
        if one.kind == "CLOSED":
            hours.pop(one.shift, None)
        elif one.starts is not None and one.ends is not None and (one.kind == "EXTRA" or one.shift in hours):
            hours[one.shift] = (one.starts, one.ends)
    return [(name, *times) for name, times in hours.items()]


def calendar_of(device: str) -> str:
    """Scope of the calendar that holds for a device: the longest that it is in."""
    return max((scope for scope in CALENDARS if device.startswith(scope + "/")), key=len)


def ideal_s(device: str, material: str) -> float:
    """Ideal cycle time of a material on a device."""
    return ROBOT_IDEAL_S if "robot" in device else IDEAL_S.get(material, CLASS_IDEAL_S)
