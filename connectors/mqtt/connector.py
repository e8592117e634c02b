"""Plain MQTT connector of the gateway: JSON on any topic, and writes by a message that the value's topic answers.

Enters: messages on the topics of the registry's addresses (`<connection>:<address>`, the form is in `connectors.mqtt.address`), writes.
Leaves, to a `Sink`: a reading per message and tag, with the time in the message or else that of receipt; BIRTH of a device with its first
message of a connection, DEATH when the connection is lost; GAP per tag after an outage; REFUSED for payloads that say nothing of a tag;
PROPOSAL for unknown topics of the filters in `discover`.

At QoS 1 a message is acknowledged after its readings are appended, and the broker keeps what came meanwhile. A retained message is the
current value: it is a new sample only when it was not seen before. When it has no time of its own, its age is not known: it is handed over
with quality uncertain. So is what a broker kept without a time for a gateway that was away.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from base.ids import Clock
from connectors.awaited_report import AwaitedReports, outcome
from connectors.device_notices import LONGEST_ADDRESS, DeviceNotices
from connectors.gap_tracker import GapTracker
from connectors.mqtt import payload
from connectors.mqtt.address import parse
from connectors.mqtt.item import Item
from connectors.mqtt.payload import Sample
from connectors.mqtt.proposals import Proposals
from connectors.mqtt.settings import PlainMqttSettings, matches
from connectors.mqtt_transport.connection import Message, MqttConnection, MqttError
from connectors.pauses import Pauses
from connectors.readings import Readings, Seen, Sink, Write, WriteResult, WriteStatus
from schemas import quality
from schemas.definitions import TagDefinition
from schemas.events import EventKind

log = logging.getLogger(__name__)

_TOLD_AGAIN_US = 60_000_000
_RETRY_REFUSED_S = 30.0


class MqttConnector:
    """One broker's connection: reconnects by itself, until it is stopped. Implements `connectors.readings.Connector`."""

    def __init__(self, settings: PlainMqttSettings, *, name: str, gateway_id: str, sink: Sink, clock: Clock) -> None:
        self.name = name
        self._settings, self._sink, self._clock = settings, sink, clock
        self._prefix = f"{name}:"
        self._client_id = settings.client_id or f"millrace-{gateway_id}-{name}"
        self._items: dict[int, Item] = {}
        self._by_tag: dict[int, TagDefinition] = {}
        self._by_topic: dict[str, list[Item]] = {}
        self._foreign: frozenset[str] = frozenset()
        self._refused: dict[str, str] = {}
        self._subscribed: set[str] = set()
        self._resuming = False
        self._changed = asyncio.Event()
        self._connection: MqttConnection | None = None
        self._notices = DeviceNotices(
            sink, clock, connector=name, endpoint=settings.endpoint, born={"time_source": "message, else gateway"}
        )
        self._gaps = GapTracker(self._notices.gap)
        self._proposals = Proposals()
        self._reports = AwaitedReports()
        self._appending: asyncio.Future[None] | None = None
        self._connects = self._messages = self._repeats = self._malformed = self._unknown = 0
        self._problem = "not yet connected"

    def serves(self, address: str) -> bool:
        """Whether an address of the registry belongs to this connection."""
        return address.startswith(self._prefix)

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        """Take over the tags by address; subscriptions follow."""
        known, self._items, self._by_topic = self._items, {}, {}
        mine = [tag for address, tag in tags.items() if self.serves(address)]
        self._by_tag, self._foreign = {tag.tag_id: tag for tag in mine}, foreign
        for tag_id, item in known.items():
            if tag_id not in self._by_tag:
                self._gaps.forget(item.tag)
        for tag in mine:
            try:
                place = parse(tag.address.removeprefix(self._prefix))
            except ValueError as error:
                self._refused[tag.address] = str(error)
                self._notices.refused(tag, str(error))
                continue
            before = known.get(tag.tag_id)
            if before is not None and before.place == place:
                item = before
            else:
                item = Item(tag, place, self._sink.last_seen(tag.tag_id) if before is None else before.last)
                cause = "the tag was not read" if self._connects else "the gateway was not running"
                self._gaps.open(tag, item.last, cause)
            item.tag = tag
            self._items[tag.tag_id] = item
            self._by_topic.setdefault(place.topic, []).append(item)
        kept = {*tags, *self._settings.discover}
        self._refused = {address: text for address, text in self._refused.items() if address in kept}
        self._changed.set()

    def status(self) -> dict[str, Any]:
        """Numbers and states for people."""
        return {
            "kind": "mqtt",
            "endpoint": self._settings.endpoint,
            "client_id": self._client_id,
            "connected": self._connection is not None,
            "problem": self._problem,
            "tags": len(self._by_tag),
            "topics": len(self._by_topic),
            "refused": dict(sorted(self._refused.items())[:20]),
            "connects": self._connects,
            "messages": self._messages,
            "repeats": self._repeats,
            "malformed": self._malformed,
            "unknown": self._unknown,
            "proposed": len(self._proposals),
            "time_source": "message, else gateway",
        }

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Publish a message per tag, and wait until the topics of the values say the same."""
        connection = self._connection
        if connection is None or not connection.is_open:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=self._problem or "not connected")
        messages: list[tuple[str, bytes]] = []
        for write in writes:
            item = self._items.get(write.tag.tag_id)
            if item is None:
                detail = f"{write.tag.name} has no address that can be written"
                return WriteResult(status=WriteStatus.NOT_SENT, detail=detail)
            place = item.place
            topic = place.set_topic or self._settings.write_topic.replace("{topic}", place.topic)
            try:
                messages.append((topic, payload.encode(write.value, write.tag.data_type, place.path, self._clock())))
            except ValueError as error:
                detail = f"{write.tag.name}: {error}; nothing was written"
                return WriteResult(status=WriteStatus.NOT_SENT, detail=detail)
        with self._reports.expecting(writes) as pending:
            for topic, data in messages:
                connection.publish(topic, data, qos=self._settings.qos)
            return await outcome(pending, writes, timeout_s)

    # --- connection ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection until cancelled, with growing pauses between attempts."""
        pauses = Pauses(self._settings.reconnect_min_s, self._settings.reconnect_max_s)
        while True:
            if not self._by_topic and not self._settings.discover:
                self._changed.clear()
                await self._changed.wait()
                continue
            connects = self._connects
            connection = MqttConnection(
                self._settings,
                client_id=self._client_id,
                on_message=self._on_message,
                max_payload=self._settings.max_payload_bytes,
                session_expiry_s=self._settings.session_expiry_s if self._settings.qos else 0,
            )
            try:
                self._resuming = True
                await connection.open()
                await self._serve(connection)
            except MqttError as error:
                self._down(str(error))
            finally:
                self._connection = None
                await connection.close()
            await pauses.sleep(connected=self._connects > connects)

    async def _serve(self, connection: MqttConnection) -> None:
        """Keep the subscriptions as the registry wants them, until the connection is lost."""
        self._subscribed = set()
        ended = asyncio.create_task(connection.ended())
        try:
            while True:
                self._changed.clear()
                await self._subscribe(connection)
                if self._connection is None:
                    self._connection, self._resuming, self._problem = connection, False, ""
                    self._connects += 1
                    log.info("connected", extra={"endpoint": self._settings.endpoint, "client_id": self._client_id})
                changed = asyncio.create_task(self._changed.wait())
                wait_s = _RETRY_REFUSED_S if self._refused else None
                try:
                    await asyncio.wait({ended, changed}, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    changed.cancel()
                if ended.done():
                    await ended
        finally:
            ended.cancel()
            with contextlib.suppress(asyncio.CancelledError, MqttError):
                await ended

    async def _subscribe(self, connection: MqttConnection) -> None:
        wide = [one for one in self._settings.discover if one not in self._refused]
        wanted = {*self._settings.discover}
        wanted |= {topic for topic in self._by_topic if not any(matches(one, topic) for one in wide)}
        connection.unsubscribe(self._subscribed - wanted)
        self._subscribed &= wanted
        missing = sorted(wanted - self._subscribed)
        refused = await connection.subscribe([(one, self._settings.qos) for one in missing])
        self._subscribed |= set(missing) - set(refused)
        for one in missing:
            self._granted(one, refused.get(one, ""))

    def _granted(self, topic: str, problem: str) -> None:
        """The broker answered a subscription; a filter that it refused no longer stands for the topics that it covers."""
        items = self._by_topic.get(topic, [])
        for item in items:
            if problem:
                self._refused[item.tag.address] = problem
                self._notices.refused(item.tag, problem)
            elif self._refused.pop(item.tag.address, None) is not None:
                self._notices.accepted(item.tag.tag_id)
        if not items and problem and topic not in self._refused:
            self._refused[topic] = problem
            self._notices.tell(EventKind.REFUSED, 0, f"{self.name}: {topic[:100]}: {problem}")
            self._changed.set()
        elif not items and not problem:
            self._refused.pop(topic, None)

    def _down(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("no connection", extra={"endpoint": self._settings.endpoint, "cause": problem})
        self._problem = problem
        for item in self._items.values():
            self._gaps.open(item.tag, item.last, f"no connection to {self._settings.endpoint}: {problem}")
        self._notices.died(self._by_tag.values(), problem)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _on_message(self, message: Message) -> asyncio.Future[None] | None:
        items = self._by_topic.get(message.topic)
        if items is None:
            self._on_unknown(message)
            return None
        self._messages += 1
        try:
            document = payload.decode(message.data, self._settings.max_payload_bytes)
        except ValueError as error:
            for item in items:
                self._refuse(item, str(error))
            return None
        readings, newer = Readings(), Readings()
        for item in items:
            try:
                self._collect(item, payload.sample(document, item.place), message, readings, newer)
            except ValueError as error:
                self._refuse(item, str(error))
        appended = self._hand_over(readings, newer)
        # The first copy of a repeat may not be appended yet.
        return self._appending if appended is None else appended

    def _collect(self, item: Item, found: Sample, message: Message, readings: Readings, newer: Readings) -> None:
        if item.is_repeat(found, again=message.retained or message.redelivered):
            self._repeats += 1
            self._gaps.repeated(item.tag)
            self._notices.born([item.tag])
            return
        time_us = found.time_us or self._clock()
        code = found.quality
        if not found.time_us and (message.retained or self._resuming) and code == quality.GOOD:
            code = quality.UNCERTAIN_LAST_USABLE
        readings.add(item.tag.tag_id, time_us, found.value, code)
        if time_us > item.last.time_us:
            newer.add(item.tag.tag_id, time_us, found.value, code)
        item.last = Seen.of(max(time_us, item.last.time_us), found.value, code)
        if not message.retained:
            self._reports.on_value(item.tag.tag_id, found.value)

    def _hand_over(self, readings: Readings, newer: Readings) -> asyncio.Future[None] | None:
        if not len(readings):
            return None
        appended = self._appending = asyncio.get_running_loop().create_future()

        def on_appended() -> None:
            if not appended.done():
                appended.set_result(None)

        self._notices.born(self._by_tag[tag_id] for tag_id in readings.tag_id)
        self._gaps.heard(newer, self._by_tag)
        self._sink.readings(readings, on_appended)
        return appended

    def _refuse(self, item: Item, problem: str) -> None:
        """Count it; told at once, and then once a minute with the count."""
        self._malformed += 1
        item.refused += 1
        now_us = self._clock()
        if item.told_us and now_us - item.told_us < _TOLD_AGAIN_US:
            return
        attributes = {
            "tag": item.tag.path,
            "tag_id": str(item.tag.tag_id),
            "address": item.tag.address,
            "reason": problem,
            "count": str(item.refused),
        }
        self._notices.tell(EventKind.REFUSED, item.tag.device_id, f"{item.tag.path}: {problem}", attributes)
        item.told_us, item.refused = now_us, 0

    def _on_unknown(self, message: Message) -> None:
        self._unknown += 1
        topic = message.topic
        if not any(matches(one, topic) for one in self._settings.discover):
            # A subscription that the broker kept from an earlier time.
            if self._connection is not None:
                self._connection.unsubscribe([topic])
            return
        if not self._proposals.is_new(topic) or not (self._by_tag or self._foreign):
            return
        try:
            document = payload.decode(message.data, self._settings.max_payload_bytes)
        except ValueError as error:
            log.debug("an unknown topic is no JSON", extra={"topic": topic[:200], "cause": str(error)})
            return
        self._propose(self._proposals.of(topic, document))

    def _propose(self, proposals: Iterable[Mapping[str, str]]) -> None:
        for one in proposals:
            address = self._prefix + one["address"]
            if len(address) > LONGEST_ADDRESS:
                text = f"{address[:200]}: no tag has an address of more than {LONGEST_ADDRESS} characters"
                self._notices.tell(EventKind.REFUSED, 0, text, {"address": address})
            elif address not in self._foreign:
                text = f"{address[:200]} is not in the registry"
                self._notices.tell(EventKind.PROPOSAL, 0, text, {**one, "address": address})
