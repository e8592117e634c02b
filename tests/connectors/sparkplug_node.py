"""A Sparkplug B edge node with one device, written by hand on gmqtt: obeys DCMD unless told not to, is reborn on request."""

from __future__ import annotations

import json
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv311

from base.ids import now_us
from connectors.sparkplug import payload
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.payload import DataType, Metric, Payload

ALIASES = {"speed": (1, DataType.DOUBLE), "count": (2, DataType.INT32)}


class EdgeNode:
    """Node n1 of group north with device d1. `states` are the STATE messages it saw, as (document, retained, QoS)."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.host, self.port = host, port
        self.group = "north"
        self.values: dict[str, Any] = {"speed": 1.0, "count": 5}
        self.obeys = True
        self.answers = True
        self.rebirths = 0
        self.states: list[dict[str, Any]] = []
        self.commands: list[tuple[str, Payload, bool, int]] = []
        self.first: list[str] = []
        self.bdseq = 0
        self._seq = 0
        self._client: Any = None

    async def start(self) -> None:
        self.bdseq += 1
        will = gmqtt.Message(self._topic(MessageType.NDEATH), payload.encode(self._death()), qos=1)
        client = gmqtt.Client(f"test-{self.group}-n1", clean_session=True, will_message=will)
        client.on_message = self._on_message
        await client.connect(self.host, self.port, version=MQTTv311)
        client.subscribe(
            [
                gmqtt.Subscription(f"spBv1.0/{self.group}/NCMD/n1", qos=1),
                gmqtt.Subscription(f"spBv1.0/{self.group}/DCMD/n1/#", qos=1),
                gmqtt.Subscription("spBv1.0/STATE/#", qos=1),
            ]
        )
        self._client = client

    async def stop(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            client.publish(self._topic(MessageType.NDEATH), payload.encode(self._death()))
            await client.disconnect()

    def birth(self) -> None:
        self._seq = 0
        self._send(MessageType.NBIRTH, Metric(name=payload.BDSEQ_METRIC, data_type=DataType.INT64, value=self.bdseq))
        self._send(MessageType.DBIRTH, *self._metrics(self.values, births=True), device="d1")

    def data(self, **values: Any) -> None:
        self.values |= values
        self._send(MessageType.DDATA, *self._metrics(values), device="d1")

    def lose_one(self) -> None:
        self._seq = (self._seq + 1) % 256

    def publish(self, topic: str, data: bytes, *, retain: bool = False, qos: int = 1) -> None:
        """Anything, on any topic."""
        self._client.publish(topic, data, retain=retain, qos=qos)

    def _topic(self, kind: MessageType, device: str = "") -> str:
        return str(Topic(self.group, kind, "n1", device))

    def _metrics(self, values: dict[str, Any], *, births: bool = False) -> list[Metric]:
        return [
            Metric(
                name=name if births else "",
                alias=ALIASES[name][0],
                time_ms=now_us() // 1000,
                data_type=ALIASES[name][1] if births else DataType.UNKNOWN,
                value=value,
            )
            for name, value in values.items()
        ]

    def _send(self, kind: MessageType, *metrics: Metric, device: str = "") -> None:
        message = Payload(time_ms=now_us() // 1000, seq=self._seq, metrics=metrics)
        self._seq = (self._seq + 1) % 256
        self._client.publish(self._topic(kind, device), payload.encode(message))

    def _death(self) -> Payload:
        return Payload(time_ms=1, metrics=(Metric(name="bdSeq", data_type=DataType.INT64, value=self.bdseq),))

    def _on_message(self, _client: Any, topic: str, data: bytes, qos: int, properties: Any) -> int:
        self.first.append(topic)
        if "/STATE/" in topic:
            self.states.append(json.loads(data))
            return 0
        message = payload.decode(data)
        self.commands.append((topic, message, bool(properties.get("retain")), qos))
        if "/NCMD/" in topic and message.find(payload.REBIRTH_METRIC):
            self.rebirths += 1
            if self.answers:
                self.birth()
        elif self.obeys:
            self.data(**{metric.name: metric.value for metric in message.metrics})
        return 0
