"""What the machine of a condition knows of an acknowledgement: what the alarm's record says, and what became of the command.

Enters: alarms as they stand. Leaves: one word for each of a condition, and nothing for all others. The alarm's record says what the machine
said; until then the record of commands says how far the word has come. Pure, over the book of commands, which has been read before anybody
is answered about alarms (`serving.caches.feeds`); called in the event loop only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from uuid import UUID

from schemas.alarms import Alarm
from schemas.commands import OUTCOMES, CommandState
from serving.caches.command_view import CommandView
from serving.handlers.commands import CommandHandlers
from serving.machine_acks import request_of


class MachineAckState(StrEnum):
    """How an acknowledgement stands at the machine."""

    PENDING = "PENDING"
    """Its command is under way."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """The machine said so, or took the command."""
    FAILED = "FAILED"
    """The command ended without it, and the machine waits."""
    UNKNOWN = "UNKNOWN"
    """Nobody can say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineAck:
    """The word of one alarm. `command_id` is None where the machine said it without a command."""

    state: MachineAckState
    detail: str = ""
    command_id: UUID | None = None


AtMachine: TypeAlias = Callable[[Alarm], MachineAck | None]

_NOT_KEPT = "the command is not in the record that is kept here; an older one is in SQL"


def at_machine(commands: CommandHandlers) -> AtMachine:
    """What says it, of any alarm; None for what is no machine's to know."""

    def of(alarm: Alarm) -> MachineAck | None:
        if not alarm.condition:
            return None
        if alarm.acknowledged_at_machine:
            return MachineAck(state=MachineAckState.ACKNOWLEDGED)
        request = request_of(alarm)
        if request is None:
            return None
        command_id, known = request.command_id, commands.book.get(request.command_id)
        if known is not None:
            return MachineAck(state=_state(known.state), detail=_detail(known), command_id=command_id)
        if commands.clock() < request.expires_us:
            return MachineAck(state=MachineAckState.PENDING, command_id=command_id)
        return MachineAck(state=MachineAckState.UNKNOWN, detail=_NOT_KEPT, command_id=command_id)

    return of


def _state(command: CommandState) -> MachineAckState:
    if command is CommandState.SUCCEEDED:
        return MachineAckState.ACKNOWLEDGED
    if command is CommandState.UNKNOWN:
        return MachineAckState.UNKNOWN
    return MachineAckState.FAILED if command in OUTCOMES else MachineAckState.PENDING


def _detail(command: CommandView) -> str:
    """Why, of what went wrong; a command on its way says nothing that helps."""
    if command.state not in OUTCOMES or command.state is CommandState.SUCCEEDED:
        return ""
    said = [one.detail for one in command.outcomes if one.detail]
    return "; ".join(dict.fromkeys(said)) or command.detail or str(command.state)
