"""Conditions of OPC 10000-9 (alarms) as STATE events: asked for at the Server object, those retained anew at each session.

An event names the condition, its source, its severity, whether it is active, acknowledged and confirmed, and who said what of it last. It
belongs to the device of the tag whose node is the source, or whose node id begins with the source's; where the connection has one device
alone, to that; else to the gateway. When that changes, the device before hears that it is over. Two conditions of
one name are two by their node ids, and an earlier state that somebody still has to acknowledge is a branch of its own. A flood is spread:
what is more than so many in a second is told in the next seconds, each condition as it is by then, and what that leaves out as a number.

A server repeats what it retains between RefreshStart and RefreshEnd: what was told before and is not repeated ended while nobody listened.
Not every server retains what is active and acknowledged: of what was active the state is read (`in_doubt`); what cannot be read is over.
After lost events one more refresh is asked for. `connectors.opcua.watch` asks for both.

What was told before the gateway started nobody remembers here: behind the first refresh each device hears since when all that is retained
has been told (`conditions_since`), so that whoever remembers more knows that it is over. That is when the refresh began, and never later
than the first that was told since the start, also where the clock was stepped meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyncua import ua

from base.ids import Clock
from connectors.device_notices import DeviceNotices
from connectors.opcua.acknowledging import Acknowledging
from connectors.opcua.items import Item
from connectors.opcua.plain import plain
from schemas.events import CONDITIONS_SINCE, EventKind

log = logging.getLogger(__name__)

SERVER = ua.NodeId(ua.ObjectIds.Server)
_CONDITION, _BASE = ua.NodeId(ua.ObjectIds.ConditionType), ua.NodeId(ua.ObjectIds.BaseEventType)
_REFRESH = ua.NodeId(ua.ObjectIds.ConditionType_ConditionRefresh)
_FIELDS: tuple[tuple[str, Any, str], ...] = (
    ("source_node", _BASE, "SourceNode"),
    ("source", _BASE, "SourceName"),
    ("message", _BASE, "Message"),
    ("severity", _BASE, "Severity"),
    ("condition", _CONDITION, "ConditionName"),
    ("retain", _CONDITION, "Retain"),
    ("enabled", _CONDITION, "EnabledState/Id"),
    ("active", ua.NodeId(ua.ObjectIds.AlarmConditionType), "ActiveState/Id"),
    ("acked", ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType), "AckedState/Id"),
    ("confirmed", ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType), "ConfirmedState/Id"),
    ("branch", _CONDITION, "BranchId"),
    ("comment", _CONDITION, "Comment"),
    ("by", _CONDITION, "ClientUserId"),
    ("condition_id", _CONDITION, ""),
    ("event_type", _BASE, "EventType"),
    ("event_id", _BASE, "EventId"),
)
"""Name of the attribute, type that has the field, and its path; the empty path is the node id of the condition itself."""
_AT = {name: index for index, (name, _, _) in enumerate(_FIELDS)}
_NO_BRANCH = ua.NodeId().to_string()
_REFRESH_START, _REFRESH_END, _REFRESH_REQUIRED, _OVERFLOW = (
    ua.NodeId(number).to_string()
    for number in (
        ua.ObjectIds.RefreshStartEventType, ua.ObjectIds.RefreshEndEventType,
        ua.ObjectIds.RefreshRequiredEventType, ua.ObjectIds.EventQueueOverflowEventType,
    )
)  # fmt: skip
_MOST_PER_SECOND = 50
MOST_KNOWN = 10_000
"""Conditions and branches that are remembered, and as many that wait. Of more, the oldest are forgotten."""
_MISSED = "the server retains it no more; when it ended was not heard"
_MOVED = "it belongs to another device from now on"
_SECOND_US = 1_000_000


def event_filter() -> Any:
    """What the server is asked to send of each event."""
    found = ua.EventFilter()
    for _, event_type, path in _FIELDS:
        operand = ua.SimpleAttributeOperand()
        operand.TypeDefinitionId = event_type
        operand.AttributeId = ua.AttributeIds.Value if path else ua.AttributeIds.NodeId
        operand.BrowsePath = [ua.QualifiedName(name, 0) for name in path.split("/") if name]
        found.SelectClauses.append(operand)
    return found


def refresh_call(subscription_id: int) -> Any:
    """The method call after which the server tells of every condition that is retained."""
    call = ua.CallMethodRequest()
    call.ObjectId, call.MethodId = _CONDITION, _REFRESH
    call.InputArguments = [ua.Variant(subscription_id, ua.VariantType.UInt32)]
    return call


class Alarms:
    """Tells of conditions, no more in a second than people can bear."""

    def __init__(self, notices: DeviceNotices, clock: Clock) -> None:
        self._notices, self._clock = notices, clock
        self._told: OrderedDict[str, tuple[dict[str, str], int]] = OrderedDict()
        """What was said last of each that is retained or active, and to which device, by condition and branch."""
        self._waiting: OrderedDict[str, tuple[dict[str, str], int]] = OrderedDict()
        """What is to be said, and the device."""
        self.in_doubt: dict[str, dict[str, str]] = {}
        """What was said last of conditions that were active and that the last refresh did not repeat, until their state is read."""
        self.refresh_wanted = False
        """Whether events were lost since a refresh was asked for."""
        self.asks = asyncio.Event()
        """Set when the server is to be asked: of what is in doubt, or for a refresh."""
        self.refreshes = 0
        """Of which nothing was lost."""
        self._repeated: dict[str, tuple[str, str]] | None = None
        """What came, with condition and branch, since a refresh began; None: no refresh, or something of it was lost."""
        self._second = self._count = self._left_out = 0
        self.events = 0
        self.acknowledging = Acknowledging()
        self._refresh_us = 0
        self._told_from_us = sys.maxsize
        """The earliest time at which something was told."""
        self._first: set[int] | None = None
        """Devices that are to hear that the first refresh is over; None before and after it."""

    async def run(self) -> None:
        """Tell what waits, until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            self.tell_waiting()

    def take(self, events: Iterable[Any], items: Sequence[Item]) -> None:
        """ua.EventFieldLists of one notification. A condition that says what it said before (at a refresh) is not told again."""
        for event in events:
            found = _fields(event)
            event_type = found.pop("event_type", "")
            found |= {"condition_type": _type_name(event_type)} if event_type and found.get("condition") else {}
            if event_type == _REFRESH_START:
                self._repeated, self._refresh_us = {}, self._clock()
            elif event_type == _REFRESH_END:
                self._refreshed(items)
            elif event_type in (_OVERFLOW, _REFRESH_REQUIRED):
                self.lost()
            if found.get("condition"):
                self.events += 1
                condition = found.get("condition_id") or f"{found.get('source_node', '')}/{found['condition']}"
                name = f"{condition}/{found.get('branch', '')}"
                self.in_doubt.pop(name, None)
                repeated = self._repeated is not None
                if self._repeated is not None:
                    self._repeated[name] = condition, found.get("branch", "")
                ids = _raw(event, "condition_id"), _raw(event, "event_id")
                self.acknowledging.heard(found, *ids, self._clock(), repeated=repeated)
                self._add(name, found, items)
            self.tell_waiting()

    def lost(self) -> None:
        """Events were lost: a refresh that is under way does not say what ended, and another is wanted."""
        self._repeated, self.refresh_wanted = None, True
        self.asks.set()

    def answered(self, name: str, active: bool | None, acked: bool | None, items: Sequence[Item]) -> None:
        """What a condition that was in doubt is; None: it cannot be read. Nothing, where it was heard of meanwhile."""
        if (last := self.in_doubt.pop(name, None)) is None:
            return
        if not active:
            self._over(name, last, items)
        else:
            changed = acked is not None and str(acked).lower() != last.get("acked")
            said = {"acked": str(acked).lower()} if changed else {}
            # Who changed that is not known.
            kept = {key: text for key, text in last.items() if not changed or key not in ("by", "comment")}
            self._add(name, {**kept, **said, "retain": "false"}, items)
        self.tell_waiting()

    def _add(self, name: str, found: dict[str, str], items: Sequence[Item]) -> None:
        said = found, _device_of(found.get("source_node", ""), items)
        if name in self._waiting:
            if self._waiting[name] == said:
                return
            self._left_out += self._waiting[name][0] != found  # what waited was not said, and is not so any more
            if self._told.get(name) == said:
                del self._waiting[name]
                return
        elif self._told.get(name) == said:
            self._told.move_to_end(name)
            return
        self._waiting[name] = said
        if len(self._waiting) > MOST_KNOWN:
            self._waiting.popitem(last=False)
            self._left_out += 1

    def _over(self, name: str, last: dict[str, str], items: Sequence[Item]) -> None:
        if "branch" not in last:
            self.acknowledging.ended(last.get("condition_id", ""))
        self._add(name, _ended(last, _MISSED), items)

    def _refreshed(self, items: Sequence[Item]) -> None:
        repeated, self._repeated = self._repeated, None
        if repeated is None:
            return
        self.refreshes += 1
        if not self.acknowledging.complete:
            self._first = {0, *(item.tag.device_id for item in items)}
        self.acknowledging.refreshed(set(repeated.values()))
        for name in [name for name in self._waiting if name not in repeated and name not in self._told]:
            if self._waiting[name][0].get("retain") == "true":
                del self._waiting[name]
                self._left_out += 1
        self.in_doubt = {}
        for name, (told, _) in list(self._told.items()):
            last = self._waiting[name][0] if name in self._waiting else told
            if name in repeated or not _stands(last):
                continue
            if last.get("active") == "true" and "branch" not in last:
                self.in_doubt[name] = last
                self.asks.set()
            else:
                self._over(name, last, items)

    def tell_waiting(self) -> None:
        """Tell what waits, as far as this second has room."""
        second = self._clock() // _SECOND_US
        if second != self._second:
            if self._left_out:
                text = f"{self._left_out} changes of conditions, more than {_MOST_PER_SECOND} a second, are not told one by one"
                self._notices.tell(EventKind.STATE, 0, text, {"conditions_left_out": str(self._left_out)})
            self._second, self._count, self._left_out = second, 0, 0
        while self._waiting and self._count < _MOST_PER_SECOND:
            name, (found, device_id) = self._waiting.popitem(last=False)
            self._count += 1
            before, of = self._told.pop(name, ({}, device_id))
            if of != device_id:
                self._count += 1
                self._tell(_ended(before, _MOVED), of)
            if _stands(found):
                self._told[name] = found, device_id
            if len(self._told) > MOST_KNOWN:
                self._told.popitem(last=False)
            self._tell(found, device_id)
        if not self._waiting and self._first is not None:
            for device_id in sorted(self._first):
                since = {CONDITIONS_SINCE: str(min(self._refresh_us, self._told_from_us))}
                self._notices.tell(
                    EventKind.STATE, device_id, "the server has told all conditions that it retains", since
                )
            self._first = None

    def _tell(self, found: Mapping[str, str], device_id: int) -> None:
        state = {"true": "active", "false": "inactive"}.get(found.get("active", ""), "changed")
        earlier = " (an earlier state of it)" if "branch" in found else ""
        text = f"condition {found['condition']} of {found.get('source', '?')} is {state}{earlier}: {found.get('message', '')}"
        now_us = self._clock()
        self._told_from_us = min(self._told_from_us, now_us)
        self._notices.tell(EventKind.STATE, device_id, text[:500], found, time_us=now_us)


def _fields(event: Any) -> dict[str, str]:
    """Fields of a ua.EventFieldList that say something, as texts."""
    found = {
        name: _text(field.Value)
        for (name, _, _), field in zip(_FIELDS, event.EventFields, strict=False)
        if field.Value is not None and name != "event_id"
    }
    if found.get("branch") == _NO_BRANCH:
        del found["branch"]
    return {name: text for name, text in found.items() if text or name == "message"}


def _stands(found: Mapping[str, str]) -> bool:
    """Whether it is to be heard of again: the server retains it, or it is active."""
    return found.get("retain") == "true" or (found.get("active") == "true" and found.get("enabled") != "false")


def _ended(last: Mapping[str, str], message: str) -> dict[str, str]:
    """What is said of one that is over unheard."""
    return {**last, **({"active": "false"} if "active" in last else {}), "retain": "false", "message": message}


def _raw(event: Any, name: str) -> Any:
    """A field as the server gave it; None where it gave none."""
    return event.EventFields[_AT[name]].Value if _AT[name] < len(event.EventFields) else None


def _type_name(event_type: str) -> str:
    """Name of a type of the standard, as `OffNormalAlarmType`; of any other its node id."""
    number = event_type.removeprefix("i=")
    return str(ua.ObjectIdNames.get(int(number), event_type)) if number.isdigit() else event_type


def _device_of(source: str, items: Sequence[Item]) -> int:
    """Device of a source; where a connection has one device alone, all is its."""
    devices = {item.tag.device_id for item in items}
    if len(devices) == 1:
        return devices.pop()
    if not source:
        return 0
    same = [item for item in items if item.node_id is not None and item.node_id.to_string() == source]
    below = same or [
        item for item in items if item.node_id is not None and item.node_id.to_string().startswith(f"{source}.")
    ]
    return below[0].tag.device_id if below else 0


def _text(value: Any) -> str:
    found = plain(value, ())
    if found is None:
        return ""
    return str(found).lower() if isinstance(found, bool) else str(found)[:300]
