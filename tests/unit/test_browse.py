"""A server's address space walked, its machines recognised, and a plant file's skeleton written of them."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml
from asyncua import Server, ua

from browse import command as browse
from browse import skeleton, skeleton_text
from browse.machines import MACHINERY, PACKML, machines
from connectors.opcua import discovery
from connectors.opcua.certificates import CertificateStore
from connectors.opcua.settings import OpcUaSettings
from connectors.opcua.space import Endpoint, Found, NodeClass, Space, Unit
from connectors.opcua.walk import Bounds
from registry.plant_file import parse_plant
from registry.plant_names import plain_name

CEFACT = "http://www.opcfoundation.org/UA/units/un/cefact"
LINE = "urn:plant:line;1"


async def _address_space(server: Server) -> None:
    """Presses and ovens in a hall, a PackML filler, a machine of the Machinery specification, and a way round in a circle."""
    own, packml, machinery = [await server.register_namespace(uri) for uri in (LINE, PACKML, MACHINERY)]
    types, objects = server.nodes.base_object_type, server.nodes.objects
    hall = await objects.add_folder(own, "Hall")
    press = await hall.add_object(own, "Press Kühlung")
    force = await press.add_variable(ua.NodeId("press.force", own), ua.QualifiedName("Force", own), 12.5)
    await force.write_attribute(
        ua.AttributeIds.Description,
        ua.DataValue(ua.Variant(ua.LocalizedText("Peak force"), ua.VariantType.LocalizedText)),
    )
    await force.add_property(0, "EURange", ua.Range(Low=0.0, High=250.0))
    kilonewton = ua.EUInformation(CEFACT, 4338743, ua.LocalizedText("kN"), ua.LocalizedText("kilonewton"))
    await force.add_property(0, "EngineeringUnits", kilonewton)
    motor = await press.add_object(own, "Motor")
    speed = await motor.add_variable(ua.NodeId(77, own), ua.QualifiedName("Speed", own), 5, ua.VariantType.UInt16)
    await speed.set_writable()
    await motor.add_variable(own, "Curve", [1.0, 2.0])
    await motor.add_variable(own, "Program", "P1")
    modes = await server.nodes.enum_data_type.add_data_type(ua.NodeId("Modes", own), ua.QualifiedName("Modes", own))
    await modes.add_property(0, "EnumStrings", [ua.LocalizedText(one) for one in ("Off", "Manual", "Automatic")])
    await motor.add_variable(own, "Mode", 2, ua.VariantType.Int32, datatype=modes.nodeid)
    await motor.add_reference(hall, ua.ObjectIds.Organizes)
    oven_type = await types.add_object_type(own, "OvenType")
    for number in (1, 2):
        oven = await hall.add_object(own, f"oven-{number}", objecttype=oven_type.nodeid)
        await oven.add_variable(ua.NodeId(f"oven-{number}.{{temp}}", own), ua.QualifiedName("Temperature", own), 180.0)
        await oven.add_property(own, "Manufacturer", "ACME")
    filler_type = await types.add_object_type(packml, "PackMLBaseObjectType")
    filler = await objects.add_object(own, "Filler", objecttype=filler_type.nodeid)
    status = await filler.add_object(own, "Status")
    await status.add_variable(own, "CurMachSpeed", 60.0)
    identification_type = await types.add_object_type(machinery, "MachineIdentificationType")
    lathe = await objects.add_object(own, "Lathe")
    identification = await lathe.add_object(machinery, "Identification", objecttype=identification_type.nodeid)
    await identification.add_property(machinery, "Manufacturer", "ACME")
    monitoring = await lathe.add_folder(machinery, "Monitoring")
    await monitoring.add_variable(own, "Power", 3.0)


async def _walked(folder: Path, *bounds: Bounds) -> tuple[list[Endpoint], list[Space]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Server()
    await server.init()
    url = f"opc.tcp://127.0.0.1:{port}/"
    server.set_endpoint(url)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    await _address_space(server)
    async with server:
        offered = await discovery.endpoints(url)
        access = OpcUaSettings(endpoint=url)
        store = CertificateStore(folder, "gw1")
        return offered, [await discovery.walk(access, store, "i=85", one, lambda *_: None) for one in bounds]


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Endpoint], list[Space]]:
    return asyncio.run(
        _walked(tmp_path_factory.mktemp("pki"), Bounds(batch=3), Bounds(max_nodes=4), Bounds(max_depth=1))
    )


@pytest.fixture(scope="module")
def space(walked: tuple[list[Endpoint], list[Space]]) -> Space:
    return walked[1][0]


def node(space: Space, name: str) -> Found:
    return next(one for one in space.nodes if one.name == name)


def test_endpoints_are_listed(walked: tuple[list[Endpoint], list[Space]]) -> None:
    assert {(one.policy, one.mode) for one in walked[0]} == {("None", "None")}
    assert all("Anonymous" in one.user_tokens for one in walked[0])


def test_a_variable_is_shown_with_what_the_server_says_of_it(space: Space) -> None:
    force = node(space, "Force")
    assert force.id == "nsu=urn:plant:line%3B1;s=press.force"
    assert (force.value, force.data_type, force.status, force.description) == (12.5, "Double", "Good", "Peak force")
    assert force.eu_range == (0.0, 250.0)
    assert force.unit == Unit(unit_id=4338743, text="kN", description="kilonewton", uri=CEFACT)
    assert (force.readable, force.writable, node(space, "Speed").writable) == (True, False, True)
    assert node(space, "Curve").array
    mode = node(space, "Mode")
    assert (mode.data_type, mode.data_type_name, mode.states) == (
        "Enumeration",
        "Modes",
        ("Off", "Manual", "Automatic"),
    )


def test_every_node_is_there_once_although_there_is_a_circle(space: Space) -> None:
    ids = [one.id for one in space.nodes]
    assert len(ids) == len(set(ids))
    assert not space.cut
    assert space.problems == []
    assert not any(one.name == "Server" for one in space.nodes)


def test_machines_are_recognised_with_all_that_lies_below_them(space: Space) -> None:
    found = {
        space.nodes[machine.index].name: (machine.companion, ["/".join(names) for _, names in machine.variables])
        for machine in machines(space)
    }
    assert found == {
        "Press Kühlung": ("", ["Force", "Motor/Speed", "Motor/Curve", "Motor/Program", "Motor/Mode"]),
        "oven-1": ("", ["Temperature"]),
        "oven-2": ("", ["Temperature"]),
        "Filler": ("PackML", ["Status/CurMachSpeed"]),
        "Lathe": ("Machinery", ["Monitoring/Power"]),
    }


def test_a_walk_ends_at_its_bounds_and_says_so(walked: tuple[list[Endpoint], list[Space]]) -> None:
    _, few, shallow = walked[1]
    assert len(few.nodes) == 4
    assert "4 nodes" in few.cut
    assert {one.name for one in shallow.nodes} == {"Hall", "Filler", "Lathe"}
    assert "1 steps" in shallow.cut


def skeleton_of(space: Space) -> skeleton.Skeleton:
    place = skeleton.Place(settings={"protocol": "opcua", "endpoint": "opc.tcp://plc:4840"})
    return skeleton.build(skeleton.of_space(space), place)


def test_the_skeleton_has_classes_devices_and_addresses(space: Space) -> None:
    made = skeleton_of(space)
    classes = made.file["device_classes"]
    assert classes["Press_Kuhlung"]["tags"]["Force"] == {
        "tag_class": "process", "data_type": "DOUBLE", "unit": "kN", "description": "Peak force", "eu": [0.0, 250.0],
        "period_ms": 1000, "address": "nsu=urn:plant:line%3B1;s=press.force",
    }  # fmt: skip
    assert classes["Press_Kuhlung"]["tags"]["Motor_Speed"]["writable"] is True
    assert classes["Press_Kuhlung"]["tags"]["Motor_Mode"]["description"] == "Mode. 0 Off, 1 Manual, 2 Automatic"
    # One class for both ovens, with a pattern; braces that mean themselves are doubled.
    assert classes["OvenType"]["tags"]["Temperature"]["address"] == "nsu=urn:plant:line%3B1;s={device}.{{temp}}"
    devices = made.file["sites"][0]["areas"][0]["lines"][0]["cells"][0]["devices"]
    assert [(one["name"], one["class"]) for one in devices if one["class"] == "OvenType"] == [
        ("oven-1", "OvenType"), ("oven-2", "OvenType"),
    ]  # fmt: skip
    assert made.notes == {"PackMLBaseObjectType": "PackML machine", "Lathe": "Machinery machine"}
    assert {(name, cause.split(":")[0]) for _, name, cause in made.left_out} == {
        ("Motor_Curve", "it is an array of Double"), ("Motor_Program", "its type is String, which is no number"),
    }  # fmt: skip


def test_the_text_is_a_plant_file(space: Space) -> None:
    made = skeleton_of(space)
    text = skeleton_text.render(made, "opc.tcp://plc:4840")
    assert yaml.safe_load(text) == made.file
    plant = parse_plant(yaml.safe_load(text))
    press = next(device for device in plant.devices if device.name == "Press_Kuhlung")
    assert press.addresses["Motor_Speed"] == "nsu=urn:plant:line%3B1;i=77"
    ovens = [device.addresses["Temperature"] for device in plant.devices if device.device_class == "OvenType"]
    assert ovens == [f"nsu=urn:plant:line%3B1;s=oven-{number}.{{temp}}" for number in (1, 2)]
    assert "# Motor_Curve" not in text
    assert "# Press_Kuhlung/Motor_Curve: it is an array" in text


def test_people_see_machines_and_values(space: Space) -> None:
    shown = "\n".join(browse.space_lines(space))
    assert "Hall/Press Kühlung" in shown
    assert "12.5 kN" in shown
    assert "Filler  (PackMLBaseObjectType)  PackML" in shown


# --- without a server --------------------------------------------------------------------------------------------------


def variable(name: str, parent: int = -1, **more: Any) -> Found:
    given: dict[str, Any] = {
        "id": f"nsu=urn:x;s={name}", "name": name, "node_class": NodeClass.VARIABLE, "parent": parent, "depth": 0,
        "part": True, "data_type": "Double",
    }  # fmt: skip
    return Found(**given | more)


def test_people_say_which_objects_are_devices_of_their_own() -> None:
    def thing(name: str, parent: int) -> Found:
        return Found(id=f"i={len(nodes)}", name=name, node_class=NodeClass.OBJECT, parent=parent, depth=0, part=True)

    nodes: list[Found] = []
    nodes.append(thing("Line", -1))
    nodes.append(variable("free", 0))
    nodes.append(thing("Tanks", 0))
    for number in (1, 2):
        nodes.append(thing("Tank", 2))
        tank = len(nodes) - 1
        nodes.append(variable("level", tank, id=f"nsu=urn:x;s=tank{number}.level"))
        nodes.append(thing("Stirrer", tank))
        nodes.append(variable("power", tank + 2, id=f"nsu=urn:x;s=tank{number}.power"))
    space = Space(nodes=nodes)

    def devices(*named: str) -> list[tuple[str, list[str]]]:
        return [(device.name, [tag.name for tag in device.tags]) for device in skeleton.of_space(space, named)]

    names = ["free", "Tanks_Tank_level", "Tanks_Tank_Stirrer_power", "Tanks_Tank_level-2", "Tanks_Tank_Stirrer_power-2"]
    assert devices() == [("Line", names)]
    parts = ["level", "Stirrer_power"]
    # What lies in a device is no device of its own, although the pattern means it too.
    assert devices("Line/Tanks/*") == [("Line", ["free"]), ("Tank", parts), ("Tank-2", parts)]


def test_letters_without_a_mark_are_spelled_out() -> None:
    assert [plain_name(text) for text in ("Temp (heiß)", "Kühlung", "Smørepumpe")] == [
        "Temp_heiss",
        "Kuhlung",
        "Smorepumpe",
    ]


def test_a_unit_whose_name_means_another_one_says_so() -> None:
    wrong = Unit(unit_id=4937544, text="l/h", uri=CEFACT)  # the number of kW.h
    nodes = [variable("a", unit=wrong), variable("b", unit=Unit(unit_id=-1, text="U/min"))]
    tags = skeleton_of(Space(nodes=nodes)).file["device_classes"]["objects"]["tags"]
    assert (tags["a"]["unit"], tags["a"]["description"]) == ("kW.h", "a. Unit at the server: l/h")
    assert (tags["b"]["unit"], tags["b"]["description"]) == ("{rev}/min", "b")


def test_names_that_no_file_can_carry_are_made_to_fit_and_stay_apart() -> None:
    nodes = [
        variable("温度", id="nsu=urn:x;i=1"),
        variable("压力", id="nsu=urn:x;i=2"),
        variable("a b", id="nsu=urn:x;i=3"),
    ]
    (device,) = skeleton.of_space(Space(nodes=nodes))
    assert [tag.name for tag in device.tags] == ["unnamed", "unnamed-2", "a_b"]
    assert all(tag.description for tag in device.tags)


@pytest.mark.parametrize("period_ms", [0.0, 50.0, 1000.0, 4000.0, 300_000.0, 9e9])
def test_periods_fit_the_windows_of_their_class(period_ms: float) -> None:
    space = Space(nodes=[variable("t", sampling_ms=period_ms)])
    file = skeleton_of(space).file
    tag = file["device_classes"]["objects"]["tags"]["t"]
    assert file["tag_classes"][tag["tag_class"]]["windows_s"][0] * 1000 >= 10 * tag["period_ms"]


def test_a_range_that_is_none_is_left_out() -> None:
    nodes = [variable("a", eu_range=(0.0, 0.0)), variable("b", eu_range=(0.0, float("inf")))]
    assert all(
        "eu" not in tag for tag in skeleton_of(Space(nodes=nodes)).file["device_classes"]["objects"]["tags"].values()
    )


def test_a_line_break_in_a_name_stays_in_its_comment() -> None:
    text = skeleton_text.render(skeleton_of(Space(nodes=[variable("a\nsites: []", data_type="String")])), "x")
    assert yaml.safe_load(text)["sites"][0]["name"] == "site"


def test_a_unit_that_ucum_does_not_have_is_kept_in_words() -> None:
    space = Space(nodes=[variable("a", unit=Unit(unit_id=0, text="widgets"))])
    tag = skeleton_of(space).file["device_classes"]["objects"]["tags"]["a"]
    assert (tag["unit"], tag["description"]) == ("1", "a. Unit at the server: widgets")
