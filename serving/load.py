"""How busy the event loop is, and the order in which it works: control before bulk.

One loop serves commands and streams. What makes a command wait is everything that became ready before it: 500 streams that wake at one
batch from Kafka are 100 ms of work. So a stream takes its turn before it builds a message, and few have theirs at a time: a command's
steps, which ask for nobody's turn, then wait for a few messages at most. A turn lasts until its message is written: gRPC tells of written
messages and of the steps of calls in one queue, the oldest first, so a message of which it has not told stands before a command as well.
When turns come late, streams stretch their intervals (`stretch`); when the loop itself is late, new bulk calls are refused. Called in the
event loop only.
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
_TURNS = 8
"""Turns that last at the same time."""
_WRITTEN_S = 0.02
"""A message that takes longer waits for its reader, who holds up nobody else: his turn is another's."""
_LATE_TURN_S = 0.1
_MAX_STRETCH = 40.0
_FORGET = 0.95
_WEIGHT = 0.1


class Load:
    """Measures the lag of the loop it runs in, and hands out turns."""

    def __init__(self, *, overload_s: float, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._overload_s = overload_s
        self._clock_s = clock_s
        self._waiting: deque[tuple[float, Turn, asyncio.Future[None]]] = deque()
        self._given: dict[Turn, float] = {}
        self._looking = False
        self._usual_s = 0.0
        self.lag_s = 0.0
        """How late the loop came in the last second or so, at worst."""
        self.turn_s = 0.0
        """How long streams waited for their turn in the last second or so, at worst."""
        self.stretch = 1.0
        """What streams multiply their intervals with."""
        self.turns = 0
        """How many turns were given."""

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

    async def give(self, turn: Turn) -> None:
        """Return when it is this turn's time; others pass in any case."""
        if len(self._given) < _TURNS and not self._waiting:
            self._hold(turn, self._clock_s())
            await asyncio.sleep(0)
            return
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append((self._clock_s(), turn, future))
        if not self._looking:
            self._looking = True
            loop.call_later(_WRITTEN_S, self._look, loop)
        await future

    def take_back(self, turn: Turn) -> None:
        """The turn is over, if it was given."""
        if self._given.pop(turn, None) is not None:
            self._hand_on()

    def _hold(self, turn: Turn, now_s: float) -> None:
        self._given[turn] = now_s
        self.turns += 1

    def _hand_on(self) -> None:
        # Whoever is woken here runs in the next round of the loop, so no round has more than the turns that last.
        while self._waiting and len(self._given) < _TURNS:
            since_s, turn, future = self._waiting.popleft()
            if not future.done():  # its stream may have ended meanwhile
                now_s = self._clock_s()
                self.turn_s = max(self.turn_s, now_s - since_s)
                self._hold(turn, now_s)
                future.set_result(None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give the turns of slow readers to others."""
        before_s = self._clock_s() - _WRITTEN_S
        for turn in [turn for turn, since_s in self._given.items() if since_s < before_s]:
            del self._given[turn]
        self._hand_on()
        self._looking = bool(self._waiting)
        if self._looking:
            loop.call_later(_WRITTEN_S, self._look, loop)


class Turn:
    """The turn of one stream: taken before each message, over when the stream takes the next, waits or ends."""

    __slots__ = ("_load",)

    def __init__(self, load: Load) -> None:
        self._load = load

    async def take(self) -> None:
        """End the turn that was, and return when the next has come."""
        self._load.take_back(self)
        await self._load.give(self)

    def end(self) -> None:
        """The message is written, and nothing is to be sent now."""
        self._load.take_back(self)

    def __enter__(self) -> Turn:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


async def spaced(items: Iterable[T]) -> AsyncIterator[T]:
    """Items of one call that has many. Between two of them the loop goes round: commands and streams pass; nobody's turn is waited for."""
    for item in items:
        yield item
        await asyncio.sleep(0)
