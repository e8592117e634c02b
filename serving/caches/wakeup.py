"""What a stream waits on: news, a time, or the end of the server. One per open stream, in the event loop.

`Streams` knows them all, so that shutdown can end every stream with a reason its caller can act on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from base.errors import MillraceError


class Wakeup:
    """An event that can also end, for one who waits. Setting it often costs nothing more than setting it once.

    Streams wait several times for each message: an `asyncio.Event` in an `asyncio.timeout` costs four times as much.
    """

    def __init__(self) -> None:
        self.news = False
        """Whether the next wait returns at once."""
        self._waiter: asyncio.Future[None] | None = None
        self._error: MillraceError | None = None

    def set(self) -> None:
        """There is news."""
        self.news = True
        if self._waiter is not None:
            _release(self._waiter)

    def end(self, error: MillraceError) -> None:
        """No more news: `wait` raises `error` from now on."""
        self._error = error
        self.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return at news or after `timeout_s`; raises the error it was ended with."""
        if not self.news:
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None if timeout_s is None else loop.call_later(timeout_s, _release, self._waiter)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        if self._error is not None:
            raise self._error
        self.news = False


def _release(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


class Streams:
    """Every open stream of the server."""

    def __init__(self) -> None:
        self._open: set[Wakeup] = set()
        self._ended: MillraceError | None = None

    def __len__(self) -> int:
        return len(self._open)

    @contextmanager
    def opened(self) -> Iterator[Wakeup]:
        """A wakeup for the time a stream is open."""
        wakeup = Wakeup()
        if self._ended is not None:
            wakeup.end(self._ended)
        self._open.add(wakeup)
        try:
            yield wakeup
        finally:
            self._open.discard(wakeup)

    def end_all(self, error: MillraceError) -> None:
        """End the open streams, and those that would still open."""
        self._ended = error
        for wakeup in self._open:
            wakeup.end(error)
