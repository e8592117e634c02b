"""The calm list: standing alarms by cause, as few lines as a person can read, with every critical alarm on a line of its own.

Who calls: whoever shows alarms. What follows from another alarm (first-out, suppression) goes under it. When that is still too long, what
is not critical is brought together by rule, and at last in one line that says how many. Nothing is left out of the counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from schemas.alarms import Alarm, AlarmState
from schemas.priorities import Priority

STANDING = frozenset({AlarmState.UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED})
"""States that a person has to do with now."""
_NOBODY = UUID(int=0)
_ORDER = (AlarmState.UNACKNOWLEDGED, AlarmState.RETURNED_UNACKNOWLEDGED, AlarmState.ACKNOWLEDGED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line: the alarm that stands for it first, then what it stands for."""

    text: str
    alarms: tuple[Alarm, ...]

    @property
    def head(self) -> Alarm:
        """The cause, or the most urgent."""
        return self.alarms[0]

    @property
    def priority(self) -> Priority:
        """The most urgent of its alarms."""
        return min((alarm.priority for alarm in self.alarms), key=lambda one: one.rank)


def calm_list(alarms: Iterable[Alarm], limit: int = 20) -> list[Line]:
    """Lines, the most urgent first; more than `limit` only when more are critical."""
    lines = _by_cause(sorted((alarm for alarm in alarms if alarm.state in STANDING), key=_urgency))
    critical = [line for line in lines if line.head.priority is Priority.CRITICAL]
    others = [line for line in lines if line.head.priority is not Priority.CRITICAL]
    room = max(limit - len(critical), 1)
    if len(others) > room:
        others = _by_rule(others)
    if len(others) > room:
        rest = [alarm for line in others[room - 1 :] for alarm in line.alarms]
        others = [*others[: room - 1], Line(text=f"{len(rest)} more alarms of lower urgency", alarms=tuple(rest))]
    return critical + others


def _urgency(alarm: Alarm) -> tuple[int, int, int, str]:
    return _ORDER.index(alarm.state), alarm.priority.rank, -(alarm.activated_us or 0), str(alarm.alarm_id)


def _by_cause(standing: list[Alarm]) -> list[Line]:
    known = {alarm.alarm_id: alarm for alarm in standing}
    groups: dict[UUID, list[Alarm]] = {}
    for alarm in standing:
        root = _root(alarm, known)
        groups.setdefault(root.alarm_id, []).append(alarm)
    lines = []
    for root_id, members in groups.items():
        head = known[root_id]
        rest = [alarm for alarm in members if alarm is not head]
        text = (head.title or head.rule) + (f", and {len(rest)} that follow from it" if rest else "")
        lines.append(Line(text=text, alarms=(head, *rest)))
    return sorted(lines, key=lambda line: min(map(_urgency, line.alarms)))


def _root(alarm: Alarm, known: dict[UUID, Alarm]) -> Alarm:
    """What an alarm follows from in the end; a critical one follows from nothing. Of a circle it is the same one for all."""
    way = [alarm]
    while (
        way[-1].priority is not Priority.CRITICAL
        and (cause := known.get(way[-1].cause_alarm_id or _NOBODY)) is not None
    ):
        if cause in way:
            return min(way[way.index(cause) :], key=lambda one: one.alarm_id)
        way.append(cause)
    return way[-1]


def _by_rule(lines: list[Line]) -> list[Line]:
    groups: dict[str, list[Alarm]] = {}
    for line in lines:
        groups.setdefault(line.head.rule, []).extend(line.alarms)
    merged = []
    for alarms in groups.values():
        places = len({alarm.path for alarm in alarms})
        text = (alarms[0].title or alarms[0].rule) + (
            f", {len(alarms)} alarms at {places} places" if len(alarms) > 1 else ""
        )
        merged.append(Line(text=text, alarms=tuple(alarms)))
    return sorted(merged, key=lambda line: min(map(_urgency, line.alarms)))
