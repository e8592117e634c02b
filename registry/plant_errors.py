"""The plant file's errors in words: the place in the file, then what is wrong there, as `sites[0].areas[1]: name is missing`.

Enters: pydantic's ValidationError. Leaves: the text about the first thing wrong. The model raises the three errors below for rules of its
own; what pydantic itself finds is worded by the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from pydantic import ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

_VALUE, _ENTRY, _NAME = "plant_value", "plant_entry", "plant_name"
_KEY_OF_MAPPING = "[key]"
_QUOTED = re.compile(r"'([^']*)'")


def refuse_value(text: str) -> NoReturn:
    """Raise an error of one key's value; the text names the key."""
    raise PydanticCustomError(_VALUE, "{text}", {"text": text})


def refuse_entry(text: str) -> NoReturn:
    """Raise an error of a whole entry."""
    raise PydanticCustomError(_ENTRY, "{text}", {"text": text})


def refuse_name(value: Any) -> NoReturn:
    """Raise an error of what should be a name."""
    rule = "letters, digits, '-' and '_', up to 63, beginning with a letter or digit"
    raise PydanticCustomError(_NAME, "{text}", {"text": f"{value!r} is no name: {rule}"})


def place(steps: Sequence[str | int]) -> str:
    """A place as people write it: `sites[0].areas[1]`; empty for the file itself."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def at(where: str, text: str) -> str:
    """What is wrong at a place."""
    return f"{where}: {text}" if where else text


def _without_protocol(steps: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Pydantic puts the chosen model's name behind a connection's index; the file has no such step."""
    if len(steps) > 6 and steps[4] == "connections":
        return steps[:6] + steps[7:]
    return steps


def describe(error: ValidationError) -> str:
    """Words for the first error found."""
    first = error.errors(include_url=False)[0]
    steps, kind = first["loc"], first["type"]
    if steps and steps[-1] == _KEY_OF_MAPPING:
        steps = steps[:-2]
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        found = first["ctx"].get("tag")
        known = ", ".join(_QUOTED.findall(first["ctx"].get("expected_tags", "")))
        return at(place(steps), f"protocol is {found!r}; known: {known}" if found else "protocol is missing")
    steps = _without_protocol(steps)
    if kind in {_ENTRY, _NAME}:
        return at(place(steps), first["msg"])
    if kind == "dict_type":
        return at(place(steps), f"a mapping is expected, not {type(first['input']).__name__}")
    # A value's place is its entry: the key, with an index for an item of a list, is part of the text.
    depth = next(depth for depth in range(1, len(steps) + 1) if isinstance(steps[-depth], str))
    where, key = place(steps[:-depth]), place(steps[-depth:])
    if kind == _VALUE:
        return at(where, first["msg"])
    return at(where, _WORDS.get(kind, _unforeseen)(key, first))


def _not(what: str) -> Callable[[str, ErrorDetails], str]:
    return lambda key, error: f"{key} is {error['input']!r}, not {what}"


def _known(key: str, error: ErrorDetails) -> str:
    return f"{key} is {error['input']!r}; known: {', '.join(_QUOTED.findall(error['ctx']['expected']))}"


def _unforeseen(key: str, error: ErrorDetails) -> str:
    return f"{key} is {error['input']!r}: {error['msg']}"


_WORDS: dict[str, Callable[[str, ErrorDetails], str]] = {
    "missing": lambda key, _: f"{key} is missing",
    "string_type": _not("a text"),
    "int_type": _not("a whole number"),
    "float_type": _not("a number"),
    "finite_number": _not("a number"),
    "bool_type": _not("true or false"),
    "list_type": _not("a list"),
    "enum": _known,
    "greater_than": lambda key, error: f"{key} is {error['input']:g}, not above {error['ctx']['gt']:g}",
    "greater_than_equal": lambda key, error: f"{key} is below {error['ctx']['ge']:g}",
}
"""pydantic's error types (https://docs.pydantic.dev/latest/errors/validation_errors/) that values of a plant file can cause."""
