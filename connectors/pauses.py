"""Growing pauses between the attempts of a connection, for every protocol alike.

A pause doubles until the longest, and begins anew after a connection was made. It is drawn within a fifth of its length, so that
gateways that lost one server together do not come back together.
"""

from __future__ import annotations

import asyncio
import random


class Pauses:
    """The pauses of one connection, in seconds."""

    def __init__(self, min_s: float, max_s: float) -> None:
        self._min_s, self._max_s = min_s, max_s
        self._next_s = min_s

    async def sleep(self, *, connected: bool) -> None:
        """Pause before the next attempt; `connected`: the last one made a connection."""
        pause_s = self._min_s if connected else self._next_s
        self._next_s = min(2 * pause_s, self._max_s)
        await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
