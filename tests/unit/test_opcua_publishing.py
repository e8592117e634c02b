"""Publish requests of a session, without a server."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from connectors.opcua.publishing import Publishing


class LostService:
    """A session whose connection is lost: all requests under way fail at once."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    async def publish(self, _acknowledgements: list[Any]) -> Any:
        await self.lost.wait()
        msg = "Connection is closed"
        raise ConnectionError(msg)


async def test_every_failure_of_a_lost_connection_is_looked_at() -> None:
    unheeded: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: unheeded.append(context))
    service = LostService()
    publishing = Publishing(service)
    publishing.serve(1)
    running = asyncio.create_task(publishing.run())
    for _ in range(20):  # until all of them wait
        await asyncio.sleep(0)
    assert publishing.requests > 1
    service.lost.set()
    await asyncio.wait({running})
    assert isinstance(running.exception(), ConnectionError)
    del publishing, running
    gc.collect()
    assert unheeded == []
