"""What the gateway lets a command do: the last word before a machine is touched, and it works offline.

Pure functions over the gateway's own registry; the rules are those of `schemas.command_rules`, which serving asks too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from connectors.readings import Write
from schemas import command_rules
from schemas.command_rules import Acknowledgement
from schemas.commands import CommandRequest
from schemas.definitions import TagDefinition


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command is not carried out."""

    reason: str


def plan(request: CommandRequest, tags: Sequence[TagDefinition]) -> list[Write] | Acknowledgement | Refusal:
    """Writes of a command to a device with these tags; or the condition that it acknowledges, which may be of no device."""
    if request.name == command_rules.ACKNOWLEDGE and (tags or not request.device_id):
        try:
            # At the machine it is the gateway's session that acknowledges: the comment says for whom.
            comment = ": ".join(filter(None, [request.submitted_by, request.reason]))
            return command_rules.acknowledgement(request.parameters, comment)
        except command_rules.RuleError as error:
            return Refusal(str(error))
    if not tags:
        return Refusal(f"device {request.device_id} is not one of this gateway's")
    try:
        values = command_rules.writes(tags, request.name, request.parameters)
    except command_rules.RuleError as error:
        return Refusal(str(error))
    by_name = {tag.name: tag for tag in tags}
    return [Write(by_name[name], value) for name, value in values.items()]


def skew_problem(request: CommandRequest, now_us: int, *, max_skew_us: int) -> str:
    """Whether this clock can be trusted with the command's expiry; empty when it can.

    A request from the future means that this clock is behind, so that an expired command would look valid. A clock that
    is ahead only makes commands expire early.
    """
    ahead_us = request.submitted_us - now_us
    if ahead_us <= max_skew_us:
        return ""
    return f"the gateway's clock is {ahead_us / 1e6:.1f} s behind the submitter's: expiry cannot be checked"
