"""The Sparkplug connector over a real MQTT broker: STATE, births, data, rebirth, deaths, commands."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import gmqtt
import pytest
from gmqtt.mqtt.constants import MQTTv311

from base.ids import now_us
from connectors.readings import Write, WriteStatus
from connectors.sparkplug import names, payload
from connectors.sparkplug.host import SparkplugConnector
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.payload import DataType, Metric, Payload
from connectors.sparkplug.settings import SparkplugSettings
from schemas.definitions import DataType as TagType
from schemas.definitions import TagDefinition
from schemas.events import EventKind
from tests.integration.conftest import Address
from tests.integration.gateway_support import MemorySink, tag, until

SPEED = tag(1, "spb:north/n1/d1/speed", name="speed", writable=True)
COUNT = tag(2, "spb:north/n1/d1/count", name="count", data_type=TagType.INTEGER, writable=True)


class Node:
    """An edge node with one device; obeys DCMD unless told not to, and is reborn on request."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.group = "north"
        self.values: dict[str, Any] = {"speed": 1.0, "count": 5}
        self.obeys = True
        self.rebirths = 0
        self.states: list[dict[str, Any]] = []
        self.bdseq = 0
        self._seq = 0
        self._client: Any = None

    async def start(self) -> None:
        self.bdseq += 1
        will = gmqtt.Message(str(Topic(self.group, MessageType.NDEATH, "n1")), payload.encode(self._death()), qos=1)
        client = gmqtt.Client(f"test-{self.group}-n1", clean_session=True, will_message=will)
        client.on_message = self._on_message
        await client.connect(self.address.host, self.address.port, version=MQTTv311)
        client.subscribe(
            [gmqtt.Subscription(f"spBv1.0/{self.group}/+/n1/#"), gmqtt.Subscription("spBv1.0/STATE/#", qos=1)]
        )
        self._client = client

    async def stop(self) -> None:
        self._client.publish(str(Topic(self.group, MessageType.NDEATH, "n1")), payload.encode(self._death()))
        await self._client.disconnect()

    def birth(self) -> None:
        self._seq = 0
        self._send(MessageType.NBIRTH, Metric(name=payload.BDSEQ_METRIC, data_type=DataType.INT64, value=self.bdseq))
        self._send(MessageType.DBIRTH, *self._metrics(self.values, births=True), device="d1")

    def data(self, **values: Any) -> None:
        self.values |= values
        self._send(MessageType.DDATA, *self._metrics(values), device="d1")

    def lose_one(self) -> None:
        self._seq = (self._seq + 1) % 256

    def _metrics(self, values: dict[str, Any], *, births: bool = False) -> list[Metric]:
        aliases = {"speed": (1, DataType.DOUBLE), "count": (2, DataType.INT32)}
        return [
            Metric(
                name=name if births else "",
                alias=aliases[name][0],
                time_ms=now_us() // 1000,
                data_type=aliases[name][1] if births else DataType.UNKNOWN,
                value=value,
            )
            for name, value in values.items()
        ]

    def _send(self, kind: MessageType, *metrics: Metric, device: str = "") -> None:
        message = Payload(time_ms=now_us() // 1000, seq=self._seq, metrics=metrics)
        self._seq = (self._seq + 1) % 256
        self._client.publish(str(Topic(self.group, kind, "n1", device)), payload.encode(message))

    def _death(self) -> Payload:
        return Payload(time_ms=1, metrics=(Metric(name="bdSeq", data_type=DataType.INT64, value=self.bdseq),))

    def _on_message(self, _client: Any, topic: str, data: bytes, _qos: int, _properties: Any) -> int:
        if "/STATE/" in topic:
            self.states.append(json.loads(data))
        elif "/NCMD/" in topic and payload.decode(data).find(payload.REBIRTH_METRIC):
            self.rebirths += 1
            self.birth()
        elif "/DCMD/" in topic:
            wanted = {metric.name: metric.value for metric in payload.decode(data).metrics}
            if self.obeys:
                self.data(**wanted)
        return 0


@pytest.fixture
async def node(mosquitto: Address) -> AsyncIterator[Node]:
    made = Node(mosquitto)
    await made.start()
    yield made
    await made.stop()


@contextlib.asynccontextmanager
async def connected(address: Address, sink: MemorySink, *tags: TagDefinition) -> AsyncIterator[SparkplugConnector]:
    settings = SparkplugSettings(
        endpoint=f"mqtt://{address.host}:{address.port}", group_id="north", reconnect_min_s=0.1, rebirth_interval_s=0.2
    )
    connector = SparkplugConnector(settings, name="spb", gateway_id="gw1", sink=sink, clock=now_us)
    connector.update({one.address: one for one in tags}, frozenset())
    task = asyncio.create_task(connector.run())
    try:
        yield connector
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_host_says_online_and_offline_with_one_timestamp(node: Node, mosquitto: Address) -> None:
    async with connected(mosquitto, MemorySink(), SPEED, COUNT):
        await until(lambda: node.states and node.states[-1]["online"])
    await until(lambda: not node.states[-1]["online"])
    assert node.states[-1]["timestamp"] == node.states[-2]["timestamp"]
    assert names.state_topic("millrace-gw1") == "spBv1.0/STATE/millrace-gw1"


async def test_data_of_a_node_born_before_the_host_came(node: Node, mosquitto: Address) -> None:
    node.birth()
    sink = MemorySink()
    async with connected(mosquitto, sink, SPEED, COUNT) as connector:
        await until(lambda: connector.status()["connected"])
        node.data(speed=2.5)
        await until(lambda: len(sink.rows) >= 2, what="rebirth")
        assert node.rebirths == 1
        node.data(speed=3.5, count=-7)
        await until(lambda: sink.values(2)[-1:] == [-7])
        assert sink.values(1) == [2.5, 3.5]
        assert {notice.device_id for notice in sink.of(EventKind.BIRTH)} == {1}


async def test_a_silent_node_is_asked_for_its_birth(node: Node, mosquitto: Address) -> None:
    sink = MemorySink()
    async with connected(mosquitto, sink, SPEED, COUNT):
        await until(lambda: len(sink.rows) == 2)
    assert node.rebirths >= 1


async def test_lost_messages_become_a_gap_and_a_rebirth(node: Node, mosquitto: Address) -> None:
    sink = MemorySink()
    async with connected(mosquitto, sink, SPEED, COUNT):
        await until(lambda: len(sink.rows) == 2)
        rebirths = node.rebirths
        await asyncio.sleep(0.3)  # longer than 1.5 periods: a shorter silence is no gap
        node.lose_one()
        node.data(speed=9.0)
        await until(lambda: sink.of(EventKind.GAP))
        await until(lambda: node.rebirths > rebirths)
    gap = sink.of(EventKind.GAP)[0].gap
    assert gap is not None
    assert gap.samples == -1
    assert "did not arrive" in gap.cause


async def test_a_node_that_goes_away_is_dead(node: Node, mosquitto: Address) -> None:
    sink = MemorySink()
    async with connected(mosquitto, sink, SPEED, COUNT):
        await until(lambda: len(sink.rows) == 2)
        await node.stop()
        await until(lambda: sink.of(EventKind.DEATH))
        rows = len(sink.rows)
        await node.start()
        node.birth()
        await until(lambda: len(sink.of(EventKind.BIRTH)) == 2)
        assert len(sink.rows) == rows + 2


async def test_a_write_is_done_when_the_device_reports_it(node: Node, mosquitto: Address) -> None:
    sink = MemorySink()
    async with connected(mosquitto, sink, SPEED, COUNT) as connector:
        early = await connector.write([Write(SPEED, 4.0)], 0.2)
        assert early.status is WriteStatus.NOT_SENT
        await until(lambda: len(sink.rows) == 2)
        done = await connector.write([Write(SPEED, 4.5), Write(COUNT, 6.0)], 5.0)
        assert (done.status, dict(done.readback)) == (WriteStatus.DONE, {"speed": 4.5, "count": 6.0})
        node.obeys = False
        silent = await connector.write([Write(SPEED, 5.0)], 0.3)
        assert silent.status is WriteStatus.UNKNOWN
        waiting = asyncio.create_task(connector.write([Write(SPEED, 6.0)], 2.0))
        await asyncio.sleep(0.1)
        node.data(speed=4.6)
        other = await waiting
        assert (other.status, dict(other.readback)) == (WriteStatus.UNKNOWN, {"speed": 4.6})
        assert "it has refused, or not acted yet" in other.detail
        unfit = await connector.write([Write(COUNT, 1e12)], 0.3)
        assert unfit.status is WriteStatus.REFUSED
