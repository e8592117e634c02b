"""Conditions that wait for an acknowledgement at the server, and the call by which they get it (OPC 10000-9, 5.7.3).

Enters: every notification of a condition, told or not. Leaves: calls of the condition's Acknowledge method, with the newest EventId that
the server gave it, and with those of its branches, which are earlier states of it. EventIds are kept here alone: after a restart the
refresh gives them again. What was raised again since somebody saw it is not acknowledged.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from typing import Any

from asyncua import ua

from connectors.opcua.session import OpcUaSession
from connectors.readings import WriteResult, WriteStatus

MOST = 10_000
"""Conditions that are kept; of more, those of which nothing was heard for longest are forgotten."""
_METHOD = ua.NodeId(ua.ObjectIds.AcknowledgeableConditionType_Acknowledge)
_DONE_ALREADY = "BadConditionBranchAlreadyAcked"
NOTHING_WAITS = "nothing waits for an acknowledgement there"


@dataclass(slots=True)
class _Condition:
    """What was heard of a condition last."""

    node: Any
    active: bool = False
    acked: bool = True
    raised_us: int = 0
    """When it came, or asked for an acknowledgement again, by the gateway's clock; 0 when that was before the connector began."""
    waiting: dict[str, bytes] = field(default_factory=dict)
    """EventIds of what waits: the condition itself (an empty text), and branches."""


class Acknowledging:
    """Of one connection."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Condition] = OrderedDict()
        """By node id, as a text."""
        self.complete = False
        """Whether the server has said once what it retains."""

    def heard(
        self, found: Mapping[str, str], node: Any, event_id: bytes | None, now_us: int, *, repeated: bool
    ) -> None:
        """A notification: its fields as texts, the condition's node. `repeated`: it is one of a refresh."""
        name, branch = found.get("condition_id", ""), found.get("branch", "")
        if not name:
            return
        before = self._known.pop(name, None)
        condition = before or _Condition(node)
        retained, acked = found.get("retain") == "true", found.get("acked") != "false"
        if not branch:
            active = found.get("active", found.get("retain")) == "true"
            if (active and not condition.active) or (condition.acked and not acked):
                condition.raised_us = 0 if before is None and repeated else now_us
            condition.active, condition.acked = active, acked
        if retained and not acked and event_id is not None:
            condition.waiting[branch] = event_id
        else:
            condition.waiting.pop(branch, None)
        if condition.waiting or condition.active:
            self._known[name] = condition
            if len(self._known) > MOST:
                self._known.popitem(last=False)

    def refreshed(self, repeated: Set[tuple[str, str]]) -> None:
        """The server has said what it retains, by condition and branch: the rest waits no more, and what asks again comes again."""
        self.complete = True
        for name, condition in self._known.items():
            condition.acked = condition.acked or (name, "") not in repeated
            condition.waiting = {
                one: event_id for one, event_id in condition.waiting.items() if (name, one) in repeated
            }

    def ended(self, name: str) -> None:
        """A condition is over, which nobody heard."""
        if (condition := self._known.get(name)) is not None:
            condition.active = False
            if not condition.waiting:
                del self._known[name]

    def node(self, name: str) -> Any:
        """The node of a condition that is active or waits; None when it is not known."""
        condition = self._known.get(name)
        return None if condition is None else condition.node

    async def acknowledge(
        self, session: OpcUaSession, condition: str, seen_us: int, comment: str, timeout_s: float
    ) -> WriteResult:
        """Acknowledge a condition and its branches as they were at `seen_us`, by the gateway's clock.

        Never raises for what the server does.
        """
        known = self._known.get(condition)
        if known is None and not self.complete:
            return WriteResult(
                status=WriteStatus.NOT_SENT, detail=f"the server has not said yet how {condition} stands"
            )
        if known is not None and known.raised_us > seen_us:
            return WriteResult(status=WriteStatus.REFUSED, detail="it came again since; acknowledge again")
        if known is None or not known.waiting:
            return WriteResult(status=WriteStatus.DONE, detail=NOTHING_WAITS)
        refused: list[str] = []
        try:
            async with asyncio.timeout(timeout_s):
                for event_id in list(known.waiting.values()):
                    result = await session.call(known.node, _METHOD, _arguments(event_id, comment))
                    if not result.StatusCode.is_good() and result.StatusCode.name != _DONE_ALREADY:
                        refused.append(result.StatusCode.name)
        except ua.UaStatusCodeError as error:
            refused.append(type(error).__name__)
        except (OSError, TimeoutError, ua.UaError) as error:
            cause = f"{type(error).__name__}: {error}"
            return WriteResult(status=WriteStatus.UNKNOWN, detail=f"the method was called, its answer is lost: {cause}")
        if refused:
            return WriteResult(status=WriteStatus.REFUSED, detail=f"the server does not take it: {', '.join(refused)}")
        return WriteResult(status=WriteStatus.DONE, detail="acknowledged at the server")


def _arguments(event_id: bytes, comment: str) -> list[Any]:
    return [
        ua.Variant(event_id, ua.VariantType.ByteString),
        ua.Variant(ua.LocalizedText(comment), ua.VariantType.LocalizedText),
    ]
