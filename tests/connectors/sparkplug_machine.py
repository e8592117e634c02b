"""A Sparkplug edge node as the conformance suite's machine: the standard's protobuf by hand, over Mosquitto."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

import gmqtt
from gmqtt.mqtt.constants import MQTTv311

from base.ids import now_us
from connectors.readings import WriteStatus
from connectors.sparkplug.sparkplug_b_pb2 import Metric, Payload
from tests.connectors.broker import Broker
from tests.connectors.machine import SOON, Machine
from tests.integration.gateway_support import until

_INT64, _DOUBLE, _BOOLEAN = 4, 10, 11
_TYPES = {float: (_DOUBLE, "double_value"), int: (_INT64, "long_value"), bool: (_BOOLEAN, "boolean_value")}


class SparkplugMachine(Machine):
    """A broker, and an edge node with one device that obeys DCMD and rebirth requests."""

    protocol = "sparkplug"
    exempt: ClassVar[Mapping[str, Any]] = {
        "refuse": "a metric that is in no birth may be born at any time",
        "redelivery": "data is published with QoS 0",
    }
    refusal = WriteStatus.UNKNOWN
    settings: ClassVar[Mapping[str, Any]] = {**SOON, "group_id": "g", "rebirth_interval_s": 0.2}

    _broker: Broker | None = None
    _client: Any = None
    _bdseq = 0
    _seq = 0
    _obeys = True

    @property
    def endpoint(self) -> str:
        self._broker = self._broker or Broker(self.folder)
        return self._broker.endpoint

    async def start(self) -> None:
        assert self.endpoint
        assert self._broker is not None
        self._broker.start()
        self._bdseq += 1
        will = gmqtt.Message("spBv1.0/g/NDEATH/n", self._death(), qos=1)
        client = gmqtt.Client("node", clean_session=True, will_message=will)
        client.on_message = self._on_message
        subscribed: list[int] = []
        client.on_subscribe = lambda _client, mid, *_: subscribed.append(mid)
        await client.connect("127.0.0.1", self._broker.port, version=MQTTv311)
        client.subscribe([gmqtt.Subscription("spBv1.0/g/NCMD/n"), gmqtt.Subscription("spBv1.0/g/DCMD/n/d")])
        await until(lambda: subscribed)
        self._client = client
        self._birth()

    async def stop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.stop_reconnect()
            with contextlib.suppress(OSError):
                await client.disconnect()
        if self._broker is not None:
            self._broker.stop()

    def address(self, name: str) -> str:
        return f"g/n/d/{name}"

    async def put(self, name: str, value: Any, time_us: int, *, bad: bool) -> None:
        self._data([self._metric(name, value, time_us, bad=bad)])

    async def poison(self) -> None:
        for data in (b"\xff\xff\xff", b"", b"\x12\x04\x0a\x02\xff\xfe"):
            self._client.publish("spBv1.0/g/DDATA/n/d", data)
        self._client.publish("spBv1.0/g/NOTHING/n", b"x")
        self._client.publish("spBv1.0/g/DBIRTH/n", b"x")

    async def get(self, name: str) -> Any:
        return self.values[name][0]

    async def refuse_writes(self) -> None:
        self._obeys = False

    # --- the node ------------------------------------------------------------------------------------------------------

    def _birth(self) -> None:
        self._seq = 0
        birth = self._payload()
        self._fill_bdseq(birth)
        self._publish("NBIRTH/n", birth)
        device = self._payload()
        device.metrics.extend(self._metric(name, value, time_us) for name, (value, time_us) in self.values.items())
        self._publish("DBIRTH/n/d", device)

    def _data(self, metrics: Iterable[Metric]) -> None:
        message = self._payload()
        message.metrics.extend(metrics)
        self._publish("DDATA/n/d", message)

    def _publish(self, tail: str, message: Payload) -> None:
        kind, _, rest = tail.partition("/")
        self._client.publish(f"spBv1.0/g/{kind}/{rest}", message.SerializeToString())

    def _payload(self) -> Payload:
        message = Payload(timestamp=now_us() // 1000, seq=self._seq)
        self._seq = (self._seq + 1) % 256
        return message

    def _death(self) -> bytes:
        message = Payload(timestamp=now_us() // 1000)
        self._fill_bdseq(message)
        return bytes(message.SerializeToString())

    def _fill_bdseq(self, message: Payload) -> None:
        message.metrics.add(name="bdSeq", datatype=_INT64, long_value=self._bdseq)

    @staticmethod
    def _metric(name: str, value: Any, time_us: int, *, bad: bool = False) -> Metric:
        data_type, field = _TYPES[type(value)]
        sent = value % (1 << 64) if data_type == _INT64 else value
        metric = Metric(name=name, timestamp=time_us // 1000, datatype=data_type, **{field: sent})
        if bad:
            metric.properties.keys.append("Quality")
            metric.properties.values.add(type=3, int_value=0)
        return metric

    def _on_message(self, _client: Any, topic: str, data: bytes, _qos: int, _properties: Any) -> int:
        message = Payload.FromString(data)
        if "/NCMD/" in topic:
            if any(metric.name == "Node Control/Rebirth" for metric in message.metrics):
                self._birth()
        elif self._obeys:
            for metric in message.metrics:
                time_us = now_us() // 1000 * 1000
                value = metric.double_value if metric.HasField("double_value") else metric.long_value
                self.values[metric.name] = (value, time_us)
                self._data([self._metric(metric.name, value, time_us)])
        return 0
