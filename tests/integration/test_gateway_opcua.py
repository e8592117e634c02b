"""The OPC UA connector against a real server: every sample once, gaps named, writes read back."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server, ua

from base.ids import now_us
from connectors.opcua.certificates import CertificateStore
from connectors.opcua.connector import OpcUaConnector
from connectors.opcua.settings import OpcUaSettings
from connectors.readings import Notice, Seen, Write, WriteStatus
from schemas.commands import Effect
from schemas.definitions import DataType, TagDefinition
from schemas.events import EventKind, GapItem
from tests.integration.gateway_support import MemorySink, free_port, tag, until

INITIAL = {
    "text": ("", ua.VariantType.String),
    "whole": (0, ua.VariantType.Int64),
    "flag": (False, ua.VariantType.Boolean),
}
T0 = datetime(2026, 1, 1, tzinfo=UTC)
T0_US = int(T0.timestamp()) * 1_000_000


class Machine:
    """An OPC UA server with writable variables named `<device>.<tag>`."""

    def __init__(self, port: int) -> None:
        self.url = f"opc.tcp://127.0.0.1:{port}/machine"
        self.nodes: dict[str, Any] = {}
        self._server: Server | None = None
        self._step = 0

    async def start(self, names: Iterable[str]) -> None:
        await self.build(names)
        await self.serve()

    async def build(self, names: Iterable[str]) -> None:
        """Make a server whose values can be set before anybody sees them."""
        server = Server()
        await server.init()
        server.set_endpoint(self.url)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        await server.register_namespace("urn:test:machine")
        for name in names:
            initial, kind = INITIAL.get(name.partition(".")[2], (0.0, ua.VariantType.Double))
            node = await server.nodes.objects.add_variable(ua.NodeId(name, 2), name, initial, kind)
            await node.set_writable()
            self.nodes[name] = node
        self._server = server

    async def serve(self) -> None:
        assert self._server is not None
        await self._server.start()

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    async def set(self, name: str, value: Any, *, at_ms: int | None = None, status: int = 0) -> int:
        """Give a variable a value; its source time advances 10 ms a call unless given. Returns the time in µs."""
        self._step += 10
        at_ms = self._step if at_ms is None else at_ms
        stamp = T0 + timedelta(milliseconds=at_ms)
        data = ua.DataValue(ua.Variant(value), ua.StatusCode(status), stamp, stamp)
        await self.nodes[name].write_value(data)
        return T0_US + at_ms * 1000


@pytest.fixture
async def machine() -> AsyncIterator[Machine]:
    made = Machine(free_port())
    yield made
    await made.stop()


def connector_of(
    machine: Machine, tags: list[TagDefinition], sink: MemorySink, state: Path | None = None
) -> OpcUaConnector:
    settings = OpcUaSettings(endpoint=machine.url, publishing_interval_ms=20, reconnect_min_s=0.1, reconnect_max_s=0.2)
    connector = OpcUaConnector(
        settings,
        name="opcua",
        sink=sink,
        clock=now_us,
        certificates=CertificateStore(Path("pki"), "gw1"),
        state_dir=state,
    )
    connector.update({one.address: one for one in tags}, frozenset())
    return connector


@contextlib.asynccontextmanager
async def connected(
    machine: Machine, tags: list[TagDefinition], sink: MemorySink, state: Path | None = None
) -> AsyncIterator[OpcUaConnector]:
    connector = connector_of(machine, tags, sink, state)
    task = asyncio.create_task(connector.run())
    try:
        yield connector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def two_tags() -> list[TagDefinition]:
    return [tag(1, "opcua:ns=2;s=d1.a"), tag(2, "opcua:ns=2;s=d1.b")]


async def test_every_change_arrives_once_with_its_source_time_and_status(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    first_us = await machine.set("d1.a", 1.0)
    await machine.set("d1.b", 5.0)
    sink = MemorySink()
    async with connected(machine, two_tags(), sink):
        await until(lambda: len(sink.rows) == 2)
        times = [await machine.set("d1.a", float(value)) for value in (2, 2, 3)]
        bad_us = await machine.set("d1.a", 4.0, status=ua.StatusCodes.BadSensorFailure)
        await until(lambda: len(sink.rows) == 6)
    mine = [row[1:] for row in sink.rows if row[0] == 1]
    assert mine[0] == (first_us, 1.0, 0)
    assert mine[1:4] == [(times[0], 2.0, 0), (times[1], 2.0, 0), (times[2], 3.0, 0)]
    assert (mine[4][0], mine[4][2]) == (bad_us, 0x808C)
    assert [notice.device_id for notice in sink.of(EventKind.BIRTH)] == [1]
    assert sink.of(EventKind.GAP) == []


async def test_a_burst_between_two_publications_is_queued_not_lost(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    sink = MemorySink()
    async with connected(machine, two_tags(), sink):
        await until(lambda: len(sink.rows) == 2)
        for value in range(300):
            await machine.set("d1.a", float(value))
        await until(lambda: len(sink.values(1)) == 301)
    assert sink.values(1)[1:] == [float(value) for value in range(300)]


async def test_a_restarted_server_makes_a_gap_and_repeats_are_not_new(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    last_us = await machine.set("d1.a", 1.0)
    last_b_us = await machine.set("d1.b", 2.0)
    sink = MemorySink()
    async with connected(machine, two_tags(), sink) as connector:
        await until(lambda: len(sink.rows) == 2)
        await machine.stop()
        await until(lambda: sink.of(EventKind.DEATH))
        await machine.start(["d1.a", "d1.b"])
        # b still shows the value that was seen: a repeat. a has moved on.
        await machine.set("d1.b", 2.0, at_ms=(last_b_us - T0_US) // 1000)
        new_us = await machine.set("d1.a", 3.0, at_ms=60_000)
        await until(lambda: len(sink.of(EventKind.BIRTH)) == 2)
        await until(lambda: 3.0 in sink.values(1))
        await until(lambda: sink.of(EventKind.GAP))
        assert connector.status()["connected"]
    gaps = [notice.gap for notice in sink.of(EventKind.GAP)]
    gap = gaps[0]
    assert gap is not None
    assert gap.items == (GapItem(tag_id=1, from_us=last_us, to_us=new_us),)
    assert (gap.from_us, gap.to_us, gap.samples) == (last_us, new_us, -1)
    assert "was lost" in gap.cause
    assert [row for row in sink.rows if row[1] == last_b_us] == [(2, last_b_us, 2.0, 0)]
    assert sink.of(EventKind.DEATH)[0].attributes["quality"] == "0x8031"


async def test_what_a_server_said_around_its_restart_is_a_gap_however_soon_it_was_back(machine: Machine) -> None:
    """Values that it sets at its start are on no beat with those before: within one and a half periods, one may be lost."""
    slow = [dataclasses.replace(one, period_ms=60_000) for one in two_tags()]
    names = ["d1.a", "d1.b"]
    await machine.start(names)
    before = [await machine.set(name, 1.0) for name in names]
    sink = MemorySink()
    async with connected(machine, slow, sink):
        await until(lambda: len(sink.rows) == 2)
        await machine.stop()
        await until(lambda: sink.of(EventKind.DEATH))
        await machine.build(names)
        for name in names:
            await machine.set(name, 2.0)
        after = [await machine.set(name, 3.0) for name in names]
        await machine.serve()
        await until(lambda: len(sink.rows) == 4)
    assert [row[1] for row in sink.rows] == [*before, *after]
    items = [item for notice in sink.of(EventKind.GAP) if notice.gap for item in notice.gap.items]
    assert items == [GapItem(tag_id=tag_id, from_us=before[tag_id - 1], to_us=after[tag_id - 1]) for tag_id in (1, 2)]


async def test_a_restarted_gateway_knows_what_it_has_seen(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    a_us = await machine.set("d1.a", 1.0)
    await machine.set("d1.b", 2.0, at_ms=90_000)
    sink = MemorySink(seen={1: a_us, 2: T0_US + 10_000})
    async with connected(machine, two_tags(), sink):
        await until(lambda: sink.of(EventKind.GAP))
    assert sink.rows == [(2, T0_US + 90_000_000, 2.0, 0)]
    gap = sink.of(EventKind.GAP)[0].gap
    assert gap is not None
    assert gap.items == (GapItem(tag_id=2, from_us=T0_US + 10_000, to_us=T0_US + 90_000_000),)
    assert gap.cause == "the gateway was not running"


class Gateway:
    """One gateway after another with the same state: what it appended, and the gaps that it reported."""

    def __init__(self, machine: Machine, tags: list[TagDefinition], state: Path) -> None:
        self._machine, self._tags, self._state = machine, tags, state
        self.last: dict[int, int | Seen] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[MemorySink]:
        sink = MemorySink(seen=dict(self.last))
        async with connected(self._machine, self._tags, sink, self._state):
            yield sink
        for tag_id, time_us, value, code in sink.rows:
            self.last[tag_id] = Seen(time_us, value, code)


def gaps_of(sink: MemorySink) -> list[GapItem]:
    return [item for notice in sink.of(EventKind.GAP) if notice.gap for item in notice.gap.items]


async def test_a_gateway_that_starts_again_at_the_same_run_of_the_server_goes_on_as_after_a_lost_line(
    machine: Machine, tmp_path: Path
) -> None:
    names = ["d1.a", "d1.b"]
    slow = [dataclasses.replace(one, period_ms=60_000) for one in two_tags()]
    gateway = Gateway(machine, slow, tmp_path / "opcua")
    await machine.start(names)
    for name in names:
        await machine.set(name, 1.0)
    async with gateway.running() as sink:
        await until(lambda: len(sink.rows) == 2)
        before = await machine.set("d1.a", 2.0)
        await until(lambda: len(sink.rows) == 3)
    # With its period nothing fits in between.
    await machine.set("d1.a", 3.0)
    async with gateway.running() as sink:
        await until(lambda: sink.rows)
    assert gaps_of(sink) == []
    # A loss that is known when the gateway is killed is a gap of the next one.
    async with gateway.running() as sink:
        before = await machine.set("d1.a", 4.0)
        await until(lambda: sink.rows)
        sink.hold = True
        await machine.set("d1.a", 5.0)
        lost = await machine.set("d1.a", 6.0, status=ua.StatusCodes.BadNodeIdUnknown)
        await until(lambda: len(sink.rows) == 3)
        # What is not appended when it is killed nobody has.
        del sink.rows[1:]
        assert gaps_of(sink) == []
    after = await machine.set("d1.a", 7.0)
    async with gateway.running() as sink:
        await until(lambda: sink.rows)
    assert lost < after
    assert gaps_of(sink) == [GapItem(tag_id=1, from_us=before, to_us=after)]
    # So is what a server said around a restart of its own.
    await machine.stop()
    await machine.build(names)
    restarted = [await machine.set(name, 8.0) for name in names]
    await machine.serve()
    b_us = gateway.last[2]
    assert isinstance(b_us, Seen)
    async with gateway.running() as sink:
        await until(lambda: len(sink.rows) == 2)
    assert gaps_of(sink) == [
        GapItem(tag_id=1, from_us=after, to_us=restarted[0]),
        GapItem(tag_id=2, from_us=b_us.time_us, to_us=restarted[1]),
    ]


async def test_overflow_of_the_servers_queue_is_a_gap(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    sink = MemorySink()
    async with connected(machine, two_tags(), sink):
        await until(lambda: len(sink.rows) == 2)
        before = await machine.set("d1.a", 1.0)
        after = await machine.set("d1.a", 2.0, status=0x0480)
        await until(lambda: sink.of(EventKind.GAP))
    gap = sink.of(EventKind.GAP)[0].gap
    assert gap is not None
    assert (gap.from_us, gap.to_us, gap.samples) == (before, after, -1)
    assert "overflowed" in gap.cause


async def test_notifications_are_acknowledged_only_after_append(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    sink = MemorySink(hold=True)
    async with connected(machine, two_tags(), sink):
        await until(lambda: len(sink.rows) == 2)
        await machine.set("d1.a", 1.0)
        await until(lambda: len(sink.rows) == 3)
        assert machine._server is not None
        (subscription,) = machine._server.iserver.subscription_service.subscriptions.values()
        unacknowledged = subscription._not_acknowledged_results
        assert len(unacknowledged) == len(sink.held) > 0
        for done in sink.held:
            done()
        sink.hold = False
        await machine.set("d1.a", 2.0)
        await until(lambda: not unacknowledged)


async def test_registry_changes_and_unknown_addresses(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    sink = MemorySink()
    tags = [*two_tags(), tag(3, "opcua:ns=2;s=d1.none"), tag(4, "opcua:no node id")]
    async with connected(machine, tags, sink) as connector:
        await until(lambda: len(connector.status()["refused"]) == 2)
        assert connector.status()["refused"]["opcua:ns=2;s=d1.none"] == "BadNodeIdUnknown"
        connector.update({tags[0].address: tags[0]}, frozenset())
        await until(lambda: connector.status()["tags"] == 1 and not connector.status()["refused"])
        await machine.set("d1.b", 9.0)
        await machine.set("d1.a", 8.0)
        await until(lambda: 8.0 in sink.values(1))
        assert 9.0 not in sink.values(2)
    assert not connector.serves("spb:north/n/d/m")


async def test_writes_are_read_back_and_refusals_are_told(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    sink = MemorySink()
    a, b = two_tags()
    async with connected(machine, [a, b], sink) as connector:
        await until(lambda: len(sink.rows) == 2)
        done = await connector.write([Write(a, 7.5), Write(b, 2.0)], 5.0)
        assert (done.status, dict(done.readback)) == (WriteStatus.DONE, {"t1": 7.5, "t2": 2.0})
        await until(lambda: 7.5 in sink.values(1))
        await machine.nodes["d1.b"].set_read_only()
        refused = await connector.write([Write(b, 3.0)], 5.0)
        assert refused.status is WriteStatus.REFUSED
        assert "Bad" in refused.detail
        missing = await connector.write([Write(tag(9, "opcua:ns=2;s=d1.z"), 1.0)], 5.0)
        assert missing.status is WriteStatus.NOT_SENT
        await machine.stop()
        await until(lambda: sink.of(EventKind.DEATH))
        away = await connector.write([Write(a, 1.0)], 1.0)
        assert away.status is WriteStatus.NOT_SENT


async def test_a_stop_while_a_lost_session_is_closed_is_obeyed(machine: Machine) -> None:
    class StopAtDeath(MemorySink):
        def notice(self, notice: Notice) -> None:
            super().notice(notice)
            if notice.kind is EventKind.DEATH:
                task.cancel()

    await machine.start(["d1.a", "d1.b"])
    sink = StopAtDeath()
    connector = connector_of(machine, two_tags(), sink)
    task = asyncio.create_task(connector.run())
    await until(lambda: len(sink.rows) == 2)
    await machine.stop()
    await asyncio.wait({task}, timeout=20)
    assert task.cancelled()


async def test_writes_use_the_servers_own_type(machine: Machine) -> None:
    await machine.start(["d1.a"])
    assert machine._server is not None
    node = await machine._server.nodes.objects.add_variable(ua.NodeId("d1.n", 2), "d1.n", 1, ua.VariantType.UInt16)
    await node.set_writable()
    whole = tag(5, "opcua:ns=2;s=d1.n", data_type=DataType.INTEGER)
    sink = MemorySink()
    async with connected(machine, [whole], sink) as connector:
        await until(lambda: sink.rows)
        assert (await connector.write([Write(whole, 12.0)], 5.0)).status is WriteStatus.DONE
        written = await node.read_data_value()
        assert (written.Value.Value, written.Value.VariantType) == (12, ua.VariantType.UInt16)
        unfit = await connector.write([Write(whole, 12.5)], 5.0)
        assert unfit.status is WriteStatus.NOT_SENT
        assert "no UInt16" in unfit.detail
        assert (await node.read_value()) == 12


async def test_a_node_without_a_value_is_written_in_its_data_type(machine: Machine) -> None:
    await machine.start(["d1.a"])
    assert machine._server is not None
    kind = await machine._server.nodes.base_data_type.get_child("0:Enumeration")
    state = await kind.add_data_type(ua.NodeId("State", 2), "2:State")
    empty = ua.Variant(None, ua.VariantType.Null)
    objects = machine._server.nodes.objects
    node = await objects.add_variable(ua.NodeId("d1.e", 2), "d1.e", empty, datatype=state.nodeid)
    await node.set_writable()
    mode = tag(5, "opcua:ns=2;s=d1.e", data_type=DataType.INTEGER)
    sink = MemorySink()
    async with connected(machine, [mode], sink) as connector:
        await until(lambda: sink.rows)
        assert (await connector.write([Write(mode, 3.0)], 5.0)).status is WriteStatus.DONE
        written = await node.read_data_value()
    assert (written.Value.Value, written.Value.VariantType) == (3, ua.VariantType.Int32)


async def test_half_a_write_that_is_refused_says_which_half(machine: Machine) -> None:
    await machine.start(["d1.a", "d1.b"])
    sink = MemorySink()
    a, b = two_tags()
    async with connected(machine, [a, b], sink) as connector:
        await until(lambda: len(sink.rows) == 2)
        await machine.nodes["d1.b"].set_read_only()
        half = await connector.write([Write(a, 7.5), Write(b, 2.0)], 5.0)
    assert half.status is WriteStatus.PARTLY
    assert half.detail.startswith("partly carried out: t1: written and read back; t2: Bad")
    assert [one.effect for one in half.tags.values()] == [Effect.APPLIED, Effect.REFUSED]
    assert dict(half.readback) == {"t1": 7.5, "t2": 0.0}
