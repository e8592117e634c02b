"""Proposals on a real database: births of what nobody registered, from the connector's notice to a tag, or refused for good."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from base.errors import RegistryError
from base.settings import StorageSettings
from connectors.sparkplug.data_types import DataType
from connectors.sparkplug.notices import Notices
from connectors.sparkplug.payload import Metric
from edge.events import Events, unpack
from historian import records
from historian.maintenance import Maintenance
from registry import command, edit, proposals, standing
from registry.changes import Change
from registry.difference import difference
from registry.export import export
from registry.load import load_plant
from registry.plant_file import parse_plant
from registry.proposal_plan import Into
from registry.standing import Standing
from schemas import codec
from tests.integration.fix_history import plain_history, sql
from tests.integration.gateway_support import MemorySink
from tests.integration.history import T0_US, plant, tag

__all__ = ["plain_history", "sql"]

Sql = psycopg.Connection[Any]
LINE = "acme/north/forming/line-1"
ANN = Change(who="ann", why="new machine", what="proposals accept")
SPB = {"name": "spb", "protocol": "sparkplug", "endpoint": "mqtt://broker", "address": "north/n1/{device}/{tag}"}


@pytest.fixture
def history(plain_history: str) -> str:
    """How samples are stored does not matter here."""
    return plain_history


@pytest.fixture
def data(sql: Sql) -> dict[str, Any]:
    """A plant whose two presses are on Sparkplug, loaded."""
    made = plant()
    site = made["sites"][0]
    site["gateways"][0]["connections"] = [SPB]
    (press,) = site["areas"][0]["lines"][0]["cells"][0]["devices"]
    press["connection"] = "spb"
    site["areas"][0]["lines"][0]["cells"][1]["devices"] = [press | {"name": "press-02"}]
    load_plant(sql, parse_plant(made))
    return made


def born(sql: Sql, address: str, at_s: int = 0, **metric: Any) -> None:
    """A birth names a metric that nobody knows: as the gateway tells it and the historian stores it."""
    sink, clock = MemorySink(), lambda: T0_US + at_s * 1_000_000
    found = {"name": address.rpartition("/")[2], "data_type": DataType.DOUBLE, "value": 1.0, **metric}
    Notices(sink, clock, connector="spb", endpoint="mqtt://127.0.0.1").proposal(f"spb:{address}", Metric(**found))
    events = Events(gateway_id="gw", clock=clock)
    rows = [codec.decode(unpack(events.of_notice(one))[1], "DeviceEvent")[1] for one in sink.notices]
    with sql.cursor() as cursor:
        records.write_events(cursor, rows)


def paths(sql: Sql) -> dict[str, str]:
    found, _ = edit.definitions(sql)
    return {one.path.removeprefix(f"{LINE}/"): one.address for one in found if not one.retired}


@pytest.mark.usefixtures("data")
def test_what_a_birth_names_is_listed_until_it_is_known(sql: Sql) -> None:
    born(sql, "north/n1/d7/heat", properties={"engUnit": "degC", "address": "not this one", "a" * 999: "b" * 999})
    born(sql, "north/n1/d7/heat", at_s=60, properties={"engUnit": "degC"})
    born(sql, "north/n1/press-01/power", name="power")
    born(sql, "north/n1/d7/program", data_type=DataType.STRING, value="a")
    found, more = proposals.found(sql)
    assert [(one.address, one.data_type, one.unit, one.times_seen) for one in found] == [
        ("spb:north/n1/d7/heat", "DOUBLE", "degC", 2),
        ("spb:north/n1/d7/program", "STRING", "", 1),
    ]
    heat, program = found
    assert (heat.gateway_id, heat.connection, heat.name, more) == ("gw", "spb", "heat", 0)
    assert heat.first_seen < heat.last_seen
    assert (heat.cannot_be_a_tag(), program.cannot_be_a_tag()) == ("", "STRING is no number")
    assert [one.address for one in proposals.found(sql, ["*/program"])[0]] == ["spb:north/n1/d7/program"]
    assert (len(proposals.found(sql, limit=1)[0]), proposals.found(sql, limit=1)[1]) == (1, 1)


def test_accepted_tags_join_the_device_they_belong_to(sql: Sql, data: dict[str, Any]) -> None:
    born(
        sql, "north/n1/press-01/Motor/Heat", name="Motor/Heat", data_type=DataType.FLOAT,
        properties={"engUnit": "°C", "engLow": 10.0, "engHigh": 75.0, "documentation": "Oil"},
    )  # fmt: skip
    born(sql, "north/n1/press-01/parts", data_type=DataType.UINT32)
    chosen, _ = proposals.found(sql)
    report, _ = proposals.accept(sql, chosen, Into(), ANN)
    assert (report.version, report.added_tags, report.added_devices) == (2, 2, 0)
    rows = sql.execute(
        """SELECT path, unit, eu_low, eu_high, description, definition ->> 'data_type', historise, who, why, what
           FROM tag_definitions_history WHERE registry_version = 2 ORDER BY path"""
    ).fetchall()
    press = f"{LINE}/cell-1/press-01"
    assert rows == [
        (f"{press}/Motor_Heat", "Cel", 10.0, 75.0, "Oil", "DOUBLE", "ALL", "ann", "new machine", "proposals accept"),
        (f"{press}/parts", "1", None, None, "parts", "INTEGER", "ON_CHANGE", "ann", "new machine", "proposals accept"),
    ]
    assert paths(sql)["cell-1/press-01/Motor_Heat"] == "spb:north/n1/press-01/Motor/Heat"
    assert proposals.found(sql) == ([], 0)
    # A file that never had them does not retire them; one that had them does.
    assert load_plant(sql, parse_plant(data)).retired_tags == 0
    exported = export(sql)
    assert difference(sql, parse_plant(exported))[0] == []
    load_plant(sql, parse_plant(exported))
    assert load_plant(sql, parse_plant(data)).retired_tags == 2


def test_an_unknown_device_stands_where_it_is_said_and_has_a_class_of_its_own(sql: Sql, data: dict[str, Any]) -> None:
    born(sql, "north/n1/oven 7/heat")
    born(sql, "north/n1/oven 7/door", data_type=DataType.BOOLEAN)
    chosen, _ = proposals.found(sql)
    with pytest.raises(
        RegistryError, match=r"no device has tags of 'north/n1/oven 7': say where a new one stands, --at "
    ):
        proposals.accept(sql, chosen, Into(), ANN)
    with pytest.raises(RegistryError, match="stands at site north, not at south"):
        proposals.accept(sql, chosen, Into(at="acme/south/forming/line-1/cell-1"), ANN)
    with pytest.raises(RegistryError, match="site north has a device press-01"):
        proposals.accept(sql, chosen, Into(at=f"{LINE}/ovens", name="press-01"), ANN)
    with pytest.raises(RegistryError, match="period_ms is 5000, but windows of 10 s"):
        proposals.accept(sql, chosen, Into(at=f"{LINE}/ovens", period_ms=5000), ANN)
    with pytest.raises(RegistryError, match="no tag class 'slwo' is registered; known: fast"):
        proposals.accept(sql, chosen, Into(at=f"{LINE}/ovens", tag_class="slwo"), ANN)
    assert edit.definitions(sql)[1] == 1, "what is refused changes nothing"
    report, _ = proposals.accept(sql, chosen, Into(at=f"{LINE}/ovens"), ANN)
    assert (report.added_devices, report.added_tags) == (1, 2)
    assert {"ovens/oven_7/heat", "ovens/oven_7/door"} <= paths(sql).keys()
    assert load_plant(sql, parse_plant(data)).retired_devices == 0
    exported = export(sql)
    assert exported["device_classes"].keys() == {"press", "oven_7"}
    assert difference(sql, parse_plant(exported))[0] == []
    born(sql, "north/n1/oven 7/fan")
    proposals.accept(sql, proposals.found(sql)[0], Into(), ANN)
    assert "ovens/oven_7/fan" in paths(sql), "the device is known now"


@pytest.mark.usefixtures("data")
def test_a_refusal_is_remembered_and_can_be_withdrawn(sql: Sql) -> None:
    born(sql, "north/n1/press-01/raw_1")
    born(sql, "north/n1/press-01/raw%1")
    proposals.refuse(sql, ["spb:*/raw_1"], ANN)
    assert [one.address for one in proposals.found(sql)[0]] == ["spb:north/n1/press-01/raw%1"], "_ is no wildcard"
    born(sql, "north/n1/press-01/raw_1", at_s=60)
    born(sql, "north/n1/press-02/raw_1")
    refused, _ = proposals.found(sql, refused=True)
    assert [(one.address, one.times_seen, one.refused_by, one.refused_why) for one in refused] == [
        ("spb:north/n1/press-01/raw_1", 2, "ann", "new machine"),
        ("spb:north/n1/press-02/raw_1", 1, "ann", "new machine"),
    ]
    assert proposals.withdraw(sql, ["spb:*/raw_1"]) == 1
    assert len(proposals.found(sql)[0]) == 3


@pytest.mark.usefixtures("data")
def test_a_tag_that_comes_again_keeps_its_id(sql: Sql) -> None:
    born(sql, "north/n1/press-01/heat")
    chosen, _ = proposals.found(sql)
    proposals.accept(sql, chosen, Into(), ANN)
    before = sql.execute("SELECT tag_id FROM tags WHERE name = 'heat'").fetchall()
    sql.execute("UPDATE tags SET retired = true WHERE name = 'heat'")
    proposals.accept(sql, proposals.found(sql)[0], Into(), ANN)
    assert sql.execute("SELECT tag_id FROM tags WHERE name = 'heat' AND NOT retired").fetchall() == before


@pytest.mark.usefixtures("data")
def test_the_tool(sql: Sql, run: Callable[..., tuple[int, str, str]]) -> None:
    born(sql, "north/n1/press-01/heat", properties={"engUnit": "degC"})
    born(sql, "north/n1/press-01/program", data_type=DataType.STRING, value="a")
    born(sql, "north/n1/press-02/heat")
    code, out, _ = run("list")
    assert (code, out.splitlines()[-1]) == (0, "3 open")
    assert "cannot be a tag: STRING is no number" in out.splitlines()[1]
    code, out, err = run("accept", "spb:north/n1/press-0*", "--dry-run")
    assert (code, out.splitlines()[-1]) == (0, "nothing was changed")
    assert err == "left out: spb:north/n1/press-01/program: STRING is no number\n"
    code, out, _ = run("accept", "spb:north/n1/press-01/heat", "--no-publish", "--who", "ann", "--why", "oil")
    assert code == 0
    assert out.splitlines() == [
        f"+ tag {LINE}/cell-1/press-01/heat  spb:north/n1/press-01/heat  DOUBLE  Cel",
        "registry version 2: added tags 1",
    ]
    code, _, err = run("accept", "spb:north/n1/press-01/program", "--no-publish")
    assert (code, err) == (1, "plant: spb:north/n1/press-01/program cannot be a tag: STRING is no number\n")
    assert run("refuse", "spb:*", "--why", "too many")[:2] == (0, "refused: 2 proposals, and what comes\n")
    assert run("list")[1] == "0 open\n"
    assert "refused by" in run("list", "--refused")[1]
    code, _, err = run("accept", "spb:*/heat", "--no-publish")
    assert (code, "nothing that is proposed matches" in err) == (2, True)
    assert run("accept", "spb:north/n1/press-02/heat", "--no-publish")[0] == 0, "its own name is asked for"
    assert run("refuse", "spb:*", "--withdraw")[1] == "1 refusals withdrawn\n"
    assert run("refuse", "spb:*", "--withdraw")[0] == 2
    assert len(run("list", "--json")[1].splitlines()) == 1


def test_a_rule_accepts_what_comes_later(sql: Sql, data: dict[str, Any]) -> None:
    born(sql, "north/n1/oven-7/heat")
    born(sql, "north/n1/oven-7/secret")
    proposals.refuse(sql, ["spb:*/secret"], ANN)
    standing.accept(sql, ["spb:north/n1/oven-*"], Into(at=f"{LINE}/ovens"), Change(who="bob", why="ovens"))
    rules = Standing()
    assert (rules.apply(sql), rules.apply(sql)) == (1, 0)
    # A machine of which nobody knew, one of the known, and one that no rule names.
    born(sql, "north/n1/oven-8/heat", at_s=60)
    born(sql, "north/n1/oven-8/fan", at_s=60)
    born(sql, "north/n1/oven-7/door", at_s=60, data_type=DataType.BOOLEAN)
    born(sql, "north/n1/oven-7/secret", at_s=60)
    born(sql, "north/n1/press-01/heat", at_s=60)
    assert (rules.apply(sql), rules.apply(sql)) == (3, 0)
    assert {"ovens/oven-7/heat", "ovens/oven-7/door", "ovens/oven-8/heat", "ovens/oven-8/fan"} <= paths(sql).keys()
    assert [one.address for one in proposals.found(sql)[0]] == ["spb:north/n1/press-01/heat"]
    (made_by,) = sql.execute(
        "SELECT DISTINCT (who, why, what)::text FROM tag_definitions_history WHERE path LIKE %s", [f"{LINE}/ovens/%"]
    ).fetchall()
    assert made_by == ('(bob,ovens,"proposals rule spb:north/n1/oven-*")',)
    refusing, accepting = standing.listed(sql)
    assert (refusing.verb, refusing.pattern, refusing.who) == ("refuse", "spb:*/secret", "ann")
    assert (accepting.verb, accepting.tags_made, accepting.who, accepting.problem) == ("accept", 4, "bob", "")
    assert accepting.since <= accepting.last_made
    # Withdrawn, it makes no more; what it made stays, and a file that never had it does not retire it.
    assert standing.withdraw(sql, ["spb:north/n1/oven-*"]) == 1
    born(sql, "north/n1/oven-9/heat", at_s=120)
    assert rules.apply(sql) == 0
    assert load_plant(sql, parse_plant(data)).retired_tags == 0


@pytest.mark.usefixtures("data")
def test_what_a_person_took_away_no_rule_brings_back(sql: Sql) -> None:
    born(sql, "north/n1/press-01/heat")
    standing.accept(sql, ["spb:*"], Into(), ANN)
    rules = Standing()
    assert rules.apply(sql) == 1
    sql.execute("UPDATE tags SET retired = true WHERE name = 'heat'")
    assert Standing().apply(sql) == 0
    (rule,) = standing.listed(sql)
    assert "its tag was retired; `plant proposals accept` brings it back" in rule.problem
    proposals.accept(sql, proposals.found(sql)[0], Into(), ANN)
    assert "cell-1/press-01/heat" in paths(sql)


@pytest.mark.usefixtures("data")
def test_what_one_rule_cannot_place_another_may(sql: Sql) -> None:
    born(sql, "north/n1/oven-7/heat")
    standing.accept(sql, ["spb:*"], Into(), ANN)
    standing.accept(sql, ["spb:*/oven-*"], Into(at=f"{LINE}/ovens"), ANN)
    assert Standing().apply(sql) == 1
    assert [bool(rule.problem) for rule in standing.listed(sql) if rule.pattern == "spb:*/oven-*"] == [False]


@pytest.mark.usefixtures("data")
def test_making_and_withdrawing_a_rule_is_an_event_of_the_audit_log(sql: Sql) -> None:
    born(sql, "north/n1/press-01/heat")
    sql.execute("DELETE FROM audit_outbox")
    standing.accept(sql, ["spb:*"], Into(), ANN)
    Standing().apply(sql)
    standing.withdraw(sql, ["spb:*"])
    rows = sql.execute("SELECT action, name, who FROM audit_outbox WHERE action LIKE '%-rule' ORDER BY id").fetchall()
    assert [(action, name) for action, name, _ in rows] == [
        ("registry:accept-rule", "spb:*"),
        ("registry:withdraw-rule", "spb:*"),
    ]
    assert rows[0][2] == "ann"


@pytest.mark.usefixtures("data")
def test_a_rule_says_what_it_cannot_make_and_goes_on_when_that_has_changed(sql: Sql) -> None:
    born(sql, "north/n1/oven-7/heat")
    born(sql, "north/n1/press-01/heat")
    born(sql, "north/n1/press-01/program", data_type=DataType.STRING, value="a")
    standing.accept(sql, ["spb:*"], Into(), ANN)
    rules = Standing()
    assert rules.apply(sql) == 1, "one machine's trouble is not another's"
    (rule,) = standing.listed(sql)
    assert rule.problem.startswith("2 are no tags, the first: no device has tags of 'north/n1/oven-7': say where")
    assert rules.apply(sql) == 0
    proposals.accept(sql, proposals.found(sql, ["spb:*/oven-7/*"])[0], Into(at=f"{LINE}/ovens"), ANN)
    born(sql, "north/n1/oven-7/fan", at_s=60)
    assert rules.apply(sql) == 1
    (rule,) = standing.listed(sql)
    assert rule.problem == "1 are no tags, the first: spb:north/n1/press-01/program: STRING is no number"
    assert rule.tags_made == 2


@pytest.mark.usefixtures("data")
def test_maintenance_applies_rules_and_publishes_until_kafka_has_it(sql: Sql) -> None:
    published: list[int] = []

    def publish() -> str:
        published.append(len(published))
        if len(published) == 1:
            msg = "Kafka is away"
            raise RegistryError(msg)
        return "published"

    service = Maintenance(sql, StorageSettings(), publish=publish)
    born(sql, "north/n1/press-01/heat")
    service.accept_proposals()
    assert published == []
    standing.accept(sql, ["spb:*"], Into(), ANN)
    for tries in (1, 2, 2):
        service.accept_proposals()
        assert len(published) == tries
    assert "cell-1/press-01/heat" in paths(sql)
    born(sql, "north/n1/press-01/fan", at_s=60)
    service.accept_proposals()
    assert len(published) == 3


@pytest.mark.usefixtures("data")
def test_the_tool_makes_lists_and_withdraws_rules(sql: Sql, run: Callable[..., tuple[int, str, str]]) -> None:
    born(sql, "north/n1/press-01/heat")
    born(sql, "north/n1/oven-7/heat")
    code, out, _ = run("accept", "--connection", "spb", "--rule", "--no-publish", "--who", "ann", "--why", "all of it")
    assert code == 0
    assert out.splitlines()[-1] == "accepted: 1 tags made, and what comes"
    assert "say where a new one stands" in out
    run("refuse", "spb:*/raw", "--why", "noise", "--who", "bob")
    code, out, _ = run("rules")
    assert (code, out.splitlines()[-1]) == (0, "2 rules")
    assert "refuse  *  spb:*/raw" in out
    assert "by bob: noise" in out
    assert "accept  *  spb:*" in out
    assert "by ann: all of it  into period_ms=1000 tag_class=process  1 tags, the last " in out
    assert len(run("rules", "--json")[1].splitlines()) == 2
    assert run("accept", "spb:*", "--withdraw")[:2] == (0, "1 rules withdrawn\n")
    code, _, err = run("accept", "spb:*", "--withdraw")
    assert (code, "no rule accepts 'spb:*'" in err) == (2, True)
    code, _, err = run("accept")
    assert (code, "say what to accept" in err) == (2, True)


@pytest.fixture
def run(history: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs `plant proposals` with arguments; exit status and what it printed."""
    config = tmp_path / "platform.toml"
    config.write_text(f'sites = []\n[kafka]\nbootstrap_servers = "127.0.0.1:1"\n[postgres]\ndsn = "{history}"\n')

    def run(*arguments: str) -> tuple[int, str, str]:
        code = command.main(["proposals", *arguments, "--config", str(config)])
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


def test_a_device_may_have_tags_that_its_class_does_not_have() -> None:
    made = plant()
    device = made["sites"][0]["areas"][0]["lines"][0]["cells"][0]["devices"][0]
    device["tags"] = {"heat": tag(unit="Cel"), "power": {"unit": "W"}}
    (found,) = parse_plant(made).devices
    assert {one.name: one.unit for one in found.tags} == {"power": "W", "heat": "Cel"}
    assert found.addresses["heat"] == "ns=2;s=north.press-01.heat"
    wrong = copy.deepcopy(made)
    wrong["sites"][0]["areas"][0]["lines"][0]["cells"][0]["devices"][0]["tags"] = {"pwoer": {"unit": "W"}}
    with pytest.raises(RegistryError, match="names 'pwoer', which is no tag of class press"):
        parse_plant(yaml.safe_load(yaml.safe_dump(wrong)))
