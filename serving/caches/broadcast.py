"""One kind of news for many readers, each with what it has not taken yet: device events, closed windows.

Enters: items, in the event loop. Leaves: each reader's items in their order. Nothing is conflated, so what a reader
leaves is bounded: one so slow that more than `MAX_PENDING` items wait for it is ended, and is told.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from base.errors import OverloadedError
from serving.caches.wakeup import Wakeup

T = TypeVar("T")
MAX_PENDING = 10_000


class Broadcast(Generic[T]):
    """The readers. `what` is the plural of the items, for the message to a slow reader."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._readers: set[Reader[T]] = set()

    def __len__(self) -> int:
        """Readers now: without any, nobody needs to make the items."""
        return len(self._readers)

    def send(self, item: T) -> None:
        """Hand an item to every reader that wants some of it."""
        for reader in tuple(self._readers):
            reader.offer(item)

    @contextmanager
    def opened(self, wakeup: Wakeup, pick: Callable[[T], T | None]) -> Iterator[Reader[T]]:
        """A reader of what `pick` makes of each item, nothing for None; until the block ends."""
        reader = Reader(wakeup, pick, self._what)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)


class Reader(Generic[T]):
    """What one reader has not taken yet."""

    def __init__(self, wakeup: Wakeup, pick: Callable[[T], T | None], what: str) -> None:
        self._wakeup, self._what, self.pick = wakeup, what, pick
        self._pending: deque[T] = deque()

    def offer(self, item: T) -> None:
        """Note an item."""
        picked = self.pick(item)
        if picked is None:
            return
        if len(self._pending) >= MAX_PENDING:
            self._pending.clear()
            msg = f"this stream was read too slowly: {MAX_PENDING} {self._what} waited; open it again"
            self._wakeup.end(OverloadedError(msg))
            return
        self._pending.append(picked)
        self._wakeup.set()

    async def items(self) -> AsyncGenerator[T, None]:
        """Items as the reader takes them."""
        while True:
            while self._pending:
                yield self._pending.popleft()
            await self._wakeup.wait()
