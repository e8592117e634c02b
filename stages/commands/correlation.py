"""Correlation of commands: requests, controls and acknowledgements become the record of where each command stands.

Enters: the records of `command.requests.*` and `command.acks.*` of one command, in any order and any number of times, and the time.
Leaves: `CommandStateRecord`s, each with a higher version, and requests to send again. Who calls it: the commands job, one
`TrackedCommand` per command id, kept as bytes between calls. No I/O and no clock of its own: `now_us` is passed in and
`next_timer_us` says when to call again.

The gateway decides and acts; this is the record. What only this side concluded (`inferred`: EXPIRED because nothing was heard, UNKNOWN
because the outcome was not) yields to a later word of the gateway; what the gateway said stands. An outcome is never retried: only
requests that no gateway has confirmed to hold are sent again, with the same id and a higher attempt. Until a gateway answers the attempt is
counted here alone: no signature of a request covers it, and one that somebody made up would end the sending.
"""

from __future__ import annotations

import dataclasses

from schemas.commands import OUTCOMES, CommandAck, CommandControl, CommandRequest, CommandState, ControlAction
from stages.commands.config import CommandConfig
from stages.commands.deadlines import apply_due, deadline_us
from stages.commands.step import Note, Step
from stages.commands.tracked import TrackedCommand

_REPORTABLE = OUTCOMES | {CommandState.DELIVERED, CommandState.EXECUTING}
_MAX_WAITING = 16
_MAX_SEEN = 64


class CommandLogic:
    """The state machine; holds no command itself. Every method changes the command it is given and returns it in the step."""

    def __init__(self, config: CommandConfig) -> None:
        self._config = config

    def on_request(self, command: TrackedCommand | None, request: CommandRequest, now_us: int) -> Step:
        """A request, or one sent again."""
        step = self._step(command, now_us)
        known = step.command
        assert known is not None
        if known.request is None:
            self._first_request(step, known, request, now_us)
        elif _asked(request) != _asked(known.request):
            step.notes.append(Note.CONFLICTING_REQUEST)
        elif request.attempt == 1:  # others are this side's own, read back
            step.notes.append(Note.DUPLICATE_REQUEST)
        return self._finish(step)

    def on_control(self, command: TrackedCommand | None, control: CommandControl, now_us: int) -> Step:
        """Cancel or approve."""
        step = self._step(command, now_us)
        known = step.command
        assert known is not None
        if known.request is None:
            known.waiting_controls = [*known.waiting_controls, control][-_MAX_WAITING:]
        else:
            self._control(step, known, known.request, control, now_us)
        return self._finish(step)

    def on_ack(self, command: TrackedCommand | None, ack: CommandAck, now_us: int, *, site: str = "") -> Step:
        """What a gateway says it did. `site` is that of the topic, which no gateway of another site can write to."""
        step = self._step(command, now_us)
        known = step.command
        assert known is not None
        if known.request is None:
            if known.version:  # already recorded as an orphan
                step.orphan(known, ack, site, now_us)
            else:
                known.wait(ack, site, at_most=_MAX_WAITING)
        else:
            self._ack_of(step, known, known.request, ack, now_us, site)
        return self._finish(step)

    def on_timer(self, command: TrackedCommand | None, now_us: int) -> Step:
        """Do what is due; harmless when nothing is."""
        if command is None:
            return Step(command=None)
        step = Step(command=command)
        if (due_us := deadline_us(self._config, command)) is not None and now_us >= due_us:
            apply_due(self._config, step, command, now_us)
        return self._finish(step)

    # --- records -----------------------------------------------------------------------------------------------------

    def _first_request(self, step: Step, known: TrackedCommand, request: CommandRequest, now_us: int) -> None:
        known.request, known.site = request, request.site
        known.sent_us = now_us
        state = CommandState.PENDING_APPROVAL if request.requires_approval else CommandState.ACCEPTED
        step.move(known, state, now_us, detail="")
        controls, known.waiting_controls = known.waiting_controls, []
        for control in controls:
            self._control(step, known, request, control, now_us)
        for ack, site in known.no_longer_waiting():
            self._ack_of(step, known, request, ack, now_us, site)

    def _control(
        self, step: Step, known: TrackedCommand, request: CommandRequest, control: CommandControl, now_us: int
    ) -> None:
        approve = control.action is ControlAction.APPROVE
        behind = known.state is not CommandState.PENDING_APPROVAL if approve else known.cancel_requested
        if behind or known.state in OUTCOMES:
            step.notes.append(Note.LATE_CONTROL)
        elif not approve:
            known.cancel_requested = True
            step.move(known, known.state, now_us, detail=control.detail)
        elif control.by == request.submitted_by:
            step.notes.append(Note.REFUSED_APPROVAL)
            step.move(known, known.state, now_us, detail=f"{control.by} cannot approve the own command")
        else:
            known.approval = control
            state = CommandState.DELIVERED if known.delivered else CommandState.ACCEPTED
            step.move(known, state, now_us, detail=control.detail)

    def _ack_of(
        self, step: Step, known: TrackedCommand, request: CommandRequest, ack: CommandAck, now_us: int, site: str
    ) -> None:
        """An ack that came on a topic of a site; empty when that is not known."""
        if site in ("", request.site):
            self._ack(step, known, request, ack, now_us)
        else:
            step.notes.append(Note.FOREIGN_ACK)

    def _ack(self, step: Step, known: TrackedCommand, request: CommandRequest, ack: CommandAck, now_us: int) -> None:
        if ack.gateway_id != request.gateway_id or ack.state not in _REPORTABLE:
            step.notes.append(Note.FOREIGN_ACK if ack.gateway_id != request.gateway_id else Note.INVALID_ACK)
            return
        mark = f"{ack.attempt}:{ack.state}"
        if mark in known.seen_acks:
            known.duplicate_acks += 1
            step.notes.append(Note.DUPLICATE_ACK)
            step.move(known, known.state, now_us)
            return
        known.seen_acks = [*known.seen_acks, mark][-_MAX_SEEN:]
        known.delivered = True
        # A gateway's word, which is signed; nothing is sent again from here on.
        known.attempt = max(known.attempt, ack.attempt)
        if known.state in OUTCOMES:
            self._late(step, known, ack, now_us)
        elif known.state is CommandState.PENDING_APPROVAL and ack.state is CommandState.DELIVERED:
            step.move(known, known.state, now_us, detail="at the gateway, waits for approval")
        elif ack.state.rank < known.state.rank:
            step.notes.append(Note.OUT_OF_ORDER_ACK)
        elif ack.state is not known.state:
            step.move(known, ack.state, now_us, detail=ack.detail, readback=ack.readback, outcomes=ack.outcomes)

    def _late(self, step: Step, known: TrackedCommand, ack: CommandAck, now_us: int) -> None:
        """An ack after an outcome. Only what was inferred, or UNKNOWN, can still change."""
        if ack.state is known.state:
            # The gateway confirms what was inferred, or another attempt ended the same way.
            note = Note.LATE_ACK if known.inferred else Note.DUPLICATE_ACK
            known.late_acks += known.inferred
            known.duplicate_acks += not known.inferred
            step.notes.append(note)
            step.move(
                known,
                known.state,
                now_us,
                detail=ack.detail or known.detail,
                readback=ack.readback or known.readback,
                outcomes=ack.outcomes or known.outcomes,
                inferred=False,
            )
            return
        known.late_acks += 1
        step.notes.append(Note.LATE_ACK)
        open_to_change = known.inferred or known.state is CommandState.UNKNOWN
        if open_to_change and ack.state in OUTCOMES:
            step.notes.append(Note.CORRECTED)
            step.move(known, ack.state, now_us, detail=ack.detail, readback=ack.readback, outcomes=ack.outcomes)
        elif open_to_change and ack.state is CommandState.EXECUTING and known.state is not CommandState.UNKNOWN:
            # It was not as dead as was thought: it may have been carried out, and nobody has said how it ended.
            step.notes.append(Note.CORRECTED)
            step.move(
                known,
                CommandState.UNKNOWN,
                now_us,
                detail="late word that it was being carried out",
                inferred=True,
            )
        else:
            step.move(known, known.state, now_us)

    # --- mechanics ---------------------------------------------------------------------------------------------------

    def _step(self, command: TrackedCommand | None, now_us: int) -> Step:
        return Step(command=TrackedCommand(first_seen_us=now_us) if command is None else command)

    def _finish(self, step: Step) -> Step:
        step.next_timer_us = None if step.command is None else deadline_us(self._config, step.command)
        return step


def _asked(request: CommandRequest) -> CommandRequest:
    """What the same command has in common, however often and by whichever serving process it is sent."""
    return dataclasses.replace(request, attempt=1, traceparent=None, signature="", key_id="")
