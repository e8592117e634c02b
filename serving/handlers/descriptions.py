"""The commands that a device takes, described from the registry: what `schemas.command_rules` will accept.

Enters: the tags of a device. Leaves: descriptions for forms and people. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from schemas.command_rules import PACKML_TAG, PACKML_VERBS, WRITE
from schemas.definitions import DataType, TagDefinition

_VERBS = {
    "reset": "Bring the machine from STOPPED, ABORTED or COMPLETE to IDLE.",
    "start": "Begin to produce.",
    "stop": "Stop in a controlled way.",
    "hold": "Hold production because of something inside the machine.",
    "unhold": "Go on after a hold.",
    "suspend": "Suspend production because of something outside the machine.",
    "unsuspend": "Go on after a suspension.",
    "abort": "Stop at once.",
    "clear": "Leave ABORTED, when its cause is gone.",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ParameterDescription:
    """A parameter. `low`, `high`: what is accepted, inclusive, in the unit; None for no bound."""

    name: str
    description: str
    data_type: DataType
    unit: str
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandDescription:
    """A command. Of the parameters of `write` at least one is given; the other commands have none."""

    name: str
    description: str
    parameters: tuple[ParameterDescription, ...] = ()


def commands_of(tags: Sequence[TagDefinition]) -> tuple[CommandDescription, ...]:
    """Commands of a device with these tags; none when nothing of it can be written."""
    writable = tuple(_parameter(tag) for tag in tags if tag.writable)
    if not writable:
        return ()
    found = [CommandDescription(name=WRITE, description="Set writable tags.", parameters=writable)]
    verb = next((tag for tag in tags if tag.name == PACKML_TAG and tag.writable), None)
    if verb is not None:
        low, high = _bounds(verb)
        found += [
            CommandDescription(name=name, description=_VERBS[name])
            for name, number in PACKML_VERBS.items()
            if (low is None or low <= number) and (high is None or number <= high)
        ]
    return tuple(found)


def _parameter(tag: TagDefinition) -> ParameterDescription:
    low, high = _bounds(tag)
    return ParameterDescription(
        name=tag.name, description=tag.description, data_type=tag.data_type, unit=tag.unit, low=low, high=high
    )


def _bounds(tag: TagDefinition) -> tuple[float | None, float | None]:
    """Limits and range both hold: the narrower of the two."""
    lows = [low for low in (tag.limit_low, tag.eu_low) if low is not None]
    highs = [high for high in (tag.limit_high, tag.eu_high) if high is not None]
    if tag.data_type is DataType.BOOLEAN:
        lows, highs = [0.0, *lows], [1.0, *highs]
    return max(lows, default=None), min(highs, default=None)
