"""Domain type of the topic `alarm.notifications`: the outbox of what people are told of alarms."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from uuid import UUID, uuid5

from schemas import codec
from schemas.priorities import Priority


class NotificationKind(StrEnum):
    """What is told."""

    RAISED = "RAISED"
    """Somebody has to respond."""
    ENDED = "ENDED"
    """What was told is over: for tools that close what they opened."""


class NotificationState(StrEnum):
    """How far it is."""

    DUE = "DUE"
    """It is to be sent."""
    SENDING = "SENDING"
    """Its message is made and may have been sent."""
    SENT = "SENT"
    CANCELLED = "CANCELLED"
    """Before it was sent, nobody needed it any more."""
    FAILED = "FAILED"
    """The receiver refused it, or did not take it in time."""

    @property
    def open(self) -> bool:
        """Whether something is still to be done."""
        return self in (NotificationState.DUE, NotificationState.SENDING)


def raised_id(alarm_id: UUID, activation: int, step: int, target: str) -> UUID:
    """Id of what a target is told in a step: the same after every restart."""
    return uuid5(alarm_id, f"{activation}/{step}/{target}")


def ended_id(alarm_id: UUID, activation: int, target: str) -> UUID:
    """Id of what a target is told when it is over."""
    return uuid5(alarm_id, f"{activation}/ended/{target}")


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmNotification:
    """One thing that one target is told of an alarm. Topic `alarm.notifications`, key notification id; the newest record holds."""

    notification_id: UUID
    kind: NotificationKind
    state: NotificationState
    alarm_id: UUID
    activation: int
    route: str
    step: int
    target: str
    message_id: UUID | None = None
    site: str
    rule: str
    path: str
    priority: Priority
    title: str = ""
    created_us: int
    updated_us: int
    attempts: int = 0
    detail: str = ""

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return str(self.notification_id).encode()

    def encode(self) -> bytes:
        """Kafka value."""
        return codec.encode(
            "AlarmNotification", {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        )

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record."""
        changed = {
            "kind": NotificationKind(record["kind"]),
            "state": NotificationState(record["state"]),
            "priority": Priority(record["priority"]),
        }
        return cls(**(record | changed))

    @classmethod
    def decode(cls, message: bytes) -> Self:
        """Record of a Kafka value; raises UndecodableError or UnknownSchemaError."""
        return cls.from_record(codec.decode(message, "AlarmNotification")[1])
