"""Commands and what became of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from millrace_client.results.times import utc


class CommandState(StrEnum):
    """Where a command stands."""

    UNSPECIFIED = "UNSPECIFIED"
    PENDING_APPROVAL = "PENDING_APPROVAL"
    """Waits for somebody other than the submitter to approve."""
    ACCEPTED = "ACCEPTED"
    """Recorded; not yet at the gateway."""
    DELIVERED = "DELIVERED"
    """The gateway has persisted it."""
    EXECUTING = "EXECUTING"
    """The gateway is writing to the device."""
    SUCCEEDED = "SUCCEEDED"
    """Written and read back."""
    FAILED = "FAILED"
    """The device refused at least one parameter, or the read-back differs: `Command.outcomes` says which took effect."""
    REJECTED = "REJECTED"
    """The gateway's policy or the device class does not allow it."""
    EXPIRED = "EXPIRED"
    """Its time was over before it was carried out."""
    CANCELLED = "CANCELLED"
    """Withdrawn before it was carried out."""
    UNKNOWN = "UNKNOWN"
    """Nobody can say whether it was carried out; a late word of the gateway corrects it, the system never tries again."""


class Effect(StrEnum):
    """What became of a value that was to be written."""

    UNSPECIFIED = "UNSPECIFIED"
    APPLIED = "APPLIED"
    """The machine has it: it said so, and it was read back where the protocol can."""
    REFUSED = "REFUSED"
    """The machine refused it; it has not moved."""
    NOT_SENT = "NOT_SENT"
    """It was not sent to the machine."""
    UNKNOWN = "UNKNOWN"
    """It was sent; what the machine did is not known."""


OUTCOMES = frozenset(
    {
        CommandState.SUCCEEDED,
        CommandState.FAILED,
        CommandState.REJECTED,
        CommandState.EXPIRED,
        CommandState.CANCELLED,
        CommandState.UNKNOWN,
    }
)
"""States that end a command."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterOutcome:
    """What became of one parameter of a command. `readback`: value read from the device afterwards, None when none was."""

    name: str
    effect: Effect
    readback: float | None = None
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """A command as it stands. `version`: of its record, 0 before the first; grows, not by one.

    `provisional`: shown ahead of the record, which confirms or corrects it. `readback`: values read from the device after the write.
    `outcomes`: one for each parameter of a write (for a verb: its tag), once the gateway has answered. `reason`: why it was asked for.
    """

    command_id: UUID
    state: CommandState
    version: int = 0
    device_id: int
    device_path: str
    name: str
    parameters: Mapping[str, float] = field(default_factory=dict, hash=False)
    submitted_by: str = ""
    submitted_us: int
    expires_us: int
    updated_us: int
    detail: str = ""
    readback: Mapping[str, float] = field(default_factory=dict, hash=False)
    late_acks: int = 0
    duplicate_acks: int = 0
    provisional: bool = False
    outcomes: tuple[ParameterOutcome, ...] = ()
    reason: str = ""
    approved_by: str = ""
    site: str = ""

    @property
    def final(self) -> bool:
        """Whether the record has an outcome."""
        return not self.provisional and self.state in OUTCOMES

    @property
    def succeeded(self) -> bool:
        """Whether the record says that it was carried out."""
        return self.final and self.state is CommandState.SUCCEEDED

    @property
    def submitted(self) -> datetime:
        """When it was submitted."""
        return utc(self.submitted_us)

    @property
    def expires(self) -> datetime:
        """It is not carried out later than this."""
        return utc(self.expires_us)

    @property
    def updated(self) -> datetime:
        """When it came to stand like this."""
        return utc(self.updated_us)
