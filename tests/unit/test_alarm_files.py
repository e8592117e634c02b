"""Files of alarm rules: what is wrong is said with the entry, publishing writes what changed, the example's rules come to its machines."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from alarms import rules_file, trial
from alarms.command import main
from alarms.defaults import default_rules
from base.errors import ConfigError
from registry.plant_file import read_plant
from schemas import codec
from schemas.alarm_rules import AlarmRule
from schemas.definitions import TagDefinition
from schemas.priorities import Priority
from stages.alarms.points import site_table
from stages.alarms.rule_book import RuleBook
from tests.golden.support import tag
from tests.unit.test_alarm_rules import rule

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "stack" / "alarms.yaml"


def example_tags() -> list[TagDefinition]:
    """Definitions of the example plant, with numbers as a registry would give them."""
    plant, found = read_plant(ROOT / "stack" / "plant.yaml"), list[TagDefinition]()
    for device_id, device in enumerate(plant.devices, 1):
        for spec in device.tags:
            path = f"{device.cell_path}/{device.name}/{spec.name}"
            about: dict[str, Any] = {
                "name": spec.name,
                "path": path,
                "site": device.site,
                "device_class": device.device_class,
                "data_type": spec.data_type,
                "eu_low": spec.eu_low,
                "eu_high": spec.eu_high,
                "stuck_after_s": spec.stuck_after_s,
                "period_ms": spec.period_ms,
                "writable": spec.writable,
            }
            found.append(tag(len(found) + 1, device_id, gateway_id=device.gateway_id, **about))
    return found


def test_the_examples_rules_come_to_its_machines() -> None:
    rules = rules_file.read(EXAMPLE).resolved(example_tags())
    points, problems = trial.reach(example_tags(), rules)
    assert problems == []
    assert all(points[one.name] for one in rules)
    assert {one.priority for one in rules} == {Priority.HIGH, Priority.MEDIUM, Priority.LOW}
    for one in rules:
        assert all((one.title, one.cause, one.consequence, one.corrective_action)), one.name


def test_a_parent_may_be_the_gateways_rule() -> None:
    tags = [one for one in example_tags() if one.site == "north"]
    rules = rules_file.read(EXAMPLE).resolved(tags)
    table = site_table("north", tags, RuleBook(rules).at(0, "north"))
    silent = [point for point in table.points.values() if point.rule.name == "silent"]
    assert silent
    assert {point.parent for point in silent} == {f"gateway-silent@{point.gateway_id}" for point in silent}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("rules: [", "not valid YAML"),
        ("- name: hot", "has a list `rules`"),
        ("rules: {}", "has a list `rules`"),
        ("rule: []", "has a list `rules`"),
        ("defaults: yes please", "`defaults` is true or false"),
        ("without: [silent]", "`without` is a list of names"),
        ("rules: [hot]", "rule 1 is not an entry"),
        ("rules: [{kind: LIMIT}]", "rule 1 is not an entry with a name"),
        ("rules: [{name: hot, colour: red}]", "'hot': no field colour; known: "),
        ("rules: [{name: hot, version: 3}]", "no field version \\(publishing gives it\\)"),
        ("rules: [{name: hot, kind: LIMIT}]", "'hot'"),
        ("rules: [{name: hot, kind: NOTHING, severity: MINOR, response: SOON}]", "NOTHING"),
        ("rules: [{name: [], kind: LIMIT, severity: MINOR, response: SOON}]", "alarm rule"),
    ],
)
def test_what_is_wrong_is_said_with_the_entry(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        rules_file.parse(text)


def test_a_rule_that_is_there_twice_is_refused() -> None:
    entry = (
        "{name: hot, device_class: press, kind: LIMIT, level: HI, tag: t, limit: 1, severity: MINOR, response: SOON}"
    )
    with pytest.raises(ConfigError, match="there twice for press"):
        rules_file.parse(f"rules: [{entry}, {entry}]")
    assert rules_file.parse(f"rules: [{entry}]").rules[0].limit == 1.0


def test_publishing_writes_what_changed_and_retires_what_is_gone() -> None:
    first = rules_file.changes([], [rule(), rule(name="cold", level="LO")], 100)
    assert [(one.name, one.version, one.valid_from_us) for one in first] == [("hot", 1, 100), ("cold", 1, 100)]
    assert rules_file.changes(first, [rule(), rule(name="cold", level="LO")], 200) == []
    second = rules_file.changes(first, [rule(limit=90.0)], 300)
    assert [(one.name, one.version, one.retired) for one in second] == [("hot", 2, False), ("cold", 2, True)]
    assert rules_file.changes([*first, *second], [rule(limit=90.0)], 400) == []
    (back,) = rules_file.changes([*first, *second], [rule(limit=90.0), rule(name="cold", level="LO")], 500)
    assert (back.name, back.version, back.retired) == ("cold", 3, False)
    assert AlarmRule.from_record({one.name: getattr(back, one.name) for one in dataclasses.fields(back)}) == back


def test_what_is_missing_is_published_and_nothing_else() -> None:
    known = rules_file.changes([], [rule(), rule(name="cold", level="LO")], 100)
    retired = rules_file.changes(known, [rule(limit=90.0)], 200)
    wanted = [rule(), rule(name="cold", level="LO"), rule(name="warm", limit=60.0)]
    made = rules_file.missing([*known, *retired], rules_file.RulesFile(wanted), [], 300)
    assert [(one.name, one.version, one.valid_from_us) for one in made] == [("warm", 1, 300)]


def pressed(tag_id: int, device_id: int, **about: Any) -> TagDefinition:
    """A sensor with a normal range."""
    path = f"acme/north/area/line/cell/device{device_id}/{about.get('name', 'temp')}"
    return tag(tag_id, device_id, **{"name": "temp", "path": path, "eu_low": 0.0, "eu_high": 100.0} | about)


def test_definitions_give_rules_of_their_class() -> None:
    tags = [pressed(1, 1, stuck_after_s=120.0), pressed(2, 2, stuck_after_s=120.0)]
    rules = {one.rule_id: one for one in default_rules(tags)}
    assert set(rules) == {"gateway-silent@gateways", "silent@press", "temp-high@press", "temp-low@press"}
    high = rules["temp-high@press"]
    assert (high.level, high.limit, high.deadband, high.priority) == ("HI", 100.0, 2.0, Priority.LOW)
    assert (rules["silent@press"].tag, rules["silent@press"].after_s) == ("temp", 120.0)
    assert trial.reach(tags, list(rules.values())).problems == []


def test_devices_that_differ_have_rules_of_their_own() -> None:
    tags = [pressed(1, 1), pressed(2, 2, eu_high=90.0), pressed(3, 2, name="power")]
    rules = default_rules(tags)
    limits = {one.rule_id: one.limit for one in rules if one.level == "HI"}
    paths = [f"acme/north/area/line/cell/device{number}" for number in (1, 2)]
    assert limits == {
        f"temp-high@{paths[0]}": 100.0,
        f"temp-high@{paths[1]}": 90.0,
        f"power-high@{paths[1]}": 100.0,
    }
    assert trial.reach(tags, rules).problems == []


def test_what_people_did_with_a_rule_of_a_class_stays_when_its_devices_differ_and_are_alike_again() -> None:
    defaults, alike = rules_file.RulesFile([], defaults=True), [pressed(1, 1), pressed(2, 2)]
    differ = [pressed(1, 1), pressed(2, 2, eu_high=90.0)]
    given = rules_file.missing([], defaults, alike, 100)
    assert [one.rule_id for one in given] == ["gateway-silent@gateways", "temp-high@press", "temp-low@press"]
    retuned = [
        dataclasses.replace(given[1], version=2, limit=120.0),
        dataclasses.replace(given[2], version=2, retired=True),
    ]
    assert rules_file.missing([*given, *retuned], defaults, differ, 200) == []
    of_devices = rules_file.missing([], defaults, differ, 100)
    paths = [f"acme/north/area/line/cell/device{number}" for number in (1, 2)]
    assert [one.place for one in of_devices if one.name == "temp-high"] == paths
    assert rules_file.missing(of_devices, defaults, alike, 200) == []
    # A device that is new among those that differ has its own; a file's own rule is never left out.
    third = rules_file.missing(of_devices, defaults, [*differ, pressed(3, 3, eu_high=80.0)], 200)
    assert {one.place for one in third} == {"acme/north/area/line/cell/device3"}
    own = rule(name="temp-high", device_path=paths[0], limit=70.0)
    assert [one.limit for one in rules_file.missing(given, rules_file.RulesFile([own], defaults=True), alike, 200)] == [
        70.0
    ]


def test_who_wrote_a_version_is_no_part_of_what_it_says() -> None:
    signed = rule(author="anna", written_us=5, reason="new oil")
    assert rules_file.changes([signed], [rule()], 100) == []
    record = codec.decode(signed.encode(), "AlarmRule")[1]
    assert AlarmRule.from_record(record) == signed
    assert codec.schema_of(rule().encode()).version == 1
    assert "author" not in rules_file.dump([signed])
    with pytest.raises(ConfigError, match=r"no field author \(publishing gives it\)"):
        rules_file.parse("rules: [{name: hot, author: anna}]")


def test_definitions_without_a_word_on_it_give_no_rule() -> None:
    silent = [
        tag(1, 1, name="temp"),
        pressed(2, 1, name="setpoint", writable=True),
        pressed(3, 1, name="count", data_type="INTEGER"),
        pressed(4, 1, name="gone", retired=True),
        pressed(5, 1, name="filtered", eu_low=None, stuck_after_s=30.0, deadband=1.0),
    ]
    assert {one.rule_id for one in default_rules(silent)} == {"gateway-silent@gateways", "command-unknown@press"}
    assert default_rules([]) == []


def test_a_tags_name_that_is_no_rules_name_is_told_apart() -> None:
    tags = [pressed(1, 1, name="ns=2;s=Öl"), pressed(2, 1, name="ns=2;s=Al"), pressed(3, 1, name="_")]
    names = {one.name for one in default_rules(tags) if one.level == "HI"}
    assert len(names) == 3
    assert {one.tag for one in default_rules(tags) if one.level == "HI"} == {one.name for one in tags}


def test_a_file_has_default_rules_without_some_and_in_the_stead_of_others() -> None:
    own = "{name: temp-high, device_class: press, kind: LIMIT, level: HI, tag: temp, limit: 70, severity: MINOR, response: SOON}"
    text = f"defaults: true\nwithout: [temp-low]\nrules: [{own}]"
    rules = {one.rule_id: one for one in rules_file.parse(text).resolved([pressed(1, 1)])}
    assert set(rules) == {"gateway-silent@gateways", "temp-high@press"}
    assert rules["temp-high@press"].limit == 70.0
    with pytest.raises(ConfigError, match="no default rule has that name"):
        rules_file.parse("defaults: true\nwithout: [temp-lo]").resolved([pressed(1, 1)])


def test_a_printed_file_is_read_as_the_same_rules() -> None:
    rules = default_rules(example_tags())
    assert rules_file.parse(rules_file.dump(rules)).rules == rules


def test_the_file_alone_can_be_looked_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "--offline", str(EXAMPLE)]) == 0
    assert "rules; what they come to was not looked at" in capsys.readouterr().out
    broken = tmp_path / "broken.yaml"
    broken.write_text("rules: [{name: hot, colour: red}]")
    assert main(["check", "--offline", str(broken)]) == 1
    assert "no field colour" in capsys.readouterr().err
