"""Domain types of alarms: the alarm as it stands, what happened to it, and what people do to it.

Words and states are those of ISA-18.2 (IEC 62682). An alarm's *source* is a rule at a device (or line, or gateway); an *alarm* is one
episode of it, from its first activation until it is normal again. The alarms job is the record; serving and the historian follow it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self
from uuid import UUID, uuid5

from base.machine_names import MACHINE
from schemas import codec
from schemas.priorities import Priority

_SPACE = UUID("6f1c2f0a-51b5-5d0e-9a38-8f5ec1a6b2d4")
PUT_ASIDE = "site-put-aside"
"""Rule of the alarm that the state of a site cannot be read: its alarms are not evaluated. No definition has it; it is of no gateway."""
MAX_REASON = 500
"""Longest reason of an action, characters."""
LONGEST_ASIDE_US = 10 * 365 * 86_400_000_000
"""An alarm is put aside for so long at most; what has no end says no time."""
MAX_NAME = 100
"""Longest name of a person that is kept."""


def at_machine(name: str) -> str:
    """Who has acknowledged at a machine: what its server says, marked so that it is nobody's name here; cut to `MAX_NAME`."""
    return f"{MACHINE}: {name}"[:MAX_NAME] if name else MACHINE


def source_id(site: str, source: str) -> UUID:
    """Id of a source: the same for ever."""
    return uuid5(_SPACE, f"{site}/{source}")


def alarm_id(source: UUID, start_us: int) -> UUID:
    """Id of an episode: the same after replay, restart and rescale, because it follows from where and when it began."""
    return uuid5(source, str(start_us))


class AlarmState(StrEnum):
    """The effective state: what a person sees. Overrides hide what lies under them, in this order from the last."""

    NORMAL = "NORMAL"
    """Nothing is wrong, or it is over and somebody has taken note."""
    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    """The condition is there, nobody has taken note."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """The condition is there (or latched), somebody has taken note."""
    RETURNED_UNACKNOWLEDGED = "RETURNED_UNACKNOWLEDGED"
    """The condition is over, nobody has taken note."""
    SHELVED = "SHELVED"
    """Put aside by a person for a time."""
    SUPPRESSED = "SUPPRESSED"
    """Put aside by design: it follows from something else."""
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    """Switched off by a person, as for maintenance."""


class OverrideKind(StrEnum):
    """What keeps an alarm from being what its condition says."""

    LATCHED = "LATCHED"
    """The condition is over; the alarm stays until it is reset, or until the machine of its condition has heard of an acknowledgement."""
    SHELVED = "SHELVED"
    SUPPRESSED = "SUPPRESSED"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """An override: who, why, since when, until when. `by` is empty for what follows from design."""

    kind: OverrideKind
    since_us: int
    by: str = ""
    reason: str = ""
    until_us: int | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record or plain JSON."""
        return cls(**{**record, "kind": OverrideKind(record["kind"])})


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """An alarm after one transition. Topic `alarms`, key alarm id; the highest version wins.

    A record whose `alarm_id` is its `source_id` is the source itself: it says what people have put aside, whether or not anything is
    wrong; it has no `start_us`.
    """

    alarm_id: UUID
    source_id: UUID
    version: int
    site: str
    rule: str
    rule_version: int
    device_id: int
    gateway_id: str
    tag_id: int | None = None
    path: str
    priority: Priority
    state: AlarmState
    active: bool = False
    start_us: int | None = None
    activated_us: int | None = None
    returned_us: int | None = None
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    activations: int = 0
    overrides: tuple[Override, ...] = ()
    value: float | None = None
    detail: str = ""
    cause_alarm_id: UUID | None = None
    first_out: bool = False
    chattering: bool = False
    fleeting: bool = False
    late: bool = False
    title: str = ""
    cause: str = ""
    consequence: str = ""
    corrective_action: str = ""
    comment: str = ""
    updated_us: int = 0
    condition: str = ""
    """Of a condition of a machine's server: `<connection>:<node id>`; empty for every other alarm."""
    acknowledged_reason: str = ""
    acknowledged_at_machine: bool = False
    """Of a condition: nothing waits there for an acknowledgement."""
    seen_us: int = 0
    """Of a condition whose acknowledgement here its machine is to hear of: when it came last before that; else 0."""

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return str(self.alarm_id).encode()

    @property
    def source(self) -> str:
        """Name of its source within the site; `source_id` is the id of that."""
        return source_key(self.rule, self.device_id, self.gateway_id, self.line_path, self.condition)

    @property
    def line_path(self) -> str:
        """Path of its line, of a line's alarm; empty for all others."""
        return "" if self.device_id or self.gateway_id or self.rule == PUT_ASIDE else self.path

    def encode(self) -> bytes:
        """Kafka value; version 1 where it says no more, so that a reader that knows no other goes on."""
        record = _plain(self)
        record["overrides"] = [dataclasses.asdict(one) for one in self.overrides]
        return codec.encode("Alarm", record, version=None if self.condition else 1)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record."""
        changed = {
            "priority": Priority(record["priority"]),
            "state": AlarmState(record["state"]),
            "overrides": tuple(map(Override.from_record, record["overrides"])),
        }
        return cls(**(record | changed))


class AlarmEventKind(StrEnum):
    """What happened."""

    RAISED = "RAISED"
    RAISED_AGAIN = "RAISED_AGAIN"
    """The condition came back before the alarm was normal."""
    RETURNED = "RETURNED"
    """The condition is over."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESET = "RESET"
    """A latched alarm was let go: by a person, or because its machine has heard of its acknowledgement, or had long enough."""
    SHELVED = "SHELVED"
    UNSHELVED = "UNSHELVED"
    SUPPRESSED = "SUPPRESSED"
    UNSUPPRESSED = "UNSUPPRESSED"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    IN_SERVICE = "IN_SERVICE"
    COMMENTED = "COMMENTED"
    CHATTERING = "CHATTERING"
    """It comes and goes too often to be of use."""
    RULE_CHANGED = "RULE_CHANGED"
    RULE_RETIRED = "RULE_RETIRED"
    REFUSED = "REFUSED"
    """An action that changed nothing; the detail says why."""
    FLOOD_BEGAN = "FLOOD_BEGAN"
    FLOOD_ENDED = "FLOOD_ENDED"


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmEvent:
    """One thing that happened. Topic `alarm.events`, key site. Of a flood `path` is the scope and `alarm_id` the flood's own.

    `withdrawn`: it has become known that the alarm never was, so what was told of it counts for nothing.
    """

    event_id: UUID
    alarm_id: UUID
    source_id: UUID
    version: int
    kind: AlarmEventKind
    state: AlarmState
    site: str
    rule: str = ""
    device_id: int = 0
    gateway_id: str = ""
    path: str = ""
    priority: Priority | None = None
    time_us: int
    recorded_us: int
    by: str = ""
    reason: str = ""
    detail: str = ""
    action_id: UUID | None = None
    until_us: int | None = None
    value: float | None = None
    late: bool = False
    withdrawn: bool = False

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return self.site.encode()

    def encode(self) -> bytes:
        """Kafka value; version 1 where it says no more, so that a reader that knows no other goes on."""
        return codec.encode("AlarmEvent", _plain(self), version=None if self.withdrawn else 1)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record."""
        priority = record["priority"]
        changed = {
            "kind": AlarmEventKind(record["kind"]),
            "state": AlarmState(record["state"]),
            "priority": None if priority is None else Priority(priority),
        }
        return cls(**(record | changed))


class AlarmActionKind(StrEnum):
    """What a person asks for."""

    ACKNOWLEDGE = "ACKNOWLEDGE"
    RESET = "RESET"
    SHELVE = "SHELVE"
    UNSHELVE = "UNSHELVE"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    IN_SERVICE = "IN_SERVICE"
    COMMENT = "COMMENT"


OF_EPISODES = frozenset({AlarmActionKind.ACKNOWLEDGE, AlarmActionKind.RESET, AlarmActionKind.COMMENT})
"""Actions on one alarm, by its id; the others are on its source."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmAction:
    """What a person does to an alarm or its source. Topic `alarm.actions`, key site; the same `action_id` counts once.

    `activations`: of the alarm, as far as its acknowledger has seen; 0 for whatever stands.
    """

    action_id: UUID
    kind: AlarmActionKind
    site: str
    rule: str
    device_id: int
    gateway_id: str = ""
    alarm_id: UUID | None = None
    by: str
    time_us: int
    reason: str = ""
    until_us: int | None = None
    activations: int = 0
    line_path: str = ""
    condition: str = ""

    @property
    def source(self) -> str:
        """The source that it is for."""
        return source_key(self.rule, self.device_id, self.gateway_id, self.line_path, self.condition)

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return self.site.encode()

    def encode(self) -> bytes:
        """Kafka value, in the oldest version that says all of it, so that a job that knows no other goes on."""
        version = None if self.condition else 3 if self.line_path else 2 if self.activations else 1
        return codec.encode("AlarmAction", _plain(self), version=version)

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Instance of a decoded Avro record. Texts longer than any that is accepted are cut."""
        changed = {
            "kind": AlarmActionKind(record["kind"]),
            "reason": record["reason"][:MAX_REASON],
            "by": record["by"][:MAX_NAME],
        }
        return cls(**(record | changed))


def source_key(rule: str, device_id: int, gateway_id: str, line_path: str = "", condition: str = "") -> str:
    """Name of a source within its site: the rule at a device; when `device_id` is 0 at a gateway, or at a line.

    Each condition of a machine's server is a source of its own. No name of a rule has a slash.
    """
    return f"{rule}{'/' if condition else ''}{condition}@{device_id or gateway_id or line_path}"


def _plain(item: Any) -> dict[str, Any]:
    return {one.name: getattr(item, one.name) for one in dataclasses.fields(item)}
