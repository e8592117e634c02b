"""What became of a command's parameters, as acknowledgements tell it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.readings import Write, WriteResult
from schemas import command_rules
from schemas.command_rules import Acknowledgement
from schemas.commands import CommandRequest, CommandState, Effect, Outcomes, ParameterOutcome

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


def same_for_all(request: CommandRequest, state: CommandState, detail: str) -> Outcomes:
    """Outcomes of a command that ended without a write: the same of each parameter."""
    effect = Effect.UNKNOWN if state is CommandState.UNKNOWN else Effect.NOT_SENT
    detail = cut(detail, _MAX_OUTCOME_DETAIL)
    names = command_rules.written(request.name, request.parameters)
    return tuple(ParameterOutcome(name=name, effect=effect, detail=detail) for name in names)


def cut(text: str, length: int) -> str:
    """The text, not longer than that."""
    return text if len(text) <= length else f"{text[: length - 1]}…"
