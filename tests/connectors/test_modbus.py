"""The Modbus connector with a real server: what is particular to Modbus. What every protocol must do is in test_conformance."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymodbus.constants import ExcCodes

from base.ids import now_us
from connectors.modbus.connector import ModbusConnector
from connectors.modbus.settings import ModbusSettings
from connectors.readings import Write, WriteStatus
from schemas import quality
from schemas.definitions import TagDefinition
from schemas.events import EventKind
from tests.connectors.modbus_server import ModbusServer
from tests.integration.gateway_support import MemorySink, tag, until


@contextlib.asynccontextmanager
async def connected(
    machine: ModbusServer, sink: MemorySink, *tags: TagDefinition, **settings: Any
) -> AsyncIterator[ModbusConnector]:
    values = {"timeout_s": 0.2, "retries": 0, "silent_min_s": 0.1, "silent_max_s": 0.4, "reconnect_min_s": 0.05}
    found = ModbusSettings(endpoint=machine.endpoint, **{**values, **settings})
    connector = ModbusConnector(found, name="m", sink=sink, clock=now_us)
    connector.update({one.address: one for one in tags}, frozenset())
    task = asyncio.create_task(connector.run())
    try:
        yield connector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@contextlib.asynccontextmanager
async def running(*units: int, holes: tuple[int, ...] = ()) -> AsyncIterator[ModbusServer]:
    machine = ModbusServer(*units, holes=holes)
    await machine.start()
    try:
        yield machine
    finally:
        await machine.stop()


def at(tag_id: int, place: str, **changes: Any) -> TagDefinition:
    return tag(tag_id, f"m:{place}", **changes)


async def test_types_orders_scaling_and_bits() -> None:
    async with running(1) as machine:
        await machine.set(1, 0, *struct.unpack(">2H", struct.pack(">f", 12.5)))
        await machine.set(1, 2, *reversed(struct.unpack(">2H", struct.pack(">i", -70_000))))
        await machine.set(1, 4, 0xFF38, 0b1000)
        await machine.set(1, 6, *struct.unpack(">4H", struct.pack(">d", -0.1)))
        sink = MemorySink()
        tags = (
            at(1, "1/holding/0?type=float32"),
            at(2, "1/40003?type=int32&order=cdab"),
            at(3, "1/holding/4?type=int16&scale=0.1&offset=5"),
            at(4, "1/holding/5.3"),
            at(5, "1/holding/6?type=float64"),
            at(6, "1/coil/83"),
            at(7, "1/30006"),
        )
        async with connected(machine, sink, *tags):
            await until(lambda: {row[0] for row in sink.rows} == set(range(1, 8)))
    found = {tag_id: sink.values(tag_id)[0] for tag_id in range(1, 8)}
    assert found[3] == pytest.approx(-15)
    del found[3]
    assert found == {1: 12.5, 2: -70_000, 4: True, 5: -0.1, 6: True, 7: 8}
    assert [type(found[tag_id]) for tag_id in (2, 4, 6)] == [int, bool, bool]
    assert {row[3] for row in sink.rows} == {quality.GOOD}


async def test_neighbours_are_one_request_and_each_period_has_its_own() -> None:
    async with running(1) as machine:
        sink = MemorySink()
        fast = [at(number, f"1/holding/{number}", period_ms=50) for number in range(1, 21)]
        slow = [at(number, f"1/holding/{number}", period_ms=86_400_000) for number in range(30, 40)]
        async with connected(machine, sink, *fast, *slow):
            await until(lambda: len(sink.values(20)) >= 5)
    assert {request[1:] for request in machine.requests} == {(3, 1, 20), (3, 30, 10)}
    assert machine.requests.count((1, 3, 30, 10)) == 1
    assert len(sink.values(1)) == len(sink.values(20))


async def test_an_illegal_address_is_refused_alone_and_its_neighbours_go_on() -> None:
    async with running(1, holes=(7, 8)) as machine:
        sink = MemorySink()
        tags = [at(number, f"1/holding/{number}", period_ms=50) for number in range(5, 15)]
        async with connected(machine, sink, *tags, at(30, "1/holding/7.1x")) as connector:
            await until(lambda: len(sink.values(14)) >= 3)
            await until(lambda: len(sink.values(5)) >= 3)
            assert sorted(connector.status()["refused"]) == ["m:1/holding/7", "m:1/holding/7.1x", "m:1/holding/8"]
    assert {row[0] for row in sink.rows} == {5, 6, *range(9, 15)}
    refused = {notice.attributes["address"]: notice.attributes["reason"] for notice in sink.of(EventKind.REFUSED)}
    assert refused["m:1/holding/7"] == "exception 2, illegal data address"
    assert "bit is '1x'" in refused["m:1/holding/7.1x"]
    assert len(sink.of(EventKind.REFUSED)) == 3


async def test_holes_between_tags_that_are_no_address_cost_no_tag() -> None:
    async with running(1, holes=(6,)) as machine:
        sink = MemorySink()
        async with connected(machine, sink, at(1, "1/holding/5"), at(2, "1/holding/7")):
            await until(lambda: {row[0] for row in sink.rows} == {1, 2})
    assert sink.of(EventKind.REFUSED) == []


async def test_a_refused_address_that_appears_is_read_and_its_absence_is_a_gap() -> None:
    machine = ModbusServer(1, holes=(7,))
    await machine.start()
    sink = MemorySink(seen={2: 1_000_000})
    async with connected(machine, sink, at(1, "1/holding/5"), at(2, "1/holding/7"), refused_retry_s=0.1) as connector:
        await until(lambda: connector.status()["refused"])
        await machine.stop()
        machine._holes.clear()
        await machine.start()
        await until(lambda: sink.values(2))
        assert connector.status()["refused"] == {}
    await machine.stop()
    (gap,) = [notice.gap for notice in sink.of(EventKind.GAP) if notice.gap and notice.gap.items[0].tag_id == 2]
    first_us = next(row[1] for row in sink.rows if row[0] == 2)
    assert (gap.items[0].from_us, gap.items[0].to_us) == (1_000_000, first_us)


async def test_a_silent_unit_is_a_gap_of_its_own_and_the_others_go_on() -> None:
    async with running(1, 2) as machine:
        sink = MemorySink()
        mine = at(1, "1/holding/0", period_ms=50, device_id=1)
        other = at(2, "2/holding/0", period_ms=50, device_id=2)
        async with connected(machine, sink, mine, other) as connector:
            await until(lambda: len(sink.values(2)) >= 3)
            machine.silent.add(2)
            await until(lambda: sink.of(EventKind.DEATH))
            last_us = [row[1] for row in sink.rows if row[0] == 2][-1]
            count = len(sink.values(1))
            await until(lambda: len(sink.values(1)) > count + 10)
            assert connector.status()["silent"] == {2: "no answer within 0.2 s"}
            machine.silent.clear()
            (gap,) = await until(lambda: [notice.gap for notice in sink.of(EventKind.GAP)])
            assert connector.status()["connects"] == 1
    first_us = next(row[1] for row in sink.rows if row[0] == 2 and row[1] > last_us)
    assert gap is not None
    assert [(item.tag_id, item.from_us, item.to_us) for item in gap.items] == [(2, last_us, first_us)]
    lives = {EventKind.BIRTH, EventKind.DEATH}  # a busy machine also says that it reads more slowly than asked for
    assert [(notice.kind, notice.device_id) for notice in sink.notices if notice.kind in lives] == [
        (EventKind.BIRTH, 1),
        (EventKind.BIRTH, 2),
        (EventKind.DEATH, 2),
        (EventKind.BIRTH, 2),
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(ExcCodes.DEVICE_FAILURE, quality.BAD_DEVICE_FAILURE), (ExcCodes.DEVICE_BUSY, quality.BAD_RESOURCE_UNAVAILABLE)],
)
async def test_an_exception_that_no_address_causes_is_bad_quality(code: ExcCodes, expected: int) -> None:
    async with running(1) as machine:
        machine.failing[1] = code
        sink = MemorySink()
        async with connected(machine, sink, at(1, "1/holding/0", period_ms=50), at(2, "1/holding/1", period_ms=50)):
            await until(lambda: len(sink.rows) >= 4)
            machine.failing.clear()
            await until(lambda: sink.rows[-1][3] == quality.GOOD)
    assert {row[2:] for row in sink.rows[:4]} == {(None, expected)}


async def test_answers_that_are_no_modbus_end_no_connector() -> None:
    async with running(1) as machine:
        sink = MemorySink()
        async with connected(machine, sink, at(1, "1/holding/0", period_ms=50)):
            await until(lambda: sink.rows)
            machine.answers_garbage = True
            await until(lambda: sink.of(EventKind.DEATH))
            machine.answers_garbage = False
            await until(lambda: sink.of(EventKind.GAP))


async def test_writes_of_every_kind_are_read_back() -> None:
    async with running(1) as machine:
        await machine.set(1, 10, 0b0101)
        sink = MemorySink()
        tags = (
            at(1, "1/holding/0?type=float32&order=dcba"),
            at(2, "1/coil/33"),
            at(3, "1/holding/4?type=int16&scale=0.1"),
            at(4, "1/holding/10.1"),
        )
        async with connected(machine, sink, *tags) as connector:
            await until(lambda: len(sink.rows) >= 4)
            result = await connector.write([Write(tags[0], 1.25), Write(tags[1], 1), Write(tags[2], -7.7)], 5)
            assert (result.status, dict(result.readback)) == (
                WriteStatus.DONE,
                {"t1": 1.25, "t2": 1.0, "t3": pytest.approx(-7.7)},
            )
            assert (await connector.write([Write(tags[3], 1)], 5)).status is WriteStatus.DONE
            assert await machine.get(1, 10) == [0b0111]
            assert await machine.get(1, 4) == [0x10000 - 77]
            assert await machine.get(1, 2) == [2]


async def test_what_cannot_be_written_moves_nothing() -> None:
    async with running(1) as machine:
        sink = MemorySink()
        fine, small, fixed = at(1, "1/holding/0"), at(2, "1/holding/1?type=int16"), at(3, "1/input/2")
        async with connected(machine, sink, fine, small, fixed) as connector:
            await until(lambda: len(sink.rows) >= 3)
            for bad, value, says in (
                (small, 40_000, "outside of int16"),
                (small, 1.5, "whole"),
                (fixed, 1, "read only"),
            ):
                result = await connector.write([Write(fine, 5), Write(bad, value)], 5)
                assert result.status is WriteStatus.NOT_SENT
                assert says in result.detail
            assert await machine.get(1, 0) == [0]


async def test_outcomes_of_writes_that_fail_on_the_way() -> None:
    async with running(1) as machine:
        sink = MemorySink()
        one, two, beyond = at(1, "1/holding/0"), at(2, "1/holding/1"), at(3, "1/holding/5000")
        async with connected(machine, sink, one, two, beyond, timeout_s=0.2) as connector:
            assert (await connector.write([Write(one, 5)], 1)).status is WriteStatus.NOT_SENT
            await until(lambda: len(sink.rows) >= 2)
            assert (await connector.write([Write(beyond, 5)], 5)).status is WriteStatus.REFUSED
            half = await connector.write([Write(one, 5), Write(beyond, 5), Write(two, 5)], 5)
            assert half.status is WriteStatus.PARTLY
            assert half.detail == (
                "partly carried out: t1: written and read back; t3: exception 2, illegal data address; t2: not sent"
            )
            assert [(name, one.effect.value) for name, one in half.tags.items()] == [
                ("t1", "APPLIED"),
                ("t3", "REFUSED"),
                ("t2", "NOT_SENT"),
            ]
            for code, expected in (
                (ExcCodes.DEVICE_BUSY, WriteStatus.REFUSED),
                (ExcCodes.DEVICE_FAILURE, WriteStatus.UNKNOWN),
                (ExcCodes.ACKNOWLEDGE, WriteStatus.UNKNOWN),
            ):
                machine.failing[1] = code
                assert (await connector.write([Write(one, 6)], 5)).status is expected
            machine.failing.clear()
            machine.ignores_writes = True
            other = await connector.write([Write(one, 6)], 5)
            assert (other.status, other.detail) == (WriteStatus.UNKNOWN, "t1: wrote 6, read back 5")
            machine.silent.add(1)
            before = len(machine.requests)
            silent = await connector.write([Write(one, 7)], 5)
            assert silent.status is WriteStatus.UNKNOWN
            writes = [request for request in machine.requests[before:] if request[1] == 6]
            assert len(writes) == 1, "a write is never repeated"


async def test_periods_that_the_bus_cannot_keep_are_told_once() -> None:
    async with running(1, 2) as machine:
        sink = MemorySink()
        machine.silent.add(2)
        tags = [at(1, "1/holding/0", period_ms=20), at(2, "2/holding/0", period_ms=20)]
        async with connected(machine, sink, *tags, timeout_s=0.1, silent_min_s=0.01, silent_max_s=0.01) as connector:
            await until(lambda: sink.of(EventKind.STATE))
            assert connector.status()["late"] >= 3
    assert "as often as the bus allows" in sink.of(EventKind.STATE)[0].text
