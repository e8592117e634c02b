"""Commands at a given rate, open loop: each goes out at its time, whatever became of those before it.

Enters: the address of serving, a rate and a number. Leaves: a `Trip` per command with the times at which its caller saw it due,
durable, ended by the gateway's word, and ended in the record. Latency counts from the time it was due: a system that is slow for a
second is slow for all that fell due in it. Several callers, because one may submit ten a second; one stream watches all outcomes.
Machines take turns, values lie within the range of their setpoint and differ from the one before, so a read-back or report of an old
value is never taken for the new one.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from uuid import UUID

from base.ids import now_us, uuid7
from millrace_client import AsyncClient, Command, Connection, MillraceError, Tag

_TAG = "speed_setpoint"
_PER_CALLER_HZ = 8.0
_PATIENCE_S = 60.0


@dataclass(kw_only=True, slots=True)
class Trip:
    """A command as its caller saw it; microseconds since 1970, 0 for what did not happen. `refusal`: why it could not be submitted."""

    command_id: UUID
    device: str
    due_us: int
    durable_us: int = 0
    provisional_us: int = 0
    seen_us: int = 0
    site: str = ""
    state: str = ""
    refusal: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the record says that it was carried out."""
        return self.state == "SUCCEEDED"


async def drive(address: str, *, rate_hz: float, count: int) -> list[Trip]:
    """Submit so many commands and wait for their outcomes, a minute after the last at most."""
    trips: dict[UUID, Trip] = {}
    async with AsyncExitStack() as stack:
        callers = [
            await stack.enter_async_context(AsyncClient(Connection(address, name=f"bench-{number}")))
            for number in range(math.ceil(rate_hz / _PER_CALLER_HZ))
        ]
        tags = [tag async for tag in callers[0].tags() if tag.name == _TAG]
        watching = asyncio.create_task(_watch(callers[0], trips))
        under_way: set[asyncio.Task[None]] = set()
        start_us = now_us() + 500_000
        for number in range(count):
            due_us = start_us + int(number * 1e6 / rate_hz)
            await asyncio.sleep(max(0.0, (due_us - now_us()) / 1e6))
            tag = tags[number % len(tags)]
            trip = Trip(command_id=uuid7(), device=tag.path.rpartition("/")[0], due_us=due_us)
            trips[trip.command_id] = trip
            task = asyncio.create_task(_submit(callers[number % len(callers)], trip, _value(tag, number, tags)))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                await _all_ended(trips)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return list(trips.values())


async def _all_ended(trips: dict[UUID, Trip]) -> None:
    for trip in trips.values():
        while not (trip.seen_us or trip.refusal):  # noqa: ASYNC110 - nothing signals it
            await asyncio.sleep(0.1)


def _value(tag: Tag, number: int, tags: Sequence[Tag]) -> float:
    assert tag.eu_low is not None
    assert tag.eu_high is not None
    step = number // len(tags) % 100
    return round(tag.eu_low + (tag.eu_high - tag.eu_low) * (0.5 + 0.003 * step), 4)


async def _submit(caller: AsyncClient, trip: Trip, value: float) -> None:
    try:
        command = await caller.submit(trip.device, "write", {_TAG: value}, command_id=trip.command_id)
    except MillraceError as error:
        trip.refusal = f"{type(error).__name__}: {error}"
        return
    trip.durable_us, trip.site = now_us(), command.site


async def _watch(client: AsyncClient, trips: dict[UUID, Trip]) -> None:
    async with client.watch_commands() as commands:
        async for command in commands:
            if (trip := trips.get(command.command_id)) is not None:
                _note(trip, command)


def _note(trip: Trip, command: Command) -> None:
    if command.state.value not in {"SUCCEEDED", "FAILED", "REJECTED", "EXPIRED", "CANCELLED", "UNKNOWN"}:
        return
    trip.provisional_us = trip.provisional_us or now_us()
    if command.final and not trip.seen_us:
        trip.seen_us, trip.state = now_us(), command.state.value
