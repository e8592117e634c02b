"""What figures of a part of the plant have in common: whom they are for, and of how long a time they are. Pure over the registry."""

from __future__ import annotations

from base.errors import InvalidRequestError, PermissionDeniedError
from serving.caches.plant import Plant
from serving.handlers.records import DAY_S, devices_under
from serving.handlers.selection import Range, range_of
from serving.seen import seen

MOST_DAYS = 31


def require_all(plant: Plant, prefix: str) -> None:
    """A figure of a place is for those who may read all of it. Raises NotFoundError and PermissionDeniedError."""
    if len(devices_under(seen(plant), prefix)) < len(devices_under(plant, prefix)):
        msg = "these figures are of machines that you may not read; name a place of which you may read all"
        raise PermissionDeniedError(msg)


def computed_range(start_us: int, end_us: int, now_us: int) -> Range:
    """Range of a figure: the last 24 hours when the start is 0, at most `MOST_DAYS`. Raises InvalidRequestError."""
    within = range_of(start_us, end_us, now_us=now_us, default_s=DAY_S)
    if within.seconds > MOST_DAYS * DAY_S:
        msg = f"the range is {within.seconds / DAY_S:.0f} days long; ask for at most {MOST_DAYS}"
        raise InvalidRequestError(msg, field="start_us")
    return within
