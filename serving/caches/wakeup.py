"""What a stream waits on: news, a time, or the end of the server. One per open stream, in the event loop.

`Streams` knows them all, so that shutdown can end every stream with a reason its caller can act on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from base.errors import MillraceError


class Wakeup:
    """An event that can also end. Setting it often costs nothing more than setting it once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._error: MillraceError | None = None

    def set(self) -> None:
        """There is news."""
        self._event.set()

    def end(self, error: MillraceError) -> None:
        """No more news: `wait` raises `error` from now on."""
        self._error = error
        self._event.set()

    async def wait(self, timeout_s: float | None = None) -> None:
        """Return at news or after `timeout_s`; raises the error it was ended with."""
        if timeout_s is None:
            await self._event.wait()
        else:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._event.wait()
            except TimeoutError:
                pass  # waiting this long was the wish
        if self._error is not None:
            raise self._error
        self._event.clear()


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
