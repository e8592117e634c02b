"""A publisher of JSON documents over Mosquitto as the conformance suite's plain MQTT machine."""

from __future__ import annotations

from typing import Any

from connectors.readings import WriteStatus
from tests.connectors.broker import Broker
from tests.connectors.machine import SOON, Machine
from tests.connectors.publisher import Publisher


class MqttMachine(Machine):
    """A broker, and a device that publishes each value on a topic of its own, retained, and obeys `/set`."""

    protocol = "mqtt"
    refusal = WriteStatus.UNKNOWN
    settings = SOON

    _broker: Broker | None = None
    _publisher: Publisher | None = None

    @property
    def endpoint(self) -> str:
        self._broker = self._broker or Broker(self.folder)
        return self._broker.endpoint

    async def start(self) -> None:
        assert self.endpoint
        assert self._broker is not None
        self._broker.start()
        self._publisher = Publisher(self._broker.port)
        await self._publisher.start()
        for name, (value, time_us) in self.values.items():
            await self.put(name, value, time_us, bad=False)

    async def stop(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            await publisher.stop()
        if self._broker is not None:
            self._broker.stop()

    def address(self, name: str) -> str:
        return "d/speed#$.no.such[0" if name == "missing" else f"d/{name}"

    async def put(self, name: str, value: Any, time_us: int, *, bad: bool) -> None:
        document = {"timestamp_ms": time_us // 1000, "value": value, **({"quality": "bad"} if bad else {})}
        await self._sender().send(f"d/{name}", document, retain=True)

    async def poison(self) -> None:
        for data in (b"", b"{", b"\xff", b"[" * 50_000, b'{"value": {}}', b"9" * 2_000_000):
            await self._sender().send("d/speed", data)

    async def get(self, name: str) -> Any:
        return next(document["value"] for topic, document in self._sender().written if topic == f"d/{name}/set")

    async def refuse_writes(self) -> None:
        self._sender().obeys = False

    def _sender(self) -> Publisher:
        assert self._publisher is not None
        return self._publisher
