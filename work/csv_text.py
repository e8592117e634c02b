"""A cell of a CSV file to a value and back, by the type of its column.

Times have an offset, days and clock times have none: which zone a clock time is in is a matter of the pattern. A value that is not of its
type is a ValueError whose text says what is wanted. Who calls: `importing`, `exporting`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID

_TIME = "2026-03-29T06:00:00+02:00 (with its offset; Z is UTC)"
INFINITY = ("infinity", "-infinity")


def _timestamp(text: str) -> datetime | str:
    if text in INFINITY:
        return text
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        msg = f"is no time; write {_TIME}"
        raise ValueError(msg) from error
    if at.tzinfo is None:
        msg = f"has no offset; write {_TIME}"
        raise ValueError(msg)
    return at.astimezone(UTC)


def _days(text: str) -> list[int]:
    parts = text.strip("{}").replace(",", " ").split()
    if not parts or any(part not in "1234567" or len(part) != 1 for part in parts):
        msg = "is no list of weekdays; write 1 2 3 4 5 (1 is Monday, 7 Sunday)"
        raise ValueError(msg)
    return sorted({int(part) for part in parts})


def _boolean(text: str) -> bool:
    known = {"true": True, "t": True, "yes": True, "1": True, "false": False, "f": False, "no": False, "0": False}
    if text.lower() not in known:
        msg = "is neither true nor false"
        raise ValueError(msg)
    return known[text.lower()]


def _of(wanted: str, parse: Callable[[str], Any]) -> Callable[[str], Any]:
    def parser(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            msg = f"is no {wanted}"
            raise ValueError(msg) from error

    return parser


_PARSERS: dict[str, Callable[[str], Any]] = {
    "text": str,
    "integer": _of("whole number", int),
    "double precision": _of("number; write 12.5", float),
    "boolean": _boolean,
    "date": _of("day; write 2026-03-29", date.fromisoformat),
    "time without time zone": _of("time of day; write 06:00", time.fromisoformat),
    "timestamp with time zone": _timestamp,
    "uuid": _of("UUID; leave it empty, and it follows from the row", UUID),
    "integer[]": _days,
}


def parse(text: str, kind: str) -> Any:
    """Value of a cell that is not empty; raises ValueError."""
    return _PARSERS[kind](text)


def write(value: Any) -> str:
    """The text that `parse` makes this value of; nothing is an empty cell."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date() | time():
            return value.isoformat()
        case list():
            return " ".join(map(str, value))
        case float():
            return f"{value:.17g}" if float(f"{value:.15g}") != value else f"{value:.15g}"
        case _:
            return str(value)
