"""The Sparkplug connector with a real broker and a node written by hand: STATE, births, rebirth, deaths, commands, TLS."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from base.ids import now_us
from connectors.mqtt_transport.settings import MqttVersion
from connectors.readings import Write, WriteStatus
from connectors.sparkplug import names, payload
from connectors.sparkplug.host import SparkplugConnector
from connectors.sparkplug.payload import DataType, Metric, Payload
from connectors.sparkplug.settings import SparkplugSettings
from schemas.commands import Effect
from schemas.definitions import DataType as TagType
from schemas.definitions import TagDefinition
from schemas.events import EventKind
from tests.connectors.broker import Broker, secured
from tests.connectors.sparkplug_node import EdgeNode
from tests.integration.gateway_support import MemorySink, tag, until

SPEED = tag(1, "spb:north/n1/d1/speed", name="speed", writable=True)
COUNT = tag(2, "spb:north/n1/d1/count", name="count", data_type=TagType.INTEGER, writable=True)
STATE = "spBv1.0/STATE/millrace-gw1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
async def node(broker: Broker) -> AsyncIterator[EdgeNode]:
    made = EdgeNode(broker.port)
    await made.start()
    yield made
    await made.stop()


@contextlib.asynccontextmanager
async def connected(
    broker: Broker, sink: MemorySink, *tags: TagDefinition, **settings: Any
) -> AsyncIterator[SparkplugConnector]:
    values: dict[str, Any] = {
        "endpoint": broker.endpoint, "group_id": "north", "reconnect_min_s": 0.1, "rebirth_interval_s": 0.2,
        "reorder_timeout_ms": 0,
    }  # fmt: skip
    connector = SparkplugConnector(
        SparkplugSettings(**{**values, **settings}), name="spb", gateway_id="gw1", sink=sink, clock=now_us
    )
    connector.update({one.address: one for one in tags}, frozenset())
    task = asyncio.create_task(connector.run())
    try:
        await until(lambda: connector.status()["connected"], what="connection")
        yield connector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def state(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode()


# --- presence ----------------------------------------------------------------------------------------------------------


@pytest.mark.sparkplug(
    "host-topic-phid-birth-payload", "host-topic-phid-birth-topic", "host-topic-phid-birth-retain", "host-topic-phid-birth-required",
    "host-topic-phid-death-topic", "host-topic-phid-death-payload", "host-topic-phid-death-payload-timestamp-disconnect-clean",
    "host-topic-phid-death-retain", "components-ph-state", "intro-sparkplug-host-state", "conformance-primary-host",
    "operational-behavior-host-application-connect-birth", "operational-behavior-host-application-connect-birth-payload",
    "operational-behavior-host-application-connect-birth-topic", "operational-behavior-host-application-connect-birth-retained",
    "operational-behavior-host-application-termination", "operational-behavior-host-application-death-payload",
    "operational-behavior-host-application-death-topic", "operational-behavior-host-application-death-retained",
    "message-flow-phid-sparkplug-state-publish", "message-flow-phid-sparkplug-state-publish-payload",
    "payloads-state-birth", "payloads-state-birth-payload", "topic-structure", "topic-structure-namespace-a",
)  # fmt: skip
@pytest.mark.parametrize("version", list(MqttVersion))
async def test_host_says_online_and_offline(node: EdgeNode, broker: Broker, version: MqttVersion) -> None:
    before = now_us() // 1000
    async with connected(broker, MemorySink(), SPEED, COUNT, version=version):
        await until(lambda: node.states and node.states[-1]["online"])
        online = node.states[-1]
        assert set(online) == {"online", "timestamp"}
        assert before <= online["timestamp"] <= now_us() // 1000
        late = EdgeNode(broker.port)
        late.group = "other"
        await late.start()
        await until(lambda: late.states == [online], what="the STATE that is retained")
    await until(lambda: not node.states[-1]["online"])
    assert online["timestamp"] <= node.states[-1]["timestamp"] <= now_us() // 1000
    await until(lambda: late.states[-1] == node.states[-1])
    await late.stop()
    assert names.state_topic("millrace-gw1") == STATE


def packet(data: bytes, version: MqttVersion) -> dict[str, Any]:
    """What a CONNECT packet says: MQTT 3.1.1 and 5, chapter 3.1."""
    body = data[2:] if data[1] < 0x80 else data[3:]
    flags, at = body[7], 10
    found: dict[str, Any] = {
        "clean": bool(flags & 2),
        "will": bool(flags & 4),
        "qos": flags >> 3 & 3,
        "retain": bool(flags & 32),
    }
    if version is MqttVersion.V5:
        found["properties"] = body[at + 1 : at + 1 + body[at]]
        at += 1 + body[at]
    texts = []
    for place in range(3):  # client id, will topic, will payload
        if version is MqttVersion.V5 and place == 1:
            at += 1 + body[at]
        (length,) = struct.unpack_from("!H", body, at)
        texts.append(body[at + 2 : at + 2 + length])
        at += 2 + length
    return found | {"topic": texts[1].decode(), "payload": json.loads(texts[2])}


@pytest.mark.sparkplug(
    "host-topic-phid-death-required", "host-topic-phid-death-qos", "host-topic-phid-death-payload-timestamp-connect",
    "message-flow-phid-sparkplug-clean-session-311", "message-flow-phid-sparkplug-clean-session-50",
    "operational-behavior-host-application-connect-will", "operational-behavior-host-application-connect-will-payload",
    "operational-behavior-host-application-connect-will-qos", "operational-behavior-host-application-connect-will-retained",
    "operational-behavior-host-application-connect-will-topic", "operational-behavior-host-application-death-qos",
    "payloads-state-will-message", "payloads-state-will-message-payload", "payloads-state-will-message-qos",
    "payloads-state-will-message-retain",
)  # fmt: skip
@pytest.mark.parametrize("version", list(MqttVersion))
async def test_connect_packet(version: MqttVersion) -> None:
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.read(1000)
        if not seen.done():
            seen.set_result(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    settings = SparkplugSettings(endpoint=f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}", version=version)
    connector = SparkplugConnector(settings, name="spb", gateway_id="gw1", sink=MemorySink(), clock=lambda: 77_000)
    task = asyncio.create_task(connector.run())
    sent = packet(await seen, version)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    server.close()
    await server.wait_closed()
    assert (sent["clean"], sent["will"], sent["qos"], sent["retain"]) == (True, True, 1, True)
    assert (sent["topic"], sent["payload"]) == (STATE, {"online": False, "timestamp": 77})
    assert 0x11 not in sent.get("properties", b"")  # no session expiry interval is an interval of 0


@pytest.mark.sparkplug(
    "host-topic-phid-birth-message", "host-topic-phid-birth-sub-required", "host-topic-phid-birth-payload-timestamp",
    "message-flow-phid-sparkplug-subscription", "message-flow-phid-sparkplug-state-publish-payload-timestamp",
    "payloads-state-subscribe", "host-topic-phid-birth-qos", "operational-behavior-host-application-connect-birth-qos",
    "principles-birth-certificates-order", "operational-behavior-primary-application-state-with-multiple-servers-state",
)  # fmt: skip
async def test_state_comes_first_and_has_the_time_of_the_will(node: EdgeNode, broker: Broker) -> None:
    node.birth()
    node.publish("spBv1.0/north/DBIRTH/n1/d1", b"\xff", retain=True)  # something to ask about at once
    async with connected(broker, MemorySink(), SPEED, COUNT) as connector:
        await until(lambda: node.rebirths)
        topics = [topic for topic in node.first if topic == STATE or "NCMD" in topic]
        assert topics[:2] == [STATE, "spBv1.0/north/NCMD/n1"]
        online = node.states[-1]
        assert connector._connection is not None
        connector._connection._client._connection._transport.abort()  # no good-bye: the broker publishes the will
        await until(lambda: len(node.states) > 1)
    offline = next(one for one in node.states if not one["online"])
    assert offline["timestamp"] == online["timestamp"]


@pytest.mark.sparkplug("message-flow-hid-sparkplug-state-message-delivered")
async def test_state_set_offline_by_somebody_is_answered(node: EdgeNode, broker: Broker) -> None:
    async with connected(broker, MemorySink(), SPEED, COUNT) as connector:
        await until(lambda: node.states and node.states[-1]["online"])
        online = node.states[-1]
        for said in (state({"online": False, "timestamp": online["timestamp"] - 5}), b'{"online":false}'):
            seen = len(node.states)
            node.publish(STATE, said, retain=True)
            await until(lambda seen=seen: len(node.states) > seen + 1)  # type: ignore[misc]
            assert node.states[-1] == online
        assert connector.status()["connects"] == 1


@pytest.mark.sparkplug(
    "host-topic-phid-birth-payload-timestamp", "operational-behavior-host-application-multi-server-timestamp"
)
async def test_state_set_offline_with_a_newer_time_is_answered_with_a_newer_one(node: EdgeNode, broker: Broker) -> None:
    sink = MemorySink()
    async with connected(broker, sink, SPEED, COUNT) as connector:
        await until(lambda: node.states and node.states[-1]["online"])
        newer = {"online": False, "timestamp": now_us() // 1000 + 3_600_000}
        node.publish(STATE, state(newer), retain=True)
        await until(lambda: node.states[-1]["online"] and node.states[-1]["timestamp"] > newer["timestamp"])
        await until(lambda: connector.status()["connects"] == 2)
        assert "newer time" in sink.of(EventKind.REFUSED)[0].text
        node.data(speed=7.0)  # the node is heard over the new connection
        await until(lambda: 7.0 in sink.values(1))
    await until(lambda: not node.states[-1]["online"])
    assert node.states[-1]["timestamp"] > newer["timestamp"]


async def test_a_host_whose_clock_is_behind_its_retained_state_is_believed(node: EdgeNode, broker: Broker) -> None:
    ahead = now_us() // 1000 + 3_600_000
    node.publish(STATE, state({"online": False, "timestamp": ahead}), retain=True)
    async with connected(broker, MemorySink(), SPEED):
        await until(lambda: node.states and node.states[-1]["online"] and node.states[-1]["timestamp"] > ahead)


# --- nodes -------------------------------------------------------------------------------------------------------------


@pytest.mark.sparkplug(
    "operational-behavior-data-commands-ncmd-rebirth-verb", "operational-behavior-data-commands-ncmd-rebirth-name",
    "operational-behavior-data-commands-ncmd-rebirth-value", "operational-behavior-data-commands-ncmd-verb",
    "topics-ncmd-mqtt", "topics-ncmd-timestamp", "topics-ncmd-topic", "topics-ncmd-payload", "payloads-ncmd-timestamp",
    "payloads-ncmd-seq", "payloads-ncmd-qos", "payloads-ncmd-retain", "operational-behavior-data-commands-ncmd-metric-value",
)  # fmt: skip
@pytest.mark.parametrize("version", list(MqttVersion))
async def test_data_of_a_node_born_before_the_host_came(node: EdgeNode, broker: Broker, version: MqttVersion) -> None:
    node.birth()
    sink = MemorySink()
    async with connected(broker, sink, SPEED, COUNT, version=version):
        node.data(speed=2.5)
        await until(lambda: len(sink.rows) >= 2, what="rebirth")
        assert node.rebirths == 1
        topic, message, retained, qos = node.commands[0]
        assert (topic, retained, qos) == ("spBv1.0/north/NCMD/n1", False, 0)
        assert message.seq is None
        assert message.time_ms > 0
        assert [(one.name, one.data_type, one.value) for one in message.metrics] == [
            ("Node Control/Rebirth", DataType.BOOLEAN, True)
        ]
        node.data(speed=3.5, count=-7)
        await until(lambda: sink.values(2)[-1:] == [-7])
        assert sink.values(1) == [2.5, 3.5]
        assert {notice.device_id for notice in sink.of(EventKind.BIRTH)} == {1}


async def test_a_silent_node_is_asked_for_its_birth_and_is_shown(node: EdgeNode, broker: Broker) -> None:
    sink = MemorySink()
    node.answers = False
    async with connected(broker, sink, SPEED, COUNT) as connector:
        await until(lambda: connector.status()["silent_nodes"] == ["north/n1"])
        assert "north/n1" in connector.status()["problem"]
        assert "does not answer" in sink.of(EventKind.DEATH)[0].text
        node.answers = True
        await until(lambda: len(sink.rows) == 2)
        assert connector.status()["problem"] == ""


async def test_lost_messages_become_a_gap_and_a_rebirth(node: EdgeNode, broker: Broker) -> None:
    sink = MemorySink()
    async with connected(broker, sink, SPEED, COUNT, reorder_timeout_ms=300):
        await until(lambda: len(sink.rows) == 2)
        for _ in range(2):  # the second one within the pause after the first request
            rebirths, gaps = node.rebirths, len(sink.of(EventKind.GAP))
            node.lose_one()
            node.data(speed=9.0)
            await until(lambda gaps=gaps: len(sink.of(EventKind.GAP)) > gaps)  # type: ignore[misc]
            await until(lambda rebirths=rebirths: node.rebirths > rebirths)  # type: ignore[misc]
    gap = sink.of(EventKind.GAP)[0].gap
    assert gap is not None
    assert gap.samples == -1
    assert "did not arrive" in gap.cause


@pytest.mark.sparkplug(
    "operational-behavior-edge-node-termination-host-action-ndeath-node-offline",
    "operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale",
    "operational-behavior-edge-node-termination-host-action-ndeath-devices-offline",
    "operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale",
)
async def test_a_node_that_goes_away_is_dead(node: EdgeNode, broker: Broker) -> None:
    sink = MemorySink()
    async with connected(broker, sink, SPEED, COUNT) as connector:
        await until(lambda: len(sink.rows) == 2)
        before = now_us()
        await node.stop()
        await until(lambda: sink.of(EventKind.DEATH))
        assert before <= sink.of(EventKind.DEATH)[0].time_us <= now_us()
        assert not connector.status()["nodes"]["north/n1"]["online"]
        rows = len(sink.rows)
        await node.start()
        node.birth()
        await until(lambda: len(sink.of(EventKind.BIRTH)) == 2)
        assert len(sink.rows) == rows + 2


async def test_retained_births_and_data_of_a_node_that_is_gone(node: EdgeNode, broker: Broker) -> None:
    node.answers = False
    metric = Metric(name="speed", alias=1, time_ms=1000, data_type=DataType.DOUBLE, value=5.0)
    for topic, seq in (("NBIRTH/n1", 0), ("DBIRTH/n1/d1", 1), ("DDATA/n1/d1", 2)):
        message = payload.encode(Payload(time_ms=1000, seq=seq, metrics=(metric,)))
        node.publish(f"spBv1.0/north/{topic}", message, retain=True)
    sink = MemorySink(seen={1: 1_000_000})
    async with connected(broker, sink, SPEED, COUNT) as connector:
        await until(lambda: connector.status()["retained"] == 3)
        assert (sink.rows, sink.of(EventKind.BIRTH)) == ([], [])


# --- commands ----------------------------------------------------------------------------------------------------------


@pytest.mark.sparkplug(
    "topics-dcmd-mqtt", "topics-dcmd-topic", "topics-dcmd-timestamp", "topics-dcmd-payload", "payloads-dcmd-timestamp",
    "payloads-dcmd-seq", "payloads-dcmd-qos", "payloads-dcmd-retain", "payloads-name-cmd-requirement",
    "operational-behavior-data-commands-dcmd-verb", "operational-behavior-data-commands-dcmd-metric-name",
    "operational-behavior-data-commands-dcmd-metric-value",
)  # fmt: skip
async def test_a_write_is_done_when_the_device_reports_it(node: EdgeNode, broker: Broker) -> None:
    sink = MemorySink()
    node.answers = False
    async with connected(broker, sink, SPEED, COUNT) as connector:
        early = await connector.write([Write(SPEED, 4.0)], 0.2)
        assert (early.status, early.detail) == (WriteStatus.NOT_SENT, "the device is not born")
        node.birth()
        await until(lambda: len(sink.rows) == 2)
        node.commands.clear()
        done = await connector.write([Write(SPEED, 4.5), Write(COUNT, 6.0)], 5.0)
        assert (done.status, dict(done.readback)) == (WriteStatus.DONE, {"speed": 4.5, "count": 6.0})
        ((topic, message, retained, qos),) = node.commands
        assert (topic, retained, qos, message.seq) == ("spBv1.0/north/DCMD/n1/d1", False, 0, None)
        assert message.time_ms > 0
        assert [(one.name, one.data_type, one.value) for one in message.metrics] == [
            ("speed", DataType.DOUBLE, 4.5), ("count", DataType.INT32, 6),
        ]  # fmt: skip
        for unfit in (1e12, 1.5):
            assert (await connector.write([Write(COUNT, unfit)], 0.3)).status is WriteStatus.NOT_SENT
        assert len(node.commands) == 1


async def test_each_tag_of_a_write_has_its_own_outcome(node: EdgeNode, broker: Broker) -> None:
    sink = MemorySink()
    async with connected(broker, sink, SPEED, COUNT) as connector:
        await until(lambda: len(sink.rows) == 2)
        node.obeys = False
        silent = await connector.write([Write(SPEED, 5.0)], 0.3)
        assert silent.status is WriteStatus.UNKNOWN

        effects: dict[str, Effect] = {}

        async def write(*writes: Write, **reported: Any) -> tuple[WriteStatus, str]:
            seen = len(node.commands)
            waiting = asyncio.create_task(connector.write(list(writes), 0.5))
            await until(lambda: len(node.commands) > seen)
            node.data(**reported)
            result = await waiting
            effects.update({name: one.effect for name, one in result.tags.items()})
            return result.status, result.detail

        status, detail = await write(Write(SPEED, 6.0), speed=4.6)
        assert status is WriteStatus.UNKNOWN
        assert "speed: wrote 6, the device reports 4.6" in detail
        both = (Write(SPEED, 6.0), Write(COUNT, 7.0))
        status, detail = await write(*both, speed=6.0)
        assert status is WriteStatus.UNKNOWN, "one tag was written: that the other was not must not hide it"
        assert detail == "partly carried out: speed: reported by the device; count: nothing was reported for 0.5 s"
        assert effects == {"speed": Effect.APPLIED, "count": Effect.UNKNOWN}
        status, detail = await write(*both, speed=6.0, count=1)
        assert status is WriteStatus.UNKNOWN
        assert "count: wrote 7, the device reports 1" in detail


# --- security ----------------------------------------------------------------------------------------------------------


async def test_tls_with_a_private_authority_certificate_user_and_password(tmp_path: Path) -> None:
    with secured(tmp_path) as (broker, settings):
        for version in MqttVersion:
            async with connected(broker, MemorySink(), SPEED, version=version, **settings) as connector:
                assert connector.status()["problem"] == ""
        found = SparkplugSettings(**{**settings, "ca_file": str(tmp_path / "stranger.pem")})
        refused = SparkplugConnector(found, name="spb", gateway_id="gw1", sink=MemorySink(), clock=now_us)
        task = asyncio.create_task(refused.run())
        await until(lambda: "CERTIFICATE_VERIFY_FAILED" in refused.status()["problem"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_settings_that_cannot_be_are_refused_by_name() -> None:
    for wrong in (
        {"group_id": "a/b"},
        {"host_id": "#"},
        {"reorder_timeout_ms": -1},
        {"rebirth_max_s": 1.0},
        {"password": "secret", "username": "a"},
    ):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            SparkplugSettings(endpoint="mqtt://x", **wrong)
