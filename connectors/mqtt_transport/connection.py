"""One connection to an MQTT broker, used once: after it is lost another one is made, with another will.

Thin over gmqtt, whose own reconnects are not used. Who calls: the protocols over MQTT. Messages are handed over in the order in which they
came. A QoS 1 message is acknowledged when the handler's future is done, or at once when it returns none, so that what a crash could still
lose is sent again by the broker (if the session outlives the connection). No payload longer than the bound is held in memory.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import gmqtt
from gmqtt.mqtt.connection import MQTTConnection
from gmqtt.mqtt.constants import MQTTv50, MQTTv311
from gmqtt.mqtt.handler import MQTTConnectError
from gmqtt.mqtt.protocol import MQTTProtocol

from base import secrets
from base.errors import ConfigError
from connectors.mqtt_transport.bounded import PacketBound
from connectors.mqtt_transport.settings import MqttSettings, MqttVersion

log = logging.getLogger(__name__)
# gmqtt tells of every packet, and of every loss that is told here.
logging.getLogger("gmqtt").setLevel(logging.CRITICAL)

_ERRORS = (OSError, TimeoutError, MQTTConnectError, ConfigError)
_TOPIC_AND_HEADERS = 70_000
"""Of a PUBLISH, beside its payload: a topic has up to 65,535 bytes."""
_FILTERS_AT_ONCE = 100
_CLOSING_S = 2.0
_PUBACK, _REFUSED = 0x40, 0x80
_UNACKNOWLEDGED = 10_000
"""Messages that the broker (version 5) may send before the first of them is acknowledged: a gateway appends a few times a second."""


class MqttError(Exception):
    """There is no connection, with the cause."""


class Message(NamedTuple):
    """A message as it came. `retained`: stored before this client subscribed; `redelivered`: sent before, and not acknowledged."""

    topic: str
    data: bytes
    qos: int
    retained: bool = False
    redelivered: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Will:
    """What the broker publishes when the connection is lost."""

    topic: str
    data: bytes
    qos: int = 1
    retain: bool = True


Handler = Callable[[Message], "asyncio.Future[None] | None"]
"""Takes a message over; a future that it returns is done when the message may be acknowledged."""


class MqttConnection:
    """Make it, `open` it, `subscribe`, wait in `ended`, `close` it. Methods raise MqttError."""

    def __init__(
        self,
        settings: MqttSettings,
        *,
        client_id: str,
        on_message: Handler,
        max_payload: int,
        will: Will | None = None,
        session_expiry_s: int = 0,
    ) -> None:
        """With `session_expiry_s` the broker keeps subscriptions and QoS 1 messages for this time while the client is away."""
        self._settings, self._on_message = settings, on_message
        message = gmqtt.Message(will.topic, will.data, qos=will.qos, retain=will.retain) if will is not None else None
        properties: dict[str, Any] = {}
        if settings.version is MqttVersion.V5:
            properties["receive_maximum"] = _UNACKNOWLEDGED
            if session_expiry_s:
                properties["session_expiry_interval"] = session_expiry_s
        self._client = _Client(
            client_id,
            clean_session=not session_expiry_s,
            optimistic_acknowledgement=False,
            will_message=message,
            **properties,
        )
        self._client.bound = PacketBound(max_payload + _TOPIC_AND_HEADERS)
        self._closing = asyncio.Event()
        self._failure: Exception | None = None
        self._reason = ""
        self._unacknowledged: set[asyncio.Future[None]] = set()
        self._answers: dict[int, asyncio.Future[tuple[int, ...]]] = {}
        self.session_present = False
        """Whether the broker had kept the session of an earlier connection."""

    async def open(self) -> None:
        """Connect and log in."""
        client, settings = self._client, self._settings
        client.on_connect = self._on_connect
        client.on_message = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        try:
            if settings.username:
                client.set_auth_credentials(settings.username, secrets.resolve(settings.password) or None)
            async with asyncio.timeout(settings.connect_timeout_s):
                await client.connect(
                    settings.host,
                    settings.port,
                    ssl=_tls(settings),
                    keepalive=settings.keepalive_s,
                    version=MQTTv50 if settings.version is MqttVersion.V5 else MQTTv311,
                )
        except _ERRORS as error:
            raise MqttError(self._cause(error)) from error
        if self._closing.is_set():
            raise MqttError(self._lost())

    async def subscribe(self, filters: Iterable[tuple[str, int]]) -> dict[str, str]:
        """Subscribe to (filter, QoS) pairs; the filters that the broker refused, with its reason code."""
        refused: dict[str, str] = {}
        pairs = list(filters)
        for start in range(0, len(pairs), _FILTERS_AT_ONCE):
            chunk = pairs[start : start + _FILTERS_AT_ONCE]
            subscriptions = [gmqtt.Subscription(name, qos=qos) for name, qos in chunk]
            granted = await self._granted(self._client.subscribe(subscriptions))
            refused |= {
                name: f"the broker refused the subscription, code 0x{code:02x}"
                for (name, _), code in zip(chunk, granted, strict=False)
                if code >= 0x80
            }
        return refused

    def unsubscribe(self, filters: Iterable[str]) -> None:
        """Take filters back; their last messages may still come."""
        pairs = list(filters)
        for start in range(0, len(pairs), _FILTERS_AT_ONCE):
            if self.is_open:
                self._client.unsubscribe(pairs[start : start + _FILTERS_AT_ONCE])

    def publish(self, topic: str, data: bytes, *, qos: int = 0, retain: bool = False) -> bool:
        """Hand a message to the connection; whether there was one."""
        if self.is_open:
            self._client.publish(topic, data, qos=qos, retain=retain)
        return self.is_open

    async def publish_surely(self, topic: str, data: bytes) -> None:
        """Publish with QoS 1 and wait for the broker's word, no longer than for a subscription; one at a time."""
        if not self.publish(topic, data, qos=1):
            raise MqttError(self._lost())
        acknowledged = asyncio.ensure_future(self._client.acknowledged())
        lost = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait(
                {acknowledged, lost}, timeout=self._settings.connect_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not acknowledged.done():
                raise MqttError(self._lost() if lost.done() else "the broker did not acknowledge a message")
        finally:
            acknowledged.cancel()
            lost.cancel()
        if code := self._client.refusal:
            msg = f"the broker refused the message, reason 0x{code:02x}"
            raise MqttError(msg)

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent."""
        return not self._closing.is_set() and bool(self._client.is_connected)

    async def ended(self, timeout_s: float | None = None) -> None:
        """Wait until the connection is lost, then raise MqttError, or what the handler raised; return after the time given."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._closing.wait()
        except TimeoutError:
            return
        if self._failure is not None:
            raise self._failure
        raise MqttError(self._lost())

    async def close(self) -> None:
        """Say good-bye and drop the connection, whatever state it is in."""
        self._closing.set()
        with contextlib.suppress(*_ERRORS):
            async with asyncio.timeout(_CLOSING_S):
                await self._client.disconnect()
        for waiting in list(self._unacknowledged):
            waiting.cancel()

    # --- from gmqtt ------------------------------------------------------------------------------------------------------

    def _on_connect(self, _client: Any, session_present: int, _result: int, _properties: Mapping[str, Any]) -> None:
        self.session_present = bool(session_present)

    async def _on_publish(self, _client: Any, topic: Any, data: bytes, qos: int, properties: Mapping[str, Any]) -> int:
        """A coroutine, so that gmqtt acknowledges when it ends. It runs to its first wait in the order of the messages."""
        if not isinstance(topic, str):  # not UTF-8: a broker that takes it breaks the protocol
            return 0
        try:
            message = Message(topic, data, qos, bool(properties.get("retain")), bool(properties.get("dup")))
            appended = self._on_message(message)
        except Exception as error:  # noqa: BLE001  # gmqtt would log it and go on
            self._failure = error
            self._closing.set()
            return 0
        if appended is not None and qos:
            waiting = asyncio.shield(appended)
            self._unacknowledged.add(waiting)
            with contextlib.suppress(asyncio.CancelledError):  # the connection is closed: nothing can be acknowledged
                await waiting
            self._unacknowledged.discard(waiting)
        return 0

    def _on_disconnect(self, _client: Any, packet: Any, *_more: Any) -> None:
        if isinstance(packet, bytes) and packet:
            self._reason = f"the broker ended the connection, reason 0x{packet[0]:02x}"
        self._closing.set()
        for waiting in self._answers.values():
            waiting.cancel()

    def _on_subscribe(self, _client: Any, mid: int, granted: tuple[int, ...], _properties: Any) -> None:
        waiting = self._answers.pop(mid, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(tuple(granted))

    def _lost(self) -> str:
        return self._reason or "the connection was lost"

    async def _granted(self, mid: int) -> tuple[int, ...]:
        waiting = self._answers[mid] = asyncio.get_running_loop().create_future()
        lost = asyncio.ensure_future(self._closing.wait())
        try:
            done, _ = await asyncio.wait(
                {waiting, lost}, timeout=self._settings.connect_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            lost.cancel()
            self._answers.pop(mid, None)
        if waiting in done and not waiting.cancelled():
            granted: tuple[int, ...] = waiting.result()
            return granted
        waiting.cancel()
        raise MqttError(self._lost() if lost in done else "the broker did not answer a subscription")

    def _cause(self, error: BaseException) -> str:
        if isinstance(error, TimeoutError) and not str(error):
            return f"no answer within {self._settings.connect_timeout_s:g} s"
        return f"{type(error).__name__}: {error}"


def _tls(settings: MqttSettings) -> ssl.SSLContext | bool:
    """TLS with the certificates as they are on disk now; raises OSError (ssl.SSLError)."""
    if not settings.tls:
        return False
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
        if settings.certificate_file:
            context.load_cert_chain(settings.certificate_file, settings.key_file)
    except OSError as error:
        names = ", ".join(filter(None, (settings.ca_file, settings.certificate_file, settings.key_file)))
        msg = f"certificates cannot be read ({names}): {error}"
        raise OSError(msg) from error
    return context


class _Protocol(MQTTProtocol):  # type: ignore[misc]  # gmqtt is not typed
    """The bytes of one connection, bounded by packet."""

    def __init__(self, *args: Any, bound: PacketBound, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._bound = bound

    def data_received(self, data: bytes) -> None:
        """Pass on what the client is to see."""
        if passed := self._bound.feed(data):
            super().data_received(passed)


class _Client(gmqtt.Client):  # type: ignore[misc]
    """A client for one connection. What it overrides are gmqtt's names, so the version is pinned by tests/connectors."""

    bound: PacketBound

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.refusal = 0
        """Reason code of the newest acknowledgement, where it is a refusal; gmqtt does not look at it."""
        self._package_handler._handler_cache[_PUBACK] = self._on_puback  # noqa: SLF001

    async def acknowledged(self) -> None:
        """Wait until the broker has acknowledged everything."""
        await self._persistent_storage.wait_empty()

    def _on_puback(self, cmd: int, packet: bytes) -> None:
        self.refusal = packet[2] if len(packet) > 2 and packet[2] >= _REFUSED else 0
        self._package_handler._handle_puback_packet(cmd, packet)  # noqa: SLF001

    async def reconnect(self, delay: bool = False) -> None:
        """Never: another client is made."""

    async def _create_connection(self, host: str, port: int, ssl: Any, clean_session: bool, keepalive: int) -> Any:
        factory = partial(
            _Protocol,
            connection_state=self._connection_state,
            id_generator=self._package_handler.id_generator,
            bound=self.bound,
        )
        transport, protocol = await asyncio.get_running_loop().create_connection(factory, host, port, ssl=ssl or None)
        return MQTTConnection(
            transport, protocol, clean_session, keepalive, package_handler=self._package_handler, logger=self._logger
        )
