"""Conditions of OPC 10000-9 (alarms) as STATE events: asked for at the Server object, those retained anew at each session.

An event names the condition, its source, its severity, whether it is active, acknowledged and confirmed, and who said what of it last. It
belongs to the device of the tag whose node is the source, or whose node id begins with the source's; else to the gateway. Two conditions of
one name are two by their node ids, and an earlier state that somebody still has to acknowledge is a branch of its own. A flood is cut: what
is more than so many in a second is told as a number.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asyncua import ua

from connectors.device_notices import DeviceNotices
from connectors.opcua.items import Item
from connectors.opcua.plain import plain
from schemas.events import EventKind

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
    ("active", ua.NodeId(ua.ObjectIds.AlarmConditionType), "ActiveState/Id"),
    ("acked", ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType), "AckedState/Id"),
    ("confirmed", ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType), "ConfirmedState/Id"),
    ("branch", _CONDITION, "BranchId"),
    ("comment", _CONDITION, "Comment"),
    ("by", _CONDITION, "ClientUserId"),
    ("condition_id", _CONDITION, ""),
)
"""Name of the attribute, type that has the field, and its path; the empty path is the node id of the condition itself."""
_NO_BRANCH = ua.NodeId().to_string()
_MOST_PER_SECOND = 50
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
    """Tells of conditions, as many as people can bear."""

    def __init__(self, notices: DeviceNotices) -> None:
        self._notices = notices
        self._told: dict[str, Mapping[str, str]] = {}
        self._second = self._count = self._left_out = 0
        self.events = 0

    def take(self, events: Iterable[Any], items: Sequence[Item], now_us: int) -> None:
        """ua.EventFieldLists of one notification. A condition that says what it said before (at a refresh) is not told again."""
        for event in events:
            found = _fields(event)
            if not found.get("condition"):
                continue
            self.events += 1
            condition = found.get("condition_id") or f"{found.get('source_node', '')}/{found['condition']}"
            name = f"{condition}/{found.get('branch', '')}"
            if self._told.get(name) == found:
                continue
            if found.get("retain") == "true":
                self._told[name] = found
            else:
                self._told.pop(name, None)
            if self._may_tell(now_us):
                self._tell(found, items)

    def _may_tell(self, now_us: int) -> bool:
        second = now_us // _SECOND_US
        if second != self._second:
            if self._left_out:
                text = f"{self._left_out} conditions more than {_MOST_PER_SECOND} a second are not told one by one"
                self._notices.tell(EventKind.STATE, 0, text, {"conditions_left_out": str(self._left_out)})
            self._second, self._count, self._left_out = second, 0, 0
        self._count += 1
        self._left_out += self._count > _MOST_PER_SECOND
        return self._count <= _MOST_PER_SECOND

    def _tell(self, found: Mapping[str, str], items: Sequence[Item]) -> None:
        state = {"true": "active", "false": "inactive"}.get(found.get("active", ""), "changed")
        earlier = " (an earlier state of it)" if "branch" in found else ""
        text = f"condition {found['condition']} of {found.get('source', '?')} is {state}{earlier}: {found.get('message', '')}"
        self._notices.tell(EventKind.STATE, _device_of(found.get("source_node", ""), items), text[:500], found)


def _fields(event: Any) -> dict[str, str]:
    """Fields of a ua.EventFieldList that say something, as texts."""
    found = {
        name: _text(field.Value)
        for (name, _, _), field in zip(_FIELDS, event.EventFields, strict=False)
        if field.Value is not None
    }
    if found.get("branch") == _NO_BRANCH:
        del found["branch"]
    return {name: text for name, text in found.items() if text or name == "message"}


def _device_of(source: str, items: Sequence[Item]) -> int:
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
