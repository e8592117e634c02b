"""What a calculated tag's expression may be: CEL over measured tags of the same device, with a type.

The one place that says so: `plant check`, changes of the registry by hand and the telemetry job all ask here. What a condition of an alarm
may name, an expression may name too, but for `deadband`, which belongs to alarms, and windows: a calculated tag has windows of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from base.errors import ConfigError
from schemas.definitions import DataType
from stages.expressions.program import Formula, formula
from stages.expressions.reading import AGE, KNOWN, TAG, Variable, read

MAX_PER_DEVICE = 16
"""Calculated tags of one device: what bounds the samples that one sample can lead to."""
_MOST_SHOWN = 12
_CHOICES = ("?", "&&", "||")


@dataclass(frozen=True, kw_only=True, slots=True)
class Expression:
    """An expression at a device. `tags` are its inputs' names, each once.

    `chooses`: its result need not depend on every variable in it. Without a choice, CEL evaluates all.
    """

    formula: Formula
    variables: tuple[Variable, ...]
    tags: tuple[str, ...]
    chooses: bool


def bind(text: str, data_type: DataType, measured: Mapping[str, DataType], calculated: frozenset[str]) -> Expression:
    """An expression of a tag of a type, at a device with these other tags; raises ConfigError that says what is wrong and where."""
    if data_type is DataType.INTEGER:
        msg = "a calculated tag is a DOUBLE or a BOOLEAN: an expression gives no whole numbers"
        raise ConfigError(msg)
    reading = read(text)
    for one in reading.variables:
        if one.word not in (TAG, AGE, KNOWN):
            msg = f"a calculated tag has no {one.name}; there are tag.NAME, age_s.NAME, known.NAME"
            raise ConfigError(msg)
        if one.tag in calculated:
            msg = f"{one.tag} is a calculated tag: an expression is over measured tags, write out what {one.tag} is"
            raise ConfigError(msg)
        if one.tag not in measured:
            shown = [name for name in sorted(measured) if name.isidentifier()]
            known = ", ".join(shown[:_MOST_SHOWN]) + (", ..." if len(shown) > _MOST_SHOWN else "")
            msg = f"the device has no tag {one.tag}; it has {known or 'none'}"
            raise ConfigError(msg)
    booleans = frozenset(name for name in reading.tags if measured[name] is DataType.BOOLEAN)
    compiled = formula(text, booleans, boolean=data_type is DataType.BOOLEAN)
    chooses = any(sign in text for sign in _CHOICES)
    return Expression(formula=compiled, variables=reading.variables, tags=reading.tags, chooses=chooses)
