"""Items that say nothing are read now and then: silence may be a value that does not change, or an item that died unnoticed.

Some servers say nothing when a node is deleted, and nothing when it is made again. An item is missed when the value that is read is another
one than the last that was told, and still is after the server had time to tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from connectors.opcua.items import Item
from connectors.opcua.values import GONE

_AT_ONCE = 2000
_TELLING_S = 1.0


class Silence:
    """One session's look at its silent items."""

    def __init__(self, read: Callable[[Sequence[Any]], Awaitable[Sequence[Any]]]) -> None:
        """`read` gives the data values of nodes."""
        self._read = read
        self._told_us: dict[int, int] = {}

    async def look(self, items: Iterable[Item]) -> tuple[list[Item], list[Item]]:
        """Items whose node is gone, and items that were missed, among those that said nothing since the last look."""
        subscribed = [item for item in items if item.subscribed and not item.fresh]
        quiet = [item for item in subscribed if self._told_us.get(item.handle) == item.last.time_us][:_AT_ONCE]
        # Behind those that were looked at now, so that each has its turn.
        looked = {item.handle for item in quiet}
        self._told_us = {item.handle: item.last.time_us for item in subscribed if item.handle not in looked}
        gone, suspect = [], []
        values = await self._read([item.node_id for item in quiet]) if quiet else []
        for item, data in zip(quiet, values, strict=True):
            if data.StatusCode is not None and data.StatusCode.value in GONE:
                gone.append(item)
            elif _differs(item, data):
                suspect.append((item, item.last.time_us))
        if suspect:
            await asyncio.sleep(max(_TELLING_S, *(_telling_s(item) for item, _ in suspect)))
        return gone, [item for item, last_us in suspect if item.last.time_us == last_us and item.subscribed]


def _differs(item: Item, data: Any) -> bool:
    value = data.Value.Value if data.Value is not None else None
    if (
        isinstance(value, int | float)
        and isinstance(item.value, int | float)
        and abs(value - item.value) <= item.tag.band
    ):
        return False  # a server's deadband may keep it back
    return bool(value != item.value and not (value != value and item.value != item.value))  # noqa: PLR0124 - NaN


def _telling_s(item: Item) -> float:
    """How long the server may take to tell of a change."""
    return 2 * (item.revised.sampling_ms + item.revised.publishing_ms) / 1000 if item.revised is not None else 0.0
