"""Runs a golden case of alarms: a JSON file of tags, rules and steps; leaves events and alarms in a form that people can read and write.

Times are seconds from 2026-01-01 00:00 UTC. Steps, each with `now` (processing time; left out, it is that of the data, or as it was):
`values` (rows of tag, time, value and quality; `closed`: the gateway's clock), `health` (the gateway's clock; `dead`: devices that it
cannot reach), `anomaly`, `command`, `condition` (of a machine's server; `told_all`: its gateway has told all since then),
`action`, `timer`, `rules` (versions), `tags` (a registry version) and `calm` (the calm list of what stands). An alarm is written as
`rule@device#start`.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import numpy as np

from schemas import alarms, codec
from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm, AlarmEvent, AlarmEventKind
from schemas.definitions import TagDefinition, encode_tag, encode_version
from schemas.events import CONDITIONS_SINCE, DEAD_DEVICES, DeviceEvent, EventKind, device_ranges
from stages.alarms.calm import calm_list
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.step import Step
from tests.golden.files import Cases
from tests.golden.support import seconds, tag, us

CASES = Cases(Path(__file__).parent / "cases")
OPENED_S = -1000.0
_VERSIONS = itertools.count(1)
_IDS = UUID("0190a1a2-0000-7000-8000-000000000000")


@dataclass
class Placed:
    """A case at a site of its own: ids of tags and devices moved by `base`, gateways named by the site."""

    name: str
    site: str = "north"
    base: int = 0
    now_us: int = us(0)
    alarms: dict[UUID, Alarm] = field(default_factory=dict)
    events: list[AlarmEvent] = field(default_factory=list)
    calm: list[list[str]] = field(default_factory=list)
    parts: dict[str, bytes] = field(default_factory=dict)
    names: dict[UUID, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.case = CASES.load(self.name)
        self.definitions = [list(map(self._tag, self.case["tags"]))]
        self.rules = [self._rule(each) for each in self.case["rules"]]

    def _tag(self, fields: dict[str, Any]) -> TagDefinition:
        given = tag(**{"name": f"tag{fields['tag_id']}", **fields})
        device = f"device{given.device_id}"
        return tag(
            **{
                **fields,
                "tag_id": given.tag_id + self.base,
                "device_id": given.device_id + self.base,
                "name": given.name,
                "path": f"acme/{self.site}/area/line/cell/{device}/{given.name}",
                "site": self.site,
                "gateway_id": self._gateway(fields.get("gateway_id", "gw")),
            }
        )

    def _gateway(self, name: str) -> str:
        return f"{self.site}-{name}"

    def _line(self, name: str) -> str:
        return f"acme/{self.site}/area/{name}"

    def _rule(self, fields: dict[str, Any]) -> AlarmRule:
        changed = {"severity": "MODERATE", "response": "PROMPT", "title": fields["name"], **fields}
        if not any(place in fields for place in ("device_class", "device_path", "line_path", "of_gateway")):
            changed["device_class"] = "press"
        for name in ("device_path", "parent_path"):
            if name in fields:
                cell = self._line("line/cell")
                changed[name] = self._line("line") if fields[name] == "line" else f"{cell}/{fields[name]}"
        if "line_path" in fields:
            changed["line_path"] = self._line(fields["line_path"])
        if "valid_from" in changed:
            changed["valid_from_us"] = us(changed.pop("valid_from"))
        # Classes are shared by all cases of a job: a case's rules are of its own site.
        if self.base and not {"device_path", "line_path"} & changed.keys():
            changed["site"] = self.site
        return AlarmRule.from_record(changed)

    def define(self, logic: AlarmLogic) -> None:
        """Give a logic the definitions and rules so far."""
        for tags in self.definitions:
            for each in tags:
                logic.apply_registry(encode_tag(each)[1])
            logic.apply_registry(encode_version(next(_VERSIONS), tags=len(tags), time_us=us(0))[1])
        for rule in self.rules:
            logic.apply_rule(rule)

    def restore(self, logic: AlarmLogic) -> None:
        """Bring what is stored of the site to another logic, as after a start."""
        self.keep(logic, logic.restore(self.site, self.parts, self.now_us))

    def step(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        """One step of the case."""
        kind = next(name for name in _KINDS if name in step)
        self.now_us = us(step["now"]) if "now" in step else max(self.now_us, us(_time_of(kind, step)))
        _KINDS[kind](self, logic, step)

    def keep(self, logic: AlarmLogic, step: Step) -> None:
        """Take what came out, and the state behind it."""
        for alarm in step.alarms:
            decoded = Alarm.from_record(_decoded(alarm.encode(), "Alarm"))
            assert decoded == alarm
            before = self.alarms.get(alarm.alarm_id)
            assert before is None or alarm.version == before.version + 1
            self.alarms[alarm.alarm_id] = alarm
            self.names.setdefault(alarm.alarm_id, self._name(alarm))
        for event in step.events:
            assert AlarmEvent.from_record(_decoded(event.encode(), "AlarmEvent")) == event
        self.events += step.events
        for name, data in logic.drain_changes(self.site).items():
            if data is None:
                del self.parts[name]
            else:
                self.parts[name] = data

    def _name(self, alarm: Alarm) -> str:
        where: str | int = alarm.gateway_id.removeprefix(f"{self.site}-")
        if alarm.device_id:
            where = alarm.device_id - self.base
        elif alarm.line_path:
            where = alarm.line_path.removeprefix(self._line(""))
        key = alarms.source_key(alarm.rule, alarm.device_id, alarm.gateway_id, alarm.line_path, alarm.condition)
        rule = key.rpartition("@")[0]
        source = alarms.source_id(self.site, key)
        assert alarm.source_id == source
        if alarm.start_us is None:
            assert alarm.alarm_id == source
            return f"{rule}@{where}"
        assert alarm.alarm_id == alarms.alarm_id(source, alarm.start_us)
        return f"{rule}@{where}#{seconds(alarm.start_us):.10g}"

    # --- steps -------------------------------------------------------------------------------------------------------

    def _values(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        rows = step["values"]
        record = {
            "gateway_id": self._gateway(step.get("gateway", "gw")),
            "lane": step.get("lane", 0),
            "closed_time_us": us(step.get("closed", max(row[1] for row in rows))),
            "tag_id": np.array([row[0] + self.base for row in rows], dtype=np.int32),
            "time_us": np.array([us(row[1]) for row in rows], dtype=np.int64),
            "value": np.array([np.nan if row[2] is None else row[2] for row in rows], dtype=np.float64),
            "quality": np.array([row[3] if len(row) > 3 else 0 for row in rows], dtype=np.uint16),
        }
        assert logic.site_of(record) == self.site
        self.keep(logic, logic.on_record(self.site, "LatestBatch", record, self.now_us))

    def _health(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        gateway = self._gateway(step.get("gateway", "gw"))
        record = {
            "kind": "GATEWAY_HEALTH",
            "gateway_id": gateway,
            "device_id": 0,
            "time_us": us(step["health"]),
            "attributes": {DEAD_DEVICES: device_ranges(each + self.base for each in step.get("dead", []))},
        }
        self.keep(logic, logic.on_record(self.site, "DeviceEvent", record, self.now_us))

    def _anomaly(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        given = step["anomaly"]
        record = {
            "episode_id": str(uuid5(_IDS, str(given["id"]))),
            "device_id": given.get("device", 1) + self.base,
            "phase": given["phase"],
            "start_us": us(given["start"]),
            "end_us": us(given["end"]) if "end" in given else None,
            "peak_score": given["score"],
            "detector": given.get("detector", "default"),
        }
        assert logic.site_of(record) == self.site
        self.keep(logic, logic.on_record(self.site, "Anomaly", record, self.now_us))

    def _command(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        given = step["command"]
        record = {
            "command_id": uuid5(_IDS, str(given["id"])),
            "version": given.get("version", 3),
            "state": given["state"],
            "device_id": given.get("device", 1) + self.base,
            "gateway_id": self._gateway("gw"),
            "site": self.site,
            "name": "start",
            "parameters": {},
            "submitted_by": "alice",
            "submitted_us": us(0),
            "expires_us": us(60),
            "updated_us": us(given["time"]),
            "attempt": 1,
        }
        self.keep(logic, logic.on_record(self.site, "CommandState", record, self.now_us))

    def _condition(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        given = {"connector": "plc", "retain": "true", **step["condition"]}
        device_id, gateway = given.pop("device", 1), given.pop("gateway", "gw")
        time_s, number = given.pop("time"), given.pop("id", None)
        if "told_all" in given:
            said = {"connector": given["connector"], CONDITIONS_SINCE: str(us(given["told_all"]))}
        else:
            said = {
                "condition_type": "OffNormalAlarmType",
                "source": "Spindle",
                "condition": given["condition_id"],
                **given,
            }
        event = DeviceEvent(
            event_id=uuid5(_IDS, json.dumps(step) if number is None else str(number)),
            kind=EventKind.STATE,
            gateway_id=self._gateway(gateway),
            device_id=device_id + self.base if device_id else 0,
            time_us=us(time_s),
            attributes={name: str(value) for name, value in said.items()},
        )
        record = _decoded(event.encode(), "DeviceEvent")
        self.keep(logic, logic.on_record(self.site, "DeviceEvent", record, self.now_us))

    def _action(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        given = step["action"]
        name, _, rest = given["on"].partition("@")
        rule, _, condition = name.partition("/")
        where, _, start = rest.partition("#")
        device_id = int(where) + self.base if where.isdigit() else 0
        line_path = self._line(where) if where == "line" else ""
        gateway_id = "" if device_id or line_path else self._gateway(where)
        source = alarms.source_id(self.site, alarms.source_key(rule, device_id, gateway_id, line_path, condition))
        record = {
            "action_id": uuid5(_IDS, str(given["id"])),
            "kind": given["kind"],
            "site": self.site,
            "rule": rule,
            "device_id": device_id,
            "gateway_id": gateway_id,
            "line_path": line_path,
            "condition": condition,
            "alarm_id": alarms.alarm_id(source, us(float(start))) if start else None,
            "by": given.get("by", "alice"),
            "time_us": us(given["time"]) if "time" in given else self.now_us,
            "reason": given.get("reason", ""),
            "until_us": us(given["until"]) if "until" in given else None,
        }
        action = alarms.AlarmAction.from_record(record)
        assert alarms.AlarmAction.from_record(_decoded(action.encode(), "AlarmAction")) == action
        self.keep(logic, logic.on_record(self.site, "AlarmAction", record, self.now_us))

    def _timer(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        self.keep(logic, logic.on_timer(self.site, self.now_us))

    def _rules(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        for each in step["rules"]:
            self.rules.append(self._rule(each))
            logic.apply_rule(self.rules[-1])

    def _tags(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        self.definitions.append(list(map(self._tag, step["tags"])))
        self.define(logic)

    def _calm(self, logic: AlarmLogic, step: Mapping[str, Any]) -> None:
        lines = calm_list(self.alarms.values(), step["calm"])
        self.calm.append([f"{line.priority} {line.text} ({len(line.alarms)})" for line in lines])

    # --- outcome -----------------------------------------------------------------------------------------------------

    def outcome(self) -> dict[str, Any]:
        """What the expected file has."""
        assert len({event.event_id for event in self.events}) == len(self.events)
        found: dict[str, Any] = {
            "events": [self._event(event) for event in self.events],
            "alarms": [self._alarm(alarm) for alarm in self.alarms.values()],
        }
        return found | ({"calm": self.calm} if self.calm else {})

    def _event(self, event: AlarmEvent) -> str:
        name = self.names.get(event.alarm_id, self._neutral(event.path) or event.rule)
        words = [f"{seconds(event.time_us):g} {name} {event.kind}"]
        if event.kind not in (AlarmEventKind.FLOOD_BEGAN, AlarmEventKind.FLOOD_ENDED):
            words.append(f"-> {event.state}")
        words += [f"{event.priority}"] if event.kind is AlarmEventKind.RAISED else []
        words += [f"by {event.by}"] if event.by else []
        words += [f"until {seconds(event.until_us):g}"] if event.until_us is not None else []
        words += ["late"] if event.late else []
        words += ["withdrawn"] if event.withdrawn else []
        words += [f"because {event.reason}"] if event.reason else []
        return " ".join(words) + (f": {self._neutral(event.detail)}" if event.detail else "")

    def _neutral(self, text: str) -> str:
        """Without what is of this site alone."""
        return text.replace(f"{self.site}-", "").replace(f"/{self.site}/", "/north/").replace(f"/{self.site} ", " ")

    def _alarm(self, alarm: Alarm) -> str:
        words = [f"{self.names[alarm.alarm_id]} v{alarm.version} {alarm.state}"]
        words += [f"x{alarm.activations}"] if alarm.activations > 1 else []
        words += [flag for flag in ("active", "chattering", "fleeting", "first_out", "late") if getattr(alarm, flag)]
        words += [f"follows {self.names[alarm.cause_alarm_id]}"] if alarm.cause_alarm_id else []
        words += [f"acknowledged by {alarm.acknowledged_by}"] if alarm.acknowledged_by else []
        words += ["acknowledged at the machine"] if alarm.acknowledged_at_machine else []
        words += [f"for the machine: {alarm.acknowledged_reason}"] if alarm.acknowledged_reason else []
        words += [f"as it came at {seconds(alarm.seen_us):g}"] if alarm.seen_us else []
        words += [f"[{one.kind}{' by ' + one.by if one.by else ''}]" for one in alarm.overrides]
        words += [f"rule v{alarm.rule_version}"] if alarm.rule_version > 1 else []
        words += [f"comment: {alarm.comment}"] if alarm.comment else []
        return " ".join(words)


_KINDS: dict[str, Callable[[Placed, AlarmLogic, Mapping[str, Any]], None]] = {
    "values": Placed._values,
    "health": Placed._health,
    "anomaly": Placed._anomaly,
    "command": Placed._command,
    "condition": Placed._condition,
    "action": Placed._action,
    "rules": Placed._rules,
    "tags": Placed._tags,
    "calm": Placed._calm,
    "timer": Placed._timer,
}


def run(name: str, restored_before: Callable[[int], bool] = lambda _: False) -> dict[str, Any]:
    """What comes out of a case; before each step that `restored_before` names, the logic is thrown away and restored."""
    placed = Placed(name)
    logic = fresh([placed])
    for number, step in enumerate(placed.case["steps"]):
        if restored_before(number):
            logic = fresh([placed])
            placed.restore(logic)
        placed.step(logic, step)
    return placed.outcome()


def run_together(instances: Sequence[int]) -> dict[str, dict[str, Any]]:
    """All cases at once, each at a site of its own, over so many logics in each of equal parts of their steps; restored between."""
    cases = [Placed(name, site=f"site{number}", base=1000 * number) for number, name in enumerate(CASES.names(), 1)]
    for part, count in enumerate(instances):
        groups = [cases[start::count] for start in range(count)]
        for group in groups:
            logic = fresh(cases)
            for placed in group:
                if part:
                    placed.restore(logic)
            spans = [_span(len(placed.case["steps"]), part, len(instances)) for placed in group]
            # Round robin over the sites of an instance, as their records come.
            for turn in range(max(map(len, spans))):
                for placed, span in zip(group, spans, strict=True):
                    if turn < len(span):
                        placed.step(logic, placed.case["steps"][span[turn]])
    return {placed.name: placed.outcome() for placed in cases}


def _span(steps: int, part: int, parts: int) -> range:
    return range(steps * part // parts, steps * (part + 1) // parts)


def fresh(cases: Sequence[Placed]) -> AlarmLogic:
    """A logic that knows the definitions and rules of these cases, and nothing else."""
    logic = AlarmLogic(AlarmConfig(), us(OPENED_S))
    for placed in cases:
        placed.define(logic)
    return logic


def _decoded(message: bytes, name: str) -> dict[str, Any]:
    return codec.decode(message, name)[1]


def _time_of(kind: str, step: Mapping[str, Any]) -> float:
    given = step[kind]
    if kind == "values":
        return float(step.get("closed", max(row[1] for row in given)))
    if kind in ("health", "timer"):
        return float(given)
    if kind == "anomaly":
        return float(given.get("end", given["start"]))
    return float(given["time"]) if kind in ("command", "condition") else OPENED_S


def dump(found: dict[str, Any]) -> str:
    """Expected file of an outcome."""
    return json.dumps(found, indent=1) + "\n"
