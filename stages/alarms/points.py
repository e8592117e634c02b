"""Rules brought to devices: the points of a site, and which of them a sample, an episode, a command or a silence concerns.

A rule about conditions of a machine's server has a point for each condition that was heard (`stages.alarms.server_conditions`).

Enters: definitions of a site's tags and the rules of a moment. Leaves: a `SiteTable`, made anew when either changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from schemas.alarm_rules import OF_TAGS, AlarmRule, ConditionKind, GroupLevel
from schemas.alarms import source_id, source_key
from schemas.definitions import TagDefinition
from schemas.priorities import Priority
from stages.alarms.expressions import Bound, UnboundError, bind
from stages.alarms.lane_tables import LaneTable, lane_tables
from stages.alarms.problems import LINE_PATH, PARENT, Problem
from stages.alarms.rule_book import RulesAt
from stages.expressions.windows import WindowKey

_S = 1_000_000
_TAGS = ("tag", "setpoint_tag", "suppress_tag")
"""Fields of a rule that name a tag of its device."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """A rule at a device, line or gateway: what ISA-18.2 calls an alarm, whether or not anything is wrong."""

    key: str
    rule: AlarmRule
    site: str
    device_id: int
    gateway_id: str
    path: str
    scope: str
    """The operator's: the area, by which floods are counted."""
    group: str
    """Its first-out group, empty for none."""
    parent: str
    """Key of the point that suppresses it, empty for none."""
    tag: TagDefinition | None = None
    setpoint_id: int | None = None
    suppress_id: int | None = None
    bound: Bound | None = None
    """Its expression."""
    clock: str = ""
    """Its own gateway; of a line's, that of the tag that is named first."""
    condition: str = ""
    """Of a condition of a server, `<connection>:<node id>`; it has a priority and a title of its own."""
    own_priority: Priority | None = None
    own_title: str = ""

    @property
    def source_id(self) -> UUID:
        """Id of its source. A hash, and asked for only when something happens, of which most points know nothing."""
        return source_id(self.site, self.key)

    @property
    def clocks(self) -> frozenset[str]:
        """Gateways that move it: its delays and ages go on while any of them speaks, also when another one is silent."""
        return frozenset({self.clock, *(there for there, _ in (self.bound.lanes if self.bound else ()))})

    @property
    def priority(self) -> Priority:
        """The rule's, or its own."""
        return self.own_priority or self.rule.priority

    @property
    def title(self) -> str:
        """The rule's, or its own."""
        return self.own_title or self.rule.title

    @property
    def tag_id(self) -> int | None:
        """Tag that it watches."""
        return None if self.tag is None else self.tag.tag_id

    @property
    def of_values(self) -> bool:
        """Whether values of tags say when its condition was what."""
        return self.tag is not None or self.bound is not None

    @property
    def on_delay_us(self) -> int:
        """From when the condition holds to when it is an alarm; silence is a condition that takes its time."""
        silence_s = self.rule.after_s if self.rule.kind is ConditionKind.NO_DATA else 0.0
        return round((silence_s + self.rule.on_delay_s) * _S)

    @property
    def off_delay_us(self) -> int:
        """From when the condition is over to when the alarm returns."""
        return round(self.rule.off_delay_s * _S)


@dataclass(kw_only=True, slots=True)
class SiteTable:
    """The points of a site and the ways to them."""

    points: dict[str, Point] = field(default_factory=dict)
    retired: dict[str, Point] = field(default_factory=dict)
    """Points whose rule, tag or device is retired: so that what stands of them can end."""
    of_tag: dict[int, list[Point]] = field(default_factory=dict)
    """Judged at a sample of the tag."""
    silence_of_tag: dict[int, list[Point]] = field(default_factory=dict)
    silence_of_device: dict[int, list[Point]] = field(default_factory=dict)
    muted_by_tag: dict[int, list[Point]] = field(default_factory=dict)
    of_device: dict[int, list[Point]] = field(default_factory=dict)
    """Judged at anomalies and commands."""
    of_gateway: dict[str, list[Point]] = field(default_factory=dict)
    children: dict[str, list[Point]] = field(default_factory=dict)
    conditions: dict[str, list[Point]] = field(default_factory=dict)
    """By device or gateway: rules about conditions of servers. What they watch has points of its own."""
    expressions: dict[str, Point] = field(default_factory=dict)
    timed: dict[str, list[Point]] = field(default_factory=dict)
    """By gateway: expressions that change as time goes by."""
    windows: dict[int, set[WindowKey]] = field(default_factory=dict)
    """Of a tag, for expressions."""
    lanes: dict[tuple[str, int], LaneTable] = field(default_factory=dict)
    lane_of_tag: dict[int, tuple[str, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    """Rules that could not be brought to a device, and why."""

    def place(self, point: Point) -> None:
        """Have a point of a condition, also where there was one of its key."""
        before = self.points.get(point.key)
        self.points[point.key] = point
        lists = []
        if point.suppress_id is not None:
            lists.append(self.muted_by_tag.setdefault(point.suppress_id, []))
        if point.parent:
            lists.append(self.children.setdefault(point.parent, []))
        for known in lists:
            if before in known:
                known.remove(before)
            known.append(point)

    def displace(self, key: str) -> None:
        """A condition of which nothing is kept any more."""
        point = self.points.pop(key)
        for known in (self.muted_by_tag.get(point.suppress_id or 0, []), self.children.get(point.parent, [])):
            if point in known:
                known.remove(point)


def site_table(site: str, tags: Iterable[TagDefinition], rules: RulesAt) -> SiteTable:
    """The table of a site."""
    table = SiteTable()
    devices: dict[int, dict[str, TagDefinition]] = {}
    gateways: dict[str, str] = {}
    for tag in tags:
        devices.setdefault(tag.device_id, {})[tag.name] = tag
        gateways[tag.gateway_id] = tag.path.partition("/")[0]
    at_path = {next(iter(each.values())).device_path: each for each in devices.values()}
    points = [
        point for device_id in sorted(devices) for point in _of_device(table, site, devices[device_id], at_path, rules)
    ]
    lines = {"/".join(path.split("/")[:4]) for path in at_path}
    for line_path in sorted({*lines, *rules.lines()}):
        points += _of_line(table, site, line_path, at_path if line_path in lines else {}, rules)
    for gateway_id, enterprise in sorted(gateways.items()):
        path = f"{enterprise}/{site}/{gateway_id}"
        points += [_of_gateway(site, path, gateway_id, rule) for rule in rules.for_gateways()]
    parted = {device_id for device_id, tags in devices.items() if any(tag.retired for tag in tags.values())}
    table.retired = {point.key: point for point in points if _is_retired(point, devices, parted)}
    table.problems += [found for point in table.retired.values() for found in _stopped(point)]
    points = [point for point in points if point.key not in table.retired]
    known = {point.key for point in points}
    by_path = {path: next(iter(each.values())).device_id for path, each in at_path.items()}
    for point in points:
        _add(table, dataclasses.replace(point, parent=_parent(table, point, known, by_path)) if point.parent else point)
    named = {tag_id for point in table.expressions.values() if point.bound for tag_id in point.bound.tag_ids}
    watched = {*table.of_tag, *table.silence_of_tag, *table.muted_by_tag, *named}
    lane_tables(table, [tag for each in devices.values() for tag in each.values() if tag.tag_id in watched])
    return table


def _of_device(
    table: SiteTable,
    site: str,
    tags: dict[str, TagDefinition],
    at_path: Mapping[str, Mapping[str, TagDefinition]],
    rules: RulesAt,
) -> Iterator[Point]:
    first = next(iter(tags.values()))
    device_path, scope = first.device_path, GroupLevel.AREA.of(first.device_path)
    for rule in rules.for_device(first.device_class, device_path):
        if missing := sorted((name, key) for key, name in _named(rule) if name not in tags):
            name, where = missing[0]
            table.problems.append(Problem(rule.rule_id, where, f"{device_path} has no tag {name}"))
            continue
        bound = None
        if rule.kind is ConditionKind.EXPRESSION:
            try:
                bound = bind(rule, device_path, at_path)
            except UnboundError as error:
                table.problems.append(Problem(rule.rule_id, error.key, f"{error.key}: {error}"))
                continue
        key, tag = source_key(rule.name, first.device_id, ""), tags.get(rule.tag)
        yield Point(
            key=key,
            rule=rule,
            site=site,
            device_id=first.device_id,
            gateway_id=first.gateway_id,
            path=device_path if tag is None else tag.path,
            scope=scope,
            group=f"{rule.group}@{rule.group_level.of(device_path)}" if rule.group else "",
            parent=rule.parent,
            tag=tag,
            setpoint_id=tags[rule.setpoint_tag].tag_id if rule.setpoint_tag else None,
            suppress_id=tags[rule.suppress_tag].tag_id if rule.suppress_tag else None,
            bound=bound,
            clock=first.gateway_id,
        )


def _of_line(
    table: SiteTable, site: str, line_path: str, at_path: Mapping[str, Mapping[str, TagDefinition]], rules: RulesAt
) -> Iterator[Point]:
    """Rules of a line are expressions over tags of its devices."""
    for rule in rules.for_line(line_path):
        if not at_path:
            if not rule.retired:
                table.problems.append(Problem(rule.rule_id, LINE_PATH, f"there is no machine at {line_path}"))
            continue
        try:
            bound = bind(rule, line_path, at_path)
        except UnboundError as error:
            table.problems.append(Problem(rule.rule_id, error.key, f"{error.key}: {error}"))
            continue
        key = source_key(rule.name, 0, "", line_path)
        yield Point(
            key=key,
            rule=rule,
            site=site,
            device_id=0,
            gateway_id="",
            path=line_path,
            scope=GroupLevel.AREA.of(line_path),
            group=f"{rule.group}@{rule.group_level.of(line_path)}" if rule.group else "",
            parent=rule.parent,
            bound=bound,
            clock=bound.tags[0].gateway_id,
        )


def _is_retired(point: Point, devices: dict[int, dict[str, TagDefinition]], parted: Set[int]) -> bool:
    """Whether its rule, a tag of it, or its device is. `parted`: devices with a retired tag, which are few."""
    if point.rule.retired or (point.bound is not None and any(tag.retired for tag in point.bound.tags)):
        return True
    if point.device_id not in parted:
        return False
    tags = devices[point.device_id]
    return any(tags[name].retired for _, name in _named(point.rule)) or all(tag.retired for tag in tags.values())


def _named(rule: AlarmRule) -> list[tuple[str, str]]:
    """Tags of its device that a rule names, by field."""
    return [(key, name) for key in _TAGS if (name := getattr(rule, key))]


def _stopped(point: Point) -> Iterator[Problem]:
    """A rule of a line that nobody retired holds no more when one of its machines is gone: that is said."""
    if point.device_id or point.rule.retired or point.bound is None:
        return
    for tag in point.bound.tags:
        if tag.retired:
            yield Problem(point.rule.rule_id, "inputs", f"{tag.path} is retired")


def _of_gateway(site: str, path: str, gateway_id: str, rule: AlarmRule) -> Point:
    key = source_key(rule.name, 0, gateway_id)
    about: dict[str, Any] = {
        "path": path,
        "scope": path.rpartition("/")[0],
        "group": "",
        "parent": "",
        "clock": gateway_id,
    }
    return Point(key=key, rule=rule, site=site, device_id=0, gateway_id=gateway_id, **about)


def _add(table: SiteTable, point: Point) -> None:
    kind = point.rule.kind
    if kind is ConditionKind.CONDITION:
        table.conditions.setdefault(str(point.device_id or point.gateway_id), []).append(point)
        if point.suppress_id is not None:
            table.muted_by_tag.setdefault(point.suppress_id, [])
        return
    table.points[point.key] = point
    if kind is ConditionKind.NO_DATA:
        if point.tag_id is None:
            table.of_gateway.setdefault(point.gateway_id, []).append(point)
        else:
            table.silence_of_tag.setdefault(point.tag_id, []).append(point)
            table.silence_of_device.setdefault(point.device_id, []).append(point)
    elif point.bound is not None:
        table.expressions[point.key] = point
        for named_id in sorted(point.bound.compared):
            table.of_tag.setdefault(named_id, []).append(point)
        for window in point.bound.windows:
            table.windows.setdefault(window.tag_id, set()).add(window)
        if point.bound.timed:
            for gateway_id in point.clocks:
                table.timed.setdefault(gateway_id, []).append(point)
    elif kind in OF_TAGS:
        for tag_id in {point.tag_id, point.setpoint_id} - {None}:
            table.of_tag.setdefault(tag_id, []).append(point)  # type: ignore[arg-type]
    else:
        table.of_device.setdefault(point.device_id, []).append(point)
    if point.suppress_id is not None:
        table.muted_by_tag.setdefault(point.suppress_id, []).append(point)
    if point.parent:
        table.children.setdefault(point.parent, []).append(point)


def _parent(table: SiteTable, point: Point, known: set[str], by_path: dict[str, int]) -> str:
    """Key of the parent: at the device or line that the rule names, at the same one, or at its gateway; empty when it is nowhere."""
    rule = point.rule
    keys = []
    if rule.parent_path:
        keys.append(source_key(rule.parent, by_path.get(rule.parent_path, 0), "", rule.parent_path))
    else:
        keys.append(source_key(rule.parent, point.device_id, "", point.path))
        keys.append(source_key(rule.parent, 0, point.clock))
    found = next((key for key in keys if key in known), "")
    if not found:
        where = rule.parent_path or point.path
        table.problems.append(Problem(rule.rule_id, PARENT, f"there is no parent {rule.parent} at {where}"))
    return found
