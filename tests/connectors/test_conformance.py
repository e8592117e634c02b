"""What every connector promises, tried with a real server of every protocol of the catalogue.

A protocol is in `machines.MACHINES`; what it cannot do it says there, with the reason. No part of ours is replaced but the
gateway: a sink that remembers what it is given.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from base.ids import now_us
from connectors.catalogue import PROTOCOLS
from connectors.readings import Connector, Seen, Write, WriteStatus
from schemas import quality
from schemas.events import EventKind, GapItem
from tests.connectors.machine import NAMES, Machine, connected, connector_of, running, tag_of
from tests.connectors.machines import MACHINES
from tests.integration.gateway_support import MemorySink, until


@pytest.fixture(params=sorted(PROTOCOLS))
async def stopped(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Machine]:
    """The protocol's machine, not yet running."""
    assert request.param in MACHINES, f"{request.param} is in the catalogue and not in tests/connectors/machines.py"
    made = MACHINES[request.param](tmp_path)
    yield made
    await made.stop()


@pytest.fixture
async def machine(stopped: Machine) -> Machine:
    """The protocol's machine, running."""
    await stopped.prepare()
    return stopped


def newest(sink: MemorySink, name: str) -> Any:
    """Last value of a name, or nothing."""
    return (sink.values(NAMES[name][0]) or [None])[-1]


def gap_items(sink: MemorySink) -> list[GapItem]:
    """Items of all gaps."""
    return [item for notice in sink.of(EventKind.GAP) if notice.gap for item in notice.gap.items]


def times(sink: MemorySink, name: str) -> list[int]:
    """Times of a name's samples, in order."""
    return [time_us for tag_id, time_us, _, _ in sink.rows if tag_id == NAMES[name][0]]


async def test_addresses_are_checked_as_they_are_read(stopped: Machine) -> None:
    for name in NAMES:
        PROTOCOLS[stopped.protocol].check_address(stopped.address(name))


async def test_values_come_in_their_types_with_good_quality(machine: Machine) -> None:
    sink = MemorySink()
    async with connected(machine, sink, *NAMES):
        for name, value in (("speed", 2.25), ("count", -70_000), ("running", True), ("later", -0.5)):
            await machine.set(name, value)
            await until(lambda name=name, value=value: newest(sink, name) == value)  # type: ignore[misc]
            assert type(newest(sink, name)) is type(value)
    assert {row[3] for row in sink.rows} == {quality.GOOD}
    assert sink.of(EventKind.GAP) == []
    assert [notice.device_id for notice in sink.of(EventKind.BIRTH)] == [1]


async def test_a_sample_has_the_time_of_its_source_or_of_its_receipt(machine: Machine) -> None:
    sink = MemorySink()
    async with connected(machine, sink, "speed") as connector:
        if "time" in machine.exempt:
            assert sink.of(EventKind.BIRTH)[0].attributes["time_source"] == "gateway"
            assert connector.status()["time_source"] == "gateway"
        before_us = now_us()
        put = [await machine.set("speed", float(value)) for value in range(10, 13)]
        await until(lambda: newest(sink, "speed") == 12.0)
    if "time" in machine.exempt:
        first = next(at for at, row in enumerate(sink.rows) if row[2] == 12.0)
        assert before_us <= sink.rows[first][1] <= now_us()
    else:
        assert times(sink, "speed")[-3:] == put


async def test_a_bad_quality_is_carried(machine: Machine) -> None:
    machine.needs("quality")
    sink = MemorySink()
    async with connected(machine, sink, "speed"):
        await machine.set("speed", 5.5, bad=True)
        await until(lambda: sink.rows and quality.name(sink.rows[-1][3]) == "bad")
        await machine.set("speed", 6.5)
        await until(lambda: newest(sink, "speed") == 6.5)
    assert sink.rows[-1][3] == quality.GOOD


async def test_an_outage_is_a_gap_of_each_tag_with_its_own_bounds(machine: Machine) -> None:
    sink = MemorySink()
    async with connected(machine, sink, "speed", "count") as connector:
        await machine.set("speed", 3.5)
        await until(lambda: newest(sink, "speed") == 3.5)
        await machine.set("count", 11)
        await until(lambda: newest(sink, "count") == 11)
        await machine.stop()
        await until(lambda: sink.of(EventKind.DEATH), what="death of the device")
        assert connector.status()["problem"]
        machine.miss("speed", 4.5)
        machine.miss("count", 12)
        await machine.start()
        await until(lambda: len(sink.of(EventKind.BIRTH)) == 2, what="second birth")
        if "gap" in machine.exempt:
            await machine.set("speed", 4.5)
            await machine.set("count", 12)
        await until(lambda: newest(sink, "speed") == 4.5 and newest(sink, "count") == 12)
        assert connector.status()["connects"] == 2
        assert connector.status()["problem"] == ""
    assert len(sink.of(EventKind.DEATH)) == 1
    if "gap" in machine.exempt:
        assert gap_items(sink) == []
        return
    found = gap_items(sink)
    assert sorted(item.tag_id for item in found) == [1, 2]
    for item in found:
        name = next(name for name, (tag_id, _, _) in NAMES.items() if tag_id == item.tag_id)
        assert (item.from_us, item.to_us) in itertools.pairwise(times(sink, name))


async def test_what_was_missed_while_no_gateway_ran_is_a_gap(machine: Machine) -> None:
    machine.needs("gap")
    seen_us = machine.values["speed"][1] - 10_000_000
    sink = MemorySink(seen={NAMES["speed"][0]: seen_us})
    async with connected(machine, sink, "speed", "count"):
        await machine.set("speed", 8.5)
        await until(lambda: newest(sink, "speed") == 8.5)
    assert gap_items(sink) == [GapItem(tag_id=1, from_us=seen_us, to_us=times(sink, "speed")[0])]


async def test_samples_that_were_appended_before_are_not_new(machine: Machine) -> None:
    machine.needs("time")
    sink = MemorySink(seen={tag_id: machine.values[name][1] for name, (tag_id, _, _) in NAMES.items()})
    async with connected(machine, sink, *NAMES):
        await machine.set("count", 99)
        await until(lambda: newest(sink, "count") == 99)
    assert sink.rows == [(NAMES["count"][0], machine.values["count"][1], 99, quality.GOOD)]


async def test_a_value_with_the_time_that_was_seen_is_new_when_it_is_another(machine: Machine) -> None:
    machine.needs("time")
    seen = {tag_id: Seen(machine.values[name][1], machine.values[name][0]) for name, (tag_id, _, _) in NAMES.items()}
    tag_id = NAMES["speed"][0]
    sink = MemorySink(seen={**seen, tag_id: Seen(seen[tag_id].time_us, -1.0)})
    async with connected(machine, sink, *NAMES):
        await machine.set("count", 99)
        await until(lambda: newest(sink, "count") == 99)
    value, time_us = machine.values["speed"][:2]
    assert [row for row in sink.rows if row[2] != 99] == [(tag_id, time_us, value, quality.GOOD)]


async def test_one_address_that_is_nowhere_is_refused_alone(machine: Machine) -> None:
    sink = MemorySink()
    async with connected(machine, sink, "speed", "missing", "count") as connector:
        await machine.set("speed", 7.5)
        await machine.set("count", 5)
        await until(lambda: newest(sink, "speed") == 7.5 and newest(sink, "count") == 5)
        if "refuse" not in machine.exempt:
            await until(lambda: list(connector.status()["refused"]) == [f"m:{machine.address('missing')}"])
        assert connector.status()["connects"] == 1
    assert {row[0] for row in sink.rows} == {1, 2}


async def test_poison_costs_nobody_else_anything(machine: Machine) -> None:
    sink = MemorySink()
    async with connected(machine, sink, "speed", "count"):
        await machine.poison()
        await machine.set("count", 21)
        await until(lambda: newest(sink, "count") == 21)
        await machine.set("speed", 21.5)
        await until(lambda: newest(sink, "speed") == 21.5)
    assert all(len(notice.text) < 1000 for notice in sink.notices)


async def test_a_write_is_done_when_the_machine_has_it(machine: Machine) -> None:
    machine.needs("write")
    sink = MemorySink()
    speed = tag_of(machine, "speed")
    async with connected(machine, sink, "speed") as connector:
        await until(lambda: newest(sink, "speed") is not None)
        done = await connector.write([Write(speed, 44.5)], 10)
        assert (done.status, dict(done.readback)) == (WriteStatus.DONE, {"speed": 44.5}), done.detail
        assert await machine.get("speed") == 44.5
        await machine.refuse_writes()
        refused = await connector.write([Write(speed, 55.5)], 0.5)
        assert refused.status is machine.refusal, refused.detail
        assert refused.detail
        assert await machine.get("speed") == 44.5


async def test_a_write_without_a_connection_is_not_sent(stopped: Machine) -> None:
    connector = connector_of(stopped, MemorySink(), tag_of(stopped, "speed"))
    result = await connector.write([Write(tag_of(stopped, "speed"), 44.5)], 1)
    assert result.status is WriteStatus.NOT_SENT
    assert result.detail


async def test_a_machine_that_comes_later_is_waited_for(stopped: Machine) -> None:
    machine, sink = stopped, MemorySink()
    connector = connector_of(machine, sink, tag_of(machine, "speed"))
    async with running(connector) as task:
        await until(lambda: sink.of(EventKind.DEATH), what="death of the device")
        await machine.prepare()
        await until(lambda: sink.of(EventKind.BIRTH), what="birth of the device")
        await until(lambda: newest(sink, "speed") == machine.values["speed"][0])
        assert not task.done()


async def test_tags_come_and_go_while_the_others_are_read(machine: Machine) -> None:
    sink = MemorySink()
    speed, later = tag_of(machine, "speed"), tag_of(machine, "later")
    async with connected(machine, sink, "speed") as connector:
        await until(lambda: newest(sink, "speed") is not None)
        update(connector, speed, later)
        await machine.set("later", 9.25)
        await until(lambda: newest(sink, "later") is not None)
        await machine.set("later", 10.25)
        await until(lambda: newest(sink, "later") == 10.25)
        update(connector, speed)
        await machine.set("speed", 70.5)
        await until(lambda: newest(sink, "speed") == 70.5)
        count = len(sink.values(NAMES["later"][0]))
        await machine.set("later", 11.25)
        await machine.set("speed", 71.5)
        await until(lambda: newest(sink, "speed") == 71.5)
        assert len(sink.values(NAMES["later"][0])) == count
        assert connector.status()["connects"] == 1
    assert sink.of(EventKind.GAP) == []


def update(connector: Connector, *tags: Any) -> None:
    connector.update({one.address: one for one in tags}, frozenset())


async def test_a_stopped_connector_leaves_no_task_behind(machine: Machine) -> None:
    before = asyncio.all_tasks()
    sink = MemorySink(hold=True)
    async with connected(machine, sink, "speed", "count") as connector:
        await until(lambda: sink.rows)
        waiting = asyncio.create_task(connector.write([Write(tag_of(machine, "speed"), 3.0)], 5))
        await asyncio.sleep(0)
    await asyncio.wait_for(waiting, 20)
    await until(lambda: not (asyncio.all_tasks() - before), what="no task is left")


async def test_nothing_is_acknowledged_before_it_is_appended(stopped: Machine) -> None:
    machine = stopped
    machine.needs("redelivery")
    await machine.prepare()
    first = MemorySink(hold=True)
    async with connected(machine, first, "speed"):
        await machine.set("speed", 31.5)
        await until(lambda: newest(first, "speed") == 31.5)
    again = MemorySink()
    async with connected(machine, again, "speed"):
        await until(lambda: 31.5 in again.values(NAMES["speed"][0]))
