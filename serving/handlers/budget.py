"""How many updates a second streams may send: each of them, and all of them together. Pure, over a clock.

A reader that reads fast and watches everything would take the process for itself, and pacing by its reader (`serving.handlers.pace`) does
not see it: its writes never wait. So a stream pays for each update, and its next message is not due before it has paid. What it does not
send meanwhile is conflated. A stream may spend a second's worth at once, which is a snapshot or a plant that wakes up.

Together the streams share `total_per_s`: while they send more, the level, the most that any one of them may send, goes down, but never
below an equal share, so those that send little are not touched. It rises again when there is room.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_BURST_S = 1.0
_PERIOD_S = 0.25
_RISE = 1.1
_ROOM = 0.9
"""The level rises while less than this part of the total is used."""


class Budget:
    """The updates of one process. Called in the event loop only."""

    def __init__(
        self, *, stream_per_s: float, total_per_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream_per_s, self._total_per_s, self._clock_s = stream_per_s, total_per_s, clock_s
        self._streams = 0
        self._sent = 0
        self._since_s = clock_s()
        self.level = stream_per_s
        """Updates a second that any one stream may send now."""
        self.rate = 0.0
        """Updates a second that all streams sent in the last period."""

    @contextmanager
    def opened(self) -> Iterator[Share]:
        """The share of one stream while it is open."""
        self._streams += 1
        try:
            yield Share(self, self._clock_s)
        finally:
            self._streams -= 1

    def spend(self, updates: int) -> None:
        """So many were sent, by whomever."""
        self._sent += updates
        passed_s = self._clock_s() - self._since_s
        if passed_s < _PERIOD_S:
            return
        self.rate = self._sent / passed_s
        self._sent, self._since_s = 0, self._clock_s()
        if self.rate > self._total_per_s:
            fair = self._total_per_s / max(1, self._streams)
            self.level = min(self._stream_per_s, max(fair, self.level * self._total_per_s / self.rate))
        elif self.rate < _ROOM * self._total_per_s:
            self.level = min(self._stream_per_s, self.level * _RISE)


class Share:
    """What one stream may send."""

    def __init__(self, budget: Budget, clock_s: Callable[[], float]) -> None:
        self._budget, self._clock_s = budget, clock_s
        self._paid_s = clock_s() - _BURST_S

    def spend(self, updates: int) -> None:
        """So many were sent."""
        self._budget.spend(updates)
        self._paid_s = max(self._paid_s, self._clock_s() - _BURST_S) + updates / self._budget.level

    @property
    def wait_s(self) -> float:
        """Seconds until the next message may go; 0 for now."""
        return max(0.0, self._paid_s - self._clock_s())
