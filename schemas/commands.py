"""Domain types of commands: states, outcomes and the records that travel.

The gateway decides and acts; the commands job correlates and is the record; serving submits and shows. A command is
carried out at most once.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self
from uuid import UUID

from schemas import codec


class CommandState(StrEnum):
    """Where a command stands."""

    PENDING_APPROVAL = "PENDING_APPROVAL"
    """Waits for somebody other than the submitter to approve."""
    ACCEPTED = "ACCEPTED"
    """Recorded; not yet at the gateway."""
    DELIVERED = "DELIVERED"
    """The gateway has persisted it."""
    EXECUTING = "EXECUTING"
    """The gateway has recorded its intention and is writing to the device."""
    SUCCEEDED = "SUCCEEDED"
    """Every parameter was applied: written, and read back where the protocol can."""
    FAILED = "FAILED"
    """What became of every parameter is known, and not all were applied. `outcomes` tells each; when some were, the detail begins so."""
    REJECTED = "REJECTED"
    """The gateway's policy or the device class does not allow it."""
    EXPIRED = "EXPIRED"
    """Its time was over before it was carried out."""
    CANCELLED = "CANCELLED"
    """Withdrawn before it was carried out."""
    UNKNOWN = "UNKNOWN"
    """Of some parameter nobody can say whether it was applied; corrected by a late ack, never retried by the system."""

    @property
    def rank(self) -> int:
        """Place in the order of progress, which a command only goes forward in; all outcomes are the last, and equal."""
        return _RANK.get(self, len(_RANK))


_RANK = {
    CommandState.PENDING_APPROVAL: 0,
    CommandState.ACCEPTED: 1,
    CommandState.DELIVERED: 2,
    CommandState.EXECUTING: 3,
}
OUTCOMES = frozenset(set(CommandState) - _RANK.keys())
"""States that end a command. UNKNOWN may still be corrected."""


MAX_REASON = 500
"""Longest reason of a request or a control, characters."""


class ControlAction(StrEnum):
    """What a CommandControl asks for."""

    CANCEL = "CANCEL"
    APPROVE = "APPROVE"


class Effect(StrEnum):
    """What became of a value that was to be written."""

    APPLIED = "APPLIED"
    """The machine has it: it said so, and it was read back where the protocol can."""
    REFUSED = "REFUSED"
    """The machine refused it; it has not moved."""
    NOT_SENT = "NOT_SENT"
    """It was not sent to the machine."""
    UNKNOWN = "UNKNOWN"
    """It was sent; what the machine did is not known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterOutcome:
    """What became of one parameter of a command; of a verb the name is its tag's. `readback` is None when nothing was read back."""

    name: str
    effect: Effect
    readback: float | None = None
    detail: str = ""

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record."""
        return cls(**{**record, "effect": Effect(record["effect"])})


Outcomes = tuple[ParameterOutcome, ...]


def readback_of(outcomes: Outcomes) -> dict[str, float]:
    """Values read back by name."""
    return {one.name: one.readback for one in outcomes if one.readback is not None}


class _Record:
    """Encoding shared by the records: the Avro record has the class's name and fields."""

    __slots__: tuple[str, ...] = ()

    def encode(self) -> bytes:
        """Kafka value."""
        record = {name: getattr(self, name) for name in self.__slots__}  # a dataclass's fields, in its order
        if "outcomes" in record:
            record["outcomes"] = [dataclasses.asdict(outcome) for outcome in record["outcomes"]]
        return codec.encode(type(self).__name__.removesuffix("Record"), record, version=self._version())

    def _version(self) -> int | None:
        """Version to write; None for the newest."""
        return None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record. A reason longer than any that is accepted is cut: whoever wrote it, it goes no further."""
        changed: dict[str, Any] = {}
        if "reason" in record:
            changed["reason"] = record["reason"][:MAX_REASON]
        if "outcomes" in record:
            changed["outcomes"] = tuple(map(ParameterOutcome.from_record, record["outcomes"]))
        if "state" in record:
            changed["state"] = CommandState(record["state"])
        if "action" in record:
            changed["action"] = ControlAction(record["action"])
        return cls(**(record | changed))


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandRequest(_Record):
    """A command for one device. Topic `command.requests.<site>`, key device id."""

    command_id: UUID
    attempt: int = 1
    device_id: int
    gateway_id: str
    site: str
    name: str
    parameters: dict[str, float]
    submitted_by: str
    submitted_us: int
    expires_us: int
    requires_approval: bool = False
    traceparent: str | None = None
    reason: str = ""
    signature: str = ""
    key_id: str = ""

    def _version(self) -> int | None:
        # A gateway older than serving reads what has no reason to tell, and no signature.
        return None if self.signature else 2 if self.reason else 1


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandControl(_Record):
    """Cancel or approve. Same topic and key as the request, so in order behind it."""

    command_id: UUID
    device_id: int
    action: ControlAction
    by: str
    time_us: int
    reason: str = ""
    signature: str = ""
    key_id: str = ""

    def _version(self) -> int | None:
        return None if self.signature else 1

    @property
    def detail(self) -> str:
        """Who asked for what and why, for people: the same text wherever it is shown."""
        what = "approved" if self.action is ControlAction.APPROVE else "cancellation requested"
        return f"{what} by {self.by}" + (f": {self.reason}" if self.reason else "")


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandAck(_Record):
    """What a gateway did. Topic `command.acks.<site>`, key command id."""

    command_id: UUID
    attempt: int
    device_id: int
    gateway_id: str
    state: CommandState
    time_us: int
    detail: str = ""
    readback: dict[str, float] = field(default_factory=dict)
    outcomes: Outcomes = ()
    signature: str = ""
    key_id: str = ""

    def _version(self) -> int | None:
        return None if self.signature else 2


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandStateRecord(_Record):
    """The record of a command after one transition. Topic `command.states`, key command id; the highest version wins.

    Versions grow, not by one: those of outcomes begin at a million (`stages.commands.tracked`).
    """

    command_id: UUID
    version: int
    state: CommandState
    device_id: int
    gateway_id: str
    site: str
    name: str
    parameters: dict[str, float]
    submitted_by: str
    submitted_us: int
    expires_us: int
    updated_us: int
    attempt: int
    detail: str = ""
    readback: dict[str, float] = field(default_factory=dict)
    late_acks: int = 0
    duplicate_acks: int = 0
    outcomes: Outcomes = ()
    reason: str = ""
    approved_by: str = ""
