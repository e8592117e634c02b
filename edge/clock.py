"""Whether this machine's clock is disciplined, as the kernel says (adjtimex).

`UNSYNCHRONISED` is said only where a time service is expected: in virtual machines the host keeps the clock right and the
guest's kernel still reports it as unsynchronised, so without that expectation the honest answer is `UNKNOWN`.
"""

from __future__ import annotations

import ctypes
import logging

from schemas.frame import ClockStatus

log = logging.getLogger(__name__)

_STA_UNSYNC = 0x0040
_TIME_ERROR = 5


class _Timex(ctypes.Structure):
    # The head of Linux's struct timex; the rest is padding that the kernel may write.
    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def clock_status(*, time_service_expected: bool) -> ClockStatus:
    """Status of the system clock now."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        log.warning("adjtimex is not available: the clock's status is unknown")
        return ClockStatus.UNKNOWN
    if state >= 0 and state != _TIME_ERROR and not timex.status & _STA_UNSYNC:
        return ClockStatus.SYNCHRONISED
    return ClockStatus.UNSYNCHRONISED if time_service_expected else ClockStatus.UNKNOWN
