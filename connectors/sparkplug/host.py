"""Sparkplug connector of the gateway: primary host application over MQTT 3.1.1, and writes by DCMD.

`session.HostSession` knows Sparkplug; this knows MQTT: one gmqtt client per connection (the will must carry the time of
the connection's own STATE message), STATE retained at QoS 1, data subscribed at QoS 0 as the standard has it. Reconnects
with growing pauses. A write is a DCMD, and is done when the device reports the value; a device that reports nothing in
time leaves the outcome unknown, because a QoS 0 command is confirmed by nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

import gmqtt
from gmqtt.mqtt.constants import MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError

from base import secrets
from base.errors import ConfigError, UndecodableError
from base.ids import Clock
from connectors.readings import Sink, Write, WriteResult, WriteStatus
from connectors.sparkplug import names, payload
from connectors.sparkplug.session import HostSession
from connectors.sparkplug.settings import SparkplugSettings
from connectors.sparkplug.writes import Writes
from schemas.definitions import TagDefinition

log = logging.getLogger(__name__)

_ERRORS = (OSError, TimeoutError, MQTTConnectError, ConfigError)
# gmqtt tells of every packet.
logging.getLogger("gmqtt").setLevel(logging.WARNING)
_CONNECT_TIMEOUT_S = 10.0
_TICK_S = 0.25
# Nodes that follow the STATE message are born by themselves; only then ask the others.
_PATIENCE_S = 2.0


class _Client(gmqtt.Client):  # type: ignore[misc]  # gmqtt is not typed
    """A client for one connection."""

    async def reconnect(self, delay: bool = False) -> None:
        """Never: another client is made, with another will."""


class SparkplugConnector:
    """One broker's connection: reconnects by itself, until it is stopped. Implements `connectors.readings.Connector`."""

    def __init__(self, settings: SparkplugSettings, *, name: str, gateway_id: str, sink: Sink, clock: Clock) -> None:
        self.name = name
        self._prefix = f"{name}:"
        self._settings, self._clock = settings, clock
        self._host_id = settings.host_id or f"millrace-{gateway_id}"
        self._client: Any = None
        self._ended = asyncio.Event()
        self._connects = 0
        self._online_ms = 0
        self._problem = "not yet connected"
        self._writes = Writes(self._metric_of, self._publish, clock)
        self._session: HostSession = HostSession(
            sink=sink,
            clock=clock,
            publish=self._publish,
            on_value=self._writes.on_value,
            connector=name,
            rebirth_interval_s=settings.rebirth_interval_s,
        )

    def serves(self, address: str) -> bool:
        """Whether an address of the registry belongs to this connection."""
        return address.startswith(self._prefix) and address.count("/") >= 3

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        """Take over the tags by address."""
        mine = {address: tag for address, tag in tags.items() if self.serves(address)}
        self._session.update(mine, foreign)

    def status(self) -> dict[str, Any]:
        """Numbers and states for people."""
        session = self._session
        return {
            "kind": "sparkplug",
            "broker": f"{self._settings.host}:{self._settings.port}",
            "host_id": self._host_id,
            "connected": self._client is not None,
            "problem": self._problem,
            "nodes": session.nodes(),
            "connects": self._connects,
            "messages": session.messages,
            "undecodable": session.undecodable,
            "refused": session.refused,
            "retained": session.retained,
            "lost": session.lost,
            "silent_nodes": session.silent()[:20],
            "repeats": session.repeats,
            "rebirths_requested": session.rebirths_requested,
        }

    # --- connection ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection until cancelled, then say that the host is offline."""
        pause_s = self._settings.reconnect_min_s
        while True:
            connects = self._connects
            try:
                await self._serve()
                self._down("the broker closed the connection")
            except _ERRORS as error:
                self._down(f"{type(error).__name__}: {error}")
            pause_s = self._settings.reconnect_min_s if self._connects > connects else pause_s
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, self._settings.reconnect_max_s)

    async def _serve(self) -> None:
        """One connection, until it ends."""
        self._online_ms = self._clock() // 1000
        state = names.state_topic(self._host_id)
        will = gmqtt.Message(state, names.encode_state(online=False, time_ms=self._online_ms), qos=1, retain=True)
        client = _Client(self._host_id, clean_session=True, will_message=will)
        ended = self._ended = asyncio.Event()
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                await self._connect(client, state, ended)
            await self._keep(ended)
        finally:
            self._client = None
            if client.is_connected:
                client.publish(state, names.encode_state(online=False, time_ms=self._online_ms), qos=1, retain=True)
            with contextlib.suppress(*_ERRORS):
                async with asyncio.timeout(_CONNECT_TIMEOUT_S):
                    await client.disconnect()

    async def _connect(self, client: Any, state: str, ended: asyncio.Event) -> None:
        settings, subscribed = self._settings, asyncio.Event()
        if settings.username:
            client.set_auth_credentials(settings.username, secrets.resolve(settings.password))
        client.on_message = self._on_message
        client.on_disconnect = lambda *_: ended.set()
        client.on_subscribe = lambda *_: subscribed.set()
        await client.connect(
            settings.host, settings.port, ssl=settings.tls, keepalive=settings.keepalive_s, version=MQTTv311
        )
        data = f"{names.NAMESPACE}/{settings.group_id or '+'}/#"
        client.subscribe([gmqtt.Subscription(state, qos=1), gmqtt.Subscription(data, qos=0)])
        await subscribed.wait()
        self._client = client
        self._connects += 1
        self._problem = ""
        self._say_online()
        log.info("connected", extra={"broker": f"{settings.host}:{settings.port}", "host_id": self._host_id})

    async def _keep(self, ended: asyncio.Event) -> None:
        wait_s = _PATIENCE_S
        while not ended.is_set():
            try:
                async with asyncio.timeout(wait_s):
                    await ended.wait()
            except TimeoutError:
                self._session.tick()
            wait_s = _TICK_S

    def _down(self, problem: str) -> None:
        if problem != self._problem:
            log.warning(
                "no connection", extra={"broker": f"{self._settings.host}:{self._settings.port}", "cause": problem}
            )
        self._problem = problem
        self._session.disconnected(f"no connection to the MQTT broker: {problem}")

    def _say_online(self) -> None:
        online = names.encode_state(online=True, time_ms=self._online_ms)
        self._client.publish(names.state_topic(self._host_id), online, qos=1, retain=True)

    def _metric_of(self, tag: TagDefinition) -> tuple[str, payload.Metric] | str:
        return self._session.metric_of(tag)

    def _publish(self, topic: str, data: bytes) -> bool:
        connected = self._client is not None and bool(self._client.is_connected)
        if connected:
            self._client.publish(topic, data, qos=0)
        return connected

    def _on_message(self, _client: Any, topic: str, data: bytes, _qos: int, properties: Any) -> int:
        if topic == names.state_topic(self._host_id):
            self._on_state(data)
        elif not topic.startswith(f"{names.NAMESPACE}/STATE/"):
            self._session.on_message(topic, data, retained=bool(properties.get("retain")))
        return 0

    def _on_state(self, data: bytes) -> None:
        """Somebody says that this host is offline (an earlier connection's will, say): it is not."""
        try:
            online, _ = names.decode_state(data)
        except UndecodableError:
            online = False
        if not online and self._client is not None:
            self._say_online()

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Send a DCMD and wait until the device reports the values."""
        if self._client is None:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=self._problem)
        return await self._writes.write(writes, timeout_s)
