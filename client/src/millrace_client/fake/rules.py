"""What a command to the fake plant must be, as the server has it: `write` with writable tags, or a PackML verb."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from millrace_client.errors import InvalidRequestError
from millrace_client.results import CommandDescription, ParameterDescription, Tag

_VERBS = ("reset", "start", "stop", "hold", "unhold", "suspend", "unsuspend", "abort", "clear")
_PACKML_TAG = "packml_command"
_EXACT_INTEGERS = 2**53


def writes(tags: Sequence[Tag], name: str, parameters: Mapping[str, float]) -> dict[str, float]:
    """Values that a command writes, by tag name. Raises InvalidRequestError naming the mistake and what would be right."""
    if name == "write":
        values = dict(parameters)
        if not values:
            msg = f"write needs parameters: tag names and values; {_writable(tags)}"
            raise InvalidRequestError(msg)
    elif name not in _VERBS:
        msg = f"no command {name!r}; there are write, {', '.join(_VERBS)}"
        raise InvalidRequestError(msg)
    elif parameters:
        msg = f"{name} takes no parameters, not {', '.join(sorted(parameters))}"
        raise InvalidRequestError(msg)
    else:
        values = {_PACKML_TAG: float(_VERBS.index(name) + 1)}
    by_name = {tag.name: tag for tag in tags}
    for tag_name, value in values.items():
        if problem := _problem(by_name.get(tag_name), tag_name, value, tags):
            raise InvalidRequestError(problem)
    return values


def descriptions(tags: Sequence[Tag]) -> tuple[CommandDescription, ...]:
    """Commands that a device with these tags takes."""
    writable = tuple(
        ParameterDescription(
            name=tag.name,
            description=tag.description,
            data_type=tag.data_type,
            unit=tag.unit,
            low=_least(tag),
            high=_most(tag),
        )
        for tag in tags
        if tag.writable
    )
    found: list[CommandDescription] = []
    if writable:
        found.append(CommandDescription(name="write", description="Write tags", parameters=writable))
    if any(tag.name == _PACKML_TAG and tag.writable for tag in tags):
        found += [CommandDescription(name=verb, description=f"PackML {verb}") for verb in _VERBS]
    return tuple(found)


def _least(tag: Tag) -> float | None:
    return max((low for low in (tag.eu_low, tag.limit_low) if low is not None), default=None)


def _most(tag: Tag) -> float | None:
    return min((high for high in (tag.eu_high, tag.limit_high) if high is not None), default=None)


def _problem(tag: Tag | None, name: str, value: float, tags: Sequence[Tag]) -> str:
    if tag is None:
        return f"the device has no tag {name!r}; {_writable(tags)}"
    if not tag.writable:
        return f"{tag.path} is not writable; {_writable(tags)}"
    if not math.isfinite(value):
        return f"{name} is {value}, not a finite number"
    if tag.data_type == "BOOLEAN" and value not in {0.0, 1.0}:
        return f"{name} is {value:g}, but a boolean is 0 or 1"
    if tag.data_type == "INTEGER" and (value != int(value) or abs(value) > _EXACT_INTEGERS):
        return f"{name} is {value:g}, not an integer that can be carried exactly"
    if name == _PACKML_TAG and not 1 <= value <= len(_VERBS):
        verbs = ", ".join(f"{number} ({verb})" for number, verb in enumerate(_VERBS, 1))
        return f"{name} is {value:g}, which is no verb of PackML: {verbs}"
    low, high = _least(tag), _most(tag)
    least, most = -math.inf if low is None else low, math.inf if high is None else high
    if not least <= value <= most:
        return f"{name} is {value:g} {tag.unit}, outside its range {least:g} to {most:g}"
    return ""


def _writable(tags: Sequence[Tag]) -> str:
    names = [tag.name for tag in tags if tag.writable]
    return f"writable there: {', '.join(names)}" if names else "nothing there is writable"
