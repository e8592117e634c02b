"""Rules of alarms: what cannot be one says why, priorities follow from the matrix, and of several rules the narrowest holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from base.errors import ConfigError
from schemas.alarm_rules import AlarmRule
from schemas.definitions import encode_tag, encode_version
from schemas.priorities import Priority, Response, Severity, priority_of
from stages.alarms.config import AlarmConfig
from stages.alarms.logic import AlarmLogic
from stages.alarms.points import site_table
from stages.alarms.rule_book import MAX_VERSIONS, RuleBook
from tests.golden.support import GATEWAY, SITE, tag, us

PRESS = f"acme/{SITE}/area/line/cell/device1"


def rule(**fields: Any) -> AlarmRule:
    given: dict[str, Any] = {
        "name": "hot",
        "kind": "LIMIT",
        "level": "HI",
        "tag": "temp",
        "limit": 80.0,
        "severity": "MODERATE",
        "response": "PROMPT",
    }
    if not {"device_path", "of_gateway", "device_class", "line_path"} & fields.keys():
        given["device_class"] = "press"
    return AlarmRule.from_record(given | fields)


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"name": "Hot oil"}, "the name is not of"),
        ({"device_path": PRESS, "device_class": "press"}, "exactly one of"),
        ({"device_class": ""}, "exactly one of"),
        ({"device_path": "acme/north"}, "six names"),
        ({"of_gateway": True, "tag": ""}, "LIMIT is not of a gateway"),
        ({"line_path": "acme/north/forming/line-1"}, "LIMIT is not of a line; EXPRESSION is"),
        ({"line_path": "acme/north/forming"}, "line_path is not a line's path of four names"),
        ({"line_path": "acme/north/forming/line-1", "site": "north"}, "line_path says the site already"),
        ({"line_path": "acme/north/forming/line-1", "device_class": "press"}, "exactly one of"),
        ({"tag": ""}, "LIMIT needs a tag"),
        ({"kind": "ANOMALY", "level": None}, "ANOMALY is not of a tag"),
        ({"level": None}, "needs a level"),
        ({"level": "HIGH"}, "HIGH"),
        ({"kind": "RATE", "limit": 0}, "limit above 0"),
        ({"kind": "RATE", "limit": 1, "deadband": 1}, "would never return"),
        ({"kind": "DEVIATION"}, "setpoint_tag"),
        ({"kind": "STATE"}, "needs values"),
        ({"kind": "NO_DATA"}, "after_s above 0"),
        ({"kind": "COMMAND", "tag": "", "outcomes": ["ACCEPTED"]}, "ends no command"),
        ({"kind": "COMMAND", "tag": "", "on_delay_s": 5}, "no delays"),
        ({"on_delay_s": -1}, "below 0"),
        ({"severity": "SEVERE", "parent": "other"}, "CRITICAL and may not be suppressed"),
        ({"severity": "SEVERE", "suppress_tag": "state", "suppress_values": [2]}, "CRITICAL and may not be suppressed"),
        ({"parent": "hot"}, "its own parent"),
        ({"suppress_tag": "state"}, "belong together"),
        ({"title": "x" * 501}, "longer than 500"),
        ({"site": "north", "device_path": PRESS}, "says the site already"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_cannot_be_a_rule_says_why(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as found:
        rule(**fields)
    assert "alarm rule" in str(found.value)


def test_priority_rises_with_severity_and_urgency_and_uses_the_whole_range() -> None:
    ranks = [[priority_of(severity, response).rank for response in Response] for severity in Severity]
    for row in ranks:
        assert row == sorted(row)
    for column in zip(*ranks, strict=True):
        assert list(column) == sorted(column)
    assert {rank for row in ranks for rank in row} == set(range(len(Priority)))


def test_the_narrowest_rule_of_a_name_holds() -> None:
    book = RuleBook(
        [rule(limit=1), rule(limit=2, site="north"), rule(limit=3, device_path=PRESS), rule(limit=4, site="south")]
    )
    assert [one.limit for one in book.at(0, "north").for_device("press", PRESS)] == [3]
    assert [one.limit for one in book.at(0, "north").for_device("press", "acme/north/a/l/c/other")] == [2]
    assert [one.limit for one in book.at(0, "east").for_device("press", "acme/east/a/l/c/other")] == [1]
    assert book.at(0, "north").for_device("robot", "acme/north/a/l/c/other") == []


def test_versions_hold_from_their_day_on_and_the_newest_ones_are_kept() -> None:
    book = RuleBook(rule(version=version, limit=version, valid_from_us=version * 10) for version in range(1, 31))
    assert [one.limit for one in book.at(305, "north").for_device("press", PRESS)] == [30]
    assert book.at(200, "north").until_us == 210
    assert book.at(300, "north").until_us is None
    oldest = 30 - MAX_VERSIONS + 1
    assert [one.limit for one in book.at(oldest * 10, "north").for_device("press", PRESS)] == [oldest]
    assert book.at(oldest * 10 - 1, "north").for_device("press", PRESS) == []


def test_what_is_known_already_changes_nothing_and_a_tombstone_takes_it_away() -> None:
    book = RuleBook([rule()])
    before = book.generation(SITE)
    book.apply(rule())
    assert book.generation(SITE) == before
    book.forget(rule().rule_id, 1)
    book.forget(rule().rule_id, 1)
    assert book.generation(SITE) == before + 1
    assert len(book) == 0


def test_a_rule_of_one_site_is_no_change_for_another() -> None:
    book = RuleBook()
    book.apply(rule(device_class="", device_path=PRESS))
    book.apply(rule(site="south"))
    assert (book.generation(SITE), book.generation("south"), book.generation("east")) == (1, 1, 0)
    book.apply(rule(name="everywhere"))
    assert (book.generation(SITE), book.generation("south"), book.generation("east")) == (2, 2, 1)


def test_a_rule_that_names_what_is_not_there_is_a_problem_and_no_alarm() -> None:
    rules = RuleBook([rule(), rule(name="cold", tag="absent"), rule(name="child", parent="nobody")])
    table = site_table(SITE, [tag(1, name="temp")], rules.at(0, SITE))
    assert set(table.points) == {"hot@1", "child@1"}
    assert table.points["child@1"].parent == ""
    assert len(table.problems) == 2
    assert any("has no tag absent" in problem for problem in table.problems)
    assert any("there is no parent nobody" in problem for problem in table.problems)


def test_many_rules_that_come_one_by_one_are_followed_together_at_a_site_that_has_many() -> None:
    logic = AlarmLogic(AlarmConfig(follow_us=10_000_000), us(-100))
    logic.apply_registry(encode_tag(tag(1, name="temp"))[1])
    logic.apply_registry(encode_version(1, tags=1, time_us=us(0))[1])

    def raised(second: float, *limits: float) -> list[str]:
        for limit in limits:
            logic.apply_rule(rule(version=round(100 - limit), limit=limit))
        record = {
            "gateway_id": GATEWAY, "lane": 0, "closed_time_us": us(second), "tag_id": np.array([1], np.int32),
            "time_us": np.array([us(second)]), "value": np.array([50.0]), "quality": np.array([0], np.uint16),
        }  # fmt: skip
        return [event.kind for event in logic.on_record(SITE, "LatestBatch", record, us(second)).events]

    assert raised(0, 80) == []
    assert raised(1, 70, 60, 40) == []
    assert raised(8) == []
    assert logic.on_timer(SITE, us(8.9)).events == []  # one source: 10 s, less a second
    assert [event.kind for event in logic.on_timer(SITE, us(9.1)).events] == ["RAISED"]
    assert raised(10) == []
