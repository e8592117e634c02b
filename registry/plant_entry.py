"""What the entries of a plant file have in common: strict mappings, names, texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo, model_validator

from registry.plant_errors import refuse_entry, refuse_name, refuse_value

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


def _name(value: Any) -> str:
    """A name as paths, topics and addresses can carry it."""
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        refuse_name(value)
    return value


def _text(value: str, info: ValidationInfo) -> str:
    if "\x00" in value:
        refuse_value(f"{info.field_name} contains a NUL character")
    return value


Name = Annotated[str, BeforeValidator(_name)]
Text = Annotated[str, AfterValidator(_text)]


class Entry(BaseModel):
    """A mapping of the file: keys that mean nothing are refused, most are misspelt; nothing is converted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            refuse_entry(f"a mapping is expected, not {type(data).__name__}")
        known = _keys(cls)
        unknown = next((key for key in data if key not in known), None)
        if unknown is not None:
            refuse_entry(f"unknown key {unknown!r}; known: {', '.join(known)}")
        return data


@cache
def _keys(entry: type[Entry]) -> tuple[str, ...]:
    return tuple(spec.alias or name for name, spec in entry.model_fields.items())
