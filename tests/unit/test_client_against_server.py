"""The client against a real server, in what the fake plant cannot show: starting, unreachable and overloaded servers."""

from __future__ import annotations

import asyncio

import pytest

from millrace_client import AsyncClient, Client, Connection, OverloadedError, UnavailableError
from serving.config import LimitSettings
from serving.server import STATE_SERVICE
from tests.unit.served import batch, served


async def test_a_read_is_tried_again_while_the_server_is_starting() -> None:
    async with served(ready=False) as running:
        call = asyncio.create_task(running.client.tag(100))
        done, _ = await asyncio.wait([call], timeout=0.1)
        assert not done
        await running.server.set_ready(STATE_SERVICE)
        assert (await call).tag_id == 100


async def test_what_was_never_reached_is_named_soon() -> None:
    words = r"127\.0\.0\.1:1: .*\(UNAVAILABLE\); check that the server runs"
    async with AsyncClient("127.0.0.1:1", deadline_s=60, first_contact_s=0.3) as client:
        async with asyncio.timeout(10):
            with pytest.raises(UnavailableError, match=words):
                await client.tag(1)
            with pytest.raises(UnavailableError, match=words):
                await anext(client.watch())
    with Client("127.0.0.1:1", deadline_s=60, first_contact_s=0.3) as blocking:
        with pytest.raises(UnavailableError, match=words):
            await asyncio.to_thread(blocking.tag, 1)
        with pytest.raises(UnavailableError, match=words):
            await asyncio.to_thread(next, blocking.watch())


async def test_too_many_calls_say_when_the_next_one_is_welcome() -> None:
    async with served(limits=LimitSettings(requests_per_s=2, burst=1)) as running:
        await running.client.tag(100)
        with pytest.raises(OverloadedError, match="try again in") as caught:
            await running.client.tag(100, deadline_s=0.05)
        assert caught.value.retry_after_s is not None
        assert 0 < caught.value.retry_after_s <= 0.5


async def test_a_call_that_comes_too_early_is_made_again_when_it_is_welcome() -> None:
    async with served(limits=LimitSettings(requests_per_s=5, burst=1)) as running:
        began_s = asyncio.get_running_loop().time()
        for _ in range(3):
            await running.client.tag(100)
        assert asyncio.get_running_loop().time() - began_s > 0.35


async def test_a_cancelled_read_does_not_end_the_watch() -> None:
    async with served() as running, running.client.watch() as updates:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(updates)
        reading = asyncio.create_task(anext(updates))
        running.server.values.apply(batch({100: 1.0}))
        assert (await reading).tag_id == 100


async def test_the_server_knows_the_caller_by_name() -> None:
    async with served() as running, AsyncClient(Connection(running.address, name="ann")) as client:
        assert (await client.submit(11, "start", traceparent="00-1-2-01")).submitted_by == "local:ann"
        assert running.request().traceparent == "00-1-2-01"
