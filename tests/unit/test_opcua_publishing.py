"""Publish requests of a session, without a server."""

from __future__ import annotations

import asyncio
import gc
from types import SimpleNamespace
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


class PromptService:
    """A session whose server answers on order: `answer` gives the oldest request that waits the next number."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[int]] = []
        self._number = 0

    async def publish(self, _acknowledgements: list[Any]) -> Any:
        request = asyncio.get_running_loop().create_future()
        self.waiting.append(request)
        return SimpleNamespace(Parameters=await request)

    def answer(self) -> None:
        self._number += 1
        self.waiting.pop(0).set_result(self._number)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_result_does_not_overtake_one_that_waits_for_a_slow_reader() -> None:
    """Overtaken results look lost: they are asked for again, and a server that keeps none cannot give them."""
    service = PromptService()
    publishing = Publishing(service)
    publishing.serve(1)
    running = asyncio.create_task(publishing.run())
    await settled()
    taken = []
    try:
        # Until the reader is so far behind that one request alone is under way.
        while len(service.waiting) > 1:
            service.answer()
            await settled()
        for _ in range(40):
            # In one turn of the loop an answer arrives and the reader makes room.
            if service.waiting:
                service.answer()
            taken.append(await publishing.result())
            await settled()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert taken == list(range(1, 41))


async def test_a_slow_reader_lets_the_server_wait() -> None:
    service = PromptService()
    publishing = Publishing(service)
    publishing.serve(1)
    running = asyncio.create_task(publishing.run())
    answered = 0
    try:
        while answered < 1000:
            await settled()
            if not service.waiting:
                break
            service.answer()
            answered += 1
        assert answered < 100
        await publishing.result()
        await settled()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
