"""Sparkplug connector of the gateway: primary host application over MQTT 3.1.1 or 5, and writes by DCMD.

`session.HostSession` knows Sparkplug, `connectors.mqtt_transport` knows MQTT; this is the host's own presence. Each
connection has a will, STATE offline, and the STATE online that follows carries the same time. Whoever sets the STATE of
this host offline is answered at once. If the time of that message is newer, edge nodes would not believe the answer: then
the connection is made anew, with a newer time in its will and its STATE; not more often than every few seconds, and with
growing pauses. Data is subscribed at QoS 0, as the standard has it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from base.errors import UndecodableError
from base.ids import Clock
from connectors.mqtt_transport.connection import Message, MqttConnection, MqttError, Will
from connectors.pauses import Pauses
from connectors.readings import Sink, Write, WriteResult, WriteStatus
from connectors.sparkplug import names, payload
from connectors.sparkplug.nodes import Requests
from connectors.sparkplug.session import HostSession
from connectors.sparkplug.settings import SparkplugSettings
from connectors.sparkplug.writes import Writes
from schemas.definitions import TagDefinition

log = logging.getLogger(__name__)

_TICK_S = 0.25
# Nodes that follow the STATE message are born by themselves; only then ask the others.
_PATIENCE_S = 2.0
_RENEWAL_US = 5_000_000
_RENEWAL_MAX_US = 300_000_000
_LATEST_MS = 253_402_300_799_000
"""The last second of the year 9999."""


class SparkplugConnector:
    """One broker's connection: reconnects by itself, until it is stopped. Implements `connectors.readings.Connector`."""

    def __init__(self, settings: SparkplugSettings, *, name: str, gateway_id: str, sink: Sink, clock: Clock) -> None:
        self.name = name
        self._prefix = f"{name}:"
        self._settings, self._clock = settings, clock
        self._host_id = names.host_id_of(gateway_id, settings.host_id)
        self._state_topic = names.state_topic(self._host_id)
        self._connection: MqttConnection | None = None
        self._connects = 0
        self._online_ms = self._newest_ms = 0
        self._renewal = Requests(_RENEWAL_US, _RENEWAL_MAX_US)
        self._problem = "not yet connected"
        self._writes = Writes(self._metric_of, self._publish, clock)
        self._session: HostSession = HostSession(
            sink=sink,
            clock=clock,
            publish=self._publish,
            on_value=self._writes.on_value,
            connector=name,
            endpoint=settings.endpoint,
            rebirth_interval_s=settings.rebirth_interval_s,
            rebirth_max_s=settings.rebirth_max_s,
            reorder_timeout_ms=settings.reorder_timeout_ms,
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
        silent, problem = self._session.silent(), self._problem
        if silent and not problem:
            problem = f"{len(silent)} edge nodes do not answer requests for their birth, {silent[0]} first"
        return {
            "kind": "sparkplug",
            "endpoint": self._settings.endpoint,
            "host_id": self._host_id,
            "connected": self._connection is not None,
            "problem": problem,
            "connects": self._connects,
            **self._session.status(),
        }

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Send a DCMD and wait until the device reports the values."""
        if self._connection is None:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=self._problem)
        return await self._writes.write(writes, timeout_s)

    # --- connection ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection until cancelled, then say that the host is offline."""
        pauses = Pauses(self._settings.reconnect_min_s, self._settings.reconnect_max_s)
        while True:
            connects = self._connects
            try:
                await self._serve()
                self._down("another host has set the STATE of this one offline; connecting anew")
                continue
            except MqttError as error:
                self._down(str(error))
            await pauses.sleep(connected=self._connects > connects)

    async def _serve(self) -> None:
        """One connection; returns when another one is due, raises MqttError when it is lost."""
        self._online_ms = max(self._clock() // 1000, self._newest_ms + 1)
        connection = MqttConnection(
            self._settings,
            client_id=self._host_id,
            on_message=self._on_message,
            max_payload=payload.MAX_BYTES,
            will=Will(topic=self._state_topic, data=names.encode_state(online=False, time_ms=self._online_ms)),
        )
        renewed = False
        try:
            await connection.open()
            data = f"{names.NAMESPACE}/{self._settings.group_id or '+'}/#"
            refused = await connection.subscribe([(self._state_topic, 1), (data, 0)])
            if refused:
                topic, cause = next(iter(refused.items()))
                msg = f"{topic}: {cause}"
                raise MqttError(msg)
            self._connection, self._problem = connection, ""
            self._connects += 1
            self._say_online()
            self._session.connected()
            log.info("connected", extra={"endpoint": self._settings.endpoint, "host_id": self._host_id})
            await self._keep(connection)
            renewed = True
        finally:
            self._connection = None
            if connection.is_open and not renewed:
                offline = names.encode_state(online=False, time_ms=max(self._clock() // 1000, self._online_ms))
                connection.publish(self._state_topic, offline, qos=1, retain=True)
            await connection.close()

    async def _keep(self, connection: MqttConnection) -> None:
        await connection.ended(_PATIENCE_S)
        while True:
            self._session.tick()
            if self._renewal.due(self._clock()):
                return
            await connection.ended(_TICK_S)

    def _down(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("no connection", extra={"endpoint": self._settings.endpoint, "cause": problem})
        self._problem = problem
        self._session.disconnected(f"no connection to the MQTT broker: {problem}")

    def _publish(self, topic: str, data: bytes) -> bool:
        return self._connection is not None and self._connection.publish(topic, data)

    def _metric_of(self, tag: TagDefinition) -> tuple[str, payload.Metric] | str:
        return self._session.metric_of(tag)

    # --- messages ------------------------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> None:
        if message.topic == self._state_topic:
            self._on_state(message.data)
        elif not message.topic.startswith(f"{names.NAMESPACE}/STATE/"):
            self._session.on_message(message.topic, message.data, retained=message.retained)

    def _on_state(self, data: bytes) -> None:
        """Somebody says that this host is offline (an earlier connection's will, say): it is not."""
        try:
            online, time_ms = names.decode_state(data)
        except UndecodableError:
            online, time_ms = False, 0
        newer = self._online_ms < time_ms <= _LATEST_MS
        if newer:
            self._newest_ms = max(self._newest_ms, time_ms)
        if self._connection is None or (online and not newer):
            return
        if not online:
            self._say_online()
        if newer:
            self._session.notices.refuse(
                self._state_topic, "somebody else says the STATE of this host, with a newer time"
            )
            self._renewal.want()

    def _say_online(self) -> None:
        assert self._connection is not None
        online = names.encode_state(online=True, time_ms=self._online_ms)
        self._connection.publish(self._state_topic, online, qos=1, retain=True)
