"""Commands of the fake plant: what was submitted, and the rules of submitting, cancelling and approving. No locks, no streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from uuid import UUID

from millrace_client._proto.millrace.v1 import commands_pb2
from millrace_client.errors import (
    ConflictError,
    InvalidRequestError,
    NotFoundError,
    PermissionDeniedError,
    PreconditionError,
)
from millrace_client.fake import rules
from millrace_client.ids import uuid7
from millrace_client.results import OUTCOMES, Command, CommandState, Device, ParameterOutcome

_DEFAULT_EXPIRES_MS = 30_000
_MAX_EXPIRES_MS = 24 * 3_600_000
_MAX_REASON = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How a machine ended a command. `readback`: values read after the write, by tag name; `outcomes`: what became of each parameter."""

    state: CommandState = CommandState.SUCCEEDED
    detail: str = ""
    readback: Mapping[str, float] = field(default_factory=dict, hash=False)
    outcomes: tuple[ParameterOutcome, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """A cancellation or an approval as it was asked for."""

    action: Literal["CANCEL", "APPROVE"]
    command_id: UUID
    by: str
    reason: str


class Book:
    """Commands by id, in the order in which they came."""

    def __init__(self) -> None:
        self.commands: dict[UUID, Command] = {}
        self._approval: dict[UUID, bool] = {}

    def submit(
        self, request: commands_pb2.SubmitCommandRequest, device: Device, *, by: str, now_us: int
    ) -> tuple[Command, bool]:
        """The command of a request, and whether it is new. Raises InvalidRequestError or ConflictError."""
        rules.writes(device.tags, request.name, request.parameters)
        _check_reason(request.reason)
        expires_ms = request.expires_after_ms or _DEFAULT_EXPIRES_MS
        if not 0 < expires_ms <= _MAX_EXPIRES_MS:
            msg = f"expires_after_ms is {expires_ms}, not between 1 and {_MAX_EXPIRES_MS}"
            raise InvalidRequestError(msg)
        command = Command(
            command_id=command_id(request.command_id) if request.command_id else uuid7(now_us),
            state=CommandState.PENDING_APPROVAL if request.requires_approval else CommandState.ACCEPTED,
            device_id=device.device_id,
            device_path=device.path,
            name=request.name,
            parameters=dict(request.parameters),
            submitted_by=by,
            submitted_us=now_us,
            expires_us=now_us + expires_ms * 1000,
            updated_us=now_us,
            provisional=True,
            reason=request.reason,
            site=device.site,
        )
        if command.command_id in self.commands:
            return self._same(command, request.requires_approval), False
        self.commands[command.command_id] = command
        self._approval[command.command_id] = request.requires_approval
        return command, True

    def get(self, wanted: UUID) -> Command:
        """A command as it stands. Raises NotFoundError."""
        try:
            return self.commands[wanted]
        except KeyError:
            msg = f"no command {wanted}; finished commands are kept here for some days, older ones are in SQL"
            raise NotFoundError(msg) from None

    def require_cancellable(self, command: Command) -> None:
        """Raise PreconditionError for a command that was carried out."""
        if command.state in OUTCOMES or command.state is CommandState.EXECUTING:
            msg = f"command {command.command_id} is {command.state}; only a command that was not carried out can be cancelled"
            raise PreconditionError(msg)

    def require_approvable(self, command: Command, by: str) -> None:
        """Raise PreconditionError or PermissionDeniedError."""
        if command.state is not CommandState.PENDING_APPROVAL:
            msg = f"command {command.command_id} is {command.state}; it does not wait for approval"
            raise PreconditionError(msg)
        if command.submitted_by == by:
            msg = f"{by} submitted command {command.command_id}; somebody else has to approve it"
            raise PermissionDeniedError(msg)

    def control(self, control: Control, *, now_us: int) -> None:
        """Note a wish, ahead of what the gateway says to it. Raises InvalidRequestError."""
        _check_reason(control.reason)
        known = self.get(control.command_id)
        why = f": {control.reason}" if control.reason else ""
        approved = {
            "state": CommandState.ACCEPTED,
            "approved_by": control.by,
            "detail": f"approved by {control.by}{why}",
        }
        wished = {"detail": f"cancellation requested by {control.by}{why}"}
        change: dict[str, Any] = approved if control.action == "APPROVE" else wished
        self.commands[known.command_id] = replace(known, provisional=True, updated_us=now_us, **change)

    def advance(self, wanted: UUID, outcome: Outcome, *, provisional: bool, now_us: int) -> Command:
        """Move a command on; a recorded transition has the next version."""
        known = self.get(wanted)
        self.commands[wanted] = replace(
            known,
            state=outcome.state,
            detail=outcome.detail,
            readback=dict(outcome.readback),
            outcomes=outcome.outcomes,
            provisional=provisional,
            version=known.version + (not provisional),
            updated_us=now_us,
        )
        return self.commands[wanted]

    def _same(self, command: Command, requires_approval: bool) -> Command:
        known = self.commands[command.command_id]
        pairs: dict[str, Sequence[object]] = {
            "device": (known.device_id, command.device_id),
            "name": (known.name, command.name),
            "parameters": (known.parameters, command.parameters),
            "submitter": (known.submitted_by, command.submitted_by),
            "expiry": (known.expires_us - known.submitted_us, command.expires_us - command.submitted_us),
            "requires_approval": (self._approval[command.command_id], requires_approval),
        }
        if different := [name for name, (old, new) in pairs.items() if old != new]:
            msg = f"command id {known.command_id} is taken by another command (other {', '.join(different)}); make a new id"
            raise ConflictError(msg)
        return known


def _check_reason(reason: str) -> None:
    if len(reason) > _MAX_REASON:
        msg = f"reason has {len(reason)} characters, more than {_MAX_REASON}"
        raise InvalidRequestError(msg)


def command_id(text: str) -> UUID:
    """Id of a command. Raises InvalidRequestError."""
    try:
        return UUID(text)
    except ValueError as error:
        msg = f"command_id {text!r} is not a UUID"
        raise InvalidRequestError(msg) from error
