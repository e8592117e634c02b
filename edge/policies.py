"""Local policies at work: interlocks in front of every command, rules over what the machines say. They work offline.

Enters: the last values of the tags that devices with policies have (from the pipeline, in the event loop, some 200 ms after they came),
commands about to be carried out. Leaves: refusals; events and commands of rules. Everything fails to the safe side: an interlock that
cannot be evaluated refuses, a rule that cannot be evaluated does nothing and says so.

A rule fires when its condition becomes true, not while it is; not more often than its `every_s`; and all rules of a device together write
at most `MAX_WRITES` times in ten minutes, so that rules which set each other off come to rest.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from base.errors import cause_of
from base.ids import Clock
from edge.expression import ExpressionError
from edge.policy_file import Interlock, PolicyFile, Rule, values_of
from schemas.commands import CommandRequest
from schemas.definitions import DataType, TagDefinition

MAX_WRITES = 20
_WRITES_WITHIN_US = 600_000_000
# OPC UA's severity: the two highest bits of the quality.
_BAD = 0x8000


@dataclass(slots=True)
class _RuleState:
    """Of one rule at one device. `error`: why it could last not be evaluated."""

    true_since_us: int = 0
    fired: bool = False
    last_us: int = 0
    error: str = ""


@dataclass(slots=True)
class _Device:
    """A device with policies: its tags, their last values and times, and the policies that apply."""

    tags: dict[int, TagDefinition]
    interlocks: list[Interlock]
    rules: list[Rule]
    values: dict[int, tuple[int, float, int]] = field(default_factory=dict)
    """Source time, value and quality by tag id."""
    states: dict[str, _RuleState] = field(default_factory=dict)
    writes: deque[int] = field(default_factory=deque)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fired:
    """A rule has fired at a device. `write` is empty when it writes nothing, or may not (`held_back` says why)."""

    rule: Rule
    device_id: int
    write: Mapping[str, float]
    held_back: str = ""


class Policies:
    """Policies of one gateway. `say(device id, text, attributes)` raises an event."""

    def __init__(self, *, clock: Clock, say: Callable[[int, str, Mapping[str, str]], None]) -> None:
        self._clock, self._say = clock, say
        self._file = PolicyFile()
        self._tags: Sequence[TagDefinition] = ()
        self._devices: dict[int, _Device] = {}
        self._device_of: dict[int, _Device] = {}
        self.counts: Counter[str] = Counter()

    def use(self, file: PolicyFile) -> None:
        """Go over to other policies; what rules have done so far is forgotten, last values are kept."""
        self._file = file
        self._build(keep_states=False)

    def update(self, tags: Sequence[TagDefinition]) -> None:
        """Take over the registry's tags."""
        self._tags = tags
        self._build(keep_states=True)

    @property
    def wanted(self) -> bool:
        """Whether anything of this gateway has policies."""
        return bool(self._devices)

    def observe(
        self, tag_ids: Sequence[int], time_us: Sequence[int], value: Sequence[float], quality: Sequence[int]
    ) -> list[Fired]:
        """Take samples in, in order; the rules that fire because of them."""
        touched: dict[int, _Device] = {}
        for tag_id, at_us, number, status in zip(tag_ids, time_us, value, quality, strict=True):
            device = self._device_of.get(tag_id)
            if device is not None:
                device.values[tag_id] = (at_us, number, status)
                touched[device.tags[tag_id].device_id] = device
        return [fired for device_id, device in touched.items() for fired in self._rules_of(device_id, device)]

    def tick(self) -> list[Fired]:
        """Rules that fire because time has passed; call it about once a second."""
        return [fired for device_id, device in self._devices.items() for fired in self._rules_of(device_id, device)]

    def refusal(self, request: CommandRequest, writes: Mapping[str, float]) -> str:
        """Why a command must not be carried out now; empty when no interlock objects. `writes` are values by tag name."""
        device = self._devices.get(request.device_id)
        if device is None:
            return ""
        command = {"name": request.name, "by": request.submitted_by, "values": dict(writes)}
        for interlock in device.interlocks:
            if not interlock.concerns(request.name):
                continue
            if problem := judge(interlock, {**self._seen(device), "command": command}):
                return problem
        return ""

    def status(self) -> dict[str, Any]:
        """Numbers for people."""
        errors = {
            f"{name} at device {device_id}": state.error
            for device_id, device in self._devices.items()
            for name, state in device.states.items()
            if state.error
        }
        return {
            "interlocks": len(self._file.interlocks),
            "rules": len(self._file.rules),
            "devices": len(self._devices),
            "fired": self.counts["fired"],
            "errors": dict(list(errors.items())[:20]),
        }

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _build(self, *, keep_states: bool) -> None:
        before, self._devices, self._device_of = self._devices, {}, {}
        by_device: dict[int, dict[int, TagDefinition]] = {}
        for tag in self._tags:
            by_device.setdefault(tag.device_id, {})[tag.tag_id] = tag
        for device_id, tags in by_device.items():
            one = next(iter(tags.values()))
            interlocks = [policy for policy in self._file.interlocks if policy.applies(one)]
            rules = [policy for policy in self._file.rules if policy.applies(one)]
            if not interlocks and not rules:
                continue
            device = self._devices[device_id] = _Device(tags, interlocks, rules)
            if (known := before.get(device_id)) is not None:
                device.values = {tag_id: value for tag_id, value in known.values.items() if tag_id in tags}
                device.writes = known.writes
                device.states = known.states if keep_states else {}
            self._device_of |= dict.fromkeys(tags, device)

    def _seen(self, device: _Device) -> dict[str, Any]:
        now_us = self._clock()
        tags: dict[str, Any] = {}
        age_s: dict[str, float] = {}
        for tag_id, (at_us, value, quality) in device.values.items():
            tag = device.tags[tag_id]
            age_s[tag.name] = (now_us - at_us) / 1e6
            if not quality & _BAD and math.isfinite(value):
                tags[tag.name] = bool(value) if tag.data_type is DataType.BOOLEAN else float(value)
        return values_of(tags, age_s)

    def _rules_of(self, device_id: int, device: _Device) -> list[Fired]:
        if not device.rules:
            return []
        seen, now_us = self._seen(device), self._clock()
        return [
            fired for rule in device.rules if (fired := self._rule(rule, device_id, device, seen, now_us)) is not None
        ]

    def _rule(self, rule: Rule, device_id: int, device: _Device, seen: Mapping[str, Any], now_us: int) -> Fired | None:
        state = device.states.setdefault(rule.name, _RuleState())
        try:
            holds = rule.condition.holds(seen)
        except ExpressionError as error:
            # Before all its tags have been heard a rule has nothing to say.
            if (cause := cause_of(error)) != state.error and device.values.keys() == device.tags.keys():
                state.error = cause
                self._say(
                    device_id, f"rule {rule.name} cannot be evaluated: {cause}", {"policy": rule.name, "error": cause}
                )
            return None
        state.error = ""
        if not holds:
            state.true_since_us, state.fired = 0, False
            return None
        state.true_since_us = state.true_since_us or now_us
        if state.fired or now_us - state.true_since_us < rule.for_s * 1e6:
            return None
        if state.last_us and now_us - state.last_us < rule.every_s * 1e6:
            return None
        state.fired, state.last_us = True, now_us
        self.counts["fired"] += 1
        return self._write_of(rule, device_id, device, now_us)

    def _write_of(self, rule: Rule, device_id: int, device: _Device, now_us: int) -> Fired:
        while device.writes and device.writes[0] <= now_us - _WRITES_WITHIN_US:
            device.writes.popleft()
        if not rule.write:
            return Fired(rule=rule, device_id=device_id, write={})
        if len(device.writes) >= MAX_WRITES:
            why = f"the rules of this device have written {MAX_WRITES} times in ten minutes"
            return Fired(rule=rule, device_id=device_id, write={}, held_back=why)
        device.writes.append(now_us)
        return Fired(rule=rule, device_id=device_id, write={name: float(value) for name, value in rule.write.items()})


def judge(interlock: Interlock, seen: Mapping[str, Any]) -> str:
    """Why an interlock refuses with these values; empty when it does not."""
    try:
        if not interlock.condition.holds(seen):
            return ""
    except ExpressionError as error:
        return f"interlock {interlock.name} cannot be evaluated: {error}"
    return f"interlock {interlock.name}: {interlock.text or interlock.when}"
