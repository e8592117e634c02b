"""A machine that publishes JSON over MQTT and obeys writes: gmqtt alone, nothing of ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv311

from tests.integration.gateway_support import until


class Publisher:
    """Publishes what it is told; a message to `<topic>/set` is published on `<topic>` when it `obeys`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._client: Any = None
        self._acknowledged: list[int] = []
        self.obeys = True
        self.written: list[tuple[str, Any]] = []

    async def start(self) -> None:
        client = gmqtt.Client(f"publisher-{id(self)}", clean_session=True)
        client.on_message = self._on_message
        subscribed = asyncio.Event()
        client.on_subscribe = lambda *_: subscribed.set()
        await client.connect("127.0.0.1", self._port, version=MQTTv311)
        client.subscribe([gmqtt.Subscription("+/+/set", qos=1), gmqtt.Subscription("+/set", qos=1)])
        await subscribed.wait()
        self._client = client

    async def stop(self) -> None:
        if self._client is not None:
            self._client.stop_reconnect()
            with contextlib.suppress(Exception):
                await self._client.disconnect()
            self._client = None

    async def send(self, topic: str, document: Any, *, qos: int = 1, retain: bool = False) -> None:
        """Publish bytes as they are, anything else as JSON; returns when the broker has them."""
        data = document if isinstance(document, bytes) else json.dumps(document).encode()
        self._client.publish(topic, data, qos=qos, retain=retain)
        stored = self._client._persistent_storage
        await until(lambda: stored.is_empty, what="the broker's acknowledgement")

    def _on_message(self, _client: Any, topic: str, data: bytes, _qos: int, _properties: Any) -> int:
        document = json.loads(data)
        self.written.append((topic, document))
        if self.obeys:
            self._client.publish(topic.removesuffix("/set"), data, qos=1)
        return 0


@contextlib.asynccontextmanager
async def publishing(port: int) -> AsyncIterator[Publisher]:
    """A publisher that is connected."""
    made = Publisher(port)
    await made.start()
    try:
        yield made
    finally:
        await made.stop()
