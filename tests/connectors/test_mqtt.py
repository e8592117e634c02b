"""The plain MQTT connector with a real broker: what is particular to it. What every protocol must do is in test_conformance."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from base.ids import now_us
from connectors.mqtt.connector import MqttConnector
from connectors.mqtt.settings import PlainMqttSettings
from connectors.mqtt_transport.connection import MqttConnection, MqttError
from connectors.mqtt_transport.settings import MqttSettings, MqttVersion
from connectors.readings import Seen, Write, WriteStatus
from schemas import quality
from schemas.definitions import DataType, TagDefinition
from schemas.events import EventKind
from tests.connectors.broker import Broker, secured
from tests.connectors.publisher import publishing
from tests.integration.gateway_support import MemorySink, tag, until

T0 = 1_767_600_000_000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@contextlib.asynccontextmanager
async def connected(
    broker: Broker, sink: MemorySink, *tags: TagDefinition, foreign: frozenset[str] = frozenset(), **settings: Any
) -> AsyncIterator[MqttConnector]:
    values = {"endpoint": broker.endpoint, "reconnect_min_s": 0.05, "reconnect_max_s": 0.2, "session_expiry_s": 60}
    connector = MqttConnector(
        PlainMqttSettings(**{**values, **settings}), name="m", gateway_id="gw1", sink=sink, clock=now_us
    )
    connector.update({one.address: one for one in tags}, foreign)
    task = asyncio.create_task(connector.run())
    try:
        await until(lambda: connector.status()["connected"], what="connection")
        yield connector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def check_problem(settings: PlainMqttSettings, says: str) -> None:
    refused = MqttConnector(settings, name="m", gateway_id="gw1", sink=MemorySink(), clock=now_us)
    refused.update({"m:p/a": at(1, "p/a")}, frozenset())
    task = asyncio.create_task(refused.run())
    await until(lambda: says in refused.status()["problem"], what=says)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def at(tag_id: int, place: str, **changes: Any) -> TagDefinition:
    return tag(tag_id, f"m:{place}", **changes)


@pytest.mark.parametrize("version", list(MqttVersion))
async def test_documents_paths_and_plain_values(broker: Broker, version: MqttVersion) -> None:
    sink = MemorySink()
    tags = (
        at(1, "p/speed"),
        at(2, "p/all#$.motor['t.1'];time_iso=$.at;quality=$.q"),
        at(3, "p/all#$.list[1];time_s=$.s"),
        at(4, "p/plain"),
        at(5, "p/text"),
    )
    async with connected(broker, sink, *tags, version=version), publishing(broker.port) as machine:
        await machine.send("p/speed", {"timestamp_ms": T0, "value": 2.5})
        await machine.send("p/speed", {"timestamp_ms": T0 + 1, "value": None, "quality": "bad"})
        document = {
            "motor": {"t.1": True},
            "at": "2026-01-05T09:00:00+01:00",
            "q": 0x808C0000,
            "list": [1, 7],
            "s": 1e9,
        }
        await machine.send("p/all", document)
        before = now_us()
        await machine.send("p/plain", 41)
        await machine.send("p/text", "running")
        await until(lambda: len(sink.rows) == 6)
    assert sink.rows[:4] == [
        (1, T0 * 1000, 2.5, quality.GOOD),
        (1, T0 * 1000 + 1000, None, quality.BAD),
        (2, 1_767_600_000_000_000, True, quality.BAD_SENSOR_FAILURE),
        (3, 1_000_000_000_000_000, 7, quality.GOOD),
    ]
    assert [row[2] for row in sink.rows[4:]] == [41, "running"]
    assert before <= sink.rows[4][1] <= now_us()


async def test_a_retained_message_is_a_sample_once(broker: Broker) -> None:
    async with publishing(broker.port) as machine:
        await machine.send("p/a", {"timestamp_ms": T0, "value": 1}, retain=True)
        await machine.send("p/b", 5, retain=True)
        tags = (at(1, "p/a"), at(2, "p/b"))
        sink = MemorySink()
        async with connected(broker, sink, *tags, session_expiry_s=0) as connector:
            await until(lambda: len(sink.rows) == 2)
            assert {row[0]: row[3] for row in sink.rows} == {1: quality.GOOD, 2: quality.UNCERTAIN_LAST_USABLE}
            # Subscribed again: nothing of it is new.
            connector.update({}, frozenset())
            connector.update({one.address: one for one in tags}, frozenset())
        again = MemorySink(seen={1: T0 * 1000, 2: T0 * 1000})
        async with connected(broker, again, *tags, session_expiry_s=0) as connector:
            await until(lambda: again.rows)
            await until(lambda: connector.status()["repeats"] == 1)
        assert [row[0] for row in again.rows] == [2], "its age is not known"
        again = MemorySink(seen={1: Seen(T0 * 1000, 4.0), 2: Seen(T0 * 1000, 5.0, quality.UNCERTAIN_LAST_USABLE)})
        async with connected(broker, again, *tags, session_expiry_s=0) as connector:
            await until(lambda: again.rows)
            await until(lambda: connector.status()["repeats"] == 1)
        assert again.rows == [(1, T0 * 1000, 1, quality.GOOD)], "the other is the value that was seen"


async def test_what_came_while_the_gateway_was_away_is_delivered_and_nothing_twice(broker: Broker) -> None:
    sink = MemorySink()
    speed = at(1, "p/speed")
    async with publishing(broker.port) as machine:
        async with connected(broker, sink, speed):
            await machine.send("p/speed", {"timestamp_ms": T0, "value": 0})
            await until(lambda: sink.rows)
            sink.hold = True
            await machine.send("p/speed", {"timestamp_ms": T0 + 100, "value": 1})
            await until(lambda: len(sink.rows) == 2)
        for step in range(2, 12):
            await machine.send("p/speed", {"timestamp_ms": T0 + 100 * step, "value": step})
        after = MemorySink(seen={1: T0 * 1000})
        async with connected(broker, after, speed):
            await until(lambda: len(after.rows) == 11)
    assert [row[2] for row in after.rows] == list(range(1, 12)), "what was not appended came again"
    assert after.of(EventKind.GAP) == []


async def test_redelivered_messages_that_were_appended_are_no_new_samples(broker: Broker) -> None:
    sink = MemorySink(hold=True)
    async with publishing(broker.port) as machine:
        async with connected(broker, sink, at(1, "p/a")):
            for step in range(3):
                await machine.send("p/a", {"timestamp_ms": T0 + step, "value": step})
            await until(lambda: len(sink.rows) == 3)
        after = MemorySink(seen={1: (T0 + 2) * 1000})
        async with connected(broker, after, at(1, "p/a")) as connector:
            await until(lambda: connector.status()["repeats"] == 3)
            await machine.send("p/a", {"timestamp_ms": T0 + 3, "value": 3})
            await until(lambda: after.rows)
    assert after.rows == [(1, (T0 + 3) * 1000, 3, quality.GOOD)]


async def test_many_messages_wait_for_their_append_at_once(broker: Broker) -> None:
    sink = MemorySink(hold=True)
    async with connected(broker, sink, at(1, "p/a")), publishing(broker.port) as machine:
        for step in range(300):
            await machine.send("p/a", {"timestamp_ms": T0 + step, "value": step})
        await until(lambda: len(sink.rows) == 300)
        assert len(sink.held) == 300


async def test_poison_is_refused_seldom_and_costs_nothing_else(broker: Broker) -> None:
    sink = MemorySink()
    tags = (at(1, "p/a"), at(2, "p/a#$.other"), at(3, "p/b"))
    poison = [
        b"", b"\xff\xfe", b"{", b"[" * 100_000, b"1" * 5000, b'{"value": [1]}', b'{"value": 1, "timestamp_ms": "x"}',
        b'{"value": 1, "timestamp_ms": 1e300}', b'{"value": 1, "quality": 7}', b'"' + b"x" * 5000 + b'"',
    ]  # fmt: skip
    async with connected(broker, sink, *tags, max_payload_bytes=4096) as connector, publishing(broker.port) as machine:
        for data in poison:
            await machine.send("p/a", data)
        await machine.send("p/a", b'"' + b"x" * 2_000_000 + b'"')
        await machine.send("p/b", 1)
        await machine.send("p/a", {"timestamp_ms": T0, "value": 1, "other": 2})
        await until(lambda: len(sink.rows) == 3)
        assert connector.status()["connects"] == 1
        assert connector.status()["malformed"] >= 20
    assert {row[0]: row[2] for row in sink.rows} == {1: 1, 2: 2, 3: 1}
    refused = sink.of(EventKind.REFUSED)
    assert sorted(notice.attributes["tag_id"] for notice in refused) == ["1", "2"]
    assert all(len(notice.text) + sum(map(len, notice.attributes.values())) < 1000 for notice in refused)


async def test_unknown_topics_are_proposed_once(broker: Broker) -> None:
    sink = MemorySink()
    async with (
        connected(broker, sink, at(1, "p/known"), foreign=frozenset({"m:p/foreign"}), discover=("p/#",)),
        publishing(broker.port) as machine,
    ):
        for _ in range(3):
            await machine.send("p/uns", {"timestamp_ms": T0, "value": 1.5})
            await machine.send("p/doc", {"a": {"b": True}, "list": ["x"]})
            await machine.send("p/foreign", 1)
            await machine.send("p/known", 1)
        await until(lambda: len(sink.rows) == 3)
    found = {one.attributes["address"]: one.attributes["data_type"] for one in sink.of(EventKind.PROPOSAL)}
    assert found == {"m:p/uns": "DOUBLE", "m:p/doc#$.a.b": "BOOLEAN", "m:p/doc#$.list[0]": "STRING"}
    assert len(sink.of(EventKind.PROPOSAL)) == 3


async def test_writes_go_to_their_topic_in_their_form(broker: Broker) -> None:
    sink = MemorySink()
    plain, deep = at(1, "p/a", data_type=DataType.INTEGER), at(2, "p/doc#$.x.y;set=p/doc/set")
    other = at(3, "p/doc#$.list[0]")
    async with connected(broker, sink, plain, deep, other) as connector, publishing(broker.port) as machine:
        done = await connector.write([Write(plain, 5), Write(deep, 2.5)], 5)
        assert (done.status, dict(done.readback)) == (WriteStatus.DONE, {"t1": 5.0, "t2": 2.5})
        assert machine.written[0][1]["value"] == 5
        assert machine.written[1] == ("p/doc/set", {"x": {"y": 2.5}})
        for one, value in ((plain, 1.5), (other, 1)):
            assert (await connector.write([Write(one, value)], 5)).status is WriteStatus.NOT_SENT
        assert len(machine.written) == 2
        machine.obeys = False
        assert (await connector.write([Write(plain, 6)], 0.2)).status is WriteStatus.UNKNOWN
        waiting = asyncio.create_task(connector.write([Write(plain, 7)], 0.5))
        await until(lambda: len(machine.written) == 4)
        await machine.send("p/a", {"value": 5, "timestamp_ms": T0})
        assert (await waiting).status is WriteStatus.UNKNOWN


async def test_tls_with_certificates_and_a_password_by_reference(tmp_path: Path) -> None:
    with secured(tmp_path) as (broker, settings):
        async with connected(broker, MemorySink(), at(1, "p/a"), **settings) as connector:
            assert connector.status()["problem"] == ""
        for wrong, says in (
            ({"ca_file": str(tmp_path / "stranger.pem")}, "CERTIFICATE_VERIFY_FAILED"),
            ({"password": "env:MILLRACE_TEST_NOT_SET"}, "the variable is not set"),
            ({"ca_file": str(tmp_path / "missing.pem")}, "cannot be read"),
            ({"password": "", "username": "gw2"}, "ot authori"),
        ):
            found = PlainMqttSettings(**{**settings, **wrong, "connect_timeout_s": 3})
            await check_problem(found, says)


async def test_a_message_is_published_when_the_broker_says_so(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite p/#\n")
    broker = Broker(tmp_path, options=("allow_anonymous true", f"acl_file {tmp_path}/acl"))
    broker.start()
    heard: list[bytes] = []
    settings = MqttSettings(endpoint=broker.endpoint)
    connection = MqttConnection(settings, client_id="x", on_message=lambda one: heard.append(one.data), max_payload=99)
    try:
        await connection.open()
        await connection.subscribe([("p/a", 1)])
        await connection.publish_surely("p/a", b"1")
        await until(lambda: heard == [b"1"])
        with pytest.raises(MqttError, match="refused the message, reason 0x87"):
            await connection.publish_surely("q/a", b"2")
        await connection.publish_surely("p/a", b"3")
        broker.stop()
        await until(lambda: not connection.is_open)
        with pytest.raises(MqttError):
            await connection.publish_surely("p/a", b"4")
    finally:
        await connection.close()
        broker.stop()


async def test_a_subscription_that_the_broker_refuses_is_refused_alone(tmp_path: Path) -> None:
    (tmp_path / "acl").write_text("topic readwrite p/#\n")
    broker = Broker(tmp_path, options=("allow_anonymous true", f"acl_file {tmp_path}/acl"))
    broker.start()
    sink = MemorySink()
    try:
        async with connected(broker, sink, at(1, "p/a"), at(2, "q/a")), publishing(broker.port) as machine:
            await machine.send("p/a", 1)
            await until(lambda: sink.rows)
    finally:
        broker.stop()
    assert [row[0] for row in sink.rows] == [1]
