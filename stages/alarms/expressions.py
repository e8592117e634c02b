"""Expressions of rules brought to devices and lines: which tags their names are, and what those are worth at a moment.

A tag of bad quality, one that has never been heard, and, where the rule says `after_s`, one that was heard longer ago, has no value; a
window of which less than half is known has none. What depends on one that has none is not known, and then the condition stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from base.errors import ConfigError
from schemas.alarm_rules import AlarmRule
from schemas.definitions import DataType, TagDefinition
from stages.expressions.program import Program, condition
from stages.expressions.reading import AGE, DEADBAND, KNOWN, TAG, Variable, read
from stages.expressions.windows import HeldWindow, WindowKey

if TYPE_CHECKING:
    from stages.alarms.lanes import Sample

_MOST_WORDS = 6


class UnboundError(ConfigError):
    """An expression that cannot be one at a device; `key` is the field of the rule that says what cannot be."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


def _refuse(key: str, text: str) -> NoReturn:
    raise UnboundError(key, text)


class Named(NamedTuple):
    """A variable, its tag, and its window if it has one."""

    variable: Variable
    tag: TagDefinition
    window: WindowKey | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """An expression at a device or line."""

    program: Program
    named: tuple[Named, ...]
    hold_us: int
    """How long a value counts; 0 for until the next one."""

    @property
    def tags(self) -> list[TagDefinition]:
        """Tags that it names, each once."""
        return list({one.tag.tag_id: one.tag for one in self.named}.values())

    @property
    def tag_ids(self) -> list[int]:
        """Their ids."""
        return [tag.tag_id for tag in self.tags]

    @property
    def lanes(self) -> set[tuple[str, int]]:
        """Lanes of these tags: gateway and number."""
        return {(one.tag.gateway_id, one.tag.lane) for one in self.named}

    @property
    def compared(self) -> set[int]:
        """Tags whose change changes it at once."""
        return {one.tag.tag_id for one in self.named if one.variable.word in (TAG, KNOWN)}

    @property
    def windows(self) -> set[WindowKey]:
        """Windows that it needs."""
        return {one.window for one in self.named if one.window is not None}

    @property
    def timed(self) -> bool:
        """Whether it may change as time goes by, without a value that is another."""
        return self.hold_us > 0 or any(one.window is not None or one.variable.word == AGE for one in self.named)

    def values(
        self,
        last: Callable[[int], Sample | None],
        windows: Mapping[WindowKey, HeldWindow],
        time_us: int,
        deadband: float,
    ) -> dict[str, float | bool]:
        """What is known at a time, by name of the variable."""
        found: dict[str, float | bool] = {DEADBAND: deadband}
        for variable, tag, key in self.named:
            if key is not None:
                if (figures := windows[key].at(time_us)) is not None:
                    found[variable.name] = getattr(figures, variable.word)
                continue
            sample = last(tag.tag_id)
            if variable.word == AGE:
                if sample is not None:
                    found[variable.name] = max(0, time_us - sample.time_us) / 1e6
                continue
            value = math.nan if sample is None or self._stale(sample, time_us) else sample.known
            if variable.word == KNOWN:
                found[variable.name] = not math.isnan(value)
            elif not math.isnan(value):
                found[variable.name] = bool(value) if tag.data_type is DataType.BOOLEAN else value
        return found

    def _stale(self, sample: Sample, time_us: int) -> bool:
        return self.hold_us > 0 and time_us - sample.time_us > self.hold_us

    def words(self, values: Mapping[str, float | bool]) -> str:
        """What it was true of, for people."""
        return ", ".join(self._words(values))

    def _words(self, values: Mapping[str, float | bool]) -> Iterator[str]:
        for variable, tag, _ in self.named[:_MOST_WORDS]:
            name = variable.tag if variable.word == TAG else variable.name
            value = values.get(variable.name)
            if value is None:
                yield f"{name} is not known"
            elif isinstance(value, bool):
                yield f"{name} is {'true' if value else 'false'}"
            else:
                unit = "s" if variable.word == AGE else "" if tag.unit == "1" else tag.unit
                yield f"{name} is {value:g} {unit}".rstrip()
        if len(self.named) > _MOST_WORDS:
            yield "…"


def bind(rule: AlarmRule, path: str, at_path: Mapping[str, Mapping[str, TagDefinition]]) -> Bound:
    """A rule's expression at a device or line; `at_path` are the tags of all devices of the site by name. Raises UnboundError."""
    try:
        reading = read(rule.expression)
    except ConfigError as error:
        _refuse("expression", str(error))
    inputs = dict(rule.inputs)
    if unused := sorted(inputs.keys() - set(reading.tags)):
        _refuse("inputs", f"{unused[0]} is not in the expression")
    found = _at_line if rule.line_path else _at_device
    tags = {name: found(name, inputs.get(name), path, at_path) for name in reading.tags}
    booleans = frozenset(name for name, tag in tags.items() if tag.data_type is DataType.BOOLEAN)
    try:
        program = condition(rule.expression, booleans)
    except ConfigError as error:
        _refuse("expression", str(error))
    hold_us = round(rule.after_s * 1e6)
    named = tuple(
        Named(one, tags[one.tag], _window(one, tags[one.tag], hold_us)) for one in reading.variables if one.tag
    )
    return Bound(program=program, named=named, hold_us=hold_us)


def _window(variable: Variable, tag: TagDefinition, hold_us: int) -> WindowKey | None:
    return WindowKey(tag.tag_id, variable.length_us, hold_us) if variable.length_us else None


def _at_device(
    name: str, place: str | None, device_path: str, at_path: Mapping[str, Mapping[str, TagDefinition]]
) -> TagDefinition:
    own = at_path[device_path]
    if place is None:
        if name not in own:
            known = ", ".join(sorted(own)[:12])
            _refuse("expression", f"{device_path} has no tag {name}; it has {known}")
        return own[name]
    *device, tag_name = place.split("/")
    there = device if len(device) == 6 else device_path.split("/")[: 6 - len(device)] + device
    return _there(name, "/".join(there), tag_name, at_path)


def _at_line(
    name: str, place: str | None, line_path: str, at_path: Mapping[str, Mapping[str, TagDefinition]]
) -> TagDefinition:
    """A line has no tags of its own; a device's name says which one it is, whichever cell it stands in."""
    if place is None:
        _refuse("expression", f"a line has no tags of its own: say in inputs where {name} is, as {name}: DEVICE/{name}")
    *device, tag_name = place.split("/")
    if len(device) > 1:
        path = "/".join(device if len(device) == 6 else [line_path, *device])
        return _there(name, path, tag_name, at_path)
    devices = {path.rpartition("/")[2]: path for path in at_path if path.startswith(f"{line_path}/")}
    if device[0] not in devices:
        known = ", ".join(sorted(devices)[:12])
        _refuse("inputs", f"{name}: {line_path} has no device {device[0]}; it has {known}")
    return _there(name, devices[device[0]], tag_name, at_path)


def _there(
    name: str, device_path: str, tag_name: str, at_path: Mapping[str, Mapping[str, TagDefinition]]
) -> TagDefinition:
    found = at_path.get(device_path, {}).get(tag_name)
    if found is None:
        _refuse("inputs", f"{name}: there is no tag {device_path}/{tag_name} at this site")
    return found
