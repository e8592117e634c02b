"""Microseconds since 1970-01-01 UTC, as the services count time, to times and back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from millrace_client.errors import InvalidRequestError
from millrace_client.ids import now_us

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)

Time = datetime | timedelta | int
"""A time with its zone, how long ago, or microseconds since 1970-01-01 UTC."""


def utc(time_us: int) -> datetime:
    """Time of microseconds since 1970-01-01 UTC, exact.

    >>> utc(1_700_000_000_123_456).isoformat()
    '2023-11-14T22:13:20.123456+00:00'
    """
    return EPOCH + timedelta(microseconds=time_us)


def to_us(time: Time | None, *, clock_us: int | None = None) -> int:
    """Microseconds of a time; 0 for None. Raises InvalidRequestError for a time without a zone.

    >>> to_us(datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)), to_us(timedelta(hours=1), clock_us=7_200_000_000)
    (1700000000000000, 3600000000)
    """
    if time is None:
        return 0
    if isinstance(time, timedelta):
        return (now_us() if clock_us is None else clock_us) - time // _US
    if isinstance(time, datetime):
        if time.tzinfo is None:
            msg = f"{time.isoformat()} has no time zone; write datetime(..., tzinfo=UTC)"
            raise InvalidRequestError(msg)
        return (time - EPOCH) // _US
    return time
