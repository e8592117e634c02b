"""What all services share: restarts, deadlines, closing, access."""

from __future__ import annotations

import asyncio

import pytest

from client_conformance.plant import PRESSES, Plant, rest
from millrace_client import (
    CommandState,
    DeadlineExceededError,
    PermissionDeniedError,
    UnavailableError,
    uuid7,
)


class RestartCases:
    """A server that goes away and comes back; deadlines; closing."""

    async def test_calls_outlast_a_restart(self, plant: Plant) -> None:
        client, command_id = plant.client(), uuid7()
        await client.tag(100)
        await plant.stop()
        reading = asyncio.create_task(client.tag(101))
        writing = asyncio.create_task(client.submit(11, "start", command_id=command_id))
        done, _ = await asyncio.wait([reading, writing], timeout=0.3)
        assert not done
        await plant.start()
        assert (await reading).tag_id == 101
        assert (await writing).command_id == command_id
        assert plant.submitted == [command_id]

    async def test_watches_outlast_a_restart(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        command = await client.submit(11, "start")
        async with client.watch(PRESSES[0]) as updates, client.watch_command(command) as states:
            assert (await anext(updates)).value.value == 1.0
            assert await anext(states) == command
            await plant.stop()
            await plant.start()
            plant.set(100, 2.0)
            plant.advance(command.command_id, CommandState.SUCCEEDED)
            while (await anext(updates)).value.value != 2.0:
                pass  # what the first server had sent, and what the second one knew at first
            assert [state.state for state in await rest(states)] == ["SUCCEEDED"]

    async def test_an_approval_is_not_said_twice(self, plant: Plant) -> None:
        ann, bob = plant.client("ann"), plant.client("bob")
        command = await ann.submit(11, "start", requires_approval=True)
        await bob.tag(100)
        await plant.stop()
        with pytest.raises(UnavailableError):
            await bob.approve(command)
        await plant.start()
        await bob.tag(100)
        await bob.approve(command)
        assert len(plant.controls) == 1

    async def test_a_deadline_bounds_the_retries(self, plant: Plant) -> None:
        client = plant.client()
        await client.tag(100)
        await plant.stop()
        with pytest.raises(UnavailableError):
            await asyncio.wait_for(client.tag(100, deadline_s=0.5), 60)
        await plant.start()

    async def test_a_stream_ends_at_its_deadline(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        async with client.watch(PRESSES[0], deadline_s=2.0) as updates:
            await anext(updates)
            with pytest.raises(DeadlineExceededError):
                await anext(updates)

    async def test_closing_a_stream_ends_its_reader(self, plant: Plant) -> None:
        updates = plant.client().watch(PRESSES[0])
        reading = asyncio.create_task(rest(updates))
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done
        await updates.aclose()
        assert await reading == []

    async def test_closing_a_client_ends_its_streams(self, plant: Plant) -> None:
        client = plant.client()
        plant.set(100, 1.0)
        updates = client.watch(PRESSES[0])
        assert (await anext(updates)).value.value == 1.0
        reading = asyncio.create_task(rest(updates))
        done, _ = await asyncio.wait([reading], timeout=0.1)
        assert not done
        await client.close()
        assert await reading == []


class AccessCases:
    """Who may do what."""

    async def test_a_caller_does_what_it_is_allowed(self, plant: Plant) -> None:
        reader = plant.client("reader", allow=("read",))
        assert (await reader.tag(100)).tag_id == 100
        with pytest.raises(PermissionDeniedError, match="may not command"):
            await reader.submit(11, "start")
        commander = plant.client("commander", allow=("read", "command"))
        command = await commander.submit(11, "start", requires_approval=True)
        with pytest.raises(PermissionDeniedError, match="may not approve"):
            await commander.approve(command)
        assert plant.submitted == [command.command_id]
