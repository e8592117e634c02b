"""Domain type of audit events: who did what, where, why, and what was decided. Topic `audit.log`.

Texts are cut to their limits when an event is made, whoever gave them: an event is written for what is refused too, and nobody makes the
log large with one call. Secrets and tokens have no field.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from base.account import os_user
from base.ids import now_us, uuid7
from schemas import codec

RECORD = "AuditEvent"
_LIMITS = {
    "service": 64, "action": 64, "operation": 64, "subject": 200, "credential": 32, "second": 200, "peer": 64, "method": 120, "name": 120,
    "device_class": 64, "path": 300, "command_id": 36, "reason": 500, "policy_version": 64, "code": 32, "detail": 300,
    "before": 2_000, "after": 2_000, "trace_id": 32,
}  # fmt: skip
_MAX_LISTED, _MAX_WORD = 20, 100
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class Outcome(StrEnum):
    """What came of it. In the record it is a text, so that a reader of today reads what a later version adds."""

    ALLOW = "ALLOW"
    """It was allowed; written before it is done."""
    DENY = "DENY"
    """It was not allowed."""
    ERROR = "ERROR"
    """It came to no good end: malformed, unknown, failed."""
    DONE = "DONE"
    """A change is there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEvent:
    """One event. `operation` joins those of one operation; empty: the event stands alone, and gets its own id."""

    service: str
    action: str
    outcome: Outcome
    subject: str
    event_id: UUID = field(default_factory=uuid7)
    time_us: int = field(default_factory=now_us)
    operation: str = ""
    credential: str = ""
    amr: tuple[str, ...] = ()
    signed_in_us: int = 0
    second: str = ""
    peer: str = ""
    method: str = ""
    name: str = ""
    device_class: str = ""
    path: str = ""
    command_id: str = ""
    reason: str = ""
    policies: tuple[str, ...] = ()
    policy_version: str = ""
    code: str = ""
    detail: str = ""
    before: str = ""
    after: str = ""
    trace_id: str = ""
    count: int = 1

    def __post_init__(self) -> None:
        for name, limit in _LIMITS.items():
            object.__setattr__(self, name, cut(getattr(self, name), limit))
        for name in ("amr", "policies"):
            words = tuple(cut(word, _MAX_WORD) for word in getattr(self, name)[:_MAX_LISTED])
            object.__setattr__(self, name, words)
        if not self.operation:
            object.__setattr__(self, "operation", self.command_id or str(self.event_id))

    def record(self) -> dict[str, Any]:
        """Fields as the Avro record has them."""
        made = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return made | {"outcome": str(self.outcome), "amr": list(self.amr), "policies": list(self.policies)}

    def encode(self) -> bytes:
        """Kafka value."""
        return codec.encode(RECORD, self.record())

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return str(self.event_id).encode()

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Event of a Kafka value; raises UndecodableError or UnknownSchemaError."""
        _, record = codec.decode(message, RECORD)
        changed = {"amr": tuple(record["amr"]), "policies": tuple(record["policies"])}
        return cls(**(record | changed))


def by_tool(service: str, action: str, outcome: Outcome, **about: Any) -> AuditEvent:
    """An event of a tool: its subject is who runs it on this machine. `about`: other fields of the event."""
    return AuditEvent(service=service, action=action, outcome=outcome, subject=os_user(), credential="system", **about)


def cut(text: str, limit: int) -> str:
    """A text in at most `limit` characters, without what a terminal or a line of text would take for more than a character."""
    if len(text) > limit:
        text = f"{text[: limit - 1]}…"
    return text if text.isprintable() else "".join(one if one.isprintable() else " " for one in text)


def trace_of(traceparent: str | None) -> str:
    """Trace id of a `traceparent` header; empty for none, or for one that is malformed."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    return found[1] if found else ""
