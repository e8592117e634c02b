"""Errors that the plant file's model raises for rules of its own; `plant_problems` puts them, and pydantic's, into words."""

from __future__ import annotations

from typing import Any, NoReturn

from pydantic_core import PydanticCustomError

VALUE, ENTRY, NAME = "plant_value", "plant_entry", "plant_name"
_LONGEST = 200


def refuse_value(text: str) -> NoReturn:
    """Raise an error of one key's value; the text names the key."""
    raise PydanticCustomError(VALUE, "{text}", {"text": text})


def refuse_entry(text: str) -> NoReturn:
    """Raise an error of a whole entry."""
    raise PydanticCustomError(ENTRY, "{text}", {"text": text})


def refuse_name(value: Any) -> NoReturn:
    """Raise an error of what should be a name."""
    rule = "letters, digits, '-' and '_', up to 63, beginning with a letter or digit"
    raise PydanticCustomError(NAME, "{text}", {"text": f"{repr(value)[:_LONGEST]} is no name: {rule}"})
