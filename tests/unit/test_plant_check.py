"""`plant check`: every error and warning of a file, each where it stands."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import yaml

from base.errors import RegistryError
from connectors.catalogue import PROTOCOLS
from registry import command
from registry.plant_file import check_plant, parse_plant, read_plant
from tests.integration.history import plant, tag

ROOT = Path(__file__).parents[2]
EXAMPLE, FOREIGN = ROOT / "stack" / "plant.yaml", ROOT / "docs" / "examples" / "foreign-plant.yaml"
FILE = """\
enterprise: acme
tag_classes:
  process: {windows_s: [10, 60]}
device_classes:
  press:
    tags:
      power: &power {tag_class: process, data_type: DOUBLE, unit: kW, description: Power, period_ms: 1000}
      heat: {<<: *power, unit: degC}
      force:
        <<: *power
        perod_ms: 5
        writable: yes please
      speed: {<<: *power, tag_class: procss}
sites:
  - name: north
    gateways:
      - id: gw
        connections:
          - {name: plc, protocol: opcua, endpoint: 'opc.tcp://plc', address: 'ns=2;s={tag}'}
          - {name: mqtt, protocol: mqqt, endpoint: 'mqtt://x'}
    areas:
      - name: a
        lines:
          - name: l
            cells:
              - name: c
                devices:
                  - {name: p1, class: press, gateway: gw, connection: plc, lane: 3}
                  - {name: p2, class: press, gateway: gw, connection: mqtt}
                  - {name: p3, class: prss, gateway: gw, connection: plc}
                  - {name: p/4, class: press, gateway: gw, connection: plc}
                  - {name: p5, class: press, gateway: gw, connection: profinet}
"""


def check(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, list[str]]:
    code = command.main(["check", str(path), *options])
    out = capsys.readouterr().out.replace(str(path), "F")
    return code, out.splitlines()


def test_one_check_finds_all_errors_each_with_line_column_and_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(FILE)
    code, lines = check(path, capsys)
    cell = "sites[0].areas[0].lines[0].cells[0]"
    assert (code, lines[-1]) == (1, "8 errors, 0 warnings")
    found = [line.partition(": error: ") for line in lines[:-1]]
    assert [(where, what.split(";")[0]) for where, _, what in found] == [
        ("F:11:9", "device_classes.press.tags.force: unknown key 'perod_ms'"),
        ("F:12:9", "device_classes.press.tags.force: writable is 'yes please', not true or false"),
        ("F:13:27", "device_classes.press.tags.speed: tag_class is 'procss'"),
        ("F:20:26", "sites[0].gateways[0].connections[1]: protocol is 'mqqt'"),
        ("F:28:76", f"{cell}.devices[0]: lane is 3, but gw has lanes 0 to 0"),
        ("F:30:32", f"{cell}.devices[2]: class is 'prss'"),
        ("F:31:22", f"{cell}.devices[3].name: 'p/4' is no name: letters, digits, '-' and '_', up to 63, beginning with a letter or digit"),
        ("F:32:59", f"{cell}.devices[4]: connection is 'profinet'"),
    ]  # fmt: skip
    # p2 is on a connection that is wrong: that is said once, at the connection.
    with pytest.raises(RegistryError, match=r"plant.yaml:11:9: .* \(and 7 more: `./millrace plant check` shows all\)"):
        read_plant(path)


def test_what_is_allowed_and_unwise_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = plant(
        heat=tag(unit="°C"),
        power=tag(writable=True, limits=[None, 9], eu=None),
        flow=tag(unit="gallons", stuck_after_s=0.5),
    )
    data["device_classes"]["mill"] = data["device_classes"]["press"]
    path = tmp_path / "plant.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    code, lines = check(path, capsys)
    warnings = {line.partition(": warning: ")[2] for line in lines[:-1]}
    press = "device_classes.press.tags"
    assert warnings >= {
        f"{press}.heat: unit '°C' is no UCUM code; write 'Cel'",
        f"{press}.flow: unit 'gallons' is no UCUM code",
        f"{press}.power: writable without both limits: a command may write any value",
        f"{press}.flow: stuck_after_s is 0.5, fewer than 10 periods: a value may stay the same that long",
        "device_classes: mill is used by nothing",
        "tag_classes: slow is used by nothing",
        "sites[0].gateways[0].connections[0]: address of tag heat of device press-01: ns=2 is an index that the server may change at a"
        " restart; nsu=<namespace URI> stays",
    }
    assert sum("is an index" in line for line in warnings) == 1, "once for a pattern, not for each tag"
    assert (code, lines[-1].partition("; ")[0]) == (0, "1 site, 1 gateway, 1 connection, 1 device, 3 tags")
    assert check(path, capsys, "--strict")[0] == 1


def test_a_key_that_is_there_twice_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(
        "enterprise: acme\ntag_classes:\n  a: {windows_s: [60]}\n  a: {windows_s: [300]}\ndevice_classes: {}\nsites: []\n"
    )
    assert check(path, capsys) == (1, ["F:4:3: error: tag_classes: a is there twice", "F:4:3: warning: tag_classes: a is used by nothing",
                                       "1 error, 1 warning"])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("&a {enterprise: *a}", "an anchor contains itself"),
        ("[" * 60 + "]" * 60, "nested deeper than 40"),
        ("[" * 1_000_000, "nested deeper than 40"),
        ("a:\n" + " - " * 1_000_000 + "x", "nested deeper than 40"),
        ("a: &a [x, x]\n" + "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)),
         "aliases make more than"),
    ],
    ids=["cycle", "deep", "brackets", "dashes", "aliases"],
)  # fmt: skip
def test_a_file_that_would_be_huge_is_not_looked_at(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(text)
    plant, findings = check_plant(path)
    assert plant is None
    assert message in str(findings[0].problem)


def test_a_device_says_what_is_different_at_it(tmp_path: Path) -> None:
    data = plant(power=tag(), speed=tag())
    device = data["sites"][0]["areas"][0]["lines"][0]["cells"][0]["devices"][0]
    device |= {"tags": {"power": {"limits": [-10, 90], "eu": [0, 80]}}, "planned_run_time_s": None, "detector": ""}
    path = tmp_path / "plant.yaml"
    path.write_text(yaml.safe_dump(data))
    (found,) = read_plant(path).devices
    assert [(one.name, one.limit_high) for one in found.tags] == [("power", 90), ("speed", 200)]
    assert (found.planned_run_time_s, found.detector) == (None, "")
    device["tags"]["power"]["limits"] = [-10, 20]
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(RegistryError, match=r"devices\[0\].tags.power: eu \[0, 80\] does not lie within limits"):
        read_plant(path)


def test_the_example_plant_is_checked() -> None:
    plant, findings = check_plant(EXAMPLE)
    assert plant is not None
    assert {str(one.problem) for one in findings if "is an index" not in str(one.problem)} == set()


def test_the_foreign_plant_is_without_fault(capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = check(FOREIGN, capsys, "--strict")
    assert (code, lines) == (0, ["1 site, 1 gateway, 3 connections, 4 devices, 9 tags; 0 errors, 0 warnings"])
    devices = {device.name: device for device in read_plant(FOREIGN).devices}
    assert devices["extruder-1"].address("melt_pressure") == "extruder:nsu=http://extruders.example/line;i=50102"
    assert devices["DB_PUMP_1"].address("flow") == 'plc:nsu=urn:example:plc:water;s="DB_PUMP_1"."flow"'
    assert devices["DB_PUMP_2"].address("flow") == 'plc:nsu=urn:example:plc:water;s="DB_ANALOG"."FT_202"'
    assert (
        devices["meter-1"].address("power")
        == "meters:hydra/lerna/extrusion/meter-1#$.power.value;time_ms=$.timestamp_ms"
    )
    assert {device.simulated for device in devices.values()} == {False}


def test_the_schema_knows_every_protocol_and_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == {"enterprise", "tag_classes", "device_classes", "sites"}
    connection = schema["$defs"]["Gateway"]["properties"]["connections"]["items"]
    assert set(connection["discriminator"]["mapping"]) == set(PROTOCOLS)
    assert "class" in schema["$defs"]["Device"]["properties"]
    assert schema["$defs"]["Tag"]["properties"]["period_ms"]["description"]


CALCULATED = """\
enterprise: acme
tag_classes:
  process: {windows_s: [10, 60]}
device_classes:
  press:
    address: ns=2;s={device}.{tag}
    tags:
      power: &power {tag_class: process, data_type: DOUBLE, unit: kW, description: Power, period_ms: 1000}
      open: {<<: *power, data_type: BOOLEAN, unit: '1'}
      ratio: {<<: *power, unit: '1', expression: tag.power / tag.speed}
      loss: {<<: *power, expression: tag.power + tag.open}
      twice: {<<: *power, expression: 2 * tag.loss}
      burns: {<<: *power, data_type: BOOLEAN, unit: '1', expression: tag.power}
      much:
        <<: *power
        expression: tag.power * 2
        limits: [0, 5]
        address: ns=2;s=much
        writable: true
      fine: {<<: *power, expression: 'tag.open ? 0 : tag.power'}
sites:
  - name: north
    gateways:
      - {id: gw, connections: [{name: plc, protocol: opcua, endpoint: 'opc.tcp://plc'}]}
    areas:
      - name: a
        lines:
          - name: l
            cells:
              - name: c
                devices:
                  - name: p1
                    class: press
                    gateway: gw
                    connection: plc
                    addresses: {fine: ns=2;s=p1.fine}
                  - name: p2
                    class: press
                    gateway: gw
                    connection: plc
                    tags:
                      open: {data_type: DOUBLE}
"""


def test_what_cannot_be_calculated_is_named_with_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "plant.yaml"
    path.write_text(CALCULATED)
    code, lines = check(path, capsys)
    press, cell = "device_classes.press.tags", "sites[0].areas[0].lines[0].cells[0]"
    assert [line for line in lines[:-1] if ": error: " in line] == [
        f"F:10:38: error: {press}.ratio: expression: the device has no tag speed; it has open, power",
        f"F:11:26: error: {press}.loss: expression: column 11: + cannot be applied to (number, boolean)",
        f"F:12:27: error: {press}.twice: expression: loss is a calculated tag: an expression is over measured tags, write out what loss is",
        f"F:13:58: error: {press}.burns: expression: it is a number, no boolean",
        f"F:17:9: error: {press}.much: limits and expression: a calculated tag has no limits, it is never refused; give eu, or an alarm",
        f"F:18:9: error: {press}.much: address and expression: a calculated tag has no address, no machine has it",
        f"F:19:9: error: {press}.much: writable and expression: a calculated tag has no writable, no machine takes it",
        f"F:36:33: error: {cell}.devices[0]: addresses names 'fine', which is calculated: no machine has it",
        f"F:37:21: error: {cell}.devices[1]: tag fine of its class: "
        "expression: column 10: ? : cannot be applied to (number, number, number)",
    ]  # fmt: skip
    assert code == 1


def test_a_calculated_tag_is_loaded_without_an_address() -> None:
    ratio = {key: value for key, value in tag(expression="tag.power * 2").items() if key != "limits"}
    data = plant(power=tag(), ratio=ratio)
    (device,) = parse_plant(data).devices
    assert {spec.name: (device.address(spec.name), spec.expression) for spec in device.tags} == {
        "power": (device.address("power"), ""),
        "ratio": ("", "tag.power * 2"),
    }
    assert "ratio" not in device.addresses
    assert device.tag_digest(device.tags[1]) != device.tag_digest(dataclasses.replace(device.tags[1], expression=""))
