"""What the gateway lets a command do: the last word before a machine is touched, and it works offline.

Pure functions over the gateway's own registry. `plan` turns a command into writes, or says why not. Verbs are PackML's
(CntrlCmd 1 to 9), written to the device's writable INTEGER tag `packml_command`; `write` sets writable tags by name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from connectors.readings import Write
from edge.normalise import EXACT_INTEGERS
from schemas.commands import CommandRequest
from schemas.registry import DataType, TagDefinition

WRITE = "write"
PACKML_TAG = "packml_command"
PACKML_VERBS = {
    "reset": 1,
    "start": 2,
    "stop": 3,
    "hold": 4,
    "unhold": 5,
    "suspend": 6,
    "unsuspend": 7,
    "abort": 8,
    "clear": 9,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a command is not carried out."""

    reason: str


def plan(request: CommandRequest, tags: Sequence[TagDefinition]) -> list[Write] | Refusal:
    """Writes of a command to a device with these tags."""
    if not tags:
        return Refusal(f"device {request.device_id} is not one of this gateway's")
    by_name = {tag.name: tag for tag in tags}
    if request.name == WRITE:
        values: Mapping[str, float] = request.parameters
        if not values:
            return Refusal("write needs parameters: tag names and values")
    elif request.name not in PACKML_VERBS:
        return Refusal(f"unknown command {request.name!r}; there are {WRITE}, {', '.join(PACKML_VERBS)}")
    elif request.parameters:
        return Refusal(f"{request.name} takes no parameters")
    else:
        values = {PACKML_TAG: float(PACKML_VERBS[request.name])}
    for name, value in values.items():
        if problem := _problem(by_name.get(name), name, value):
            return Refusal(problem)
    return [Write(by_name[name], value) for name, value in values.items()]


def skew_problem(request: CommandRequest, now_us: int, *, max_skew_us: int) -> str:
    """Whether this clock can be trusted to judge the command's expiry; empty when it can.

    A request from the future means that this clock is behind, so that an expired command would look valid. A clock that
    is ahead only makes commands expire early.
    """
    ahead_us = request.submitted_us - now_us
    if ahead_us <= max_skew_us:
        return ""
    return f"the gateway's clock is {ahead_us / 1e6:.1f} s behind the submitter's: expiry cannot be judged"


def _problem(tag: TagDefinition | None, name: str, value: float) -> str:
    if tag is None:
        return f"the device has no tag {name!r}"
    if not tag.writable:
        return f"{tag.path} is not writable"
    if not math.isfinite(value):
        return f"{name} is {value}, not a finite number"
    if tag.data_type is DataType.BOOLEAN and value not in {0.0, 1.0}:
        return f"{name} is {value:g}, but a boolean is 0 or 1"
    if tag.data_type is DataType.INTEGER and (value != int(value) or abs(value) > EXACT_INTEGERS):
        return f"{name} is {value:g}, not an integer that can be carried exactly"
    for what, low, high in (("limits", tag.limit_low, tag.limit_high), ("range", tag.eu_low, tag.eu_high)):
        if (low is not None and value < low) or (high is not None and value > high):
            return f"{name} is {value:g} {tag.unit}, outside its {what} {low} to {high}"
    return ""
