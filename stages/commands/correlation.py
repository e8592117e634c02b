"""Correlation of commands: requests, controls and acknowledgements become the record of where each command stands.

Enters: the records of `command.requests.*` and `command.acks.*` of one command, in any order and any number of times, and the time. Leaves:
`CommandStateRecord`s, each with a higher version, and requests to send again. Who calls it: the commands job, one `CommandMemory` per
command id, kept as bytes between calls. No I/O and no clock of its own: `now_us` is passed in and `next_timer_us` says when to call again.

The gateway decides and acts; this is the record. What only this side concluded (`inferred`: EXPIRED because nothing was heard, UNKNOWN
because the outcome was not) yields to a later word of the gateway; what the gateway said stands. An outcome is never retried: only
requests that no gateway has confirmed to hold are sent again, with the same id and a higher attempt.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from schemas.commands import (
    OUTCOMES,
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    CommandStateRecord,
    ControlAction,
)

T = TypeVar("T")

STATE_VERSION = 1
# Progress of a command; an ack of lower rank than the state came out of order.
_RANK = {
    CommandState.PENDING_APPROVAL: 0,
    CommandState.ACCEPTED: 0,
    CommandState.DELIVERED: 1,
    CommandState.EXECUTING: 2,
}
_OUTCOME_RANK = 3
_REPORTABLE = OUTCOMES | {CommandState.DELIVERED, CommandState.EXECUTING}
_MAX_WAITING = 16
_MAX_SEEN = 64


class Note(StrEnum):
    """What happened to a record besides a plain transition; the job counts and logs each by this name."""

    DUPLICATE_REQUEST = "duplicate_request"
    """The same request again."""
    CONFLICTING_REQUEST = "conflicting_request"
    """The same id with other content; the first stands."""
    DUPLICATE_ACK = "duplicate_ack"
    """The same ack again."""
    LATE_ACK = "late_ack"
    """An ack after the outcome."""
    CORRECTED = "corrected"
    """A late ack replaced an outcome that was only inferred."""
    OUT_OF_ORDER_ACK = "out_of_order_ack"
    """An ack of a step that is already behind."""
    FOREIGN_ACK = "foreign_ack"
    """An ack from a gateway that does not own the device."""
    INVALID_ACK = "invalid_ack"
    """An ack of a state that is not a gateway's to report."""
    ORPHAN_ACK = "orphan_ack"
    """An ack for which no request came in time."""
    REFUSED_APPROVAL = "refused_approval"
    """The submitter approved the own command."""
    LATE_CONTROL = "late_control"
    """A control that can no longer change anything."""
    SENT_AGAIN = "sent_again"
    """No gateway had confirmed it, so it was sent again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandConfig:
    """Times of the correlation, milliseconds."""

    resend_after_ms: int = 15_000
    """An undelivered request is sent again after this, then after twice as long, and so on until it expires."""
    max_attempts: int = 6
    """Highest attempt that is sent."""
    expiry_grace_ms: int = 5_000
    """How long after its expiry an undelivered command is given up: acks may be on their way."""
    outcome_timeout_ms: int = 30_000
    """How long after EXECUTING, or after the expiry of a DELIVERED command, an outcome is waited for before it is UNKNOWN."""
    orphan_after_ms: int = 10_000
    """How long an ack waits for its request."""
    retention_ms: int = 7 * 24 * 3_600_000
    """How long an ended command is remembered; a later ack is an orphan."""
    settle_ms: int = 10_000
    """After a start nothing is concluded from silence for this long: what was said meanwhile is still to be read."""

    def __post_init__(self) -> None:
        for spec in dataclasses.fields(self):
            if getattr(self, spec.name) < 1:
                msg = f"{spec.name} is {getattr(self, spec.name)}, not above 0"
                raise ValueError(msg)


@dataclass(kw_only=True, slots=True)
class CommandMemory:
    """What is known of one command. `request` is None while only acks or controls have come."""

    request: CommandRequest | None = None
    state: CommandState = CommandState.ACCEPTED
    version: int = 0
    attempt: int = 1
    detail: str = ""
    readback: dict[str, float] = field(default_factory=dict)
    late_acks: int = 0
    duplicate_acks: int = 0
    inferred: bool = False
    """The state is this side's conclusion, not the gateway's word."""
    delivered: bool = False
    cancel_requested: bool = False
    approval: CommandControl | None = None
    seen_acks: list[str] = field(default_factory=list)
    waiting_acks: list[CommandAck] = field(default_factory=list)
    waiting_controls: list[CommandControl] = field(default_factory=list)
    site: str = ""
    changed_us: int = 0
    """When it came into its state; duplicates and late words do not count, or they would prolong it for ever."""
    sent_us: int = 0
    first_seen_us: int = 0

    def to_bytes(self) -> bytes:
        """Versioned bytes for keyed state."""
        plain = dataclasses.asdict(self)
        return bytes([STATE_VERSION]) + json.dumps(plain, default=str, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> CommandMemory:
        """Inverse of `to_bytes`; raises ValueError for a version this code does not know."""
        if data[0] != STATE_VERSION:
            msg = f"command state of version {data[0]}, not {STATE_VERSION}"
            raise ValueError(msg)
        plain: dict[str, Any] = json.loads(data[1:])
        plain["state"] = CommandState(plain["state"])
        plain["request"] = _from_plain(CommandRequest.from_record, plain["request"])
        plain["approval"] = _from_plain(CommandControl.from_record, plain["approval"])
        plain["waiting_acks"] = [_from_plain(CommandAck.from_record, ack) for ack in plain["waiting_acks"]]
        plain["waiting_controls"] = [
            _from_plain(CommandControl.from_record, control) for control in plain["waiting_controls"]
        ]
        return cls(**plain)


@dataclass(kw_only=True, slots=True)
class Step:
    """What one call led to. `memory` None: forget the command. `next_timer_us` None: no timer is needed."""

    memory: CommandMemory | None
    states: list[CommandStateRecord] = field(default_factory=list)
    resend: list[CommandRequest | CommandControl] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    next_timer_us: int | None = None


class CommandLogic:
    """The state machine; holds no command itself. Every method changes the memory it is given and returns it in the step."""

    def __init__(self, config: CommandConfig) -> None:
        self._config = config

    def on_request(self, memory: CommandMemory | None, request: CommandRequest, now_us: int) -> Step:
        """A request, or one sent again."""
        step = self._step(memory, now_us)
        known = step.memory
        assert known is not None
        if known.request is None:
            self._first_request(step, known, request, now_us)
        elif dataclasses.replace(request, attempt=1, traceparent=None) != dataclasses.replace(
            known.request, attempt=1, traceparent=None
        ):
            step.notes.append(Note.CONFLICTING_REQUEST)
        else:
            if request.attempt <= known.attempt:
                step.notes += (
                    [] if request.attempt > 1 else [Note.DUPLICATE_REQUEST]
                )  # higher attempts are this side's own, read back
            known.attempt = max(known.attempt, request.attempt)
        return self._finish(step)

    def on_control(self, memory: CommandMemory | None, control: CommandControl, now_us: int) -> Step:
        """Cancel or approve."""
        step = self._step(memory, now_us)
        known = step.memory
        assert known is not None
        if known.request is None:
            known.waiting_controls = [*known.waiting_controls, control][-_MAX_WAITING:]
        else:
            self._control(step, known, known.request, control, now_us)
        return self._finish(step)

    def on_ack(self, memory: CommandMemory | None, ack: CommandAck, now_us: int, *, site: str = "") -> Step:
        """What a gateway says it did. `site` is that of the topic, for acks whose request is never seen."""
        step = self._step(memory, now_us)
        known = step.memory
        assert known is not None
        known.site = known.site or site
        if known.request is None:
            if known.version:  # already recorded as an orphan
                self._orphan(step, known, ack, now_us)
            else:
                known.waiting_acks = [*known.waiting_acks, ack][-_MAX_WAITING:]
        else:
            self._ack(step, known, known.request, ack, now_us)
        return self._finish(step)

    def on_timer(self, memory: CommandMemory | None, now_us: int) -> Step:
        """Do what is due; harmless when nothing is."""
        if memory is None:
            return Step(memory=None)
        step = Step(memory=memory)
        if (due_us := self._deadline(memory)) is not None and now_us >= due_us:
            self._due(step, memory, now_us)
        return self._finish(step)

    # --- records -----------------------------------------------------------------------------------------------------

    def _first_request(self, step: Step, known: CommandMemory, request: CommandRequest, now_us: int) -> None:
        known.request, known.attempt, known.site = request, max(known.attempt, request.attempt), request.site
        known.sent_us = now_us
        state = CommandState.PENDING_APPROVAL if request.requires_approval else CommandState.ACCEPTED
        self._move(step, known, state, now_us, detail="")
        acks, controls = known.waiting_acks, known.waiting_controls
        known.waiting_acks, known.waiting_controls = [], []
        for control in controls:
            self._control(step, known, request, control, now_us)
        for ack in acks:
            self._ack(step, known, request, ack, now_us)

    def _control(
        self, step: Step, known: CommandMemory, request: CommandRequest, control: CommandControl, now_us: int
    ) -> None:
        reason = f": {control.reason}" if control.reason else ""
        approve = control.action is ControlAction.APPROVE
        behind = known.state is not CommandState.PENDING_APPROVAL if approve else known.cancel_requested
        if behind or known.state in OUTCOMES:
            step.notes.append(Note.LATE_CONTROL)
        elif not approve:
            known.cancel_requested = True
            self._move(step, known, known.state, now_us, detail=f"cancellation requested by {control.by}{reason}")
        elif control.by == request.submitted_by:
            step.notes.append(Note.REFUSED_APPROVAL)
            self._move(step, known, known.state, now_us, detail=f"{control.by} cannot approve the own command")
        else:
            known.approval = control
            state = CommandState.DELIVERED if known.delivered else CommandState.ACCEPTED
            self._move(step, known, state, now_us, detail=f"approved by {control.by}{reason}")

    def _ack(self, step: Step, known: CommandMemory, request: CommandRequest, ack: CommandAck, now_us: int) -> None:
        if ack.gateway_id != request.gateway_id or ack.state not in _REPORTABLE:
            step.notes.append(Note.FOREIGN_ACK if ack.gateway_id != request.gateway_id else Note.INVALID_ACK)
            return
        mark = f"{ack.attempt}:{ack.state}"
        if mark in known.seen_acks:
            known.duplicate_acks += 1
            step.notes.append(Note.DUPLICATE_ACK)
            self._move(step, known, known.state, now_us)
            return
        known.seen_acks = [*known.seen_acks, mark][-_MAX_SEEN:]
        known.delivered = True
        known.attempt = max(known.attempt, ack.attempt)
        if known.state in OUTCOMES:
            self._late(step, known, ack, now_us)
        elif known.state is CommandState.PENDING_APPROVAL and ack.state is CommandState.DELIVERED:
            self._move(step, known, known.state, now_us, detail="at the gateway, waits for approval")
        elif _rank(ack.state) < _rank(known.state):
            step.notes.append(Note.OUT_OF_ORDER_ACK)
        elif ack.state is not known.state:
            self._move(step, known, ack.state, now_us, detail=ack.detail, readback=ack.readback)

    def _late(self, step: Step, known: CommandMemory, ack: CommandAck, now_us: int) -> None:
        """An ack after an outcome. Only what was inferred, or UNKNOWN, can still change."""
        if ack.state is known.state:
            # The gateway confirms what was inferred, or another attempt ended the same way.
            note = Note.LATE_ACK if known.inferred else Note.DUPLICATE_ACK
            known.late_acks += known.inferred
            known.duplicate_acks += not known.inferred
            step.notes.append(note)
            detail, readback = ack.detail or known.detail, ack.readback or known.readback
            self._move(step, known, known.state, now_us, detail=detail, readback=readback, inferred=False)
            return
        known.late_acks += 1
        step.notes.append(Note.LATE_ACK)
        open_to_change = known.inferred or known.state is CommandState.UNKNOWN
        if open_to_change and ack.state in OUTCOMES:
            step.notes.append(Note.CORRECTED)
            self._move(step, known, ack.state, now_us, detail=ack.detail, readback=ack.readback)
        elif open_to_change and ack.state is CommandState.EXECUTING and known.state is not CommandState.UNKNOWN:
            # It was not as dead as was thought: it may have been carried out, and nobody has said how it ended.
            step.notes.append(Note.CORRECTED)
            self._move(
                step,
                known,
                CommandState.UNKNOWN,
                now_us,
                detail="late word that it was being carried out",
                inferred=True,
            )
        else:
            self._move(step, known, known.state, now_us)

    def _orphan(self, step: Step, known: CommandMemory, ack: CommandAck, now_us: int) -> None:
        step.notes.append(Note.ORPHAN_ACK)
        known.version += 1
        known.state, known.changed_us = ack.state, now_us
        step.states.append(
            CommandStateRecord(
                command_id=ack.command_id,
                version=known.version,
                state=ack.state,
                device_id=ack.device_id,
                gateway_id=ack.gateway_id,
                site=known.site,
                name="",
                parameters={},
                submitted_by="",
                submitted_us=0,
                expires_us=0,
                updated_us=now_us,
                attempt=ack.attempt,
                detail=f"orphan: no request was seen; the gateway says {ack.detail or ack.state}",
                readback=ack.readback,
            )
        )

    # --- time --------------------------------------------------------------------------------------------------------

    def _deadline(self, known: CommandMemory) -> int | None:
        """When something is due next, microseconds UTC."""
        config, request = self._config, known.request
        if request is None:
            if known.version:
                return known.changed_us + config.retention_ms * 1000
            return known.first_seen_us + config.orphan_after_ms * 1000
        if known.state in OUTCOMES:
            return known.changed_us + config.retention_ms * 1000
        if known.state is CommandState.EXECUTING:
            return known.changed_us + config.outcome_timeout_ms * 1000
        if known.delivered:
            return max(request.expires_us, known.changed_us) + config.outcome_timeout_ms * 1000
        expiry_us = request.expires_us + config.expiry_grace_ms * 1000
        return min(expiry_us, self._resend_us(known, request) or expiry_us)

    def _resend_us(self, known: CommandMemory, request: CommandRequest) -> int | None:
        if known.attempt >= self._config.max_attempts or known.cancel_requested:
            return None
        due_us = known.sent_us + (self._config.resend_after_ms * 1000 << (known.attempt - 1))
        return due_us if due_us < request.expires_us else None

    def _due(self, step: Step, known: CommandMemory, now_us: int) -> None:
        request = known.request
        if known.state in OUTCOMES and known.version:
            step.memory = None
        elif request is None:
            if known.version or not known.waiting_acks:  # a control without a request is nobody's command
                step.memory = None
                return
            acks, known.waiting_acks, known.waiting_controls = known.waiting_acks, [], []
            for ack in acks:
                self._orphan(step, known, ack, now_us)
        elif known.delivered and known.state is CommandState.PENDING_APPROVAL:
            self._move(step, known, CommandState.EXPIRED, now_us, detail="never approved", inferred=True)
        elif known.delivered:
            detail = f"no outcome within {self._config.outcome_timeout_ms / 1000:g} s after {known.state} or expiry"
            self._move(step, known, CommandState.UNKNOWN, now_us, detail=detail, inferred=True)
        elif now_us >= request.expires_us + self._config.expiry_grace_ms * 1000:
            state = CommandState.CANCELLED if known.cancel_requested else CommandState.EXPIRED
            self._move(step, known, state, now_us, detail="no gateway confirmed to have it", inferred=True)
        else:
            self._send_again(step, known, request, now_us)

    def _send_again(self, step: Step, known: CommandMemory, request: CommandRequest, now_us: int) -> None:
        known.attempt += 1
        known.sent_us = now_us
        step.resend.append(dataclasses.replace(request, attempt=known.attempt))
        if known.approval is not None:
            step.resend.append(known.approval)
        step.notes.append(Note.SENT_AGAIN)
        self._move(
            step,
            known,
            known.state,
            now_us,
            detail=f"no gateway confirmed to have it; sent again, attempt {known.attempt}",
        )

    # --- mechanics ---------------------------------------------------------------------------------------------------

    def _step(self, memory: CommandMemory | None, now_us: int) -> Step:
        return Step(memory=CommandMemory(first_seen_us=now_us) if memory is None else memory)

    def _finish(self, step: Step) -> Step:
        step.next_timer_us = None if step.memory is None else self._deadline(step.memory)
        return step

    def _move(
        self,
        step: Step,
        known: CommandMemory,
        state: CommandState,
        now_us: int,
        *,
        detail: str | None = None,
        readback: dict[str, float] | None = None,
        inferred: bool | None = None,
    ) -> None:
        """One more version of the record. Without `detail` and `readback` those stay.

        A new state is the gateway's word unless `inferred`.
        """
        if state is not known.state or not known.version:
            known.changed_us, known.inferred = now_us, False
        known.inferred = known.inferred if inferred is None else inferred
        known.state, known.version = state, known.version + 1
        known.detail = known.detail if detail is None else detail
        known.readback = known.readback if readback is None else readback
        step.states.append(_record(known, now_us))


def _rank(state: CommandState) -> int:
    return _RANK.get(state, _OUTCOME_RANK)


def _record(known: CommandMemory, now_us: int) -> CommandStateRecord:
    request = known.request
    assert request is not None
    return CommandStateRecord(
        command_id=request.command_id,
        version=known.version,
        state=known.state,
        device_id=request.device_id,
        gateway_id=request.gateway_id,
        site=request.site,
        name=request.name,
        parameters=request.parameters,
        submitted_by=request.submitted_by,
        submitted_us=request.submitted_us,
        expires_us=request.expires_us,
        updated_us=now_us,
        attempt=known.attempt,
        detail=known.detail,
        readback=known.readback,
        late_acks=known.late_acks,
        duplicate_acks=known.duplicate_acks,
    )


def _from_plain(make: Callable[[dict[str, Any]], T], plain: dict[str, Any] | None) -> T | None:
    return None if plain is None else make({**plain, "command_id": UUID(plain["command_id"])})
