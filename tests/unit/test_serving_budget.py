"""Updates a second: one stream's share, all streams' together, and a greedy reader of a real server."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass

import grpc
import pytest

from schemas.proto.millrace.v1 import state_pb2
from serving.config import LimitSettings
from serving.handlers.budget import Budget
from tests.unit.served import batch, definition, served, state_stub

pytestmark = pytest.mark.unit


@dataclass
class Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def simulated(budget: Budget, clock: Clock, wanted_per_s: list[float], seconds: float) -> list[float]:
    """Updates a second that streams get which want so many each and keep to what the budget says; of the last half of the time."""
    got = [0.0] * len(wanted_per_s)
    with ExitStack() as stack:
        shares = [stack.enter_context(budget.opened()) for _ in wanted_per_s]
        end_s, half_s = clock.now_s + seconds, clock.now_s + seconds / 2
        waiting = [0.0] * len(wanted_per_s)
        while clock.now_s < end_s:
            clock.now_s += 0.01
            for at, (share, per_s) in enumerate(zip(shares, wanted_per_s, strict=True)):
                waiting[at] += per_s * 0.01
                if waiting[at] >= 1 and share.wait_s == 0:
                    sent, waiting[at] = min(250, int(waiting[at])), 0.0  # what is not sent is conflated
                    share.spend(sent)
                    got[at] += sent if clock.now_s > half_s else 0
    return [count / (seconds / 2) for count in got]


def test_a_stream_spends_a_second_s_worth_at_once_and_pays_for_the_rest() -> None:
    clock = Clock()
    with Budget(stream_per_s=1_000, total_per_s=10_000, clock_s=clock).opened() as share:
        share.spend(1_000)
        assert share.wait_s == 0
        share.spend(250)
        assert share.wait_s == pytest.approx(0.25)
        clock.now_s += 0.25
        assert share.wait_s == 0
        clock.now_s += 60  # what was not spent is not kept
        share.spend(1_500)
        assert share.wait_s == pytest.approx(0.5)


def test_a_stream_gets_no_more_than_its_limit() -> None:
    clock = Clock()
    budget = Budget(stream_per_s=2_000, total_per_s=100_000, clock_s=clock)
    greedy, modest = simulated(budget, clock, [1e6, 20], seconds=20)
    assert greedy == pytest.approx(2_000, rel=0.05)
    assert modest == pytest.approx(20, rel=0.1)


@pytest.mark.security("SR 7.1")
def test_together_streams_get_no_more_than_the_total_and_small_ones_all_they_want() -> None:
    clock = Clock()
    budget = Budget(stream_per_s=20_000, total_per_s=10_000, clock_s=clock)
    *greedy, modest = simulated(budget, clock, [1e6, 1e6, 1e6, 1e6, 100], seconds=60)
    assert sum(greedy) + modest <= 11_000
    assert sum(greedy) >= 7_000
    assert max(greedy) < 1.2 * min(greedy)
    assert modest == pytest.approx(100, rel=0.1)


def test_the_level_rises_again_when_there_is_room() -> None:
    clock = Clock()
    budget = Budget(stream_per_s=20_000, total_per_s=10_000, clock_s=clock)
    simulated(budget, clock, [1e6] * 8, seconds=20)
    assert budget.level < 2_000
    simulated(budget, clock, [100], seconds=30)
    assert budget.level == 20_000


async def test_a_greedy_reader_is_told_and_gets_the_newest_values_less_often() -> None:
    """Seen: one that reads the whole plant as fast as it can takes the serving process."""
    limits = LimitSettings(stream_updates_per_s=500, overload_lag_ms=60_000)
    tags = [definition(tag_id=i, device_id=1, path=f"acme/south/a/l/c/d/t{i}", name=f"t{i}") for i in range(1, 501)]
    async with served(limits=limits) as running, grpc.aio.insecure_channel(running.address) as channel:
        running.know(tags, version=9)

        async def change() -> None:
            number = 0.0
            while True:
                number += 1
                running.server.values.apply(batch({tag.tag_id: number for tag in tags}))
                await asyncio.sleep(0.005)

        changing = asyncio.create_task(change())
        began_s = time.monotonic()
        stream = state_stub(channel).WatchTagBatches(
            state_pb2.WatchTagBatchesRequest(prefixes=["acme/south"], min_interval_ms=10)
        )
        updates, notice = 0, ""
        while "500 updates a second" not in notice:
            message = await stream.read()
            updates += len(message.updates)
            notice = message.notice
        for _ in range(4):
            message = await stream.read()
            updates += len(message.updates)
        # A second's worth at once, what its time allows, and the message that is on its way.
        assert updates <= 500 * (1 + time.monotonic() - began_s) + 250
        changing.cancel()
        stream.cancel()
