"""A machine that sends values at a rate, for `benchmarks.edge`: `python -m benchmarks.edge_machine PROTOCOL ENDPOINT FIRST TAGS RATE`.

It prints a line when it can be connected to, sends from the line `go` on its standard input, and answers `stop FROM_US TO_US` with the
number of values whose time is in between. Its tags have the numbers from FIRST on: several machines share those of a gateway. Every 20 ms
the values that are due are sent, each tag at most once. What is sent is cheap for the sender, so that the receiver is measured: OPC UA
values are put into the server's address space, Sparkplug data has 100 metrics a message, by alias.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlsplit

from base.ids import now_us
from benchmarks.edge import DEVICE, SITE, URI, node
from connectors.sparkplug import payload
from connectors.sparkplug.names import MessageType, Topic
from connectors.sparkplug.payload import DataType, Metric, Payload

_ROUND_S = 0.02
_METRICS = 100
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Sender(Protocol):
    """`start` until it can be connected to; `send` gives tags, by their place among its own, new values with their times in µs."""

    async def start(self) -> None:
        """Be there."""

    async def send(self, values: list[tuple[int, int]]) -> None:
        """Tag and time of each; the value is the time's last digits."""


class OpcUa:
    """A server (asyncua). Values are set, and its subscriptions tell of them."""

    def __init__(self, endpoint: str, numbers: range) -> None:
        self._endpoint, self._numbers = endpoint, numbers

    async def start(self) -> None:
        """Make the address space and serve it."""
        from asyncua import Server, ua

        self._ua, self._server = ua, Server()
        await self._server.init()
        self._server.set_endpoint(self._endpoint)
        self._server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await self._server.register_namespace(URI)
        names = (f"t{number}" for number in self._numbers)
        add = self._server.nodes.objects.add_variable
        self._ids = [(await add(ua.NodeId(name, index), name, 0.0)).nodeid for name in names]
        await self._server.start()

    async def send(self, values: list[tuple[int, int]]) -> None:
        """Set them, past the checks of a client's write."""
        ua, write = self._ua, self._server.write_attribute_value
        good = ua.StatusCode(ua.StatusCodes.Good)
        for place, at_us in values:
            at = _EPOCH + timedelta(microseconds=at_us)
            await write(
                self._ids[place], ua.DataValue(ua.Variant(float(at_us % 1000), ua.VariantType.Double), good, at, at)
            )


class _Mqtt:
    def __init__(self, endpoint: str, numbers: range) -> None:
        self._at, self._numbers = urlsplit(endpoint), numbers

    async def start(self) -> None:
        """Connect to the broker."""
        import gmqtt
        from gmqtt.mqtt.constants import MQTTv311

        self._client = gmqtt.Client(f"rate-machine-{self._numbers.start}")
        self._client.on_message = self._on_message
        await self._client.connect(self._at.hostname, self._at.port or 1883, version=MQTTv311)

    def _on_message(self, _client: Any, _topic: str, _data: bytes, _qos: int, _properties: Any) -> int:
        return 0


class Mqtt(_Mqtt):
    """A message of JSON for each value."""

    async def send(self, values: list[tuple[int, int]]) -> None:
        """Publish them."""
        publish, first = self._client.publish, self._numbers.start
        for place, at_us in values:
            publish(f"rate/t{first + place}", b'{"t":%d,"v":%d.5}' % (at_us, at_us % 1000))


class Sparkplug(_Mqtt):
    """An edge node with one device; its birth is said again whenever it is asked for."""

    _seq = 0

    async def start(self) -> None:
        """Connect and be born."""
        await super().start()
        import gmqtt

        self._node = node(self._numbers.start)
        self._client.subscribe(gmqtt.Subscription(f"spBv1.0/{SITE}/NCMD/{self._node}", qos=1))
        self._birth()

    async def send(self, values: list[tuple[int, int]]) -> None:
        """Data messages; times are whole milliseconds."""
        for first in range(0, len(values), _METRICS):
            some = values[first : first + _METRICS]
            self._publish(
                MessageType.DDATA,
                [
                    Metric(alias=place + 1, time_ms=at_us // 1000, data_type=DataType.DOUBLE, value=float(at_us % 1000))
                    for place, at_us in some
                ],
            )

    def _birth(self) -> None:
        self._seq = 0
        self._publish(MessageType.NBIRTH, [Metric(name=payload.BDSEQ_METRIC, data_type=DataType.INT64, value=1)])
        metrics = [
            Metric(name=f"t{number}", alias=place + 1, time_ms=1000, data_type=DataType.DOUBLE, value=0.0)
            for place, number in enumerate(self._numbers)
        ]
        self._publish(MessageType.DBIRTH, metrics)

    def _publish(self, kind: MessageType, metrics: list[Metric]) -> None:
        device = "" if kind is MessageType.NBIRTH else DEVICE
        message = payload.encode(Payload(time_ms=now_us() // 1000, seq=self._seq, metrics=tuple(metrics)))
        self._seq = (self._seq + 1) % 256
        self._client.publish(str(Topic(SITE, kind, self._node, device)), message)

    def _on_message(self, _client: Any, _topic: str, _data: bytes, _qos: int, _properties: Any) -> int:
        self._birth()
        return 0


async def main(protocol: str, endpoint: str, numbers: range, rate: float) -> None:
    """Send until told to stop."""
    kinds: dict[str, Callable[[str, range], Sender]] = {"opcua": OpcUa, "mqtt": Mqtt, "sparkplug": Sparkplug}
    sender, tags = kinds[protocol](endpoint, numbers), len(numbers)
    await sender.start()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    asked: Awaitable[str] = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    begun, made, sent = time.monotonic(), 0, list[int]()
    while not asked.done():  # type: ignore[attr-defined]  # a task
        due = int((time.monotonic() - begun) * rate) - made
        if due > 0:
            due = min(due, tags)
            at_us = now_us()
            # A whole millisecond: Sparkplug has no finer times. Within a round every tag has at most one value.
            values = [((made + one) % tags, at_us // 1000 * 1000) for one in range(due)]
            await sender.send(values)
            sent += [values[0][1]] * due
            made += due
        await asyncio.sleep(max(0.0, _ROUND_S - (time.monotonic() - begun) % _ROUND_S))
    _, from_us, to_us = (await asked).split()
    print(sum(int(from_us) <= at < int(to_us) for at in sent), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


if __name__ == "__main__":
    _first, _tags = int(sys.argv[3]), int(sys.argv[4])
    asyncio.run(main(sys.argv[1], sys.argv[2], range(_first, _first + _tags), float(sys.argv[5])))
