"""Times as people give and read them: `2h` ago, a day, an ISO 8601 text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from base.errors import InvalidRequestError

_AGO = re.compile(r"(?P<number>\d+(\.\d+)?)(?P<unit>[smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def moment(given: str, now: datetime, zone: tzinfo = UTC) -> datetime:
    """Time of `2h` (that long ago; s, m, h or d) or of an ISO 8601 text, in `zone` unless it says otherwise."""
    if match := _AGO.fullmatch(given):
        return now - timedelta(seconds=float(match["number"]) * _SECONDS[match["unit"]])
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        msg = f"{given!r} is neither a time such as 2026-05-01T06:00 nor a while ago such as 2h"
        raise InvalidRequestError(msg) from None
    return found if found.tzinfo else found.replace(tzinfo=zone)


def zone_of(name: str) -> ZoneInfo:
    """The IANA time zone of that name; raises InvalidRequestError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        msg = f"{name!r} is no time zone; names are such as Europe/Berlin or UTC"
        raise InvalidRequestError(msg) from None


def written(time_us: int) -> str:
    """ISO 8601 text of microseconds UTC, to the second."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds")


def written_ms(time_us: int) -> str:
    """The same to the millisecond, with Z for UTC; raises ValueError, OverflowError or OSError outside the years 1 to 9999."""
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
