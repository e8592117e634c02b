"""What the entries of a plant file have in common: strict mappings, names, texts."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationInfo

from registry.plant_errors import refuse_name, refuse_value

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

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )
