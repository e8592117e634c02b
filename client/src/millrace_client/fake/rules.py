"""What a command to the fake plant must be, as the server has it: `write` with writable tags, or a PackML verb.

The limits of a tag that the server keeps apart from its engineering range are not part of what a client sees, so the fake has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from millrace_client.errors import InvalidRequestError
from millrace_client.results import Tag

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
    least = -math.inf if tag.eu_low is None else tag.eu_low
    most = math.inf if tag.eu_high is None else tag.eu_high
    if not least <= value <= most:
        return f"{name} is {value:g} {tag.unit}, outside its range {least:g} to {most:g}"
    return ""


def _writable(tags: Sequence[Tag]) -> str:
    names = [tag.name for tag in tags if tag.writable]
    return f"writable there: {', '.join(names)}" if names else "nothing there is writable"
