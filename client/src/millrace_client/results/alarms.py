"""Alarms: what a person must respond to, and what was done about it. Words and states are those of ISA-18.2."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from millrace_client.results.page import Page
from millrace_client.results.times import utc


class AlarmPriority(StrEnum):
    """How soon a person turns to an alarm."""

    UNSPECIFIED = "UNSPECIFIED"
    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


class AlarmState(StrEnum):
    """What a person sees."""

    UNSPECIFIED = "UNSPECIFIED"
    NORMAL = "NORMAL"
    """Nothing is wrong, or it is over and somebody has taken note."""
    UNACKNOWLEDGED = "UNACKNOWLEDGED"
    """The condition holds, nobody has taken note."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """The condition holds (or is latched), somebody has taken note."""
    RETURNED_UNACKNOWLEDGED = "RETURNED_UNACKNOWLEDGED"
    """The condition is over, nobody has taken note."""
    SHELVED = "SHELVED"
    """A person has put it aside for a time."""
    SUPPRESSED = "SUPPRESSED"
    """Design has put it aside: it follows from something else."""
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    """A person has switched it off."""


class AlarmOverrideKind(StrEnum):
    """What keeps an alarm from being what its condition says."""

    UNSPECIFIED = "UNSPECIFIED"
    LATCHED = "LATCHED"
    """The condition is over; it stays until it is reset."""
    SHELVED = "SHELVED"
    SUPPRESSED = "SUPPRESSED"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"


class AlarmEventKind(StrEnum):
    """What happened."""

    UNSPECIFIED = "UNSPECIFIED"
    RAISED = "RAISED"
    RAISED_AGAIN = "RAISED_AGAIN"
    RETURNED = "RETURNED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    RESET = "RESET"
    SHELVED = "SHELVED"
    UNSHELVED = "UNSHELVED"
    SUPPRESSED = "SUPPRESSED"
    UNSUPPRESSED = "UNSUPPRESSED"
    OUT_OF_SERVICE = "OUT_OF_SERVICE"
    IN_SERVICE = "IN_SERVICE"
    COMMENTED = "COMMENTED"
    CHATTERING = "CHATTERING"
    RULE_CHANGED = "RULE_CHANGED"
    RULE_RETIRED = "RULE_RETIRED"
    REFUSED = "REFUSED"
    FLOOD_BEGAN = "FLOOD_BEGAN"
    FLOOD_ENDED = "FLOOD_ENDED"


class AlarmEvaluationState(StrEnum):
    """Whether alarms are evaluated."""

    UNSPECIFIED = "UNSPECIFIED"
    RUNNING = "RUNNING"
    STALLED = "STALLED"
    """The alarms job does not advance: alarms are as they were then, and no new ones come."""
    UNKNOWN = "UNKNOWN"
    """It cannot be seen from the server."""
    PARTIAL = "PARTIAL"
    """It runs, but not for every site: of one its state cannot be read, and no alarm of that is raised."""


class AlarmOutcome(StrEnum):
    """What became of an action."""

    UNSPECIFIED = "UNSPECIFIED"
    DONE = "DONE"
    REFUSED = "REFUSED"
    """It changes nothing; `detail` says why."""
    RECORDED = "RECORDED"
    """It is durable; the alarms job has not answered yet."""
    NOT_FOUND = "NOT_FOUND"
    DENIED = "DENIED"
    FAILED = "FAILED"
    """It could not be written; the same action again is safe."""


class MachineAcknowledgementState(StrEnum):
    """What the machine of a condition knows of an acknowledgement."""

    UNSPECIFIED = "UNSPECIFIED"
    PENDING = "PENDING"
    """A command to the machine is under way."""
    ACKNOWLEDGED = "ACKNOWLEDGED"
    """It is acknowledged there: the machine said so, or took the command."""
    FAILED = "FAILED"
    """The command ended without it, and the machine waits; to acknowledge again makes another."""
    UNKNOWN = "UNKNOWN"
    """Nobody can say whether the machine took it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineAcknowledgement:
    """Whether the machine of a condition is acknowledged as well. `command_id` is None where the machine itself said so."""

    state: MachineAcknowledgementState
    detail: str = ""
    command_id: UUID | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmOverride:
    """An override: who, why, since when, until when (None: no end by itself). `by` is empty for what follows from design."""

    kind: AlarmOverrideKind
    since_us: int
    by: str = ""
    reason: str = ""
    until_us: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """An alarm as it stands: one episode of its source, a rule at a device or gateway.

    Where `alarm_id` is `source_id` it is the source itself, put aside while nothing is wrong. `value` is in `unit`; `path` is the tag's,
    the device's or the gateway's. `cause`, `consequence` and `corrective_action` are texts of the rule. Of a condition of the machine's own
    server `condition` names it, and `at_machine` is what the machine knows of the acknowledgement.
    """

    alarm_id: UUID
    source_id: UUID
    version: int
    site: str
    rule: str
    path: str
    priority: AlarmPriority
    state: AlarmState
    rule_version: int = 1
    device_id: int = 0
    device_path: str = ""
    gateway_id: str = ""
    tag_id: int | None = None
    active: bool = False
    start_us: int | None = None
    activated_us: int | None = None
    returned_us: int | None = None
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    activations: int = 0
    overrides: tuple[AlarmOverride, ...] = ()
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
    unit: str = ""
    condition: str = ""
    at_machine: MachineAcknowledgement | None = None

    @property
    def standing(self) -> bool:
        """Whether a person has to do with it now."""
        return self.state in STANDING

    @property
    def acknowledged(self) -> bool:
        """Whether somebody has taken note."""
        return self.acknowledged_us is not None

    @property
    def started(self) -> datetime | None:
        """When its condition began to hold; None for a source."""
        return None if self.start_us is None else utc(self.start_us)


STANDING = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED})
"""States that a person has to do with now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmEvent:
    """One thing that happened. `by` is empty for what nobody did; `detail` says why an action was refused.

    `withdrawn`, of RETURNED: it has become known that the alarm never was.
    """

    event_id: UUID
    kind: AlarmEventKind
    state: AlarmState
    time_us: int
    recorded_us: int
    by: str = ""
    reason: str = ""
    detail: str = ""
    action_id: UUID | None = None
    until_us: int | None = None
    value: float | None = None
    withdrawn: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmEvaluation:
    """What stands behind a list of alarms: one that is empty because nobody looks is not calm."""

    state: AlarmEvaluationState
    detail: str = ""
    advanced_us: int = 0

    @property
    def running(self) -> bool:
        """Whether all alarms are evaluated, as far as can be seen."""
        return self.state is AlarmEvaluationState.RUNNING


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmCount:
    """Alarms of a priority."""

    priority: AlarmPriority
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmCounts:
    """Alarms that the caller may see. `not_kept`: standing at any machine or gateway that it sees, known to the server by number only.

    Those are of the lowest priority, none critical.
    """

    unacknowledged: tuple[AlarmCount, ...] = ()
    standing: tuple[AlarmCount, ...] = ()
    shelved: int = 0
    suppressed: int = 0
    out_of_service: int = 0
    not_kept: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmPage(Page[Alarm]):
    """A page of alarms, with how many there are in all and whether they are evaluated."""

    counts: AlarmCounts
    evaluation: AlarmEvaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmLine:
    """A line of the calm list: its cause or most urgent alarm, and how many alarms at how many places it stands for.

    `unacknowledged_ids`: what is acknowledged with it; `unacknowledged_activations`: how often each of them had been raised.
    """

    text: str
    head: Alarm
    priority: AlarmPriority
    alarms: int
    places: int
    unacknowledged_ids: tuple[UUID, ...] = ()
    rules: tuple[str, ...] = ()
    unacknowledged_activations: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class CalmList:
    """Standing alarms by cause, the most urgent first: at most 20 lines, unless more are critical."""

    lines: tuple[AlarmLine, ...]
    counts: AlarmCounts
    evaluation: AlarmEvaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmHistory:
    """An alarm with what happened to it, newest first. `events_missing`: why there are no events; empty when there are all."""

    alarm: Alarm
    events: tuple[AlarmEvent, ...]
    events_missing: str
    evaluation: AlarmEvaluation


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmChanges:
    """Alarms that are new or have changed, of a watch. A `sequence` of 1 begins anew, also after a reconnect.

    `snapshot_complete`: with this everything that stood at the beginning has been told. `notice`: "heartbeat" when nothing has changed.
    """

    alarms: tuple[Alarm, ...]
    snapshot_complete: bool
    sequence: int
    sent_us: int
    counts: AlarmCounts
    evaluation: AlarmEvaluation
    notice: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class AlarmAnswer:
    """What became of an action, and the alarm as it then stands."""

    alarm_id: UUID
    action_id: UUID | None
    outcome: AlarmOutcome
    detail: str = ""
    alarm: Alarm | None = None
