"""OPC UA connector of the gateway: a gateway's tags at one server, and writes with read-back.

Enters: the registry's tags by address (`<connection>:<node id>`), notifications of the server, writes. Leaves, to a `Sink`:
every sample with its source time and status; BIRTH when a device's tags are subscribed, DEATH when the connection is lost;
GAP where samples are missing or may be, with the bounds of each item; STATE when the server grants less than the tags need.

A notification is acknowledged after its samples are appended. A new subscription begins with the current value of every
item: a (tag, source time) seen before is not a new sample. An item that the server does not have is asked for again, with
growing pauses.

Over 350 lines: one session and what it holds, from its start to its loss; every method works on that one state.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from asyncua import ua

from base.errors import ConfigError
from base.ids import Clock
from connectors.device_notices import DeviceNotices
from connectors.gap_tracker import GapTracker
from connectors.opcua import alarms, methods, remarks
from connectors.opcua.address import CallAddress, is_call, parse_call
from connectors.opcua.certificates import CertificateStore, describe
from connectors.opcua.errors import explain
from connectors.opcua.expiry import ExpiryWatch
from connectors.opcua.history import History
from connectors.opcua.items import Item, Revised
from connectors.opcua.limits import Limits
from connectors.opcua.metadata import read_metadata
from connectors.opcua.monitored import Monitored
from connectors.opcua.run_note import Heard, Run, RunNote
from connectors.opcua.security import Security
from connectors.opcua.session import OpcUaSession, raise_if_cancelled, until_first_ends
from connectors.opcua.settings import OpcUaSettings
from connectors.opcua.silence import Silence
from connectors.opcua.status import counts_of, of_items
from connectors.opcua.structures import Structures
from connectors.opcua.subscriptions import Subscriptions
from connectors.opcua.table import EVENTS_HANDLE, NAMESPACES_HANDLE, ItemTable
from connectors.opcua.type_definitions import explain_fields
from connectors.opcua.values import take
from connectors.opcua.watch import ask_of_conditions, watch_conditions, watch_namespaces
from connectors.opcua.writes import carry_out
from connectors.pauses import Pauses
from connectors.readings import Readings, Sink, Write, WriteResult, WriteStatus
from schemas.definitions import TagDefinition
from schemas.events import Gap, GapItem

log = logging.getLogger(__name__)

ERRORS = (OSError, TimeoutError, ua.UaError, ConfigError)
_UNKNOWN = "BadNodeIdUnknown"


class OpcUaConnector:
    """One server's connection: reconnects by itself, until it is stopped. Implements `connectors.readings.Connector`."""

    def __init__(
        self,
        settings: OpcUaSettings,
        *,
        name: str,
        sink: Sink,
        clock: Clock,
        certificates: CertificateStore,
        state_dir: Path | None = None,
    ) -> None:
        self.name = name
        self._security = Security(settings, certificates)
        self._settings, self._sink, self._clock = settings, sink, clock
        self._prefix = f"{name}:"
        self._wanted: dict[str, TagDefinition] = {}
        self._calls: dict[str, CallAddress] = {}
        self._notices = DeviceNotices(sink, clock, connector=name, endpoint=settings.endpoint, born={})
        self._note = RunNote(state_dir, lambda text: remarks.note(self._notices, f"{name}: {text}"))
        self._gaps = GapTracker(self._gap, self._note.drop)
        self._alarms = alarms.Alarms(self._notices, clock)
        self._expiry = ExpiryWatch(self._security.warnings, self._notices, clock)
        self._items = ItemTable(self._prefix, sink, self._gaps, self._note.heard.tags if self._note.heard else ())
        self._limits = Limits()
        self._session: OpcUaSession | None = None
        self._subscriptions: Subscriptions | None = None
        self._left: Subscriptions | None = None
        self._run: Run | None = None
        self._hands_over = True
        self._history: History | None = None
        self._closed: list[GapItem] = []
        self._semantics: dict[int, Item] = {}
        self._structures = Structures()
        self._changed = asyncio.Event()
        self._gap_cause = "the gateway was not running"
        self._namespaces_changed = self._watching = False
        self._limitation = ""
        self._notifications = self._repeats = self._connects = self._missed = 0
        self._problem = "not yet connected"

    def serves(self, address: str) -> bool:
        """Whether an address of the registry belongs to this server."""
        return address.startswith(self._prefix)

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:  # noqa: ARG002
        """Take over the tags by address; a running subscription follows."""
        mine = {address: tag for address, tag in tags.items() if self.serves(address)}
        self._calls = {}
        for address in mine:
            if is_call(text := address.removeprefix(self._prefix)):
                # One that is wrong is refused as an item, alone.
                with contextlib.suppress(ValueError):
                    self._calls[address] = parse_call(text)
        self._wanted = {address: tag for address, tag in mine.items() if address not in self._calls}
        self._changed.set()

    def status(self) -> dict[str, Any]:
        """Numbers and states for people. `limited` says what the server grants less than the tags need."""
        subscriptions = self._subscriptions
        return {
            "kind": "opcua",
            "url": self._settings.endpoint,
            "connected": self._session is not None,
            "problem": self._problem,
            "limited": self._limitation,
            "tags": len(self._wanted),
            "methods": len({call[:2] for call in self._calls.values()}),
            **of_items(self._items),
            "open_gaps": len(self._gaps),
            "limits": self._limits.status(),
            "certificate": None if self._security.own is None else describe(self._security.own.certificate),
            "warnings": [*self._expiry.warnings(), *filter(None, [self._note.problem])],
            **({} if subscriptions is None else subscriptions.status()),
            "connects": self._connects,
            "notifications": self._notifications,
            "repeats": self._repeats,
            "changes_not_told": self._missed,
            "conditions": self._alarms.events,
            "filled_from_history": 0 if self._history is None else self._history.filled,
        }

    # --- connection ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a session until cancelled, with growing pauses between attempts; raises what nobody foresaw."""
        pauses = Pauses(self._settings.reconnect_min_s, self._settings.reconnect_max_s)
        while True:
            if not self._wanted and not self._calls:
                self._changed.clear()
                await self._changed.wait()
                continue
            connects = self._connects
            session = OpcUaSession(self._settings, self._limits, self._security)
            try:
                await self._serve(session)
            except ERRORS as error:
                self._down(error)
            finally:
                if self._session is not None and self._subscriptions is not None:
                    self._left = self._subscriptions
                self._session = self._subscriptions = self._history = None
                await session.close()
            raise_if_cancelled()
            await pauses.sleep(connected=self._connects > connects)

    async def _serve(self, session: OpcUaSession) -> None:
        await session.open()
        self._subscriptions = await self._continued(session)
        self._session = session
        self._history = History(session, self._sink, self._notices) if self._settings.history else None
        self._connects += 1
        self._problem = ""
        log.info("connected", extra={"url": self._settings.endpoint})
        await until_first_ends(
            session.wait_lost(),
            self._subscriptions.run(),
            self._follow(session, self._subscriptions),
            self._look_at_silence(session),
            self._expiry.run(),
            self._alarms.run(),
            ask_of_conditions(session, self._subscriptions, self._alarms, self._items),
            *([self._history.run()] if self._history is not None else []),
        )

    async def _continued(self, session: OpcUaSession) -> Subscriptions:
        """The subscriptions of the session before, where the server still has them, or none yet."""
        kept: frozenset[int] = frozenset()
        subscriptions = Subscriptions(session.service, self._settings, self._limits, self)
        # The first session goes on from what an earlier process heard.
        before = self._note.run if not self._connects else self._run
        same_run = session.run is not None and session.run == before
        if self._left is not None:
            left = self._left
            self._hands_over = self._hands_over and not left.stays_silent
            if self._hands_over and same_run:
                kept, subscriptions = await left.move(session.service), left
            self._left = None
        self._run = session.run
        self._items.begin(self._clock(), kept, same_run=same_run)
        if not kept:
            self._structures = Structures()
        return subscriptions

    async def _follow(self, session: OpcUaSession, subscriptions: Subscriptions) -> None:
        """Make the subscriptions hold what the registry wants, now, after every change, and when refused items are due."""
        self._watching = False
        while True:
            self._changed.clear()
            watching, self._watching = self._watching, True
            if not watching:
                await watch_namespaces(subscriptions)
            await self._resolve_again(session, subscriptions)
            await self._subscribe(session, subscriptions)
            if self._settings.alarms and not watching:
                # Behind the items: by them it is known whose the conditions are that the server repeats.
                await watch_conditions(session, subscriptions, self._alarms)
            await self._read_semantics(session)
            due_s = self._items.next_due_s()
            try:
                async with asyncio.timeout_at(due_s):
                    await self._changed.wait()
            except TimeoutError:
                # An item may wait for its namespace, and not every server tells of a new one.
                self._namespaces_changed = any(item.node_id is None for item in self._items)

    async def _look_at_silence(self, session: OpcUaSession) -> None:
        """Read what says nothing; an item that the server forgot is asked for again."""
        silence = Silence(session.read)
        while True:
            await asyncio.sleep(self._settings.silence_check_s)
            gone, missed = await silence.look(self._items)
            for item in gone:
                self._items.refuse(item, _UNKNOWN, _now_s())
            self._missed += len(missed)
            for tell in (self._items.lost, self._items.ended):
                tell([item.handle for item in missed], "the server did not tell of a change")
            if gone or missed:
                self._changed.set()

    async def _resolve_again(self, session: OpcUaSession, subscriptions: Subscriptions) -> None:
        """After a change of the NamespaceArray: take out the items whose node id is another one now."""
        if not self._namespaces_changed:
            return
        self._namespaces_changed = False
        if not await session.read_namespaces():
            return
        moved = [item for item in self._items if item.subscribed and self._node_id(session, item) != item.node_id]
        await subscriptions.remove([item.handle for item in moved])
        self._items.ended([item.handle for item in moved], "the server's namespaces have changed")
        self._structures = Structures()
        await explain_fields([item for item in self._items if item.subscribed], self._structures, session)
        for item in self._items:
            if item.node_id is None and item.address is not None:
                item.retry_s = _now_s()

    async def _subscribe(self, session: OpcUaSession, subscriptions: Subscriptions) -> None:
        added, gone = self._items.follow(self._wanted, self._gap_cause)
        due = self._items.due(_now_s())
        # One that the server calls gone may still be in a subscription.
        await subscriptions.remove([item.handle for item in (*gone, *due)])
        asked: list[Item] = []
        for item in due:
            item.node_id = self._node_id(session, item)
            if item.node_id is not None:
                self._items.ask(item)
                asked.append(item)
        await explain_fields(asked, self._structures, session)
        outcome = await subscriptions.add(
            [Monitored(item.handle, item.node_id, self._deadband(item), item.tag.sampling_ms or 0) for item in asked]
        )
        for item in asked:
            answer = outcome[item.handle]
            if not isinstance(answer, Revised):
                self._items.refuse(item, answer, _now_s())
            elif not item.refused:  # else its subscription has ended meanwhile
                item.subscribed, item.revised = True, answer
        if refused := [item for item in added if item.refused]:
            extra = {"url": self._settings.endpoint, "items": {i.tag.address: i.refused for i in refused[:10]}}
            log.warning("%d addresses cannot be subscribed", len(refused), extra=extra)
        for item in self._items:
            # One whose subscription has ended meanwhile waits for nothing: it is asked for at once.
            if item.refused and item.retry_s:
                self._notices.refused(item.tag, item.refused)
        for item in asked:
            if item.subscribed:
                self._notices.accepted(item.tag.tag_id)
        self._notices.born(item.tag for item in self._items if item.subscribed)
        self._tell_limits()

    def _deadband(self, item: Item) -> float:
        """Of a part of a value the server knows none."""
        return item.tag.band if self._settings.server_deadband and not item.path else 0.0

    def _node_id(self, session: OpcUaSession, item: Item) -> Any:
        return self._items.resolve(item, session.namespaces, _now_s())

    def _tell_limits(self) -> None:
        """One STATE event for each connection and each change of what the server grants."""
        text, counts = counts_of(self._items)
        if text == self._limitation:
            return
        self._limitation = text
        if text:
            log.warning("limited", extra={"url": self._settings.endpoint, "cause": text})
        remarks.limits(self._notices, f"{self.name}: {text or 'the server grants what the tags need'}", counts)

    async def _read_semantics(self, session: OpcUaSession) -> None:
        """Range and unit of items whose server says that they have changed; the registry follows when a person changes it."""
        changed, self._semantics = list(self._semantics.values()), {}
        for item, found in zip(changed, await read_metadata(session, [item.node_id for item in changed]), strict=True):
            remarks.semantics(self._notices, item, found)

    def _gap(self, device_id: int, gap: Gap) -> None:
        self._notices.gap(device_id, gap)
        self._closed += gap.items

    def _fill(self, closed: Sequence[GapItem]) -> None:
        """Once the readings that close these gaps are durable."""
        items = {item.tag.tag_id: item for item in self._items}
        for one in closed:
            item = items.get(one.tag_id)
            if self._history is not None and item is not None and item.node_id is not None:
                self._history.fill(item, one.from_us, one.to_us)

    def _down(self, error: Exception) -> None:
        problem = explain(error, self._settings, self._security.own)
        if problem != self._problem:
            log.warning("no connection", extra={"url": self._settings.endpoint, "cause": problem})
        if self._session is not None:
            self._gap_cause = f"connection to {self._settings.endpoint} was lost"
        self._problem, self._limitation = problem, ""
        self._notices.died(self._wanted.values(), problem)
        self._expiry.look()
        self._note.retry()

    # --- what subscriptions say (Receiver) -----------------------------------------------------------------------------

    def notified(self, message: Any, acknowledge: Callable[[], None]) -> None:
        """A notification message: its samples go to the sink."""
        readings = Readings()
        data = [one for one in message.NotificationData if isinstance(one, ua.DataChangeNotification)]
        changes = data[0].MonitoredItems if len(data) == 1 else [item for one in data for item in one.MonitoredItems]
        for one in message.NotificationData:
            if isinstance(one, ua.EventNotificationList):
                self._alarms.take(one.Events, list(self._items))
        taken = take(changes, self._items.by_handle, readings, self._clock)
        self._notifications += len(readings)
        self._repeats += len(taken.repeated)
        for item in taken.repeated:
            self._items.repeated(item)
        self._note.retry()
        if taken.overflowed:
            # This gap is never open: it is known, and not yet durable, until its readings are.
            self._note.drop()
        # First the gaps, which are durable with the readings that close them.
        self._gaps.heard(readings, self._items.by_tag)
        self._gaps.lost(taken.overflowed, "the queue of the item at the server overflowed")
        closed, self._closed = self._closed, []
        for item in taken.semantics:
            self._semantics[item.handle] = item
        heard, doubts = self._to_note(), self._note.doubts

        def appended() -> None:
            acknowledge()
            self._fill(closed)
            if heard is not None:
                self._note.write(heard, doubts)

        if len(readings):
            self._sink.readings(readings, appended if closed or heard is not None else acknowledge)
        else:
            acknowledge()
        for item in taken.gone:
            self._items.refuse(item, _UNKNOWN, _now_s())
        for item in taken.timed:
            remarks.time_source(self._notices, item)
        self._namespaces_changed = self._namespaces_changed or NAMESPACES_HANDLE in taken.other
        if taken.gone or taken.other or taken.semantics:
            self._changed.set()

    def _to_note(self) -> Heard | None:
        """What may be noted once all that was handed over is durable; None: nothing, or nothing new."""
        if self._run is None:
            return None
        heard = Heard(self._run, self._items.tag_ids)
        return None if self._note.says(heard) or self._gaps.doubtful else heard

    def lost(self, handles: Iterable[int], cause: str) -> None:
        """A notification is lost for good."""
        handles = list(handles)
        if EVENTS_HANDLE in handles:
            self._alarms.lost()
        self._items.lost(handles, cause)

    def ended(self, handles: Iterable[int], cause: str) -> None:
        """Items are in no subscription any more: they are asked for again."""
        handles = list(handles)
        self._items.ended(handles, cause)
        self._watching = self._watching and NAMESPACES_HANDLE not in handles and EVENTS_HANDLE not in handles
        self._changed.set()

    # --- writes --------------------------------------------------------------------------------------------------------

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write in one request, then read back from the server; or call the method whose arguments these are."""
        session = self._session
        calls = [self._calls.get(write.tag.address) for write in writes]
        if session is not None and any(calls):
            return await methods.carry_out(session, writes, calls, timeout_s)
        found = [self._items.get(write.tag.address) for write in writes]
        items = [item for item in found if item is not None and item.subscribed]
        if session is None or len(items) != len(writes):
            return WriteResult(status=WriteStatus.NOT_SENT, detail=self._problem or "the address is not at the server")
        return await carry_out(session, items, writes, timeout_s)

    async def acknowledge(self, condition: str, seen_us: int, comment: str, timeout_s: float) -> WriteResult:
        """Acknowledge a condition (its node id) at the server, as it stood at a time of the gateway's clock."""
        if (session := self._session) is None:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=self._problem)
        if not self._settings.alarms:
            return WriteResult(
                status=WriteStatus.REFUSED, detail=f"{self.name}: its conditions are not read: `alarms` is false"
            )
        return await self._alarms.acknowledging.acknowledge(session, condition, seen_us, comment, timeout_s)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
