"""How many bytes were taken from gateways and are not yet durable: bounded for each gateway, and for all together.

Who has no room waits, and with it its stream: gRPC's flow control stops the gateway, whose buffer is on its disk. Room is counted by the
holder of the certificate over all of its streams, those that have ended too: connecting anew makes no room. For one event loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress


class Budget:
    """Bytes."""

    def __init__(self, *, each: int, total: int) -> None:
        self._each, self._total = each, total
        self.taken = 0
        self._by_holder: dict[str, int] = {}
        self._waiting: deque[tuple[str, int, asyncio.Future[None]]] = deque()

    async def take(self, holder: str, size: int) -> None:
        """Wait for room, in the order of asking; a record larger than all the room gets it alone."""
        if not any(one[0] == holder for one in self._waiting) and self._fits(holder, size):
            self._add(holder, size)
            return
        waiting = asyncio.get_running_loop().create_future()
        entry = (holder, size, waiting)
        self._waiting.append(entry)
        try:
            await waiting
        except asyncio.CancelledError:
            if waiting.done() and not waiting.cancelled():
                self.give(holder, size)  # it was given in the same moment
            else:
                with suppress(ValueError):
                    self._waiting.remove(entry)
            raise

    def give(self, holder: str, size: int) -> None:
        """Room again."""
        self.taken -= size
        left = self._by_holder.get(holder, 0) - size
        if left > 0:
            self._by_holder[holder] = left
        else:
            self._by_holder.pop(holder, None)
        self._serve()

    def of(self, holder: str) -> int:
        """Bytes of one holder."""
        return self._by_holder.get(holder, 0)

    def _serve(self) -> None:
        """Those who wait, in order; who waits for its own room keeps nobody else."""
        left: deque[tuple[str, int, asyncio.Future[None]]] = deque()
        held = set[str]()
        while self._waiting:
            holder, size, waiting = entry = self._waiting.popleft()
            if waiting.done():
                continue
            if holder not in held and self._fits(holder, size):
                self._add(holder, size)
                waiting.set_result(None)
            else:
                held.add(holder)
                left.append(entry)
        self._waiting = left

    def _fits(self, holder: str, size: int) -> bool:
        own = self._by_holder.get(holder, 0)
        return (not own or own + size <= self._each) and (not self.taken or self.taken + size <= self._total)

    def _add(self, holder: str, size: int) -> None:
        self.taken += size
        self._by_holder[holder] = self._by_holder.get(holder, 0) + size
