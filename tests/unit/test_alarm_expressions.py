"""Rules by expressions through the logic of alarms: against a direct oracle, the documented examples, and what checking a file says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from alarms import rules_file, trial
from alarms.report import Report, busiest, variants
from base.errors import ConfigError
from schemas import codec
from schemas.alarm_rules import AlarmRule, ConditionKind
from schemas.alarms import AlarmEventKind
from schemas.definitions import DataType, TagDefinition, encode_tag, encode_version
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.points import site_table
from stages.alarms.rule_book import RuleBook
from tests.golden.support import GATEWAY, SITE, seconds, tag, us
from tests.unit.test_alarm_files import example_tags
from tests.unit.test_expressions import by_hand

DOCUMENTED = Path(__file__).resolve().parents[2] / "docs" / "examples" / "alarm-expressions.yaml"
BAD = 0x8000


def rule(expression: str, **fields: Any) -> AlarmRule:
    usual = {"name": "odd", "device_class": "press", "severity": "MODERATE", "response": "PROMPT"}
    return AlarmRule.from_record({**usual, "kind": "EXPRESSION", "expression": expression, **fields})


def logic_of(tags: list[TagDefinition], *rules: AlarmRule) -> AlarmLogic:
    logic = AlarmLogic(AlarmConfig(), us(-1000))
    for one in tags:
        logic.apply_registry(encode_tag(one)[1])
    logic.apply_registry(encode_version(1, tags=len(tags), time_us=us(0))[1])
    for each in rules:
        logic.apply_rule(each)
    return logic


Row = tuple[int, float, int]
"""Tag, value and quality."""


def changes(
    logic: AlarmLogic, time_us: int, rows: list[Row], site: str = SITE, gateway: str = GATEWAY
) -> Iterator[tuple[bool, int]]:
    """Give the logic rows of one moment; when alarms went up (True) and down."""
    record = {
        "gateway_id": gateway,
        "lane": 0,
        "closed_time_us": time_us,
        "tag_id": np.array([row[0] for row in rows], np.int32),
        "time_us": np.full(len(rows), time_us),
        "value": np.array([row[1] for row in rows], np.float64),
        "quality": np.array([row[2] for row in rows], np.uint16),
    }
    for event in logic.on_record(site, "LatestBatch", record, time_us).events:
        if event.kind in (AlarmEventKind.RAISED, AlarmEventKind.RAISED_AGAIN, AlarmEventKind.RETURNED):
            yield event.kind is not AlarmEventKind.RETURNED, event.time_us


# --- a direct oracle -----------------------------------------------------------------------------------------------------

ON, OPEN, POWER = 1, 2, 3
TAGS = [
    tag(ON, name="on", data_type=DataType.BOOLEAN),
    tag(OPEN, name="open", data_type=DataType.BOOLEAN),
    tag(POWER, name="power"),
]
Seen = Mapping[str, Any]
"""What is known by name; None for what is not."""


def both(one: bool | None, other: bool | None) -> bool | None:
    return False if one is False or other is False else None if one is None or other is None else True


def either(one: bool | None, other: bool | None) -> bool | None:
    return True if one is True or other is True else None if one is None or other is None else False


def no(one: bool | None) -> bool | None:
    return None if one is None else not one


def above(value: float | None, limit: float) -> bool | None:
    return None if value is None else value > limit


Oracle = Callable[[Seen], bool | None]
PAIRS: list[tuple[str, dict[str, Any], Oracle]] = [
    ("tag.on && !tag.open", {}, lambda seen: both(seen["on"], no(seen["open"]))),
    ("tag.on || tag.power > 5", {}, lambda seen: either(seen["on"], above(seen["power"], 5))),
    (
        "tag.on ? tag.power > 2 : tag.power > 8",
        {},
        lambda seen: None if seen["on"] is None else above(seen["power"], 2 if seen["on"] else 8),
    ),
    ("tag.power > 6 - deadband", {"deadband": 3}, lambda seen: above(seen["power"], 3 if seen["holds"] else 6)),
    ("tag.on && mean_10s.power > 5", {}, lambda seen: both(seen["on"], above(seen["mean"], 5))),
    ("max_10s.power > 8", {}, lambda seen: above(seen["max"], 8)),
    ("mean_10s.on > 0.5 && !tag.open", {}, lambda seen: both(above(seen["mean_on"], 0.5), no(seen["open"]))),
    ("tag.on && !tag.open", {"after_s": 7}, lambda seen: both(seen["on"], no(seen["open"]))),
    ("tag.on && !known.power", {"after_s": 7}, lambda seen: both(seen["on"], seen["power"] is None)),
    ("tag.on && age_s.power > 9", {}, lambda seen: both(seen["on"], above(seen["age"], 9))),
]


def seen_of(history: Mapping[int, list[tuple[int, float]]], hold_us: int, now_us: int, holds: bool) -> Seen:
    last: dict[int, Any] = {}
    for tag_id, samples in history.items():
        at_us, value = samples[-1] if samples else (0, math.nan)
        known = not math.isnan(value) and not (hold_us and now_us - at_us > hold_us)
        last[tag_id] = value if known else None
    power, on = (by_hand(history[each], hold_us, now_us) for each in (POWER, ON))
    return {
        "on": None if last[ON] is None else bool(last[ON]),
        "open": None if last[OPEN] is None else bool(last[OPEN]),
        "power": last[POWER],
        "age": (now_us - history[POWER][-1][0]) / 1e6 if history[POWER] else None,
        "mean": power and power.mean,
        "max": power and power.max,
        "mean_on": on and on.mean,
        "holds": holds,
    }


MOMENT = st.tuples(
    st.integers(1, 30),
    st.dictionaries(
        st.sampled_from([ON, OPEN, POWER]),
        st.tuples(st.integers(0, 10), st.sampled_from([0, 0, 0, 0, BAD])),
        min_size=1,
    ),
)


@example(
    next(pair for pair in PAIRS if pair[0] == "tag.on && !known.power"),
    [(1, {ON: (0, 0), POWER: (0, 0)}), (71, {ON: (1, 0), POWER: (0, 0)})],
    0,
)
@given(st.sampled_from(PAIRS), st.lists(MOMENT, max_size=40), st.integers(0, 40))
def test_rules_are_what_a_direct_computation_says(
    pair: tuple[str, dict[str, Any], Oracle], moments: list[tuple[int, dict[int, tuple[int, int]]]], cut: int
) -> None:
    """Times are tenths of seconds. The logic is thrown away and restored at the cut."""
    text, fields, oracle = pair
    hold_us = round(fields.get("after_s", 0) * 1e6)
    timed = hold_us > 0 or any(word in text for word in ("_10s", "age_s"))
    logic, parts = logic_of(TAGS, rule(text, **fields)), dict[str, bytes]()
    history: dict[int, list[tuple[int, float]]] = {ON: [], OPEN: [], POWER: []}
    now_us, holds, second = us(0), False, us(0) // 1_000_000
    found, wanted = list[tuple[bool, int]](), list[tuple[bool, int]]()

    def judge() -> None:
        nonlocal holds
        now = oracle(seen_of(history, hold_us, now_us, holds))
        if now is not None and now != holds:
            holds = now
            wanted.append((holds, now_us))

    for number, (after, rows) in enumerate(moments):
        now_us += after * 100_000
        given_rows = [
            (tag_id, float(value % 2 if tag_id != POWER else value), quality)
            for tag_id, (value, quality) in sorted(rows.items())
        ]
        found += changes(logic, now_us, given_rows)

        def is_news(row: Row) -> bool:
            tag_id, value, quality = row
            before = history[tag_id][-1][1] if history[tag_id] else None
            named = any(f"{word}.{TAGS[tag_id - 1].name}" in text for word in ("tag", "known"))
            return named and not _same(before, math.nan if quality else value)

        def is_judged(row: Row) -> bool:
            return is_news(row) or f"_10s.{TAGS[row[0] - 1].name}" in text

        # What says nothing new of a tag is known of its moment before anything is judged; the rest in the order of tags.
        for row in sorted(given_rows, key=is_judged):
            news, (tag_id, value, quality) = is_news(row), row
            history[tag_id].append((now_us, math.nan if quality else value))
            if news:
                judge()
        if timed and now_us // 1_000_000 != second:
            second = now_us // 1_000_000
            judge()
        parts |= {name: data for name, data in logic.drain_changes(SITE).items() if data is not None}
        if number == cut:
            logic = logic_of(TAGS, rule(text, **fields))
            logic.restore(SITE, parts, now_us)
    assert [(up, seconds(at)) for up, at in found] == [(up, seconds(at)) for up, at in wanted]


def _same(one: float | None, other: float) -> bool:
    return one is not None and (one == other or (math.isnan(one) and math.isnan(other)))


# --- documented examples -------------------------------------------------------------------------------------------------


class Machine:
    """A device of the example plant under the documented rules."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.tags = {one.path: one for one in example_tags()}
        self.site = path.split("/")[1]
        self.logic = logic_of(list(self.tags.values()), *rules_file.read(DOCUMENTED).rules)
        self.up: dict[str, list[float]] = {}

    def see(self, second: float, **values: float | None) -> None:
        """Values by name of the tag; `robot__` in front for one of robot-01 of its cell. None is of bad quality."""
        rows, gateway = list[Row](), ""
        for name, value in values.items():
            device = f"{self.path.rpartition('/')[0]}/robot-01" if name.startswith("robot__") else self.path
            found = self.tags[f"{device}/{name.removeprefix('robot__')}"]
            rows.append((found.tag_id, value or 0.0, BAD if value is None else 0))
            gateway = found.gateway_id
        for up, at_us in changes(self.logic, us(second), rows, self.site, gateway):
            self.up.setdefault("up" if up else "down", []).append(seconds(at_us))


def test_a_mill_that_cuts_without_coolant() -> None:
    mill = Machine("acme/south/machining/line-1/milling-b/mill-03")
    mill.see(0, spindle_speed=6000, coolant_pressure=38)
    mill.see(10, coolant_pressure=2)
    mill.see(30, spindle_speed=0)
    mill.see(40, spindle_speed=6000)
    mill.see(80, spindle_speed=6001)
    mill.see(90, coolant_pressure=38)
    assert mill.up == {"up": [70], "down": [90]}


def test_an_oven_that_is_far_from_its_own_last_minutes() -> None:
    oven = Machine("acme/north/finishing/line-4/curing/oven-01")
    for second in range(0, 600, 30):
        oven.see(second, zone1_temperature=180)
    oven.see(600, zone1_temperature=197)
    oven.see(601, zone1_temperature=193)
    oven.see(602, zone1_temperature=189)
    assert oven.up == {"up": [600], "down": [602]}


def test_a_press_that_executes_and_makes_nothing() -> None:
    press = Machine("acme/north/forming/line-1/drawing/press-02")
    press.see(0, packml_state=6, cycle_count=10)
    for second in range(10, 200, 10):
        press.see(second, cycle_count=10 + second)
    for second in range(200, 520, 10):
        press.see(second, cycle_count=200)
    press.see(520, cycle_count=201)
    # The count is 200 from 190 s on. A window moves in steps of 6 s: that of 490 s begins at 192 s.
    assert press.up == {"up": [490], "down": [520]}


def test_a_press_whose_robot_has_aborted() -> None:
    press = Machine("acme/north/forming/line-1/blanking/press-01")
    press.see(0, packml_state=6, robot__packml_state=6)
    press.see(10, robot__packml_state=9)
    press.see(25, packml_state=6)
    press.see(30, robot__packml_state=6)
    assert press.up == {"up": [20], "down": [30]}
    other = Machine("acme/north/forming/line-1/drawing/press-02")
    other.see(0, packml_state=6)
    other.see(60, packml_state=6)
    assert other.up == {}


def test_an_oven_whose_temperature_is_not_known_counts_as_hot() -> None:
    oven = Machine("acme/north/finishing/line-4/curing/oven-01")
    oven.see(0, zone1_temperature=40, door_open=0)
    oven.see(30, door_open=1)
    oven.see(61, door_open=1)
    oven.see(70, zone1_temperature=41)
    oven.see(80, zone1_temperature=None)
    oven.see(90, zone1_temperature=41)
    oven.see(100, zone1_temperature=70)
    assert oven.up == {"up": [61, 80, 100], "down": [70, 90]}


def test_each_documented_rule_comes_to_machines_of_the_example_plant() -> None:
    rules = rules_file.read(DOCUMENTED).rules
    points, problems = trial.reach(example_tags(), rules)
    assert problems == []
    assert len(rules) == 5
    assert all(points[one.name] for one in rules)
    page = (DOCUMENTED.parents[1] / "alarms.md").read_text().replace("\\|", "|")
    assert all(f"`{one.expression}`" in page for one in rules)


# --- as a rule -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"expression": ""}, "EXPRESSION needs an expression"),
        ({"tag": "temp"}, "EXPRESSION is not of a tag"),
        ({"kind": "LIMIT", "level": "HI", "tag": "temp"}, "LIMIT has neither expression nor inputs"),
        ({"after_s": -1}, "after_s is below 0"),
        ({"inputs": {"1st": "a/b"}}, "'1st' is no name in an expression"),
        ({"inputs": {"one": "a/b/c/d"}}, "'a/b/c/d' is not TAG"),
        ({"inputs": {"one": "a//b"}}, "'a//b' is not TAG"),
        ({"inputs": 3}, "alarm rule"),
        ({"severity": "SEVERE", "parent": "other"}, "CRITICAL and may not be suppressed"),
    ],
)
def test_what_cannot_be_a_rule_says_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        rule(**{"expression": "tag.a > 1", **fields})


def test_a_rule_travels_and_is_written_as_it_is() -> None:
    one = rule("tag.a > tag.b", inputs={"b": "other/b", "a": "ns=2;s=A"}, after_s=5.0, author="anna")
    name, record = codec.decode(one.encode(), "AlarmRule")
    assert name == "AlarmRule"
    assert record["kind"] == "STATE"
    assert AlarmRule.from_record(record) == one
    assert one.kind is ConditionKind.EXPRESSION
    text = rules_file.dump([rule("tag.a > tag.b", inputs={"b": "other/b"})])
    assert "b: other/b" in text
    assert rules_file.parse(text).rules == [rule("tag.a > tag.b", inputs={"b": "other/b"})]


def test_rules_without_an_expression_travel_as_before() -> None:
    limit = AlarmRule.from_record(
        {
            "name": "hot",
            "kind": "LIMIT",
            "level": "HI",
            "tag": "t",
            "device_class": "press",
            "severity": "MINOR",
            "response": "SOON",
        }
    )
    assert codec.schema_of(limit.encode()).version == 1
    assert codec.schema_of(rule("tag.a > 1").encode()).version == 3


FILE = """\
rules:
  - name: one
    device_class: press
    kind: EXPRESSION
    expression: {expression}
    inputs: {inputs}
    severity: MINOR
    response: SOON
"""


@pytest.mark.parametrize(
    ("expression", "inputs", "line", "problem"),
    [
        ("tag.power > 1 && tag.absent > 1", "{}", 5, "has no tag absent; it has bearing_temperature, "),
        ("tag.power && true", "{}", 5, r"expression: column 11: && cannot be applied to \(number, boolean\)"),
        ("tag.power", "{}", 5, "a number, no condition"),
        ("tag.power > tag.robot", "{robot: robot-09/power}", 6, "there is no tag acme/.*/robot-09/power at this site"),
        ("tag.power > 1", "{robot: robot-01/power}", 6, "robot is not in the expression"),
    ],
)
def test_checking_a_file_says_line_and_key(expression: str, inputs: str, line: int, problem: str) -> None:
    file = rules_file.parse(FILE.format(expression=expression, inputs=inputs))
    problems = trial.reach(example_tags(), file.rules).problems
    assert problems
    assert file.lines[problems[0].rule_id, problems[0].key] == line
    with pytest.raises(AssertionError, match=problem):
        raise AssertionError(problems[0])


LINE_FILE = """\
rules:
  - name: one
    line_path: acme/south/coating/{line}
    kind: EXPRESSION
    expression: {expression}
    inputs: {inputs}
    severity: MINOR
    response: SOON
"""


@pytest.mark.parametrize(
    ("expression", "inputs", "line", "problem"),
    [
        (
            "tag.power > 1",
            "{}",
            5,
            "a line has no tags of its own: say in inputs where power is, as power: DEVICE/power",
        ),
        (
            "tag.a > 1",
            "{a: mill-01/power}",
            6,
            "has no device mill-01; it has oven-01, oven-02, oven-03, robot-03, robot-04",
        ),
        ("tag.a > 1", "{a: oven-01/colour}", 6, "there is no tag acme/south/coating/line-2/curing/oven-01/colour"),
        (
            "tag.a > 1",
            "{a: loading/oven-01/power}",
            6,
            "there is no tag acme/south/coating/line-2/loading/oven-01/power",
        ),
        ("tag.a && true", "{a: curing/oven-01/power}", 5, r"&& cannot be applied to \(number, boolean\)"),
    ],
)
def test_checking_a_rule_of_a_line_says_line_and_key(expression: str, inputs: str, line: int, problem: str) -> None:
    file = rules_file.parse(LINE_FILE.format(expression=expression, inputs=inputs, line="line-2"))
    points, problems = trial.reach(example_tags(), file.rules)
    assert not points
    assert file.lines[problems[0].rule_id, problems[0].key] == line
    assert re.search(problem, problems[0])


def test_a_rule_of_a_line_comes_to_that_line_and_to_no_other() -> None:
    for line, count in (("line-2", 1), ("line-20", 0)):
        file = rules_file.parse(LINE_FILE.format(expression="tag.a > 1", inputs="{a: oven-01/power}", line=line))
        points, problems = trial.reach(example_tags(), file.rules)
        assert (points["one"], problems) == (count, [])


def test_a_rule_of_a_line_that_holds_nowhere_or_no_more_says_so_unless_it_is_retired() -> None:
    (one,) = rules_file.parse(
        LINE_FILE.format(expression="tag.a > 1", inputs="{a: oven-01/power}", line="line-2")
    ).rules
    there = [tag for tag in example_tags() if tag.site == "south"]
    gone = [replace(tag, retired=tag.device_path.endswith("/oven-01")) for tag in there]
    elsewhere = replace(one, line_path="acme/south/coating/line-20")
    retired = [replace(rule, retired=True) for rule in (one, elsewhere)]

    def problems(tags: list[TagDefinition], *rules: AlarmRule) -> list[tuple[str, str]]:
        return [(found.key, str(found)) for found in site_table("south", tags, RuleBook(rules).at(0, "south")).problems]

    assert problems(there, one) == []
    assert problems(gone, one) == [
        ("inputs", f"alarm rule {one.rule_id}: acme/south/coating/line-2/curing/oven-01/power is retired")
    ]
    assert problems(there, one, elsewhere) == [
        ("line_path", f"alarm rule {elsewhere.rule_id}: there is no machine at acme/south/coating/line-20")
    ]
    assert problems(gone, *retired) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"inputs": {"a": "power"}}, "'power' is not DEVICE/TAG or CELL/DEVICE/TAG of the line, or a whole path"),
        ({"suppress_tag": "state", "suppress_values": [2]}, "suppress_tag is of a device"),
    ],
)
def test_what_cannot_be_a_rule_of_a_line_says_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        rule("tag.a > 1", **{"device_class": "", "line_path": "acme/north/area/line", **fields})


def test_a_rule_of_a_line_travels_in_a_version_of_its_own() -> None:
    one = rule("tag.a > 1", device_class="", line_path="acme/north/area/line", inputs={"a": "press-01/a"})
    assert codec.schema_of(one.encode()).version == 4
    assert AlarmRule.from_record(codec.decode(one.encode(), "AlarmRule")[1]) == one
    assert one.rule_id == "odd@acme/north/area/line"


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("tag.power >", "^line 2: alarm rule 'one': expression: column 12: Syntax error"),
        ("power > 1", "^line 2: alarm rule 'one': expression: there is no power"),
        ("tag.a.exists(x, x)", "^line 2: alarm rule 'one': expression: there is no function"),
    ],
)
def test_what_no_machine_could_have_is_refused_without_one(expression: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        rules_file.parse(FILE.format(expression=expression, inputs="{}"))


def test_a_trial_reads_the_tags_that_expressions_name() -> None:
    tags = example_tags()
    watched = trial._watched(tags, rules_file.read(DOCUMENTED).rules)
    names = {(one.device_class, one.name) for one in watched.values()}
    assert ("cnc_mill", "coolant_pressure") in names
    assert ("oven", "zone1_temperature") in names
    assert {one.path.split("/")[-2] for one in watched.values() if one.device_class == "robot"} == {"robot-01"}


def test_the_busiest_rules_of_a_report_are_those_of_lines_too() -> None:
    line = "acme/south/coating/line-2"
    one = rule("tag.a > 1", device_class="", line_path=line, inputs={"a": "oven-01/power"})
    day = datetime(2026, 1, 1, tzinfo=UTC)
    report = Report(day, day, [], [{"path": line, "rule": one.name}], [], [])
    assert busiest(report, example_tags(), [replace(one, line_path=f"{line}0"), one]) == [one]


def test_wider_deadbands_are_proposed_for_expressions_that_have_one() -> None:
    assert any(one.deadband > 2 for one in variants(rule("tag.a > 6 - deadband", deadband=2.0)))
    assert not any(one.deadband for one in variants(rule("tag.a > 6")))


# --- what is not known yet -------------------------------------------------------------------------------------------------


def batch(gateway: str, lane: int, closed_us: int, rows: list[tuple[int, float, float]]) -> dict[str, Any]:
    """Rows are tag, second, value."""
    return {
        "gateway_id": gateway,
        "lane": lane,
        "closed_time_us": closed_us,
        "tag_id": np.array([row[0] for row in rows], np.int32),
        "time_us": np.array([us(row[1]) for row in rows], np.int64),
        "value": np.array([row[2] for row in rows], np.float64),
        "quality": np.zeros(len(rows), np.uint16),
    }


@pytest.mark.parametrize("fields", [{}, {"on_delay_s": 30.0}, {"after_s": 7.0}])
def test_a_start_without_state_judges_nothing_before_something_is_known(fields: dict[str, Any]) -> None:
    logic = logic_of(TAGS, rule("!known.on || tag.open", **fields))
    assert logic.restore(SITE, {}, us(0)).events == []
    health = {"gateway_id": GATEWAY, "site": SITE, "time_us": us(1), "kind": "GATEWAY_HEALTH", "attributes": {}}
    assert logic.on_record(SITE, "DeviceEvent", health, us(1)).events == []
    step = logic.on_record(SITE, "LatestBatch", batch(GATEWAY, 0, us(2), [(ON, 2, 1.0), (OPEN, 2, 0.0)]), us(2))
    assert all(event.time_us >= us(2) for event in step.events)
    for second in range(3, 40):
        step = logic.on_record(SITE, "LatestBatch", batch(GATEWAY, 0, us(second), [(ON, second, 1.0)]), us(second))
        assert step.events == []


@pytest.mark.parametrize("other", [GATEWAY, "gw-other"])
def test_a_delay_over_two_lanes_ends_by_the_one_that_is_behind(other: str) -> None:
    tags = [tag(ON, name="power"), tag(OPEN, name="open", data_type=DataType.BOOLEAN, lane=1, gateway_id=other)]
    logic = logic_of(tags, rule("tag.power > 5 && !tag.open", on_delay_s=10.0))
    told = list[tuple[str, float]]()

    def see(gateway: str, lane: int, at: float, tag_id: int, second: float, value: float) -> None:
        step = logic.on_record(SITE, "LatestBatch", batch(gateway, lane, us(second), [(tag_id, second, value)]), us(at))
        told.extend((event.kind, seconds(event.time_us)) for event in step.events)

    see(other, 1, 0, OPEN, 0, 0.0)
    see(GATEWAY, 0, 0, ON, 0, 6.0)
    for second in range(1, 18):
        see(GATEWAY, 0, second, ON, second, 6.0 + second % 2)
    see(other, 1, 17.5, OPEN, 5, 1.0)
    see(GATEWAY, 0, 18, ON, 18, 6.0)
    assert told == []
    for second in range(19, 40):
        see(other, 1, second, OPEN, second, 0.0)
        see(GATEWAY, 0, second, ON, second, 6.0 + second % 2)
    assert told == [("RAISED", 29.0)]
