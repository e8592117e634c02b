"""What became of a command's parameters, as acknowledgements tell it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.readings import Write, WriteResult
from edge.command_journal import Entry
from schemas import command_rules
from schemas.command_rules import Acknowledgement
from schemas.commands import CommandAck, CommandRequest, CommandState, Effect, Outcomes, ParameterOutcome

_WITHOUT_WRITE = frozenset({CommandState.REJECTED, CommandState.EXPIRED, CommandState.CANCELLED, CommandState.UNKNOWN})
"""Outcomes that need no result of a write: nothing was sent, or a restart came between; then the same is true of each parameter."""
MAX_DETAIL = 4_000
_MAX_OUTCOME_DETAIL = 300
"""Longest texts of an acknowledgement, characters: what machines and libraries say has no bound of its own."""


def outcomes_of(done: Sequence[Write] | Acknowledgement, result: WriteResult) -> Outcomes:
    """Outcome of each write, or of an acknowledgement."""
    names = [done.condition] if isinstance(done, Acknowledgement) else [write.tag.name for write in done]
    found = [(name, result.outcome(name)) for name in names]
    return tuple(
        ParameterOutcome(
            name=name, effect=one.effect, readback=one.readback, detail=cut(one.detail, _MAX_OUTCOME_DETAIL)
        )
        for name, one in found
    )


def ack_of(entry: Entry, gateway_id: str, time_us: int) -> CommandAck:
    """The acknowledgement of a command as the journal has it. One that waits for approval has been delivered."""
    request, state, outcomes = entry.request, entry.state, entry.outcomes
    if state is CommandState.PENDING_APPROVAL:
        state = CommandState.DELIVERED
    if state in _WITHOUT_WRITE and not outcomes:
        outcomes = same_for_all(request, state, entry.detail)
    return CommandAck(
        command_id=request.command_id,
        attempt=entry.attempt,
        device_id=request.device_id,
        gateway_id=gateway_id,
        state=state,
        time_us=time_us,
        detail=entry.detail,
        readback=entry.readback,
        outcomes=outcomes,
    )


def same_for_all(request: CommandRequest, state: CommandState, detail: str) -> Outcomes:
    """Outcomes of a command that ended without a write: the same of each parameter."""
    effect = Effect.UNKNOWN if state is CommandState.UNKNOWN else Effect.NOT_SENT
    detail = cut(detail, _MAX_OUTCOME_DETAIL)
    names = command_rules.written(request.name, request.parameters)
    return tuple(ParameterOutcome(name=name, effect=effect, detail=detail) for name in names)


def cut(text: str, length: int) -> str:
    """The text, not longer than that."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
