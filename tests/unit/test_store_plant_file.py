"""The plant file: the example loads, and every error names its place."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from base.errors import RegistryError
from connectors.catalogue import PROTOCOLS
from registry.plant_file import parse_plant, read_plant
from schemas.definitions import Historise
from tests.integration.history import CONNECTIONS, plant, tag

EXAMPLE = Path(__file__).parents[2] / "stack" / "plant.yaml"


def test_the_example_plant_is_what_the_documentation_says() -> None:
    example = read_plant(EXAMPLE)
    tags = [spec for device in example.devices for spec in device.tags]
    assert example.sites == ("north", "south")
    assert {gateway.id: gateway.lanes for gateway in example.gateways} == {"gw-north-1": 2, "gw-south-1": 1}
    assert {(device.site, device.protocol) for device in example.devices} == {
        (s, p) for s in example.sites for p in ("opcua", "sparkplug")
    }
    assert len(example.devices) == 38
    assert len(tags) == 426
    assert 1_000 < sum(1000 / spec.period_ms for spec in tags) < 2_000
    assert {spec.historise for spec in tags} == set(Historise)
    for device in example.devices:
        names = {spec.name: spec for spec in device.tags}
        assert {
            "packml_state",
            "packml_command",
            "speed_setpoint",
            "cycle_count",
            "scrap_count",
            "power",
            "energy",
        } <= set(names)
        assert names["packml_command"].writable
        assert names["speed_setpoint"].writable


def test_addresses_of_the_example_come_from_its_connections() -> None:
    example = read_plant(EXAMPLE)
    by_name = {(device.site, device.name): device for device in example.devices}
    assert (
        by_name["north", "press-01"].address("power") == "opcua:nsu=urn:millrace:simulated-plant;s=north.press-01.power"
    )
    assert by_name["south", "mill-01"].address("power") == "spb:south/sim-south/mill-01/power"


def test_an_address_is_the_devices_own_or_the_most_special_pattern() -> None:
    data = plant(power=tag(), speed=tag(), force=tag(address="i=7"), heat=tag())
    (device,) = parse_plant(data).devices
    assert device.address("power") == "opcua:ns=2;s=north.press-01.power"
    data["device_classes"]["press"]["address"] = "nsu=urn:p;s={area}/{line}/{cell}/{{x}}/{device}.{tag}"
    data["sites"][0]["areas"][0]["lines"][0]["cells"][0]["devices"][0]["addresses"] = {"speed": "ns=4;s={speed}"}
    (device,) = parse_plant(data).devices
    assert device.address("power") == "opcua:nsu=urn:p;s=forming/line-1/cell-1/{x}/press-01.power"
    assert device.address("speed") == "opcua:ns=4;s={speed}"
    assert device.address("force") == "opcua:i=7"


def test_two_tags_of_a_gateway_with_one_address_are_refused() -> None:
    with pytest.raises(RegistryError, match=r"devices\[0\]: tag speed has the address i=7 of press-01/power"):
        parse_plant(plant(power=tag(address="i=7"), speed=tag(address="i=7")))


def _change(path: list[Any], value: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        for step in path[:-1]:
            data = data[step]
        data[path[-1]] = value

    return change


CELL = ["sites", 0, "areas", 0, "lines", 0, "cells"]
CONNECTION = ["sites", 0, "gateways", 0, "connections", 0]
TAG = ["device_classes", "press", "tags", "power"]
ERRORS = [
    (_change(["enterprise"], "a/b"), "enterprise: 'a/b' is no name"),
    (_change(["colour"], 1), "unknown key 'colour'; known: enterprise"),
    (_change([*TAG, "period_ms"], "fast"), "device_classes.press.tags.power: period_ms is 'fast', not a whole number"),
    (_change([*TAG, "period_ms"], 500), "windows of 1 s (tag class fast) need 100 or less"),
    (
        _change([*TAG, "tag_class"], "quick"),
        "device_classes.press.tags.power: tag_class is 'quick'; known: fast, slow, odd",
    ),
    (_change([*TAG, "limits"], [10, 20]), "eu [0, 100] does not lie within limits [10, 20]"),
    (_change([*TAG, "limits"], [20, 10]), "limits is [20, 10]: low is above high"),
    (_change([*TAG, "historise"], "SOME"), "historise is 'SOME'; known: ALL, ON_CHANGE, NONE"),
    (_change([*TAG, "max_rate"], float("nan")), "max_rate is nan, not a number"),
    (_change([*TAG, "writable"], "yes"), "writable is 'yes', not true or false"),
    (_change([*TAG, "wirtable"], True), "unknown key 'wirtable'"),
    (
        _change(["tag_classes", "fast", "windows_s"], [7, 60]),
        "tag_classes.fast: windows_s is [7, 60]: every window must divide an hour",
    ),
    (_change(["tag_classes", "fast", "windows_s"], [60, 300]), "exactly one must be a minute or longer"),
    (
        _change([*CELL, 0, "devices", 0, "class"], "lathe"),
        "sites[0].areas[0].lines[0].cells[0].devices[0]: class is 'lathe'; known: press",
    ),
    (_change([*CELL, 0, "devices", 0, "gateway"], "gw9"), "gateway is 'gw9'; known: gw"),
    (_change([*CELL, 0, "devices", 0, "lane"], 2), "lane is 2, but gw has lanes 0 to 1"),
    (_change([*CELL, 0, "devices", 0, "connection"], "plc2"), "devices[0]: connection is 'plc2'; known: opcua"),
    (
        _change([*CONNECTION, "protocol"], "profinet"),
        f"sites[0].gateways[0].connections[0]: protocol is 'profinet'; known: {', '.join(PROTOCOLS)}",
    ),
    (_change([*CONNECTION, "queue_size"], "big"), "connections[0]: queue_size is 'big', not a whole number"),
    (_change([*CONNECTION, "endpoint"], "plc"), "connections[0]: endpoint is 'plc', not opc.tcp://host:port"),
    (_change([*CONNECTION, "password"], "hunter2"), "connections[0]: password is not a reference: write file:PATH"),
    (_change([*CONNECTION, "colour"], 1), "connections[0]: unknown key 'colour'; known: name"),
    (_change([*CONNECTION, "name"], "a:b"), "connections[0].name: 'a:b' is no name"),
    (_change([*CONNECTION, "address"], ""), "tag power has no address: give the tag, its class or the connection"),
    (
        _change([*CONNECTION, "address"], "x{tag}"),
        "connections[0]: address of tag power of device press-01: 'xpower' is no node id",
    ),
    (_change([*CONNECTION, "address"], "s={plc}"), "names {plc}; known: {site}, {area}"),
    (
        _change([*TAG, "address"], "s={"),
        "device_classes.press.tags.power: address of tag power of device press-01: 's={' is no pattern",
    ),
    (
        _change(["device_classes", "press", "address"], "i={tag}"),
        "device_classes.press: address of tag power of device press-01: i=power is not a number",
    ),
    (
        _change([*CELL, 0, "devices", 0, "addresses"], {"pwoer": "i=1"}),
        "addresses names 'pwoer', which is no tag of class press",
    ),
    (_change([*CELL, 0, "devices"], None), "devices is None, not a list"),
    (_change(["sites"], "north"), "sites is 'north', not a list"),
    (_change(["sites", 0, "name"], 7), "sites[0].name: 7 is no name"),
    (_change(["sites", 0], ["north"]), "sites[0]: a mapping is expected, not list"),
    (_change(["device_classes", "press", "tags"], 5), "device_classes.press.tags: a mapping is expected, not int"),
    (_change(["device_classes", "press", "tags"], {}), "device_classes.press: tags is empty"),
    (_change(["device_classes", "a/b"], {"tags": {}}), "device_classes: 'a/b' is no name"),
    (_change(["device_classes", "press", "planned_run_time_s"], 0), "press: planned_run_time_s is 0, not above 0"),
    (_change([*TAG, "eu"], [0, "hot"]), "device_classes.press.tags.power: eu[1] is 'hot', not a number"),
    (_change([*TAG, "eu"], 7), "device_classes.press.tags.power: eu is 7, not [low, high]"),
    (_change([*TAG, "deadband"], -1), "device_classes.press.tags.power: deadband is below 0"),
    (_change([*TAG, "max_rate"], True), "device_classes.press.tags.power: max_rate is True, not a number"),
    (_change([*TAG, "period_ms"], 1 << 40), "period_ms is 1099511627776, which 32 bits do not hold"),
    (_change([*TAG, "description"], "a\0b"), "device_classes.press.tags.power: description contains a NUL character"),
    (_change([*TAG, "unit"], 1), "device_classes.press.tags.power: unit is of the type int, not a text"),
    (_change([*TAG, "simulate"], "power"), "device_classes.press.tags.power.simulate: a mapping is expected, not str"),
    (
        _change(["tag_classes", "fast", "windows_s"], [1, "m"]),
        "tag_classes.fast: windows_s[1] is 'm', not a whole number",
    ),
    (_change(["sites", 0, "gateways", 0, "lanes"], 0), "sites[0].gateways[0]: lanes is 0, not above 0"),
    (
        _change([*CELL, 0, "devices", 0], {"name": "x"}),
        "sites[0].areas[0].lines[0].cells[0].devices[0]: class is missing",
    ),
]


@pytest.mark.parametrize(("change", "message"), ERRORS, ids=[message[:48] for _, message in ERRORS])
def test_errors_name_the_place(change: Callable[[dict[str, Any]], None], message: str) -> None:
    data = copy.deepcopy(plant(power=tag()))
    change(data)
    with pytest.raises(RegistryError) as caught:
        parse_plant(data)
    assert message in str(caught.value)


def test_a_second_owner_is_refused() -> None:
    data = plant()
    data["sites"][0]["gateways"].append({"id": "gw2", "lanes": 1, "connections": CONNECTIONS})
    cells = data["sites"][0]["areas"][0]["lines"][0]["cells"]
    cells[1]["devices"] = [{**cells[0]["devices"][0], "gateway": "gw2"}]
    with pytest.raises(
        RegistryError,
        match=r"cells\[1\].devices\[0\]: device press-01 .* already at .*cells\[0\].* \(owners: gw and gw2\)",
    ):
        parse_plant(data)


def test_a_gateway_of_another_site_is_refused() -> None:
    data = plant()
    data["sites"].append({"name": "south", "gateways": [], "areas": copy.deepcopy(data["sites"][0]["areas"])})
    with pytest.raises(RegistryError, match="gateway gw stands at site north, the device at south"):
        parse_plant(data)


@pytest.mark.parametrize(
    ("text", "message"), [(None, "cannot be read"), ("a: [", "not valid YAML"), ("- 1", "a mapping is expected")]
)
def test_unreadable_files_say_so(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "plant.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RegistryError, match=message):
        read_plant(path)


def test_digests_of_a_stored_plant_stay_what_they_were() -> None:
    """The registry keeps digests: other ones would count every device as changed, and undo what was set by hand."""
    as_it_was = EXAMPLE.read_text().replace("nsu=urn:millrace:simulated-plant;", "ns=2;")
    device = parse_plant(yaml.safe_load(as_it_was)).devices[0]
    assert (device.name, device.digest()) == ("press-01", "959f04e11d376e115b2f6690")
    assert (device.tags[0].name, device.tag_digest(device.tags[0])) == ("packml_state", "d88ee5bb25c415364bd39118")
