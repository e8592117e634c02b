"""What is wrong, or unwise, in a plant file: one `Problem` for each, with its place, and how pydantic's errors become some.

The model raises the three errors of `plant_errors` for rules of its own; what pydantic itself finds is worded by the table below.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from registry.plant_errors import ENTRY, NAME, VALUE

_KEY_OF_MAPPING = "[key]"
_QUOTED = re.compile(r"'([^']*)'")
_LONGEST = 200

Steps = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem. `where` is the place of the entry, as `sites[0].areas[1]`, `key` a key in it; the text names the key itself.

    A `fatal` one says that the file cannot be looked at further.
    """

    where: str
    key: str
    text: str
    warning: bool = False
    fatal: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.text}" if self.where else self.text


class Problems:
    """Collects problems; `broken` are names of entries that another problem hides, so that who refers to them is not blamed."""

    def __init__(self, broken: frozenset[str] = frozenset()) -> None:
        self.found: list[Problem] = []
        self.broken = broken

    def refuse(self, where: str, key: str, text: str) -> None:
        """An error."""
        self.found.append(Problem(where, key, text))

    def warn(self, where: str, key: str, text: str) -> None:
        """Something allowed and unwise."""
        self.found.append(Problem(where, key, text, warning=True))


def place(steps: Sequence[str | int]) -> str:
    """A place as people write it: `sites[0].areas[1]`; empty for the file itself."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def steps_of(error: ErrorDetails, model: type[BaseModel]) -> Steps:
    """Steps through the file to an error's value: without the names that pydantic puts in for mapping keys and chosen models."""
    steps = error["loc"][:-2] if error["loc"] and error["loc"][-1] == _KEY_OF_MAPPING else error["loc"]
    return tuple(step for step, _ in _walk(steps, model) if step is not None)


def describe(error: ValidationError, model: type[BaseModel], prefix: Steps = ()) -> Iterator[Problem]:
    """Words for all errors found, in the order of the file's model; `prefix` are the steps to what was validated."""
    for one in error.errors(include_url=False):
        yield _problem(one, model, prefix)


def _problem(error: ErrorDetails, model: type[BaseModel], prefix: Steps) -> Problem:
    steps, kind = prefix + steps_of(error, model), error["type"]
    if kind in {ENTRY, NAME}:
        return Problem(place(steps), "", error["msg"])
    if kind in {"model_type", "model_attributes_type", "dict_type"} or (
        kind in _UNION and not isinstance(error["input"], dict)
    ):
        return Problem(place(steps), "", f"a mapping is expected, not {type(error['input']).__name__}")
    if kind in _UNION:
        return Problem(place(steps), "protocol", _protocol(error))
    if kind == "extra_forbidden":
        known = ", ".join(_keys(error["loc"][:-1], model))
        return Problem(place(steps[:-1]), str(steps[-1]), f"unknown key {str(steps[-1])[:_LONGEST]!r}; known: {known}")
    # A value's place is its entry: the key, with an index for an item of a list, is part of the text.
    depth = next(depth for depth in range(1, len(steps) + 1) if isinstance(steps[-depth], str))
    where, key = place(steps[:-depth]), place(steps[-depth:])
    if kind == VALUE:
        return Problem(where, key, error["msg"])
    return Problem(where, key, _WORDS.get(kind, _unforeseen)(key, error))


_UNION = {"union_tag_invalid", "union_tag_not_found"}


def _protocol(error: ErrorDetails) -> str:
    known = ", ".join(_QUOTED.findall(error["ctx"].get("expected_tags", "")))
    return f"protocol is {error['ctx']['tag']!r}; known: {known}" if "tag" in error["ctx"] else "protocol is missing"


def _walk(steps: Sequence[str | int], model: Any) -> Iterator[tuple[str | int | None, Any]]:
    """Each step with the type it leads to; None for a step that chooses a model and is not in the file."""
    at: Any = model
    for step in steps:
        options = _options(at)
        chosen = next((one for one in options if _is_chosen(one, step)), None)
        if chosen is not None:
            at = chosen
            yield None, at
            continue
        at = next((found for one in options if (found := _child(one, step)) is not None), None)
        yield step, at


def _options(annotation: Any) -> tuple[Any, ...]:
    """Types behind annotations and unions."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _options(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        return tuple(one for option in get_args(annotation) for one in _options(option))
    return (annotation,)


def _is_chosen(option: Any, step: str | int) -> bool:
    if not isinstance(option, type) or not issubclass(option, BaseModel) or "protocol" not in option.model_fields:
        return False
    wanted = option.model_fields["protocol"].annotation
    return get_origin(wanted) is Literal and step in get_args(wanted)


def _child(option: Any, step: str | int) -> Any:
    if isinstance(option, type) and issubclass(option, BaseModel):
        return next((f.annotation for name, f in option.model_fields.items() if step in {f.alias or name, name}), None)
    origin, arguments = get_origin(option), get_args(option)
    if origin is list and isinstance(step, int):
        return arguments[0]
    return arguments[1] if origin is dict else None


def _keys(steps: Sequence[str | int], model: Any) -> list[str]:
    """Keys of the entry at these steps."""
    at = model
    for _, found in _walk(steps, model):
        at = found
    entry = next(one for one in _options(at) if isinstance(one, type) and issubclass(one, BaseModel))
    return [field.alias or name for name, field in entry.model_fields.items()]


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _not(what: str) -> Callable[[str, ErrorDetails], str]:
    return lambda key, error: f"{key} is {_shown(error['input'])}, not {what}"


def _known(key: str, error: ErrorDetails) -> str:
    return f"{key} is {_shown(error['input'])}; known: {', '.join(_QUOTED.findall(error['ctx']['expected']))}"


def _unforeseen(key: str, error: ErrorDetails) -> str:
    return f"{key} is {_shown(error['input'])}: {error['msg']}"


_WORDS: dict[str, Callable[[str, ErrorDetails], str]] = {
    "missing": lambda key, _: f"{key} is missing",
    # What stands in the place of a text may be a password, such as one that looks like a number: it is not shown.
    "string_type": lambda key, error: f"{key} is of the type {type(error['input']).__name__}, not a text",
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
