"""What a command must be to be sent: the checks against the registry, before anything is written.

Enters: a device and what the caller asked for. Leaves: nothing, or InvalidRequestError that names the mistake and what
would be right. The gateway checks again and has its own policy; these checks are for the caller's sake.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from schemas.errors import InvalidRequestError
from schemas.registry import DataType, TagDefinition
from serving.plant import Device

WRITE = "write"
PACKML_TAG = "packml_command"
PACKML_VERBS = ("reset", "start", "stop", "hold", "unhold", "suspend", "unsuspend", "abort", "clear")
_MAX_EXACT = 2**53


def check(device: Device, name: str, parameters: Mapping[str, float]) -> None:
    """Check a command for a device; parameters are tag names to values in the tags' units."""
    if problem := find_problem(device, name, parameters):
        raise InvalidRequestError(problem)


def find_problem(device: Device, name: str, parameters: Mapping[str, float]) -> str:
    """What is wrong with a command; empty when nothing is."""
    if name == WRITE:
        if not parameters:
            return f"write needs parameters; {_writable_text(device)}"
        return next(filter(None, (_value_problem(device, tag, value) for tag, value in parameters.items())), "")
    if name not in PACKML_VERBS:
        return f"no command {name!r}; there are {WRITE}, {', '.join(PACKML_VERBS)}"
    if parameters:
        return f"{name} takes no parameters, not {', '.join(sorted(parameters))}"
    tag = device.tag(PACKML_TAG)
    if tag is None or not tag.writable:
        return f"{device.path} has no writable tag {PACKML_TAG}, so it takes no {name}; {_writable_text(device)}"
    return ""


def _value_problem(device: Device, name: str, value: float) -> str:
    tag = device.tag(name)
    problem = ""
    if tag is None:
        problem = f"{device.path} has no tag {name!r}; {_writable_text(device)}"
    elif not tag.writable:
        problem = f"{tag.path} is not writable; {_writable_text(device)}"
    elif not math.isfinite(value):
        problem = f"{name} is {value}, not a finite number"
    elif tag.data_type is DataType.BOOLEAN and value not in {0.0, 1.0}:
        problem = f"{name} is {value:g}, but a boolean is 0 or 1"
    elif tag.data_type is DataType.INTEGER and (value != int(value) or abs(value) > _MAX_EXACT):
        problem = f"{name} is {value:g}, not an integer that can be carried exactly"
    return problem or (_limit_problem(tag, value) if tag else "")


def _limit_problem(tag: TagDefinition, value: float) -> str:
    low = -math.inf if tag.limit_low is None else tag.limit_low
    high = math.inf if tag.limit_high is None else tag.limit_high
    if low <= value <= high:
        return ""
    return f"{tag.name} is {value:g} {tag.unit}, outside its limits {low:g} to {high:g}"


def _writable_text(device: Device) -> str:
    names = [tag.name for tag in device.tags if tag.writable]
    return f"writable there: {', '.join(names)}" if names else "nothing there is writable"
