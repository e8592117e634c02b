"""Calculated tags of a plant file: what their keys may be, and whether their expressions can be evaluated.

Enters: tags of a class or of a device. Leaves: errors at the key that is wrong. What an expression may be, `stages.calculation` says, which
the telemetry job asks too.
"""

from __future__ import annotations

from collections.abc import Iterable

from base.errors import ConfigError
from registry.plant import TagSpec
from registry.plant_model import Tag
from registry.plant_problems import Problems
from schemas.definitions import DataType
from stages.calculation.expression import MAX_PER_DEVICE, bind
from stages.expressions import program

_MEASURED_ONLY = {
    "address": "no machine has it",
    "writable": "no machine takes it",
    "limits": "it is never refused; give eu, or an alarm",
    "max_rate": "it is never refused",
    "stuck_after_s": "it is never refused",
    "deadband": "no gateway sends it",
    "deadband_percent": "no gateway sends it",
    "swinging_door": "no gateway sends it",
    "max_silence_s": "no gateway sends it",
    "sampling_ms": "no gateway sends it",
    "simulate": "the line calculates it on a simulated plant too",
}
"""Keys that a calculated tag does not have, and why."""


def check_keys(where: str, tag: Tag, problems: Problems) -> None:
    """Refuse keys that mean nothing for a calculated tag."""
    if not tag.expression:
        return
    for key, why in _MEASURED_ONLY.items():
        if getattr(tag, key) not in ("", False, None, 0.0):
            problems.refuse(where, key, f"{key} and expression: a calculated tag has no {key}, {why}")


def check(tags: Iterable[TagSpec], problems: Problems, *, where: str = "") -> None:
    """Refuse expressions that cannot be over these tags, all of one class or device. `where`: a device that differs from its class."""
    known = {tag.name: tag for tag in tags}
    wanted = [tag for tag in known.values() if tag.expression]
    if not wanted:
        return
    if len(wanted) > MAX_PER_DEVICE:
        problems.refuse(
            where or wanted[-1].where, "", f"{len(wanted)} calculated tags, more than {MAX_PER_DEVICE} of one device"
        )
    try:
        program.require()
    except ConfigError as error:
        problems.warn(wanted[0].where, "expression", f"expression is not checked here: {error}")
        return
    for tag in wanted:
        problem = unfit(
            tag.expression, tag.data_type, {name: (one.data_type, one.expression) for name, one in known.items()}
        )
        # A tag that another problem hides is there, and of a type that nobody knows; and what is wrong in a class is said once, there.
        hidden = any(f"tag {name};" in problem for name in problems.broken)
        told = any((one.where, one.key) == (tag.where, "expression") for one in problems.found)
        if not problem or hidden or told:
            continue
        if where and not tag.where.startswith(where):
            problems.refuse(where, "", f"tag {tag.name} of its class: expression: {problem}")
        else:
            problems.refuse(tag.where, "expression", f"expression: {problem}")


def unfit(expression: str, data_type: DataType, tags: dict[str, tuple[DataType, str]]) -> str:
    """What is wrong with an expression at a device with these tags (type, expression), by name; empty when nothing is."""
    measured = {name: kind for name, (kind, text) in tags.items() if not text}
    try:
        bind(expression, data_type, measured, frozenset(tags.keys() - measured.keys()))
    except ConfigError as error:
        return str(error)
    return ""
