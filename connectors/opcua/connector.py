"""OPC UA connector of the gateway: all of a gateway's tags at one server in one subscription, and writes with read-back.

Enters: the registry's tags by address (`<connection>:<node id>`), notifications of the server, writes.
Leaves, to a `Sink`: every sample with its source time and status; BIRTH when a device's tags are subscribed, DEATH when the
connection is lost; GAP where samples are known to be missing: after a reconnect (from the last sample seen to the first new
one, number unknown), at an overflow of the server's queue, when notifications were lost on the way.

A notification is acknowledged after its samples are appended. A new subscription begins with the current value of every
item: a (tag, source time) seen before is not a new sample.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from asyncua import ua

from base.errors import ConfigError
from base.ids import Clock
from connectors.gap_tracker import GapTracker
from connectors.opcua.session import Monitored, OpcUaSession, raise_if_cancelled
from connectors.opcua.settings import OpcUaSettings
from connectors.opcua.writes import VARIANTS, result_of, variant
from connectors.readings import Notice, Readings, Sink, Write, WriteResult, WriteStatus
from schemas import quality
from schemas.definitions import TagDefinition
from schemas.events import EventKind, Gap

log = logging.getLogger(__name__)

ERRORS = (OSError, TimeoutError, ua.UaError, ConfigError)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
# OPC 10000-4, 7.39.1: InfoType DataValue (bits 10-11 = 01) with the Overflow bit (7).
_INFO_MASK, _OVERFLOW = 0x0C80, 0x0480
_RETRY_REFUSED_S = 30.0


@dataclass(slots=True)
class _Item:
    """A monitored tag. `fresh` until the first notification of the current subscription."""

    tag: TagDefinition
    handle: int
    node_id: Any
    last_us: int
    fresh: bool = True
    variant_type: Any = None
    refused: str = ""


class OpcUaConnector:
    """One server's connection: reconnects by itself, until it is stopped. Implements `connectors.readings.Connector`."""

    def __init__(self, settings: OpcUaSettings, *, name: str, sink: Sink, clock: Clock) -> None:
        self.name = name
        self._settings, self._sink, self._clock = settings, sink, clock
        self._prefix = f"{name}:"
        self._wanted: dict[str, TagDefinition] = {}
        self._items: dict[str, _Item] = {}
        self._by_handle: dict[int, _Item] = {}
        self._next_handle = 1
        self._session: OpcUaSession | None = None
        self._changed = asyncio.Event()
        self._last_us: dict[int, int] = {}
        self._gaps = GapTracker(self._gap)
        self._by_tag: dict[int, TagDefinition] = {}
        self._gap_cause = "the gateway was not running"
        self._alive: dict[int, bool] = {}
        self._sequence = 0
        self._notifications = self._repeats = self._connects = 0
        self._problem = "not yet connected"

    def serves(self, address: str) -> bool:
        """Whether an address of the registry belongs to this server."""
        return address.startswith(self._prefix)

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:  # noqa: ARG002
        """Take over the tags by address; a running subscription follows."""
        self._wanted = {address: tag for address, tag in tags.items() if self.serves(address)}
        self._changed.set()

    def status(self) -> dict[str, Any]:
        """Numbers and states for people."""
        refused = {address: item.refused for address, item in self._items.items() if item.refused}
        return {
            "kind": "opcua",
            "url": self._settings.endpoint,
            "connected": self._session is not None,
            "problem": self._problem,
            "tags": len(self._wanted),
            "refused": dict(sorted(refused.items())[:20]),
            "connects": self._connects,
            "notifications": self._notifications,
            "repeats": self._repeats,
        }

    # --- connection ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a session until cancelled, with growing pauses between attempts."""
        pause_s = self._settings.reconnect_min_s
        while True:
            if not self._wanted:
                self._changed.clear()
                await self._changed.wait()
                continue
            connects = self._connects
            session = OpcUaSession(self._settings)
            try:
                await self._serve(session)
            except ERRORS as error:
                self._down(error)
            finally:
                self._session = None
                self._last_us |= {item.tag.tag_id: item.last_us for item in self._items.values()}
                await session.close()
            raise_if_cancelled()
            pause_s = self._settings.reconnect_min_s if self._connects > connects else pause_s
            await asyncio.sleep(pause_s * random.uniform(0.8, 1.2))
            pause_s = min(2 * pause_s, self._settings.reconnect_max_s)

    async def _serve(self, session: OpcUaSession) -> None:
        await session.open()
        self._items, self._by_handle, self._sequence = {}, {}, 0
        self._session = session
        self._connects += 1
        self._problem = ""
        log.info("connected", extra={"url": self._settings.endpoint})
        publishing = asyncio.create_task(session.run(self._on_result))
        following = asyncio.create_task(self._follow(session))
        try:
            done, _ = await asyncio.wait({publishing, following}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                await task
        finally:
            publishing.cancel()
            following.cancel()
            await asyncio.gather(publishing, following, return_exceptions=True)

    async def _follow(self, session: OpcUaSession) -> None:
        """Make the subscription hold what the registry wants, now and after every change."""
        while True:
            self._changed.clear()
            await self._subscribe(session)
            try:
                async with asyncio.timeout(_RETRY_REFUSED_S if self._has_refused() else None):
                    await self._changed.wait()
            except TimeoutError:
                log.debug("trying refused items again")

    async def _subscribe(self, session: OpcUaSession) -> None:
        wanted = self._wanted
        gone = [a for a, item in self._items.items() if item.refused or wanted.get(a) is None]
        for address, item in self._items.items():
            if address in wanted:
                item.tag = wanted[address]
        removed = [self._items.pop(address) for address in gone]
        await session.unmonitor(item.handle for item in removed)
        for item in removed:
            self._by_handle.pop(item.handle, None)
        self._by_tag = {tag.tag_id: tag for tag in wanted.values()}
        added = [self._add(address, tag) for address, tag in wanted.items() if address not in self._items]
        nodes = [Monitored(item.handle, item.node_id) for item in added if not item.refused]
        for handle, status in (await session.monitor(nodes)).items():
            self._by_handle.pop(handle).refused = status
        if refused := [item for item in added if item.refused]:
            extra = {"url": self._settings.endpoint, "items": {i.tag.address: i.refused for i in refused[:10]}}
            log.warning("%d addresses cannot be subscribed", len(refused), extra=extra)
        self._births({item.tag.device_id: item.tag for item in added if not item.refused})

    def _add(self, address: str, tag: TagDefinition) -> _Item:
        text = address.removeprefix(self._prefix)
        # What was handed over and is not yet appended, the sink does not know.
        last_us = self._last_us.get(tag.tag_id) or self._sink.last_seen_us(tag.tag_id)
        item = _Item(tag, self._next_handle, None, last_us)
        self._next_handle += 1
        self._items[address] = item
        try:
            item.node_id = ua.NodeId.from_string(text)
        except ua.UaError as error:
            item.refused = str(error)
        else:
            self._by_handle[item.handle] = item
        if not self._alive.get(tag.device_id):
            self._gaps.open(tag, last_us, self._gap_cause)
        return item

    def _has_refused(self) -> bool:
        return any(item.refused for item in self._items.values())

    def _births(self, devices: Mapping[int, TagDefinition]) -> None:
        for device_id, tag in devices.items():
            if not self._alive.get(device_id):
                self._alive[device_id] = True
                self._notice(EventKind.BIRTH, device_id, f"{tag.device_path} is connected")

    def _down(self, error: Exception) -> None:
        problem = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        if problem != self._problem:
            log.warning("no connection", extra={"url": self._settings.endpoint, "cause": problem})
        if self._session is not None:
            self._gap_cause = f"connection to {self._settings.endpoint} was lost"
        self._problem = problem
        for tag in {tag.device_id: tag for tag in self._wanted.values()}.values():
            if self._alive.get(tag.device_id, True):
                self._alive[tag.device_id] = False
                self._notice(EventKind.DEATH, tag.device_id, f"{tag.device_path} cannot be reached: {problem}")

    def _notice(self, kind: EventKind, device_id: int, text: str, gap: Gap | None = None) -> None:
        attributes = {"connector": self.name, "url": self._settings.endpoint}
        if kind is EventKind.DEATH:
            attributes["quality"] = f"0x{quality.BAD_NO_COMMUNICATION:04x}"
        self._sink.notice(
            Notice(kind=kind, device_id=device_id, time_us=self._clock(), text=text, attributes=attributes, gap=gap)
        )

    # --- samples -------------------------------------------------------------------------------------------------------

    def _on_result(self, result: Any) -> None:
        session, message = self._session, result.NotificationMessage
        if session is None or not message.NotificationData:
            return
        number = int(message.SequenceNumber)
        if self._sequence and number != self._sequence + 1 and not (number == 1 and self._sequence == 0xFFFF_FFFF):
            self._lost_notifications(number)
        self._sequence = number
        readings = Readings()
        overflowed: list[tuple[_Item, int, int]] = []
        for notification in message.NotificationData:
            if isinstance(notification, ua.DataChangeNotification):
                self._data_change(notification.MonitoredItems, readings, overflowed)
            elif isinstance(notification, ua.StatusChangeNotification):
                # The subscription is gone (timeout, transfer): a new session makes a new one.
                raise ua.UaStatusCodeError(notification.Status.value)
        self._gaps.heard(readings, self._by_tag)
        self._overflows(overflowed)
        if len(readings):
            self._sink.readings(readings, lambda: session.acknowledge(number))
        else:
            session.acknowledge(number)

    def _data_change(
        self, notified: Iterable[Any], readings: Readings, overflowed: list[tuple[_Item, int, int]]
    ) -> None:
        """The hot loop: about 2 µs a sample beside asyncua's decoding."""
        by_handle = self._by_handle
        tag_ids, times, values, qualities = readings.tag_id, readings.time_us, readings.value, readings.quality
        for one in notified:
            item = by_handle.get(one.ClientHandle)
            if item is None:
                continue
            data = one.Value
            source = data.SourceTimestamp or data.ServerTimestamp
            time_us = (source - _EPOCH) // _US if source is not None else self._clock()
            status = data.StatusCode.value if data.StatusCode is not None else 0
            if item.fresh:
                item.fresh = False
                item.variant_type = data.Value.VariantType if data.Value is not None else None
                if time_us == item.last_us:
                    self._repeats += 1
                    self._gaps.repeated(item.tag)
                    continue
            if status & _INFO_MASK == _OVERFLOW:
                overflowed.append((item, item.last_us, time_us))
            item.last_us = time_us
            tag_ids.append(item.tag.tag_id)
            times.append(time_us)
            values.append(data.Value.Value if data.Value is not None else None)
            qualities.append((status >> 16) & 0xFFFF)
        self._notifications += len(tag_ids)

    def _overflows(self, overflowed: Iterable[tuple[_Item, int, int]]) -> None:
        self._gaps.lost(
            ((item.tag, before_us, after_us) for item, before_us, after_us in overflowed),
            "the queue of the item at the server overflowed",
        )

    def _lost_notifications(self, number: int) -> None:
        cause = f"notifications {self._sequence + 1} to {number - 1} of the server did not arrive"
        for item in self._items.values():
            self._gaps.open(item.tag, item.last_us, cause, proven=True)

    def _gap(self, device_id: int, gap: Gap) -> None:
        self._notice(EventKind.GAP, device_id, f"samples may be missing: {gap.cause}", gap)

    # --- writes --------------------------------------------------------------------------------------------------------

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write in one request, then read back from the server."""
        session = self._session
        items = [self._items.get(write.tag.address) for write in writes]
        if session is None or any(item is None or item.refused for item in items):
            return WriteResult(status=WriteStatus.NOT_SENT, detail=self._problem or "the address is not at the server")
        node_ids = [item.node_id for item in items if item is not None]
        sent = False
        try:
            async with asyncio.timeout(timeout_s):
                variants = await self._variants(session, [item for item in items if item is not None], writes)
                sent = True
                statuses = await session.write(list(zip(node_ids, variants, strict=True)))
                values = await session.read(node_ids)
        except ERRORS as error:
            status = WriteStatus.UNKNOWN if sent else WriteStatus.NOT_SENT
            return WriteResult(status=status, detail=f"{type(error).__name__}: {error}")
        return result_of(writes, statuses, values)

    async def _variants(self, session: OpcUaSession, items: Sequence[_Item], writes: Sequence[Write]) -> list[Any]:
        """Values in the servers' own types, which the first notification showed."""
        unknown = [item for item in items if item.variant_type in (None, ua.VariantType.Null)]
        if unknown:
            for item, value in zip(unknown, await session.read([item.node_id for item in unknown]), strict=True):
                known = value.Value is not None and value.Value.VariantType != ua.VariantType.Null
                item.variant_type = value.Value.VariantType if known else VARIANTS[item.tag.data_type]
        return [variant(item.variant_type, write.value) for item, write in zip(items, writes, strict=True)]
