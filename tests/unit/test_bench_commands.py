"""Commands at a rate, against a real server; their hops, and the silence of a job that was killed, as arithmetic over trips."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import count, pairwise
from uuid import UUID

import numpy as np

from benchmarks import command_hops, command_load
from benchmarks.command_hops import Times
from benchmarks.command_load import Trip
from schemas.commands import CommandRequest, CommandState
from tests.unit.served import Served, eventually, served

T0 = 1_800_000_000_000_000


def trip(number: int, seen_s: float) -> Trip:
    return Trip(command_id=UUID(int=number), device="d", due_us=T0, seen_us=T0 + int(seen_s * 1e6) if seen_s else 0)


def test_hops_are_between_steps_that_are_known() -> None:
    whole = Times(
        of={
            "due": T0,
            "durable": T0 + 5_000,
            "delivered": T0 + 9_000,
            "executing": T0 + 12_000,
            "acked": T0 + 20_000,
            "provisional": T0 + 24_000,
            "recorded": T0 + 27_000,
            "seen": T0 + 31_000,
        }
    )
    found = command_hops.table([whole, Times(of={"due": T0, "durable": T0 + 7_000, "seen": 0})])
    assert {hop: list(values) for hop, values in found.items()} == {
        "submit_to_durable": [5.0, 7.0],
        "submit_to_delivered": [9.0],
        "delivered_to_executing": [3.0],
        "executing_to_acked": [8.0],
        "acked_to_recorded": [7.0],
        "recorded_to_seen": [4.0],
        "acked_to_provisional": [4.0],
    }


def test_quantiles_reach_the_last_thousandth() -> None:
    found = command_hops.quantiles(np.arange(1, 10_001, dtype=np.float64), "x_")
    assert (found["x_p50_ms"], found["x_p99_9_ms"], found["x_max_ms"]) == (5000.5, 9990.0, 10_000.0)
    assert command_hops.quantiles(np.array([])) == {}


def test_silence_begins_with_the_last_outcome_before_the_kill() -> None:
    trips = [trip(number, seen_s) for number, seen_s in enumerate((1.0, 2.0, 0.0, 9.5, 9.6, 12.0))]
    assert command_hops.longest_silence_s(trips, T0 + 3_000_000) == 7.5
    assert command_hops.longest_silence_s([], T0) == 0


COUNT = 20


async def test_a_drive_goes_by_the_clock_and_sees_every_outcome() -> None:
    async with served() as running:
        held: list[CommandRequest] = []
        answering = asyncio.create_task(_answer(running, held, slow=3))
        trips = await command_load.drive(running.address, rate_hz=50.0, count=COUNT)
        answering.cancel()
    assert [one.state for one in trips] == ["SUCCEEDED"] * COUNT
    assert len({one.device for one in trips}) == 3
    dues = [later.due_us - sooner.due_us for sooner, later in pairwise(trips)]
    assert set(dues) == {20_000}  # whatever became of those before
    assert all(one.due_us < min(one.durable_us, one.seen_us) for one in trips)
    slow = next(one for one in trips if one.command_id == held[0].command_id)
    assert slow.seen_us > trips[-1].due_us  # the last one was sent before the slow one had its outcome


async def _answer(running: Served, held: list[CommandRequest], *, slow: int) -> None:
    """Stand in for gateway and job: every request succeeds at once, the one of number `slow`, which is `held`, behind the last."""
    for number in count():
        await eventually(partial(_has, running, number), timeout_s=30)
        request = running.request(number)
        if number == slow:
            held.append(request)
            continue
        for one in (request, *(held if number == COUNT - 1 else ())):
            running.record(one, CommandState.SUCCEEDED, 4)


def _has(running: Served, number: int) -> bool:
    return len(running.requests.records) > number
