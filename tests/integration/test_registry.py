"""The registry against a real database and a real broker: idempotent loads, stable ids, dated paths, ordered publication."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from base.errors import NotFoundError, RegistryError
from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from registry import command, edit
from registry.changes import Change
from registry.difference import difference
from registry.export import export
from registry.load import LoadReport, load_plant
from registry.plant_file import parse_plant, read_plant
from registry.publish import publish
from schemas import topics
from schemas.definitions import Registry
from tests.integration import registry_topic
from tests.integration.fix_history import plain_history, sql
from tests.integration.history import CONNECTIONS, plant, tag

__all__ = ["plain_history", "sql"]

Sql = psycopg.Connection[Any]
CELL = "acme/north/forming/line-1"
EXAMPLE = Path(__file__).parents[2] / "stack" / "plant.yaml"


@pytest.fixture
def history(plain_history: str) -> str:
    """How samples are stored does not matter here."""
    return plain_history


def load(sql: Sql, data: dict[str, Any]) -> LoadReport:
    return load_plant(sql, parse_plant(data))


def tags(sql: Sql) -> dict[str, tuple[Any, ...]]:
    rows = sql.execute(
        "SELECT path, tag_id, device_id, registry_version, retired, gateway_id, lane FROM tag_definition ORDER BY path"
    ).fetchall()
    return {row[0]: row[1:] for row in rows}


def test_loading_an_unchanged_file_changes_nothing(sql: Sql) -> None:
    data = yaml.safe_load(EXAMPLE.read_text())
    first = load(sql, data)
    assert (first.version, first.added_devices, first.added_tags) == (1, 38, 426)
    before = tags(sql)
    assert str(load(sql, data)) == "registry version 1: nothing changed"
    assert tags(sql) == before


def test_one_allocator_gives_devices_and_tags_their_ids(sql: Sql) -> None:
    load(sql, yaml.safe_load(EXAMPLE.read_text()))
    ids = [row[0] for row in sql.execute("SELECT device_id FROM devices UNION ALL SELECT tag_id FROM tags")]
    assert sorted(ids) == list(range(1, 38 + 426 + 1))


def test_devices_are_spread_over_lanes_and_stay_there(sql: Sql) -> None:
    data = yaml.safe_load(EXAMPLE.read_text())
    load(sql, data)
    lanes = sql.execute("SELECT gateway_id, lane, count(*) FROM devices GROUP BY 1, 2 ORDER BY 1, 2").fetchall()
    assert [row[:2] for row in lanes] == [("gw-north-1", 0), ("gw-north-1", 1), ("gw-south-1", 0)]
    assert abs(lanes[0][2] - lanes[1][2]) <= 1
    before = sql.execute("SELECT name, lane FROM devices WHERE site = 'north' ORDER BY 1").fetchall()
    data["sites"][0]["areas"][0]["lines"][0]["cells"][0]["devices"].insert(
        0, {"name": "press-99", "class": "press", "gateway": "gw-north-1", "connection": "opcua"}
    )
    load(sql, data)
    assert (
        sql.execute("SELECT name, lane FROM devices WHERE site = 'north' AND name <> 'press-99' ORDER BY 1").fetchall()
        == before
    )


def test_a_changed_tag_gets_the_new_version_and_a_removed_one_is_retired(sql: Sql) -> None:
    load(sql, plant(power=tag(), speed=tag()))
    before = tags(sql)
    report = load(sql, plant(power=tag(limits=[-10, 300])))
    assert (report.version, report.changed_tags, report.retired_tags, report.added_tags) == (2, 1, 1, 0)
    after = tags(sql)
    power, speed = f"{CELL}/cell-1/press-01/power", f"{CELL}/cell-1/press-01/speed"
    assert after[power][:4] == (before[power][0], before[power][1], 2, False)
    assert after[speed][:4] == (before[speed][0], before[speed][1], 2, True)
    load(sql, plant(power=tag(limits=[-10, 300]), speed=tag()))
    assert tags(sql)[speed][:4] == (before[speed][0], before[speed][1], 3, False)


def test_a_machine_moves_and_its_ids_stay(sql: Sql) -> None:
    data = plant()
    load(sql, data)
    (before,) = tags(sql).values()
    moved = copy.deepcopy(data)
    cells = moved["sites"][0]["areas"][0]["lines"][0]["cells"]
    cells[1]["devices"], cells[0]["devices"] = cells[0]["devices"], []
    report = load(sql, moved)
    assert (report.version, report.moved_devices) == (2, 1)
    ((path, after),) = tags(sql).items()
    assert path == f"{CELL}/cell-2/press-01/power"
    assert (after[:2], after[2]) == (before[:2], 2)
    places = sql.execute(
        "SELECT path, valid_from::text, valid_to::text FROM device_paths ORDER BY valid_from"
    ).fetchall()
    assert [row[0] for row in places] == [f"{CELL}/cell-1/press-01", f"{CELL}/cell-2/press-01"]
    assert (places[0][1], places[1][2]) == ("-infinity", "infinity")
    assert places[0][2] == places[1][1]


def test_manual_changes_survive_an_unchanged_file_and_yield_to_a_changed_one(sql: Sql) -> None:
    data = plant()
    load(sql, data)
    path = f"{CELL}/cell-1/press-01/power"
    assert edit.set_attributes(sql, path, {"limit_high": "250", "max_rate": ""}) == 2
    assert edit.move(sql, f"{CELL}/cell-1/press-01", f"{CELL}/cell-2") == 3
    assert load(sql, data).version == 3
    (found,), version = edit.definitions(sql)
    assert (found.limit_high, found.max_rate, found.path, version) == (250.0, None, f"{CELL}/cell-2/press-01/power", 3)
    load(sql, plant(power=tag(limits=[-10, 260])))
    (found,), version = edit.definitions(sql)
    assert (found.limit_high, found.path, version) == (260.0, f"{CELL}/cell-2/press-01/power", 4)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"limit_high": "50"}, "do not enclose eu"),
        ({"limit_high": "much"}, "limit_high cannot be 'much'"),
        ({"colour": "red"}, "colour cannot be set of a tag; can be: description"),
        ({"period_ms": "500"}, "too long for windows of 1 s"),
        ({"period_ms": "0"}, "refused"),
        ({"historise": "SOME"}, "historise cannot be 'SOME'"),
        ({"max_rate": "-1"}, "must be above 0"),
    ],
)
def test_wrong_attributes_are_refused_and_change_nothing(sql: Sql, values: dict[str, str], message: str) -> None:
    load(sql, plant())
    with pytest.raises(RegistryError, match=message):
        edit.set_attributes(sql, f"{CELL}/cell-1/press-01/power", values)
    assert edit.definitions(sql)[1] == 1


def test_moves_to_nowhere_or_another_site_are_refused(sql: Sql) -> None:
    data = plant()
    other = copy.deepcopy(data["sites"][0])
    other |= {"name": "south", "gateways": [{"id": "gw-s", "lanes": 1, "connections": CONNECTIONS}]}
    other["areas"][0]["lines"][0]["cells"][0]["devices"][0]["gateway"] = "gw-s"
    data["sites"].append(other)
    load(sql, data)
    device = f"{CELL}/cell-1/press-01"
    with pytest.raises(NotFoundError, match=r"no cell acme/moon; known: acme/north/forming/line-1/cell-1, "):
        edit.move(sql, device, "acme/moon")
    with pytest.raises(RegistryError, match="belongs to gateway gw at site north"):
        edit.move(sql, device, "acme/south/forming/line-1/cell-2")
    with pytest.raises(NotFoundError, match="no device at acme/north/x"):
        edit.move(sql, "acme/north/x", f"{CELL}/cell-2")
    assert edit.move(sql, device, f"{CELL}/cell-1") == 1, "it stands there already"


def test_a_gateway_does_not_change_its_site(sql: Sql) -> None:
    data = plant()
    load(sql, data)
    data["sites"][0]["name"] = "south"
    with pytest.raises(RegistryError, match="gateway gw is registered at site north"):
        load(sql, data)


def test_only_the_sites_of_the_file_are_looked_at(sql: Sql) -> None:
    load(sql, plant())
    data = plant()
    data["sites"][0] |= {"name": "south", "gateways": [{"id": "gw-s", "lanes": 1, "connections": CONNECTIONS}]}
    data["sites"][0]["areas"][0]["lines"][0]["cells"][0]["devices"][0]["gateway"] = "gw-s"
    assert load(sql, data).retired_devices == 0
    assert [row[3] for row in tags(sql).values()] == [False, False]


def read_topic(settings: KafkaSettings) -> list[bytes]:
    return [message.value() or b"" for message in kafka.read_to_end(settings, topics.TAGS.name)]


def test_publish_writes_what_changed_and_then_the_marker(history: str, sql: Sql, kafka_topic: KafkaSettings) -> None:
    load(sql, plant(power=tag(), speed=tag()))
    assert publish(history, kafka_topic) == "registry version 1: 2 definitions published"
    assert publish(history, kafka_topic) == "registry version 1 is published already"
    edit.set_attributes(sql, f"{CELL}/cell-1/press-01/power", {"description": "Shaft power"})
    assert publish(history, kafka_topic) == "registry version 2: 1 definitions published"
    folded, versions = Registry(), []
    for message in read_topic(kafka_topic):
        if folded.apply(message):
            versions.append((folded.version, len(folded.tags)))
    assert versions == [(1, 2), (2, 2)]
    found, _ = edit.definitions(sql)
    assert sorted(folded.tags.values(), key=lambda one: one.tag_id) == found
    assert publish(history, kafka_topic, everything=True) == "registry version 2: 2 definitions published"


@pytest.fixture
def kafka_topic(kafka: str) -> Iterator[KafkaSettings]:
    """The broker with an empty topic registry.tags."""
    settings = KafkaSettings(bootstrap_servers=kafka)
    registry_topic.empty(settings)
    yield settings
    registry_topic.empty(settings)


def test_the_tool(history: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "platform.toml"
    config.write_text(f'sites = []\n[kafka]\nbootstrap_servers = "127.0.0.1:1"\n[postgres]\ndsn = "{history}"\n')
    tail = ["--config", str(config)]

    def run(*arguments: str) -> tuple[int, str, str]:
        code = command.main([*arguments, *tail])
        out = capsys.readouterr()
        return code, out.out, out.err

    file = tmp_path / "plant.yaml"
    file.write_text(yaml.safe_dump(plant()))
    quiet = "--no-publish"
    added = "added devices 1, added tags 1, changed connections 1"
    code, out, _ = run("diff", str(file))
    assert (code, out.splitlines()[-1]) == (0, f"load would make registry version 1: {added}")
    assert out.splitlines()[:-1] == [
        f"+ device {CELL}/cell-1/press-01", f"+ tag {CELL}/cell-1/press-01/power", "+ gateway gw", "+ connection gw/opcua",
    ]  # fmt: skip
    assert run("load", str(file), quiet, "--why", "new line") == (0, f"registry version 1: {added}\n", "")
    assert run("diff", str(file)) == (0, "load would change nothing\n", "")
    power = f"{CELL}/cell-1/press-01/power"
    assert run("set", power, "eu_high=90", quiet, "--who", "ann", "--why", "as tested")[1] == "registry version 2\n"
    assert run("set", power, "unit=degC", quiet)[2] == "warning: unit 'degC' is no UCUM code; write 'Cel'\n"
    assert run("set", power, "unit=kW", quiet)[:2] == (0, "registry version 4\n")
    assert run("move", f"{CELL}/cell-1/press-01", f"{CELL}/cell-2", quiet)[1] == "registry version 5\n"
    code, out, _ = run("show", f"{CELL}/cell-2")
    assert (code, out.splitlines()[-1]) == (0, "registry version 5: 1 tags")
    assert f"{CELL}/cell-2/press-01/power" in out
    assert run("show", "nowhere")[0] == 2
    code, _, err = run("set", f"{CELL}/cell-2/press-01/power", "eu_high")
    assert (code, err) == (2, "plant: 'eu_high' is not key=value\n")
    file.write_text("enterprise: acme")
    code, _, err = run("load", str(file), quiet)
    assert (code, "tag_classes is missing" in err) == (1, True)


def test_every_definition_is_dated_with_who_and_why(sql: Sql) -> None:
    load_plant(
        sql, parse_plant(plant(power=tag(), speed=tag())), Change(who="ann", why="new line", what="load plant.yaml")
    )
    path = f"{CELL}/cell-1/press-01/power"
    edit.set_attributes(sql, path, {"limit_high": "150"}, Change(who="bob", why="as measured", what="set"))
    edit.move(sql, f"{CELL}/cell-1/press-01", f"{CELL}/cell-2", Change(who="ann", what="move"))
    load(sql, plant(speed=tag()))
    rows = sql.execute(
        """SELECT path, limit_high, retired, who, why, what, registry_version, valid_from IS NOT NULL, valid_to IS NULL
           FROM tag_definitions_history WHERE tag_id = (SELECT min(tag_id) FROM tags) ORDER BY valid_from"""
    ).fetchall()
    moved = f"{CELL}/cell-2/press-01/power"
    assert rows[:3] == [
        (path, 200.0, False, "ann", "new line", "load plant.yaml", 1, True, False),
        (path, 150.0, False, "bob", "as measured", "set", 2, True, False),
        (moved, 150.0, False, "ann", "", "move", 3, True, False),
    ]
    assert (rows[3][:3], rows[3][5:]) == ((moved, 150.0, True), ("load", 4, True, True))
    joined = sql.execute(
        """SELECT count(*) FROM tag_definitions_history a JOIN tag_definitions_history b USING (tag_id)
           WHERE a.valid_during && b.valid_during AND a.valid_from < b.valid_from"""
    ).fetchone()
    assert joined == (0,), "definitions of a tag do not overlap"


def test_diff_shows_what_load_does_and_changes_nothing(sql: Sql) -> None:
    load(sql, plant(power=tag(), speed=tag(), heat=tag()))
    press = f"{CELL}/cell-1/press-01"
    edit.set_attributes(sql, f"{press}/heat", {"unit": "Cel"})
    changed = plant(power=tag(limits=[-10, 300]), heat=tag(), force=tag(unit="kN"))
    changed["sites"][0]["gateways"][0]["connections"] = [CONNECTIONS[0] | {"endpoint": "opc.tcp://plc2:4840"}]
    allocator = sql.execute("SELECT last_value FROM registry_id").fetchone()
    lines, report = difference(sql, parse_plant(changed))
    assert lines == [
        f"+ tag {press}/force",
        f"~ tag {press}/power: limit_high 200 → 300",
        f"- tag {press}/speed",
        "~ connection gw/opcua: endpoint 'opc.tcp://plc:4840' → 'opc.tcp://plc2:4840'",
    ]
    assert edit.definitions(sql)[1] == 2
    assert sql.execute("SELECT last_value FROM registry_id").fetchone() == allocator, "a diff uses up no ids"
    assert str(load(sql, changed)) == str(report)
    assert difference(sql, parse_plant(changed))[0] == []


def test_an_export_loads_to_no_change(sql: Sql) -> None:
    load_plant(sql, read_plant(EXAMPLE))
    assert difference(sql, parse_plant(export(sql)))[0] == []
    press = "acme/north/forming/line-1/blanking/press-01"
    edit.set_attributes(sql, f"{press}/power", {"limit_high": "99", "max_rate": "", "address": "ns=4;i=77"})
    edit.set_attributes(sql, press, {"planned_run_time_s": "", "detector": ""})
    edit.move(sql, press, "acme/north/machining/line-3/milling-a")
    exported = export(sql)
    version = edit.definitions(sql)[1]
    assert str(load(sql, exported)) == f"registry version {version}: nothing changed"
    (connection,) = [one for one in exported["sites"][0]["gateways"][0]["connections"] if one["name"] == "opcua"]
    assert connection["address"] == "nsu=urn:millrace:simulated-plant;s={site}.{device}.{tag}"
    assert connection["simulated"] is True
    moved = exported["sites"][0]["areas"][1]["lines"][0]["cells"][0]["devices"][0]
    assert (moved["name"], moved["addresses"]) == ("press-01", {"power": "ns=4;i=77"})
    assert moved["tags"] == {"power": {"max_rate": None, "limits": [-5.0, 99.0]}}
    assert yaml.safe_load(yaml.safe_dump(exported)) == exported


def test_an_address_is_set_within_the_protocol_and_unique_within_the_gateway(sql: Sql) -> None:
    load(sql, plant(power=tag(), speed=tag()))
    press = f"{CELL}/cell-1/press-01"
    edit.set_attributes(sql, f"{press}/power", {"address": "nsu=urn:plc;i=5"})
    assert edit.definitions(sql)[0][0].address == "opcua:nsu=urn:plc;i=5"
    with pytest.raises(RegistryError, match="address: 'power' is no node id"):
        edit.set_attributes(sql, f"{press}/power", {"address": "power"})
    with pytest.raises(RegistryError, match=r"belongs to .*/power and .*/speed; each tag needs its own"):
        edit.set_attributes(sql, f"{press}/speed", {"address": "opcua:nsu=urn:plc;i=5"})


def test_how_a_tag_is_reported_is_kept_and_leaves_older_digests_alone(sql: Sql) -> None:
    load(sql, plant(power=tag(), speed=tag()))
    path = f"{CELL}/cell-1/press-01/power"
    edit.set_attributes(
        sql, path, {"deadband_percent": "0.5", "swinging_door": "true", "max_silence_s": "30", "sampling_ms": "50"}
    )
    found = {one.name: one for one in edit.definitions(sql)[0]}
    assert (found["power"].band, found["speed"].band) == (0.5, 0.0)
    assert (found["power"].swinging_door, found["power"].max_silence_s, found["power"].sampling_ms) == (True, 30.0, 50)
    assert load(sql, plant(power=tag(), speed=tag())).changed_tags == 0, "the file has not changed"
    exported = export(sql)
    assert exported["device_classes"]["press"]["tags"]["power"]["deadband_percent"] == 0.5
    assert difference(sql, parse_plant(exported))[0] == []
    with pytest.raises(RegistryError, match="deadband and deadband_percent: a tag has one of them"):
        edit.set_attributes(sql, path, {"deadband": "1"})
    with pytest.raises(RegistryError, match="sampling_ms 200 is longer than the period of 100 ms"):
        edit.set_attributes(sql, path, {"sampling_ms": "200"})
    edit.set_attributes(
        sql, path, {"deadband_percent": "0", "swinging_door": "", "max_silence_s": "", "sampling_ms": ""}
    )
    assert "deadband_percent" not in export(sql)["device_classes"]["press"]["tags"]["power"]


def test_a_tag_is_reported_in_one_way() -> None:
    for wrong, message in (
        ({"deadband": 1.0, "deadband_percent": 1.0}, "a tag has one of them"),
        ({"deadband_percent": 1.0, "eu": None}, "deadband_percent is of the range eu, which needs both bounds"),
        ({"sampling_ms": 200}, "sampling_ms is 200, longer than the period of 100 ms"),
        ({"max_silence_s": 0}, "max_silence_s"),
    ):
        with pytest.raises(RegistryError, match=message):
            parse_plant(plant(power=tag(**wrong)))


def calculated(**changes: Any) -> dict[str, Any]:
    """A calculated tag of the plant file."""
    return {key: value for key, value in tag(**changes).items() if key != "limits"}


def test_calculated_tags_are_loaded_compared_changed_and_exported(sql: Sql) -> None:
    data = plant(
        power=tag(),
        speed=tag(),
        ratio=calculated(expression="tag.power / tag.speed"),
        loss=calculated(expression="tag.power * 2"),
    )
    assert load(sql, data).added_tags == 4
    rows = sql.execute(
        "SELECT name, address, expression FROM tag_definition WHERE expression <> '' ORDER BY name"
    ).fetchall()
    assert rows == [("loss", "", "tag.power * 2"), ("ratio", "", "tag.power / tag.speed")]
    assert str(load(sql, data)).endswith("nothing changed")
    again = export(sql)
    assert again["device_classes"]["press"]["tags"]["ratio"]["expression"] == "tag.power / tag.speed"
    assert str(load(sql, again)).endswith("nothing changed")
    path = f"{CELL}/cell-1/press-01/ratio"
    changed = plant(
        power=tag(),
        speed=tag(),
        ratio=calculated(expression="tag.speed / tag.power"),
        loss=calculated(expression="tag.power * 2"),
    )
    lines, _ = difference(sql, parse_plant(changed))
    assert lines == [f"~ tag {path}: expression 'tag.power / tag.speed' → 'tag.speed / tag.power'"]
    edit.set_attributes(sql, path, {"expression": "tag.power + tag.speed"})
    for values, message in (
        ({"expression": "tag.power + tag.colour"}, "the device has no tag colour"),
        ({"expression": "tag.loss"}, "loss is a calculated tag"),
        ({"expression": ""}, "is calculated, and would be measured"),
        ({"expression": "", "address": "x"}, "is calculated, and would be measured"),
        ({"address": "ns=2;s=press-01/ratio"}, "an address, and is measured, or an expression"),
        ({"limit_low": "-1"}, "a calculated tag is at no machine"),
    ):
        with pytest.raises(RegistryError, match=message):
            edit.set_attributes(sql, path, values)
    with pytest.raises(RegistryError, match="is measured, and would be calculated"):
        edit.set_attributes(sql, f"{CELL}/cell-1/press-01/power", {"expression": "tag.speed"})
    (found,) = [one for one in edit.definitions(sql)[0] if one.path == path]
    assert (found.expression, found.registry_version) == ("tag.power + tag.speed", 2)


def test_a_tag_that_is_measured_is_not_made_a_calculated_one_under_its_name_nor_back(sql: Sql) -> None:
    measured = plant(power=tag(), speed=tag())
    calculates = plant(power=tag(), speed=calculated(expression="tag.power * 2"))
    path = f"{CELL}/cell-1/press-01/speed"
    for first, other, words in (
        (measured, calculates, "is measured, and would be calculated"),
        (calculates, measured, "is calculated, and would be measured"),
    ):
        load(sql, first)
        before = tags(sql)
        for attempt in (load_plant, difference):
            with pytest.raises(RegistryError, match=words) as refused:
                attempt(sql, parse_plant(other))
            assert path in str(refused.value)
            assert "another name" in str(refused.value)
            assert "load the file without it first" in str(refused.value)
        assert tags(sql) == before
        # The step that says it: the tag goes, and what is on its way with it.
        load(sql, plant(power=tag()))
        load(sql, other)
        assert not tags(sql)[path][3]
        load(sql, plant(power=tag()))
