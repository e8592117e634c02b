"""A node's value -> a tag's value: the part of it that the address names, as a number or a text, or why there is none.

Booleans, numbers and texts stay. Enumerations are their number; a DateTime is seconds since 1970 UTC; a LocalizedText its text,
a QualifiedName its name, a GUID or NodeId its text, a StatusCode its number. Arrays and structures are no value of a tag; their
parts may be, those of a structure when its type is known (`connectors.opcua.structures`).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

from asyncua import ua

from connectors.readings import Unusable, Value

PLAIN = frozenset({float, int, bool, str, type(None)})
_LONGEST_TEXT = 64 * 1024


Explain = Callable[[Any], Mapping[str, Any] | Unusable]
"""Fields of a ua.ExtensionObject, or why there are none."""


def unexplained(_value: Any) -> Unusable:
    """No type of a structure is known."""
    return Unusable("a structure whose type the server does not explain")


def plain(value: Any, path: Sequence[int | str], explain: Explain = unexplained) -> Value:
    """The part of a value to which `path` leads; `Unusable` when there is none."""
    for step in path:
        if value is None:
            return None
        found = _part(value, step, explain)
        if isinstance(found, Unusable):
            return found
        value = found
    return _leaf(value)


def _part(value: Any, step: int | str, explain: Explain) -> Any:
    if isinstance(step, int):
        if not isinstance(value, list):
            return Unusable(f"#[{step}] of a value that is no array ({_kind(value)})")
        return value[step] if step < len(value) else Unusable(f"#[{step}] of an array of {len(value)}")
    fields = explain(value) if isinstance(value, ua.ExtensionObject) else value
    if isinstance(fields, Unusable):
        return fields
    if dataclasses.is_dataclass(fields):
        fields = {one.name: getattr(fields, one.name) for one in dataclasses.fields(fields)}
    if not isinstance(fields, Mapping) or step not in fields:
        known = ", ".join(fields)[:200] if isinstance(fields, Mapping) else _kind(value)
        return Unusable(f"no field {step[:80]}; there is {known}")
    return fields[step]


def _leaf(value: Any) -> Value:  # noqa: PLR0911 - one for each type
    match value:
        case None | bool() | float():
            return value
        case str():
            return value if len(value) <= _LONGEST_TEXT else Unusable(f"a text of {len(value)} characters", value[:80])
        case Enum() | int():
            return int(value.value if isinstance(value, Enum) else value)
        case datetime():
            return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
        case UUID():
            return str(value)
        case ua.LocalizedText():
            return str(value.Text or "")
        case ua.QualifiedName():
            return str(value.Name or "")
        case ua.NodeId():
            return str(value.to_string())
        case ua.StatusCode():
            return int(value.value)
        case list():
            return Unusable(f"an array of {len(value)}: name an element, as in #[0]")
        case _:
            return Unusable(_reason(value))


def _reason(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, ua.ExtensionObject):
        return "a structure: name a field, as in #.Speed"
    if dataclasses.is_dataclass(value):
        value = {one.name: None for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return f"a structure: name a field, as in #.{', '.join(value)[:200]}"
    return f"a value of type {_kind(value)}"


def _kind(value: Any) -> str:
    return type(value).__name__
