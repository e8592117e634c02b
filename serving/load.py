"""How busy the event loop is, and the order in which it works: control before bulk.

One loop serves commands and streams. What makes a command wait is everything that became ready before it: 500 streams that wake at one
batch from Kafka are 100 ms of work. So a stream asks for its turn before it builds a message, and in each round of the loop only a few get
theirs: a command's steps, which ask for nobody's turn, then wait for a few messages at most. When turns come late, streams stretch their
intervals (`stretch`); when the loop itself is late, new bulk calls are refused. Called in the event loop only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from typing import TypeVar

from base.errors import OverloadedError

T = TypeVar("T")
_PERIOD_S = 0.05
_TURNS_A_ROUND = 4
_LATE_TURN_S = 0.1
_MAX_STRETCH = 40.0
_FORGET = 0.95
_WEIGHT = 0.1


class Load:
    """Measures the lag of the loop it runs in, and hands out turns."""

    def __init__(self, *, overload_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._overload_s = overload_s
        self._clock_s = clock_s
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._pumping = False
        self._usual_s = 0.0
        self.lag_s = 0.0
        """How late the loop came in the last second or so, at worst."""
        self.turn_s = 0.0
        """How long streams waited for their turn in the last second or so, at worst."""
        self.stretch = 1.0
        """What streams multiply their intervals with."""

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            before_s = self._clock_s()
            await asyncio.sleep(_PERIOD_S)
            self.note(self._clock_s() - before_s - _PERIOD_S)

    def note(self, late_s: float) -> None:
        """The loop came so late."""
        self.lag_s = max(late_s, self.lag_s * _FORGET)
        oldest_s = self._clock_s() - self._waiting[0][0] if self._waiting else 0.0
        self.turn_s = max(oldest_s, self.turn_s * _FORGET)
        self._usual_s += _WEIGHT * (late_s - self._usual_s)
        behind = self.turn_s > _LATE_TURN_S or late_s > self._overload_s
        self.stretch = min(_MAX_STRETCH, self.stretch * 1.1) if behind else max(1.0, self.stretch * 0.98)

    @property
    def overloaded(self) -> bool:
        """Whether new bulk work has to wait: the loop is late, and not for once, or streams wait long for their turns."""
        return self._usual_s > self._overload_s or self.turn_s > 10 * self._overload_s

    def require_room(self) -> None:
        """Raise OverloadedError when new bulk work has to wait."""
        if self.overloaded:
            late_ms, turns_ms = self.lag_s * 1000, self.turn_s * 1000
            msg = f"the server is overloaded: its loop is {late_ms:.0f} ms late, turns {turns_ms:.0f} ms; commands pass, bulk reads wait"
            raise OverloadedError(msg, retry_after_s=2.0)

    async def turn(self) -> None:
        """Return when it is this stream's turn to build and send a message."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((self._clock_s(), future))
        if not self._pumping:
            self._pumping = True
            loop.call_soon(self._pump, loop)
        await future

    def _pump(self, loop: asyncio.AbstractEventLoop) -> None:
        given = 0
        while self._waiting and given < _TURNS_A_ROUND:
            since_s, future = self._waiting.popleft()
            if not future.done():  # its stream may have ended meanwhile
                self.turn_s = max(self.turn_s, self._clock_s() - since_s)
                future.set_result(None)
                given += 1
        self._pumping = bool(self._waiting)
        if self._pumping:
            loop.call_soon(self._pump, loop)


async def spaced(items: Iterable[T]) -> AsyncIterator[T]:
    """Items of one call that has many. Between two of them the loop goes round: commands and streams pass; nobody's turn is waited for."""
    for item in items:
        yield item
        await asyncio.sleep(0)
