"""The policies file of a gateway: interlocks, rules, and cases that try them (TOML).

    [[interlocks]]
    name = "guard"
    device_class = "press"              # or devices = ["press-*", "acme/north/*"]
    commands = ["start", "write"]       # default: all
    when = "tag.guard_open"             # true, or not to be said: the command is refused
    text = "the guard is open"

    [[rules]]
    name = "hot"
    device_class = "press"
    when = "tag.oil_temperature > 80.0"
    for_s = 5
    event = "the oil is too hot"
    write = { speed_setpoint = 10 }
    every_s = 60

    [[cases]]
    policy = "guard"
    tags = { guard_open = true }
    command = { name = "start" }
    expect = "refused"                  # interlocks: refused, allowed; rules: fires, silent, error

An expression sees `tag.<name>` (last good value of each tag of the device), `age_s.<name>` (seconds since its source time) and, in an
interlock, `command.name`, `command.by` and `command.values.<tag>`. Pure, but for reading the file.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from base import settings
from base.errors import ConfigError
from edge.expression import Expression
from schemas.definitions import TagDefinition

MAX_BYTES = 1 << 20
MAX_POLICIES = 500
_OF_RULES = ("tag", "age_s")
_OF_INTERLOCKS = (*_OF_RULES, "command")


@dataclass(frozen=True, kw_only=True)
class _Policy:
    """What interlocks and rules share. Empty `device_class` and `devices`: every device of the gateway."""

    name: str
    when: str
    device_class: str = ""
    devices: tuple[str, ...] = ()

    def applies(self, tag: TagDefinition) -> bool:
        """Whether a tag's device is one of this policy's; `devices` match its name or its whole path."""
        if self.device_class and tag.device_class != self.device_class:
            return False
        path = tag.device_path
        names = (path, path.rpartition("/")[2])
        return not self.devices or any(fnmatch.fnmatchcase(name, one) for one in self.devices for name in names)


@dataclass(frozen=True, kw_only=True)
class Interlock(_Policy):
    """Refuses a command when its condition is true, and when that cannot be said."""

    text: str = ""
    commands: tuple[str, ...] = ()

    def concerns(self, command: str) -> bool:
        """Whether a command of that name is one of this interlock's."""
        return not self.commands or command in self.commands

    @cached_property
    def condition(self) -> Expression:
        """Compiled; raises ConfigError."""
        return _compiled(self, _OF_INTERLOCKS)


@dataclass(frozen=True, kw_only=True)
class Rule(_Policy):
    """Raises an event, and writes, once the condition has been true for `for_s`; again after it was false, not before `every_s`."""

    event: str = ""
    write: dict[str, Any] = field(default_factory=dict)
    for_s: float = 0.0
    every_s: float = 60.0

    def __post_init__(self) -> None:
        if not self.event and not self.write:
            msg = f"rule {self.name[:100]}: it has neither event nor write"
            raise ValueError(msg)
        if self.every_s < 1:
            msg = f"rule {self.name[:100]}: every_s is {self.every_s:g}, less than 1"
            raise ValueError(msg)
        for tag, value in self.write.items():
            if not isinstance(value, int | float):
                msg = f"rule {self.name[:100]}: write.{tag[:100]} is not a number"
                raise ValueError(msg)

    @cached_property
    def condition(self) -> Expression:
        """Compiled; raises ConfigError."""
        return _compiled(self, _OF_RULES)


@dataclass(frozen=True, kw_only=True)
class Case:
    """What a policy must come to with these values. `age_s` of a tag that is not named is 0."""

    policy: str
    expect: str
    tags: dict[str, Any] = field(default_factory=dict)
    age_s: dict[str, Any] = field(default_factory=dict)
    command: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """All of a file, compiled and checked."""

    interlocks: tuple[Interlock, ...] = ()
    rules: tuple[Rule, ...] = ()
    cases: tuple[Case, ...] = ()

    def __post_init__(self) -> None:
        policies: list[Interlock | Rule] = [*self.interlocks, *self.rules]
        if len(policies) > MAX_POLICIES:
            msg = f"{len(policies)} policies, more than {MAX_POLICIES}"
            raise ValueError(msg)
        names = [one.name for one in policies]
        if twice := [name for name in names if names.count(name) > 1]:
            msg = f"two policies are called {twice[0][:100]!r}"
            raise ValueError(msg)
        if unknown := [case.policy for case in self.cases if case.policy not in names]:
            msg = f"a case is about {unknown[0][:100]!r}, and there is no such policy"
            raise ValueError(msg)
        for one in policies:
            _ = one.condition


def load(path: Path) -> PolicyFile:
    """Policies of a file; raises ConfigError that names file and policy."""
    try:
        size = path.stat().st_size
    except OSError as error:
        msg = f"policies file {path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error
    if size > MAX_BYTES:
        msg = f"policies file {path} has {size} bytes, more than {MAX_BYTES}"
        raise ConfigError(msg)
    try:
        return settings.load(PolicyFile, path, environ={})
    except ConfigError as error:
        text = str(error)
        raise ConfigError(text if str(path) in text else f"{path}: {text}") from error


def values_of(tags: Mapping[str, Any], age_s: Mapping[str, Any]) -> dict[str, Any]:
    """What an expression sees of a device."""
    return {"tag": dict(tags), "age_s": dict(age_s)}


def _compiled(policy: Interlock | Rule, names: Iterable[str]) -> Expression:
    try:
        return Expression(policy.when, names)
    except ConfigError as error:
        msg = f"policy {policy.name[:100]}: when: {error}"
        raise ConfigError(msg) from error
