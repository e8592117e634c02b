"""What is remembered of a source: activation, overrides and the episode that stands, as bytes between starts.

Three things apart. *Activation*: whether the condition holds (`raw`), and whether it does after delays (`active`). *Overrides*: what
people and design have put aside. The *episode*: what a person has to do with. The effective state follows from all three (`effective`)
and is nowhere stored.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from schemas.alarms import AlarmAction, AlarmState, Override

SEEN_ACTIONS, WAITING_ACTIONS, ENDED_ALARMS, OPEN_IDS = 16, 4, 4, 8
"""How many of each a source remembers; the oldest are forgotten."""


@dataclass(kw_only=True, slots=True)
class Episode:
    """An alarm from its first activation until it is normal again. Times are event time, microseconds UTC."""

    alarm_id: UUID
    start_us: int
    activated_us: int
    rule_id: str
    rule_version: int
    version: int = 0
    activations: int = 1
    acknowledged_us: int | None = None
    acknowledged_by: str = ""
    acknowledged_reason: str = ""
    machine_knows: bool = False
    """Of a condition of a server: why, for the machine; and whether it was heard that it is acknowledged there."""
    seen_us: int = 0
    """When the condition came last before it was acknowledged here, while the machine is to hear of that; else 0."""
    returned_us: int | None = None
    latched_us: int | None = None
    """Since when its condition is over and it stays: its rule latches, or the machine of a condition waits."""
    value: float | None = None
    detail: str = ""
    cause_alarm_id: UUID | None = None
    first_out: bool = False
    fleeting: bool = False
    late: bool = False
    comment: str = ""
    uncounted: bool = False
    """It was hidden when it was raised, so no flood has counted it."""
    ended: bool = False


@dataclass(kw_only=True, slots=True)
class Condition:
    """What was heard last of a condition of a machine's server (OPC UA Part 9)."""

    address: str
    """`<connection>:<node id>`."""
    name: str
    source: str
    type: str
    severity: int
    acked: bool | None
    """Whether it is acknowledged there as it is now; None: it needs no acknowledgement, or none any more."""
    heard_us: int
    """By the clock of the gateway."""
    events: list[str]
    """Ends of the ids of the newest events of it."""
    by: str = ""
    """Who has acknowledged it there, or said something of it last."""
    comment: str = ""
    branches: list[str] = field(default_factory=list)
    """Its earlier states that somebody still has to acknowledge."""
    retained: bool = True
    """Whether the server says that it is of interest."""

    @property
    def acknowledged(self) -> bool | None:
        """Whether it is acknowledged there as it is now and as it was; None: nothing is to be acknowledged."""
        return False if self.branches else self.acked

    @property
    def waits(self) -> bool:
        """Whether its server keeps it until it is acknowledged."""
        return bool(self.branches) or (self.acked is False and self.retained)


@dataclass(kw_only=True, slots=True)
class Source:
    """One rule at one device or gateway."""

    raw: bool = False
    raw_us: int = 0
    """When the condition became what it is; 0 when that no longer matters."""
    dead: bool = False
    """Silent because the gateway says that it cannot reach the machine."""
    value: float | None = None
    detail: str = ""
    active: bool = False
    episode: Episode | None = None
    shelved: Override | None = None
    suppressed: Override | None = None
    out_of_service: Override | None = None
    version: int = 0
    """Of the source's own record."""
    started_us: int = 0
    """Start of its latest alarm."""
    recent_us: list[int] = field(default_factory=list)
    """Latest activations, to find chattering."""
    chattering: bool = False
    anchor_us: int = 0
    anchor: float | None = None
    """The sample that a rate of change is measured from."""
    open_ids: list[str] = field(default_factory=list)
    """Anomaly episodes that are open; commands that have been judged."""
    seen_actions: list[str] = field(default_factory=list)
    ended_alarms: list[str] = field(default_factory=list)
    waiting: list[AlarmAction] = field(default_factory=list)
    waiting_until_us: int = 0
    condition: Condition | None = None

    @property
    def put_aside(self) -> bool:
        """Whether a person hides it."""
        return bool(self.shelved or self.out_of_service)

    @property
    def overridden(self) -> bool:
        """Whether something hides it."""
        return bool(self.shelved or self.suppressed or self.out_of_service)

    @property
    def machine_waits(self) -> bool:
        """Whether the machine of its condition is to hear of an acknowledgement here, and has not said that it has."""
        return bool(self.episode and self.episode.seen_us and self.condition and self.condition.waits)

    @property
    def waits_for_machine(self) -> bool:
        """Whether its alarm stands for that alone: no rule about conditions latches."""
        return bool(self.condition and self.episode and self.episode.latched_us is not None)

    @property
    def quiet(self) -> bool:
        """Whether the condition does not hold, and did not a moment ago."""
        return not (self.raw or self.active)


def remains(source: Source) -> Source:
    """What outlives the rule of a source: should the rule come back, no id is used twice and no action counts twice."""
    return Source(
        version=source.version,
        started_us=source.started_us,
        seen_actions=source.seen_actions,
        ended_alarms=source.ended_alarms,
    )


_FRESH = {
    one.name: one.default_factory() if callable(one.default_factory) else one.default
    for one in dataclasses.fields(Source)
}
_OVERRIDES = ("shelved", "suppressed", "out_of_service")


def effective(source: Source, episode: Episode | None) -> AlarmState:
    """The effective state of an episode; of None that of the source itself, which design does not suppress."""
    if episode is not None and episode.ended:
        return AlarmState.NORMAL
    if source.out_of_service:
        return AlarmState.OUT_OF_SERVICE
    if source.suppressed and episode is not None:
        return AlarmState.SUPPRESSED
    if source.shelved:
        return AlarmState.SHELVED
    if episode is None:
        return AlarmState.NORMAL
    if source.active or episode.latched_us is not None:
        return AlarmState.UNACKNOWLEDGED if episode.acknowledged_us is None else AlarmState.ACKNOWLEDGED
    return AlarmState.RETURNED_UNACKNOWLEDGED


def to_plain(source: Source) -> dict[str, Any]:
    """What differs from a source that never was touched; empty for one that is like that."""
    plain: dict[str, Any] = {}
    for name, fresh in _FRESH.items():
        value = getattr(source, name)
        if value == fresh:
            continue
        if name == "waiting":
            value = [dataclasses.asdict(one) for one in value]
        elif isinstance(value, Condition):
            value = dataclasses.asdict(value)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            # Not `in (None, False, "")`: a value of 0 is one.
            known = dataclasses.asdict(value).items()
            value = {key: each for key, each in known if each is not None and each is not False and each != ""}
        plain[name] = value
    return plain


def from_plain(plain: dict[str, Any]) -> Source:
    """Inverse of `to_plain`, behind JSON."""
    changed = dict(plain)
    for name in _OVERRIDES:
        if name in plain:
            changed[name] = Override.from_record(plain[name])
    if "episode" in plain:
        changed["episode"] = Episode(**{**plain["episode"], **_ids(plain["episode"], "alarm_id", "cause_alarm_id")})
    if "condition" in plain:
        changed["condition"] = Condition(**plain["condition"])
    if "waiting" in plain:
        changed["waiting"] = [
            AlarmAction.from_record({**one, **_ids(one, "action_id", "alarm_id")}) for one in plain["waiting"]
        ]
    return Source(**changed)


def _ids(plain: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: UUID(plain[name]) for name in names if plain.get(name)}


def to_json(plain: Any) -> str:
    """Compact JSON of what `to_plain` gives."""
    return json.dumps(plain, default=str, separators=(",", ":"))
