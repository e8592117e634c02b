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
from connectors.sparkplug.data_types import DataType
from connectors.sparkplug.notices import Notices
from connectors.sparkplug.payload import Metric
from edge.events import Events, unpack
from historian import records
from registry import command, edit, proposals
from registry.changes import Change
from registry.difference import difference
from registry.export import export
from registry.load import load_plant
from registry.plant_file import parse_plant
from registry.proposals import Into
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
    assert (code, err) == (1, "spb:north/n1/press-01/program cannot be a tag: STRING is no number\n")
    assert run("refuse", "spb:*", "--why", "too many")[:2] == (0, "refused: 2 proposals, and what comes\n")
    assert run("list")[1] == "0 open\n"
    assert "refused by" in run("list", "--refused")[1]
    code, _, err = run("accept", "spb:*/heat", "--no-publish")
    assert (code, "nothing that is proposed matches" in err) == (1, True)
    assert run("accept", "spb:north/n1/press-02/heat", "--no-publish")[0] == 0, "its own name is asked for"
    assert run("refuse", "spb:*", "--withdraw")[1] == "1 refusals withdrawn\n"
    assert run("refuse", "spb:*", "--withdraw")[0] == 1
    assert len(run("list", "--json")[1].splitlines()) == 1


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
