"""What a server grants is read, obeyed and told: sizes of calls, publish requests, items of a subscription, queues and sampling."""

from __future__ import annotations

import pytest

from connectors.readings import Write, WriteStatus
from schemas.events import EventKind
from tests.integration.gateway_support import MemorySink, until
from tests.unit.opcua_servers import Machine, connected, tags_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLOW_MACHINE_S = 60


def names(prefix: str, count: int) -> list[str]:
    return [f"{prefix}.{number}" for number in range(count)]


async def test_calls_that_are_too_big_are_halved_and_go_on(machine: Machine) -> None:
    tags = tags_of(await machine.add(names("big", 60)), device_id=1)
    machine.limited.per_call = 10
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await until(lambda: len(sink.rows) == 60, timeout_s=SLOW_MACHINE_S)
        assert machine.limited.refused <= 4  # 60, 30, 15 of the items; not one for each batch
        assert max(machine.limited.sizes[-4:]) <= 10
        assert connector.status()["limits"]["MaxMonitoredItemsPerCall"] <= 10
        done = await connector.write([Write(one, 2.0) for one in tags[:25]], 30.0)
        assert done.status is WriteStatus.DONE
        assert connector.status()["connects"] == 1
    assert sink.of(EventKind.GAP) == []


async def test_stated_limits_are_obeyed_from_the_first_call(machine: Machine) -> None:
    tags = tags_of(await machine.add(names("told", 30)))
    machine.limited.per_call = 12
    await machine.state("OperationLimits_MaxMonitoredItemsPerCall", 12)
    await machine.state("OperationLimits_MaxNodesPerRead", 12)
    await machine.state("OperationLimits_MaxNodesPerWrite", 12)
    sink = MemorySink()
    try:
        async with connected(machine, tags, sink) as connector:
            await until(lambda: len(sink.rows) == 30, timeout_s=SLOW_MACHINE_S)
            assert (await connector.write([Write(one, 2.0) for one in tags], 30.0)).status is WriteStatus.DONE
            assert connector.status()["limits"]["MaxNodesPerWrite"] == 12
        assert machine.limited.refused == 0
    finally:
        for limit in ("MaxMonitoredItemsPerCall", "MaxNodesPerRead", "MaxNodesPerWrite"):
            await machine.state(f"OperationLimits_{limit}", 0)


async def test_too_many_publish_requests_cost_no_session(machine: Machine) -> None:
    tags = tags_of(await machine.add(["few.a"]))
    machine.limited.publish_requests = 2
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await until(lambda: sink.rows, timeout_s=SLOW_MACHINE_S)
        for value in range(1, 40):
            await machine.set("few.a", float(value))
            await until(lambda: len(sink.rows) > value, timeout_s=SLOW_MACHINE_S)  # noqa: B023 - waited for at once
        status = connector.status()
        assert (status["connects"], status["problem"]) == (1, "")
        assert status["publish_requests"] <= 2
    assert sink.values(1) == [float(value) for value in range(40)]
    assert sink.of(EventKind.GAP) == []
    assert sink.of(EventKind.DEATH) == []


async def test_items_that_a_subscription_does_not_take_go_into_another(machine: Machine) -> None:
    tags = tags_of(await machine.add(names("more", 25)))
    machine.limited.items_per_subscription = 10
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await until(lambda: len(sink.rows) == 25, timeout_s=SLOW_MACHINE_S)
        assert len(connector.status()["subscriptions"]) == 3
        assert connector.status()["refused"] == {}
        for one in range(25):
            await machine.set(f"more.{one}", 1.0)
        await until(lambda: len(sink.rows) == 50, timeout_s=SLOW_MACHINE_S)
        assert connector.status()["limited"] == ""
        # What is no longer wanted leaves no empty subscription behind.
        connector.update({one.address: one for one in tags[:5]}, frozenset())
        await until(lambda: len(machine.subscriptions()) == 1, timeout_s=SLOW_MACHINE_S)


async def test_what_the_server_as_a_whole_does_not_take_is_told_and_tried_again(machine: Machine) -> None:
    tags = tags_of(await machine.add(names("full", 12)))
    machine.limited.items = 8
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await until(lambda: len(connector.status()["refused"]) == 4, timeout_s=SLOW_MACHINE_S)
        assert set(connector.status()["refused"].values()) == {"BadTooManyMonitoredItems"}
        assert "4 of 12 items are refused (BadTooManyMonitoredItems)" in connector.status()["limited"]
        (event,) = sink.of(EventKind.STATE)
        assert (event.device_id, event.attributes["BadTooManyMonitoredItems"]) == (0, "4")
        machine.limited.items = 0
        await until(lambda: len(sink.rows) == 12, timeout_s=SLOW_MACHINE_S)
        await until(lambda: connector.status()["limited"] == "", timeout_s=SLOW_MACHINE_S)


async def test_a_short_queue_and_slow_sampling_are_seen_per_item_and_told_once(machine: Machine) -> None:
    addresses = await machine.add(["slow.a", "slow.b"])
    tags = [*tags_of(addresses[:1], period_ms=100), *tags_of(addresses[1:], first=2, period_ms=5000)]
    machine.limited.queue_size, machine.limited.sampling_ms = 1, 1000.0
    sink = MemorySink()
    async with connected(machine, tags, sink, publishing_interval_ms=100) as connector:
        await until(lambda: sink.of(EventKind.STATE), timeout_s=SLOW_MACHINE_S)
        status = connector.status()
        assert list(status["limited_items"]) == [tags[0].address]
        assert "sampled every 1000 ms, period 100 ms" in status["limited_items"][tags[0].address]
        assert "1 of 2 items are sampled less often than they change" in status["limited"]
        for value in range(3):
            await machine.set("slow.a", float(value + 1))
        await until(lambda: 3.0 in sink.values(1), timeout_s=SLOW_MACHINE_S)
    (event,) = sink.of(EventKind.STATE)
    assert event.attributes["slow_sampling"] == "1"


async def test_a_queue_of_one_is_too_short_for_a_tag_as_fast_as_the_publications(machine: Machine) -> None:
    tags = tags_of(await machine.add(["short.a"]), period_ms=20)
    machine.limited.queue_size = 1
    async with connected(machine, tags, sink := MemorySink()) as connector:
        await until(lambda: sink.of(EventKind.STATE), timeout_s=SLOW_MACHINE_S)
        assert "queue of 1" in connector.status()["limited_items"][tags[0].address]


async def test_a_server_that_knows_no_filters_is_asked_without(machine: Machine) -> None:
    tags = tags_of(await machine.add(names("bare", 3)))
    machine.limited.filters = False
    sink = MemorySink()
    async with connected(machine, tags, sink) as connector:
        await until(lambda: len(sink.rows) == 3, timeout_s=SLOW_MACHINE_S)
        await machine.set("bare.0", 1.0)
        await until(lambda: 1.0 in sink.values(1), timeout_s=SLOW_MACHINE_S)
        assert connector.status()["refused"] == {}


async def test_a_deadband_at_the_server_keeps_small_changes_back(machine: Machine) -> None:
    tags = tags_of(await machine.add(["band.a"]), deadband=0.5)
    sink = MemorySink()
    async with connected(machine, tags, sink, server_deadband=True):
        await until(lambda: sink.rows, timeout_s=SLOW_MACHINE_S)
        await machine.set("band.a", 0.2)
        await machine.set("band.a", 3.0)
        await until(lambda: 3.0 in sink.values(1), timeout_s=SLOW_MACHINE_S)
    assert sink.values(1) == [0.0, 3.0]
