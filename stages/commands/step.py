"""What a call of the correlation leads to: versions of the record, requests to send again, notes for metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from schemas.commands import CommandAck, CommandControl, CommandRequest, CommandState, CommandStateRecord, Outcomes
from stages.commands.tracked import TrackedCommand


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
    """An ack from a gateway that does not own the device, or from another site."""
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


@dataclass(kw_only=True, slots=True)
class Step:
    """What one call led to. `command` None: forget it. `next_timer_us` None: no timer is needed."""

    command: TrackedCommand | None
    states: list[CommandStateRecord] = field(default_factory=list)
    resend: list[CommandRequest | CommandControl] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    next_timer_us: int | None = None

    def move(
        self,
        known: TrackedCommand,
        state: CommandState,
        now_us: int,
        *,
        detail: str | None = None,
        readback: dict[str, float] | None = None,
        outcomes: Outcomes | None = None,
        inferred: bool | None = None,
    ) -> None:
        """One more version of the record. Without `detail`, `readback` and `outcomes` those stay.

        A new state is the gateway's word unless `inferred`.
        """
        if state is not known.state or not known.version:
            known.changed_us, known.inferred = now_us, False
        known.inferred = known.inferred if inferred is None else inferred
        known.state, known.version = state, known.version + 1
        known.detail = known.detail if detail is None else detail
        known.readback = known.readback if readback is None else readback
        known.outcomes = known.outcomes if outcomes is None else outcomes
        self.states.append(known.record(now_us))

    def orphan(self, known: TrackedCommand, ack: CommandAck, site: str, now_us: int) -> None:
        """An ack whose request was not seen in time: it is recorded as far as the gateway's word goes."""
        self.notes.append(Note.ORPHAN_ACK)
        known.version += 1
        known.state, known.changed_us = ack.state, now_us
        self.states.append(
            CommandStateRecord(
                command_id=ack.command_id,
                version=known.version,
                state=ack.state,
                device_id=ack.device_id,
                gateway_id=ack.gateway_id,
                site=site,
                name="",
                parameters={},
                submitted_by="",
                submitted_us=0,
                expires_us=0,
                updated_us=now_us,
                attempt=ack.attempt,
                detail=f"orphan: no request was seen; the gateway says {ack.detail or ack.state}",
                readback=ack.readback,
                outcomes=ack.outcomes,
            )
        )
