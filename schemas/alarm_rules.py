"""Domain type of an alarm rule: what to watch, when it is an alarm, how bad it is, and what to do about it.

A rule is a dated, versioned definition. It holds for every device of a class, for one device, for a line, or for every gateway; a `site`
narrows it. Of rules of one name the one that is meant most narrowly holds. Words are those of ISA-18.2 (IEC 62682). What cannot be
a rule is refused here, with the cause.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from base.errors import ConfigError
from schemas import codec
from schemas.commands import OUTCOMES, CommandState
from schemas.priorities import MOST_SEVERE, Priority, Response, Severity, priority_of, severity_steps

MAX_TEXT = 500
"""Longest text of a rule, characters."""
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_INPUT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_PLACES = (1, 2, 3, 7)
"""How many names an input has: TAG, DEVICE/TAG, CELL/DEVICE/TAG, a whole path."""


class ConditionKind(StrEnum):
    """What makes a rule's condition true."""

    LIMIT = "LIMIT"
    """A value beyond a limit."""
    RATE = "RATE"
    """A value changes faster than `limit` per second, in either direction."""
    DEVIATION = "DEVIATION"
    """A value is further than `limit` from that of `setpoint_tag`."""
    STATE = "STATE"
    """A discrete value is one of `values`."""
    BAD_QUALITY = "BAD_QUALITY"
    """The quality is bad."""
    NO_DATA = "NO_DATA"
    """Nothing has come for `after_s`: of a tag while its gateway speaks, or of a gateway at all."""
    ANOMALY = "ANOMALY"
    """An anomaly episode with at least `min_score` is open."""
    COMMAND = "COMMAND"
    """A command ended in one of `outcomes`. It has no end: the alarm waits for its acknowledgement."""
    EXPRESSION = "EXPRESSION"
    """`expression` is true. In records STATE with an expression, for their enum has no more symbols."""
    CONDITION = "CONDITION"
    """A condition that the machine's server has (OPC UA Part 9) is active. In records STATE with a `condition_type`."""


OF_TAGS = frozenset(
    {
        ConditionKind.LIMIT,
        ConditionKind.RATE,
        ConditionKind.DEVIATION,
        ConditionKind.STATE,
        ConditionKind.BAD_QUALITY,
    }
)
"""Kinds that are judged sample by sample. NO_DATA is of a tag too, unless it is of a gateway."""


class Level(StrEnum):
    """Which limit of four; the high ones are passed upwards."""

    HIHI = "HIHI"
    HI = "HI"
    LO = "LO"
    LOLO = "LOLO"

    @property
    def upwards(self) -> bool:
        """Whether values above the limit are the alarm."""
        return self in (Level.HIHI, Level.HI)


class GroupLevel(StrEnum):
    """Within what a group finds its first-out: alarms of one name group there belong together."""

    DEVICE = "DEVICE"
    CELL = "CELL"
    LINE = "LINE"
    AREA = "AREA"
    SITE = "SITE"

    def of(self, device_path: str) -> str:
        """The part of a device's path that is of this level."""
        parts = {GroupLevel.SITE: 2, GroupLevel.AREA: 3, GroupLevel.LINE: 4, GroupLevel.CELL: 5, GroupLevel.DEVICE: 6}
        return "/".join(device_path.split("/")[: parts[self]])


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmRule:
    """One version of a rule. Fields as in AlarmRule.v5.avsc. Raises ConfigError for what cannot be one."""

    name: str
    version: int = 1
    valid_from_us: int = 0
    retired: bool = False
    site: str = ""
    device_class: str = ""
    device_path: str = ""
    of_gateway: bool = False
    kind: ConditionKind
    tag: str = ""
    level: Level | None = None
    limit: float = 0.0
    deadband: float = 0.0
    over_s: float = 1.0
    setpoint_tag: str = ""
    values: tuple[float, ...] = ()
    after_s: float = 0.0
    min_score: float = 0.0
    outcomes: tuple[CommandState, ...] = (CommandState.UNKNOWN,)
    on_delay_s: float = 0.0
    off_delay_s: float = 0.0
    latch: bool = False
    severity: Severity
    response: Response
    parent: str = ""
    parent_path: str = ""
    suppress_tag: str = ""
    suppress_values: tuple[float, ...] = ()
    group: str = ""
    group_level: GroupLevel = GroupLevel.DEVICE
    shelve_max_s: float = 8 * 3600.0
    title: str = ""
    cause: str = ""
    consequence: str = ""
    corrective_action: str = ""
    author: str = ""
    written_us: int = 0
    reason: str = ""
    expression: str = ""
    inputs: tuple[tuple[str, str], ...] = ()
    line_path: str = ""
    condition_type: str = ""
    condition_source: str = ""
    min_severity: int = 1
    by_severity: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        for problem in self._problems():
            msg = f"alarm rule {self.name[:80]!r}: {problem}"
            raise ConfigError(msg)

    @property
    def place(self) -> str:
        """What it holds for: the path of a device or a line, a class, or gateways."""
        return self.device_path or self.line_path or ("gateways" if self.of_gateway else self.device_class)

    @property
    def rule_id(self) -> str:
        """What replaces what: a later version has the same."""
        return f"{self.name}@{self.place}" + (f"/{self.site}" if self.site else "")

    @property
    def key(self) -> bytes:
        """Kafka key: every version stays, because each holds at its time."""
        return f"{self.rule_id}#{self.version}".encode()

    @property
    def priority(self) -> Priority:
        """By the matrix of severity and time to respond."""
        return priority_of(self.severity, self.response)

    def priority_at(self, severity: int) -> Priority:
        """Of a condition, by the severity that the server gives it."""
        steps = severity_steps(self.by_severity)
        return next((step.priority for step in steps if severity >= step.at_least), self.priority)

    def encode(self) -> bytes:
        """Kafka value, in the oldest version that says all of it, so that a job that knows no other goes on."""
        record: dict[str, Any] = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        for name in ("values", "suppress_values", "outcomes"):
            record[name] = list(record[name])
        record |= {"inputs": dict(self.inputs), "by_severity": dict(self.by_severity)}
        if self.kind is ConditionKind.CONDITION:
            record["kind"] = ConditionKind.STATE
            return codec.encode("AlarmRule", record)
        if self.kind is ConditionKind.EXPRESSION:
            record["kind"] = ConditionKind.STATE
            return codec.encode("AlarmRule", record, version=4 if self.line_path else 3)
        signed = self.author or self.written_us or self.reason
        return codec.encode("AlarmRule", record, version=2 if signed else 1)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record or of plain JSON. Raises ConfigError; a name that no enum has is one."""
        kinds = {"kind": ConditionKind, "severity": Severity, "response": Response, "group_level": GroupLevel}
        try:
            changed: dict[str, Any] = {name: kind(record[name]) for name, kind in kinds.items() if name in record}
            if record.get("level") is not None:
                changed["level"] = Level(record["level"])
            if "outcomes" in record:
                changed["outcomes"] = tuple(map(CommandState, record["outcomes"]))
            for name in ("values", "suppress_values"):
                if name in record:
                    changed[name] = tuple(map(float, record[name]))
            for name in ("inputs", "by_severity"):
                if name in record:
                    changed[name] = tuple(sorted((str(key), str(text)) for key, text in dict(record[name]).items()))
            if "min_severity" in record:
                changed["min_severity"] = int(record["min_severity"])
            if record.get("condition_type") and changed.get("kind") is ConditionKind.STATE:
                changed["kind"] = ConditionKind.CONDITION
            if record.get("expression") and changed.get("kind") is ConditionKind.STATE:
                changed["kind"] = ConditionKind.EXPRESSION
            return cls(**(record | changed))
        except (ValueError, TypeError) as error:
            msg = f"alarm rule {str(record.get('name'))[:80]!r}: {error}"
            raise ConfigError(msg) from None

    def _problems(self) -> list[str]:
        """What is wrong with it, the first first."""
        return [text for wrong, text in (*self._place(), *self._condition(), *self._handling()) if wrong]

    def _place(self) -> list[tuple[bool, str]]:
        places = bool(self.device_class) + bool(self.device_path) + bool(self.line_path) + self.of_gateway
        at_line = bool(self.line_path)
        of_gateways = self.kind in (ConditionKind.NO_DATA, ConditionKind.CONDITION)
        needs_tag = self.kind in OF_TAGS or (self.kind is ConditionKind.NO_DATA and not self.of_gateway)
        return [
            (not _NAME.fullmatch(self.name), "the name is not of a-z, 0-9, _ and -, at most 64 of them"),
            (places != 1, "exactly one of device_class, device_path, line_path and of_gateway says where it holds"),
            (self.device_class == "gateways", "a class named gateways cannot have rules"),
            (self.of_gateway and not of_gateways, f"{self.kind} is not of a gateway; NO_DATA and CONDITION are"),
            (
                self.device_path.count("/") != 5 and bool(self.device_path),
                "device_path is not a device's path of six names",
            ),
            (bool(self.device_path and self.site), "device_path says the site already"),
            (
                at_line and (self.line_path.count("/") != 3 or "" in self.line_path.split("/")),
                "line_path is not a line's path of four names",
            ),
            (at_line and bool(self.site), "line_path says the site already"),
            (at_line and self.kind is not ConditionKind.EXPRESSION, f"{self.kind} is not of a line; EXPRESSION is"),
            (
                at_line and bool(self.suppress_tag),
                "suppress_tag is of a device: a line has no tags; give it a parent, or say it in the expression",
            ),
            (needs_tag and not self.tag, f"{self.kind} needs a tag"),
            (bool(self.tag) and not needs_tag, f"{self.kind} is not of a tag"),
        ]

    def _condition(self) -> list[tuple[bool, str]]:
        kind = self.kind
        measured = kind in (ConditionKind.RATE, ConditionKind.DEVIATION)
        return [
            (kind is ConditionKind.LIMIT and self.level is None, "LIMIT needs a level: HIHI, HI, LO or LOLO"),
            (measured and self.limit <= 0, f"{kind} needs a limit above 0"),
            (self.deadband < 0, "the deadband is below 0"),
            (
                measured and self.deadband >= self.limit > 0,
                f"the deadband is not smaller than the limit: {kind} would never return",
            ),
            (kind is ConditionKind.RATE and self.over_s <= 0, "over_s is not above 0"),
            (kind is ConditionKind.DEVIATION and not self.setpoint_tag, "DEVIATION needs a setpoint_tag"),
            (kind is ConditionKind.STATE and not self.values, "STATE needs values"),
            (kind is ConditionKind.NO_DATA and self.after_s <= 0, "NO_DATA needs after_s above 0"),
            (
                kind is ConditionKind.COMMAND and not set(self.outcomes) <= OUTCOMES,
                "outcomes names a state that ends no command",
            ),
            (kind is ConditionKind.COMMAND and not self.outcomes, "COMMAND needs outcomes"),
            *self._expression(),
            *self._server(),
        ]

    def _expression(self) -> list[tuple[bool, str]]:
        mine = self.kind is ConditionKind.EXPRESSION
        wrong_name = next((name for name, _ in self.inputs if not _INPUT.fullmatch(name)), None)
        wrong_place = next(
            (at for _, at in self.inputs if at.count("/") + 1 not in _PLACES or "" in at.split("/")), None
        )
        where = "TAG, DEVICE/TAG of the same cell, CELL/DEVICE/TAG of the same line, or a whole path"
        if self.line_path:
            where = "DEVICE/TAG or CELL/DEVICE/TAG of the line, or a whole path"
            wrong_place = next((at for _, at in self.inputs if "/" not in at), wrong_place)
        return [
            (mine and not self.expression, "EXPRESSION needs an expression"),
            (mine and self.after_s < 0, "after_s is below 0"),
            (not mine and bool(self.expression or self.inputs), f"{self.kind} has neither expression nor inputs"),
            (wrong_name is not None, f"inputs: {str(wrong_name)[:80]!r} is no name in an expression"),
            (wrong_place is not None, f"inputs: {str(wrong_place)[:80]!r} is not {where}"),
        ]

    def _server(self) -> list[tuple[bool, str]]:
        """What is wrong with a rule about conditions of a server."""
        mine = self.kind is ConditionKind.CONDITION
        given = bool(self.condition_type or self.condition_source or self.by_severity or self.min_severity != 1)
        try:
            steps, wrong = severity_steps(self.by_severity), ""
        except ValueError as error:
            steps, wrong = [], str(error)
        muted = bool(self.parent or self.suppress_tag)
        critical = any(step.priority is Priority.CRITICAL for step in steps)
        return [
            (
                mine and not self.condition_type,
                "CONDITION needs a condition_type: a pattern, '*' for conditions of all types",
            ),
            (not mine and given, f"{self.kind} has no condition_type, condition_source, min_severity and by_severity"),
            (not 1 <= self.min_severity <= MOST_SEVERE, f"min_severity is not between 1 and {MOST_SEVERE}"),
            (bool(wrong), wrong),
            (mine and self.latch, "CONDITION does not latch: the server says how long it lasts"),
            (
                muted and critical,
                "by_severity makes it CRITICAL, and it may not be suppressed then: it has a parent or suppress_tag",
            ),
        ]

    def _handling(self) -> list[tuple[bool, str]]:
        delayed = self.on_delay_s > 0 or self.off_delay_s > 0
        muted = bool(self.parent or self.suppress_tag)
        texts = (self.title, self.cause, self.consequence, self.corrective_action)
        return [
            (min(self.on_delay_s, self.off_delay_s, self.shelve_max_s) < 0, "a delay or shelve_max_s is below 0"),
            (self.kind is ConditionKind.COMMAND and delayed, "COMMAND has no delays: it has no duration"),
            (
                muted and self.priority is Priority.CRITICAL,
                "it is CRITICAL and may not be suppressed: it has a parent or suppress_tag",
            ),
            (self.parent == self.name and not self.parent_path, "it is its own parent"),
            (bool(self.parent_path) and not self.parent, "parent_path without a parent"),
            (bool(self.suppress_tag) != bool(self.suppress_values), "suppress_tag and suppress_values belong together"),
            (any(len(text) > MAX_TEXT for text in texts), f"a text is longer than {MAX_TEXT} characters"),
        ]
