"""Memory that a burst took, given back to the system.

glibc keeps what Python and numpy free, for the next time. After a batch of a backlog that is tens of megabytes, used by nothing until the
process ends. Who calls: the operators, at their ticks. Where the C library has no `malloc_trim` nothing happens.
"""

from __future__ import annotations

import ctypes

PERIOD_US = 30_000_000
_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


class HeapTrimmer:
    """Gives back what is free, every `period_us` at most."""

    def __init__(self, period_us: int = PERIOD_US) -> None:
        self._period_us = period_us
        self._next_us = 0

    def tick(self, now_us: int) -> bool:
        """Whether it was time."""
        if now_us < self._next_us:
            return False
        self._next_us = now_us + self._period_us
        if _trim is not None:
            _trim(0)
        return True
