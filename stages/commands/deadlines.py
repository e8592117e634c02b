"""What follows from silence: when something of a command is due, and what is done then."""

from __future__ import annotations

import dataclasses

from schemas.commands import OUTCOMES, CommandRequest, CommandState
from stages.commands.config import CommandConfig
from stages.commands.step import Note, Step
from stages.commands.tracked import TrackedCommand


def deadline_us(config: CommandConfig, known: TrackedCommand) -> int | None:
    """When something is due next, microseconds UTC."""
    request = known.request
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
    return min(expiry_us, _resend_us(config, known, request) or expiry_us)


def _resend_us(config: CommandConfig, known: TrackedCommand, request: CommandRequest) -> int | None:
    if known.attempt >= config.max_attempts or known.cancel_requested:
        return None
    due_us = known.sent_us + (config.resend_after_ms * 1000 << (known.attempt - 1))
    return due_us if due_us < request.expires_us else None


def apply_due(config: CommandConfig, step: Step, known: TrackedCommand, now_us: int) -> None:
    """Do what is due of a command whose deadline has passed."""
    request = known.request
    if known.state in OUTCOMES and known.version:
        step.command = None
    elif request is None:
        if known.version or not known.waiting_acks:  # a control without a request is nobody's command
            step.command = None
            return
        known.waiting_controls = []
        for ack, site in known.no_longer_waiting():
            step.orphan(known, ack, site, now_us)
    elif known.delivered and known.state is CommandState.PENDING_APPROVAL:
        step.move(known, CommandState.EXPIRED, now_us, detail="never approved", inferred=True)
    elif known.delivered:
        detail = f"no outcome within {config.outcome_timeout_ms / 1000:g} s after {known.state} or expiry"
        step.move(known, CommandState.UNKNOWN, now_us, detail=detail, inferred=True)
    elif now_us >= request.expires_us + config.expiry_grace_ms * 1000:
        state = CommandState.CANCELLED if known.cancel_requested else CommandState.EXPIRED
        step.move(known, state, now_us, detail="no gateway confirmed to have it", inferred=True)
    else:
        _send_again(step, known, request, now_us)


def _send_again(step: Step, known: TrackedCommand, request: CommandRequest, now_us: int) -> None:
    known.attempt += 1
    known.sent_us = now_us
    step.resend.append(dataclasses.replace(request, attempt=known.attempt))
    if known.approval is not None:
        step.resend.append(known.approval)
    step.notes.append(Note.SENT_AGAIN)
    step.move(
        known,
        known.state,
        now_us,
        detail=f"no gateway confirmed to have it; sent again, attempt {known.attempt}",
    )
