"""Rules tried on history: what they would have raised, by the code that the job runs.

Enters: rules, definitions, stored samples, anomalies and commands of a span. Leaves: a `Trial`. Who calls: `alarms try`.

The samples go through as the line would have seen them: of each tag the last value of every tenth of a second. A lane's clock goes on
every second of a minute in which anything came of it, so silence of a tag is judged; silence of a gateway, and of a whole lane, is not:
health reports are not stored. Definitions are those of today. Nobody acknowledges anything.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import psycopg

from schemas.alarm_rules import AlarmRule
from schemas.alarms import Alarm, AlarmEvent, AlarmEventKind, AlarmState
from schemas.definitions import TagDefinition, encode_tag, encode_version
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.points import SiteTable, site_table
from stages.alarms.problems import LINE_PATH, Problem
from stages.alarms.rule_book import RuleBook
from stages.alarms.step import Step

TICK_US = 100_000
_SECOND_US = 1_000_000
_ROWS = 50_000
Connection = psycopg.Connection[Any]
Tell = Callable[[str], object]


@dataclass(kw_only=True, slots=True)
class Trial:
    """What came out: events in order, alarms as they ended, how many samples were judged, and rules that come to no device."""

    events: list[AlarmEvent] = field(default_factory=list)
    alarms: dict[str, Alarm] = field(default_factory=dict)
    samples: int = 0
    problems: list[str] = field(default_factory=list)

    def take(self, step: Step) -> None:
        """Keep what a step told."""
        self.events += step.events
        self.alarms |= {str(alarm.alarm_id): alarm for alarm in step.alarms}


class Reached(NamedTuple):
    """Points that rules come to: by rule name, and problems in words."""

    points: Counter[str]
    problems: list[Problem]


def reach(tags: Sequence[TagDefinition], rules: Sequence[AlarmRule]) -> Reached:
    """How many devices or gateways each rule comes to."""
    points, problems = Counter[str](), list[Problem]()
    for table in _tables(tags, rules):
        points.update(point.rule.name for point in table.points.values())
        points.update(point.rule.name for each in table.conditions.values() for point in each)
        # Rules may be loaded before the machines of their line, as before those of their class: `alarms check` warns.
        problems += [problem for problem in table.problems if problem.key != LINE_PATH]
    return Reached(points, problems)


def _tables(tags: Sequence[TagDefinition], rules: Sequence[AlarmRule]) -> Iterator[SiteTable]:
    book, of_site = RuleBook(rules), dict[str, list[TagDefinition]]()
    for tag in tags:
        of_site.setdefault(tag.site, []).append(tag)
    for site, known in sorted(of_site.items()):
        yield site_table(site, known, book.at(0, site))


def run(
    connection: Connection,
    tags: Sequence[TagDefinition],
    rules: Sequence[AlarmRule],
    from_us: int,
    to_us: int,
    tell: Tell = lambda _: None,
) -> Trial:
    """Try rules on what is stored between two moments."""
    logic = AlarmLogic(AlarmConfig(), from_us)
    for tag in tags:
        logic.apply_registry(encode_tag(tag)[1])
    logic.apply_registry(encode_version(1, tags=len(tags), time_us=from_us)[1])
    for rule in rules:
        logic.apply_rule(rule)
    trial = Trial(problems=list(reach(tags, rules).problems))
    watched = _watched(tags, rules)
    told_us = from_us
    for time_us, site, name, record in _merged(connection, watched, tags, from_us, to_us, trial):
        trial.take(logic.on_record(site, name, record, time_us))
        if time_us - told_us >= 3_600 * _SECOND_US:
            told_us = time_us
            tell(
                f"{100 * (time_us - from_us) / (to_us - from_us):.0f} %, {trial.samples:,} samples, {len(trial.events):,} events\n"
            )
    return trial


Item = tuple[int, str, str, Mapping[str, Any]]
"""Time, site, kind of record, record."""


def _watched(tags: Sequence[TagDefinition], rules: Sequence[AlarmRule]) -> dict[int, TagDefinition]:
    watched = {tag_id for table in _tables(tags, rules) for tag_id in table.lane_of_tag}
    return {tag.tag_id: tag for tag in tags if tag.tag_id in watched and not tag.retired}


def _merged(
    connection: Connection,
    watched: Mapping[int, TagDefinition],
    tags: Sequence[TagDefinition],
    from_us: int,
    to_us: int,
    trial: Trial,
) -> Iterator[Item]:
    """Everything of the span in order of time."""
    sites = {tag.device_id: tag.site for tag in tags}
    gateways = {tag.gateway_id: tag.site for tag in tags}
    sources = (
        _values(connection, watched, from_us, to_us, trial),
        _clocks(connection, gateways, from_us, to_us),
        _anomalies(connection, sites, from_us, to_us),
        _commands(connection, from_us, to_us),
    )
    yield from heapq.merge(*sources, key=lambda item: item[0])


def _values(
    connection: Connection, watched: Mapping[int, TagDefinition], from_us: int, to_us: int, trial: Trial
) -> Iterator[Item]:
    lanes: dict[tuple[str, int], dict[int, tuple[int, float, int]]] = {}
    bucket = 0
    query = """SELECT (extract(epoch FROM time) * 1000000)::bigint, tag_id, value, quality FROM samples
               WHERE tag_id = ANY (%s) AND time >= to_time(%s) AND time < to_time(%s) ORDER BY time"""
    for time_us, tag_id, value, quality in _rows(connection, "trial_samples", query, (list(watched), from_us, to_us)):
        trial.samples += 1
        if time_us // TICK_US != bucket:
            yield from _batches(lanes, (bucket + 1) * TICK_US, watched)
            lanes.clear()
            bucket = time_us // TICK_US
        tag = watched[tag_id]
        lanes.setdefault((tag.gateway_id, tag.lane), {})[tag_id] = (time_us, value, quality & 0xFFFF)
    yield from _batches(lanes, (bucket + 1) * TICK_US, watched)


def _batches(
    lanes: Mapping[tuple[str, int], Mapping[int, tuple[int, float, int]]],
    closed_us: int,
    watched: Mapping[int, TagDefinition],
) -> Iterator[Item]:
    for (gateway_id, lane), found in lanes.items():
        rows = [(tag_id, *each) for tag_id, each in found.items()]
        yield closed_us, watched[next(iter(found))].site, "LatestBatch", _batch(gateway_id, lane, closed_us, rows)


def _batch(gateway_id: str, lane: int, closed_us: int, rows: Sequence[tuple[int, int, float, int]]) -> dict[str, Any]:
    return {
        "gateway_id": gateway_id,
        "lane": lane,
        "closed_time_us": closed_us,
        "tag_id": np.array([row[0] for row in rows], dtype=np.int32),
        "time_us": np.array([row[1] for row in rows], dtype=np.int64),
        "value": np.array([row[2] for row in rows], dtype=np.float64),
        "quality": np.array([row[3] for row in rows], dtype=np.uint16),
    }


def _clocks(connection: Connection, gateways: Mapping[str, str], from_us: int, to_us: int) -> Iterator[Item]:
    query = """SELECT DISTINCT (extract(epoch FROM minute) * 1000000)::bigint, gateway_id, lane FROM ledger_minute
               WHERE minute >= to_time(%s) AND minute < to_time(%s) ORDER BY 1, 2, 3"""
    lanes: dict[int, list[tuple[str, int]]] = {}
    for minute_us, gateway_id, lane in _rows(connection, "trial_clocks", query, (from_us, to_us)):
        if minute_us not in lanes:
            yield from _ticks(lanes, gateways, to_us)
            lanes = {minute_us: []}
        lanes[minute_us].append((gateway_id, lane))
    yield from _ticks(lanes, gateways, to_us)


def _ticks(lanes: Mapping[int, Sequence[tuple[str, int]]], gateways: Mapping[str, str], to_us: int) -> Iterator[Item]:
    nothing: list[tuple[int, int, float, int]] = []
    for minute_us, known in lanes.items():
        for at_us in range(minute_us, min(minute_us + 60 * _SECOND_US, to_us), _SECOND_US):
            for gateway_id, lane in known:
                if gateway_id in gateways:
                    yield at_us, gateways[gateway_id], "LatestBatch", _batch(gateway_id, lane, at_us, nothing)


def _anomalies(connection: Connection, sites: Mapping[int, str], from_us: int, to_us: int) -> Iterator[Item]:
    query = """SELECT episode_id, device_id, detector, peak_score, (extract(epoch FROM start_time) * 1000000)::bigint,
                      (extract(epoch FROM end_time) * 1000000)::bigint FROM anomalies
               WHERE start_time >= to_time(%s) AND start_time < to_time(%s)"""
    found: list[Item] = []
    for episode_id, device_id, detector, score, start_us, end_us in connection.execute(query, (from_us, to_us)):
        record = {"episode_id": episode_id, "device_id": device_id, "detector": detector, "peak_score": score}
        times = {"start_us": start_us, "end_us": end_us}
        if device_id in sites:
            found.append((start_us, sites[device_id], "Anomaly", {**record, **times, "phase": "OPEN"}))
            if end_us is not None:
                found.append((end_us, sites[device_id], "Anomaly", {**record, **times, "phase": "CLOSE"}))
    yield from sorted(found, key=lambda item: item[0])


def _commands(connection: Connection, from_us: int, to_us: int) -> Iterator[Item]:
    query = """SELECT command_id, version, state, device_id, gateway_id, site, name, submitted_by, detail, attempt,
                      (extract(epoch FROM updated_at) * 1000000)::bigint FROM commands
               WHERE updated_at >= to_time(%s) AND updated_at < to_time(%s) ORDER BY updated_at, version"""
    names = (
        "command_id",
        "version",
        "state",
        "device_id",
        "gateway_id",
        "site",
        "name",
        "submitted_by",
        "detail",
        "attempt",
    )
    for row in connection.execute(query, (from_us, to_us)):
        record = dict(zip(names, row, strict=False)) | {
            "updated_us": row[-1],
            "parameters": {},
            "submitted_us": 0,
            "expires_us": 0,
        }
        yield row[-1], record["site"], "CommandState", record


def _rows(connection: Connection, name: str, query: str, given: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Rows by a cursor at the server: a week of samples is more than memory."""
    with connection.cursor(name=name, withhold=False) as cursor:
        cursor.itersize = _ROWS
        cursor.execute(query, given)
        yield from cursor


class Summary(NamedTuple):
    """What became of a rule."""

    rule: str
    priority: str
    raised: int
    devices: int
    chattering: int
    fleeting: int
    suppressed: int
    standing: int


def summaries(trial: Trial, rules: Iterable[AlarmRule]) -> list[Summary]:
    """One line a rule, the busiest first.

    Activations count, not alarms: nobody acknowledges here, and a condition that comes back is the same alarm.
    """
    raised = (AlarmEventKind.RAISED, AlarmEventKind.RAISED_AGAIN)
    found = []
    for rule in {one.name: one for one in rules}.values():
        mine = [event for event in trial.events if event.rule == rule.name]
        never = {event.alarm_id for event in mine if event.withdrawn}
        up = [event for event in mine if event.kind in raised and event.alarm_id not in never]
        alarms = [alarm for alarm in trial.alarms.values() if alarm.rule == rule.name]
        found.append(
            Summary(
                rule=rule.name,
                priority=rule.priority,
                raised=len(up),
                devices=len({event.path for event in up}),
                chattering=len({event.alarm_id for event in mine if event.kind is AlarmEventKind.CHATTERING}),
                fleeting=sum(_fleeting(up, [event for event in mine if event.kind is AlarmEventKind.RETURNED])),
                suppressed=sum(event.state is AlarmState.SUPPRESSED for event in up),
                standing=sum(alarm.active for alarm in alarms),
            )
        )
    return sorted(found, key=lambda one: (-one.raised, one.rule))


def _fleeting(raised: Sequence[AlarmEvent], returned: Sequence[AlarmEvent]) -> Iterator[bool]:
    begun: dict[Any, int] = {}
    limit_us = AlarmConfig().fleeting_ms * 1000
    for event in sorted([*raised, *returned], key=lambda one: (one.alarm_id, one.version)):
        if event.kind is AlarmEventKind.RETURNED:
            yield event.time_us - begun.get(event.alarm_id, event.time_us - limit_us) < limit_us
        else:
            begun[event.alarm_id] = event.time_us


def untried(rules: Iterable[AlarmRule]) -> list[str]:
    """Rules that history cannot judge."""
    return sorted({rule.name for rule in rules if rule.of_gateway})
