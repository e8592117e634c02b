"""What a command must be: one set of rules for serving, which asks before it is sent, and for the gateway, which has the last word.

Enters: a command's name and parameters, and the tags of the device. Leaves: the values to write by tag name, or a
`RuleError` that names the mistake and what would be right. Verbs are PackML's (CntrlCmd 1 to 9), written to the
device's writable INTEGER tag `packml_command`; `write` sets writable tags by name, in their units. `acknowledge` is sent for an
alarm that was acknowledged: its parameter is the condition of the machine's server, and when it began as it was seen. Nobody submits it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from base.errors import InvalidRequestError, shown
from schemas.column import EXACT_INTEGERS
from schemas.definitions import DataType, TagDefinition

WRITE = "write"
ACKNOWLEDGE = "acknowledge"
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


class RuleError(InvalidRequestError):
    """The command cannot be right."""


def written(name: str, parameters: Mapping[str, float]) -> tuple[str, ...]:
    """Names of the tags that a command writes, whether it is right or not."""
    return (PACKML_TAG,) if name in PACKML_VERBS else tuple(parameters)


class Acknowledgement(NamedTuple):
    """A condition of a machine's server, `<connection>:<node id>`, to be acknowledged as it stood at a time of its gateway's clock."""

    condition: str
    seen_us: int
    comment: str


def acknowledgement(parameters: Mapping[str, float], comment: str) -> Acknowledgement:
    """What a command `acknowledge` is about; raises RuleError."""
    if len(parameters) != 1 or not all(map(math.isfinite, parameters.values())):
        msg = f"{ACKNOWLEDGE} has one parameter: a condition, and since when it has stood as it was seen"
        raise RuleError(msg)
    ((condition, seen_us),) = parameters.items()
    return Acknowledgement(condition, int(seen_us), comment)


def writes(tags: Sequence[TagDefinition], name: str, parameters: Mapping[str, float]) -> dict[str, float]:
    """Values to write, by tag name; raises RuleError."""
    if name == WRITE:
        if not parameters:
            msg = f"write needs parameters: tag names and values; {_writable(tags)}"
            raise RuleError(msg)
        values = dict(parameters)
    elif name not in PACKML_VERBS:
        msg = f"no command {shown(name)}; there are {WRITE}, {', '.join(PACKML_VERBS)}"
        raise RuleError(msg)
    elif parameters:
        msg = f"{name} takes no parameters, not {shown(', '.join(sorted(parameters)))}"
        raise RuleError(msg)
    else:
        values = {PACKML_TAG: float(PACKML_VERBS[name])}
    by_name = {tag.name: tag for tag in tags}
    for tag_name, value in values.items():
        if problem := _problem(by_name.get(tag_name), tag_name, value, tags):
            raise RuleError(problem)
    return values


def _problem(tag: TagDefinition | None, name: str, value: float, tags: Sequence[TagDefinition]) -> str:
    if tag is None:
        return f"the device has no tag {shown(name)}; {_writable(tags)}"
    if not tag.writable:
        return f"{tag.path} is not writable; {_writable(tags)}"
    if not math.isfinite(value):
        return f"{name} is {value}, not a finite number"
    if tag.data_type is DataType.BOOLEAN and value not in {0.0, 1.0}:
        return f"{name} is {value:g}, but a boolean is 0 or 1"
    if tag.data_type is DataType.INTEGER and (value != int(value) or abs(value) > EXACT_INTEGERS):
        return f"{name} is {value:g}, not an integer that can be carried exactly"
    if name == PACKML_TAG and value not in PACKML_VERBS.values():
        verbs = ", ".join(f"{number} ({verb})" for verb, number in PACKML_VERBS.items())
        return f"{name} is {value:g}, which is no verb of PackML: {verbs}"
    for what, low, high in (("limits", tag.limit_low, tag.limit_high), ("range", tag.eu_low, tag.eu_high)):
        least, most = -math.inf if low is None else low, math.inf if high is None else high
        if not least <= value <= most:
            return f"{name} is {value:g} {tag.unit}, outside its {what} {least:g} to {most:g}"
    return ""


def _writable(tags: Sequence[TagDefinition]) -> str:
    names = [tag.name for tag in tags if tag.writable]
    return f"writable there: {', '.join(names)}" if names else "nothing there is writable"
