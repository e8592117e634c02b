"""A command as callers see it, made of what is known of it: the record, and ahead of it the request, controls and acknowledgements.

Pure functions; who calls: `command_book`. What the record does not have yet is marked provisional. The record wins: what runs ahead is
shown only where it takes a command forward.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from uuid import UUID

from schemas.commands import (
    OUTCOMES,
    CommandAck,
    CommandControl,
    CommandRequest,
    CommandState,
    CommandStateRecord,
    Outcomes,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandView:
    """A command as it stands. `provisional`: not yet in the record; `version` is the record's, 0 before it has one."""

    command_id: UUID
    state: CommandState
    version: int
    provisional: bool
    device_id: int
    gateway_id: str
    site: str
    name: str
    parameters: dict[str, float]
    submitted_by: str
    submitted_us: int
    expires_us: int
    updated_us: int
    detail: str = ""
    readback: dict[str, float] = field(default_factory=dict)
    late_acks: int = 0
    duplicate_acks: int = 0
    outcomes: Outcomes = ()
    reason: str = ""
    approved_by: str = ""

    @property
    def final(self) -> bool:
        """Whether the record has an outcome."""
        return not self.provisional and self.state in OUTCOMES


def view_of(
    record: CommandStateRecord | None,
    request: CommandRequest | None,
    *,
    ack: CommandAck | None = None,
    approval: CommandControl | None = None,
    cancellation: CommandControl | None = None,
) -> CommandView | None:
    """Record if there is one, else request, with what runs ahead on top. None when there is neither."""
    if record is not None:
        view = _of_record(record)
    elif request is not None:
        view = _of_request(request)
    else:
        return None
    if view.state in OUTCOMES:
        return view
    if cancellation is not None:
        view = _cancelled(view, cancellation)
    if approval is not None:
        view = _approved(view, approval)
    return view if ack is None else _acknowledged(view, ack)


def _cancelled(view: CommandView, control: CommandControl) -> CommandView:
    """Asked to be withdrawn: whether it was in time is the gateway's to say."""
    if view.detail == control.detail:
        return view
    return replace(view, provisional=True, detail=control.detail)


def _approved(view: CommandView, control: CommandControl) -> CommandView:
    if view.state is not CommandState.PENDING_APPROVAL or control.by == view.submitted_by:
        return view
    return replace(
        view,
        state=CommandState.ACCEPTED,
        provisional=True,
        updated_us=control.time_us,
        detail=control.detail,
        approved_by=control.by,
    )


def _acknowledged(view: CommandView, ack: CommandAck) -> CommandView:
    if ack.state.rank <= view.state.rank:
        return view
    if view.state is CommandState.PENDING_APPROVAL and ack.state is CommandState.DELIVERED:
        return view  # the gateway keeps it, and waits for the approval as well
    return replace(
        view,
        state=ack.state,
        provisional=True,
        updated_us=ack.time_us,
        detail=ack.detail or view.detail,
        readback=ack.readback,
        outcomes=ack.outcomes,
    )


def _of_record(record: CommandStateRecord) -> CommandView:
    return CommandView(
        command_id=record.command_id,
        state=record.state,
        version=record.version,
        provisional=False,
        device_id=record.device_id,
        gateway_id=record.gateway_id,
        site=record.site,
        name=record.name,
        parameters=record.parameters,
        submitted_by=record.submitted_by,
        submitted_us=record.submitted_us,
        expires_us=record.expires_us,
        updated_us=record.updated_us,
        detail=record.detail,
        readback=record.readback,
        late_acks=record.late_acks,
        duplicate_acks=record.duplicate_acks,
        outcomes=record.outcomes,
        reason=record.reason,
        approved_by=record.approved_by,
    )


def _of_request(request: CommandRequest) -> CommandView:
    return CommandView(
        command_id=request.command_id,
        state=CommandState.PENDING_APPROVAL if request.requires_approval else CommandState.ACCEPTED,
        version=0,
        provisional=True,
        device_id=request.device_id,
        gateway_id=request.gateway_id,
        site=request.site,
        name=request.name,
        parameters=request.parameters,
        submitted_by=request.submitted_by,
        submitted_us=request.submitted_us,
        expires_us=request.expires_us,
        updated_us=request.submitted_us,
        reason=request.reason,
    )
