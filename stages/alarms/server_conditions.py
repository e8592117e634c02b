"""Conditions that a machine's server has (OPC UA Part 9) as alarms: one source, and one alarm at a time, for each.

Enters: STATE events of devices that tell of a condition, or that all were told. Leaves: its state as the activation of its source, and what
was acknowledged at the machine. A branch is an earlier state of a condition, and no alarm of its own: while one waits, the condition is not
acknowledged. The rule that has a condition is the one of its device (or gateway) whose pattern of the source is given before those without,
then the first by name. Restart and replay change nothing: the same event counts once by its id, and one that says what was said changes
nothing. Who calls: `stages.alarms.site`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from schemas.alarm_rules import MAX_TEXT
from schemas.alarms import MAX_NAME, MAX_REASON, source_key
from schemas.events import CONDITIONS_SINCE
from schemas.priorities import number_of, severity_of
from stages.alarms.config import AlarmConfig
from stages.alarms.points import Point, SiteTable
from stages.alarms.site_state import SiteState
from stages.alarms.source import Condition, Source
from stages.alarms.step import Step
from stages.alarms.transitions import Transitions

_EVENTS, _BRANCHES = 64, 8
"""Events that are remembered of a condition, for what is sent again is sent soon; and branches."""
_ID_END = 12
"""An event is remembered by the end of its id, 48 bits. By its time it could not be told from what a clock says that was set back."""


def points_of_conditions(table: SiteTable, state: SiteState) -> None:
    """Give a new table the points of the conditions that are known, also of those whose rule is retired."""
    for key, source in state.sources.items():
        if (condition := source.condition) is None:
            continue
        rule, place = key.partition("/")[0], key.rpartition("@")[2]
        base = _base(table, place, condition)
        if base is not None and base.rule.name == rule:
            table.place(_point(base, condition))
        elif (retired := table.retired.get(f"{rule}@{place}")) is not None:
            table.retired[key] = _point(retired, condition)


class ServerConditions:
    """Of one site."""

    def __init__(self, state: SiteState, do: Transitions, config: AlarmConfig) -> None:
        self._state, self._do, self._config = state, do, config

    def take(self, event: Mapping[str, Any], step: Step) -> None:
        """A STATE event of a device or gateway."""
        said: Mapping[str, str] = event["attributes"]
        place = str(event["device_id"] or event["gateway_id"])
        if since_us := number_of(said.get(CONDITIONS_SINCE, "")):
            self._told_all(place, said.get("connector", ""), since_us, event["time_us"], step)
        elif said.get("condition"):
            self._take(place, event, said, step)
        self._do.release(step)

    def _take(self, place: str, event: Mapping[str, Any], said: Mapping[str, str], step: Step) -> None:
        heard = _heard(event, said)
        base = _base(self._state.table, place, heard)
        if base is None:
            step.notes.append("condition_without_rule")
            return
        key = source_key(base.rule.name, base.device_id, base.gateway_id, condition=heard.address)
        before = known.condition if (known := self._state.sources.get(key)) is not None else None
        if before is not None and heard.events[0] in (one[-_ID_END:] for one in before.events):
            step.notes.append("duplicate_condition")
            return
        branch = said.get("branch", "")
        if before is None and branch:
            step.notes.append("branch_of_unknown_condition")
            return
        source = self._state.source(key)
        if before is not None:
            heard.events = [*heard.events, *before.events][:_EVENTS]
            heard.branches = before.branches
        if before is not None and branch:
            others = [one for one in before.branches if one != branch]
            waits = said.get("acked") == "false" and said.get("retain") == "true"
            heard.branches = [*others, branch][-_BRANCHES:] if waits else others
            heard.severity, heard.acked, heard.retained = before.severity, before.acked, before.retained
            source.condition = heard
        else:
            self._changed(base, source, heard, before, said, step)
        if (point := self._state.table.points.get(key)) is not None:
            self._do.heard_of_machine(point, source, heard.heard_us, step)
        if before is None:
            self._bound(place)

    def _changed(
        self,
        base: Point,
        source: Source,
        heard: Condition,
        before: Condition | None,
        said: Mapping[str, str],
        step: Step,
    ) -> None:
        """A condition as it is now."""
        holds = _holds(said) and heard.severity >= base.rule.min_severity
        if before is not None and not holds:
            heard.severity = before.severity  # what is over is as urgent as it was, until somebody takes note
        source.condition = heard
        point = _point(base, heard)
        known_as = self._state.table.points.get(point.key)
        if known_as != point:
            self._state.table.place(point)
        asks_again = before is not None and before.acked is True and heard.acked is False
        more_urgent = known_as is not None and point.priority.rank < known_as.priority.rank
        detail = said.get("message", "")[:MAX_TEXT]
        told = len(step.alarms)
        self._do.observe(point, source, holds, heard.heard_us, step, None, detail)
        if len(step.alarms) > told:  # it came, or it is over: that says all
            return
        if holds and source.active and (asks_again or more_urgent):
            source.detail = detail
            # Whoever had acknowledged at the machine saw what was less urgent; AckedState says nothing of a severity.
            knew = before is not None and before.acknowledged is True and heard.acknowledged is True
            self._do.raise_again(point, source, heard.heard_us, step, machine_knows=knew)
        elif source.episode is not None and known_as is not None and known_as.priority is not point.priority:
            step.record(point, source, source.episode, heard.heard_us)

    def _told_all(self, place: str, connector: str, since_us: int, time_us: int, step: Step) -> None:
        """What a server had before its gateway started and did not tell of since is over there."""
        for key, source in self._state.at_place(place):
            condition = source.condition
            if condition is None or condition.heard_us >= since_us or not condition.address.startswith(f"{connector}:"):
                continue
            self._state.touch(key)
            condition.acked, condition.branches, condition.heard_us = None, [], time_us
            if (point := self._state.table.points.get(key)) is not None:
                if source.raw:
                    self._do.observe(point, source, False, time_us, step)
                self._do.heard_of_machine(point, source, time_us, step)

    def _bound(self, place: str) -> None:
        """Of too many conditions those that rest are forgotten, unless people did something to them."""
        known = [(key, each) for key, each in self._state.at_place(place) if each.condition is not None]
        resting = [
            (each.condition.heard_us, key)
            for key, each in known
            if each.condition and each.quiet and each.episode is None and not each.version and not each.waiting
        ]
        for _, key in sorted(resting)[: max(0, len(known) - self._config.most_conditions)]:
            self._state.drop(key)
            if key in self._state.table.points:
                self._state.table.displace(key)


def _heard(event: Mapping[str, Any], said: Mapping[str, str]) -> Condition:
    name = said["condition"]
    node = said.get("condition_id") or f"{said.get('source_node', '')}/{name}"
    return Condition(
        address=f"{said.get('connector', '')}:{node}",
        name=name,
        source=said.get("source", ""),
        type=said.get("condition_type", ""),
        severity=severity_of(said.get("severity", "")),
        acked=None if "acked" not in said else said["acked"] == "true",
        heard_us=event["time_us"],
        events=[str(event["event_id"])[-_ID_END:]],
        retained=said.get("retain") == "true",
        by=said.get("by", "")[:MAX_NAME],
        comment=said.get("comment", "")[:MAX_REASON],
    )


def _holds(said: Mapping[str, str]) -> bool:
    """Whether it is active. One that has no active state is while the server retains it; one that is disabled is not.

    Servers differ in whether they retain what is active and acknowledged.
    """
    return said.get("enabled") != "false" and said.get("active", said.get("retain")) == "true"


def _base(table: SiteTable, place: str, condition: Condition) -> Point | None:
    """The rule that has a condition."""
    fit = [
        point
        for point in table.conditions.get(place, ())
        if fnmatchcase(condition.type, point.rule.condition_type)
        and fnmatchcase(condition.source, point.rule.condition_source or "*")
    ]
    return min(fit, key=lambda point: (not point.rule.condition_source, point.rule.name), default=None)


def _point(base: Point, condition: Condition) -> Point:
    """The point of a condition."""
    rule = base.rule
    key = source_key(rule.name, base.device_id, base.gateway_id, condition=condition.address)
    title = ": ".join(filter(None, [rule.title, condition.source, condition.name]))
    return dataclasses.replace(
        base,
        key=key,
        condition=condition.address,
        own_priority=rule.priority_at(condition.severity),
        own_title=title[:MAX_TEXT],
    )
