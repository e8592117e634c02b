"""What was heard at a broker, as devices of a plant file."""

from __future__ import annotations

import json

import yaml

from browse import broker, skeleton, skeleton_text
from browse.heard import Heard
from connectors.sparkplug import payload
from connectors.sparkplug.data_types import DataType, Value
from connectors.sparkplug.payload import Metric, Payload
from registry.plant_file import parse_plant

PROPERTIES: dict[str, Value] = {"engUnit": "°C", "engLow": 0.0, "engHigh": 90.0, "documentation": "Oil of the press"}


def heard() -> Heard:
    found = Heard()
    metrics = (
        Metric(name="Oil/Temperature", alias=1, data_type=DataType.DOUBLE, value=41.5, properties=PROPERTIES),
        Metric(name="Oil/Level ok", data_type=DataType.BOOLEAN, value=True),
        Metric(name="Recipe", data_type=DataType.STRING, value="R1"),
    )
    born = Payload(time_ms=1, seq=1, metrics=metrics)
    found.take("spBv1.0/north/node-1", b"no such topic")
    found.take("spBv1.0/north/DBIRTH/node-1/press-01", payload.encode(born))
    found.take("spBv1.0/north/DDATA/node-2/press-02", payload.encode(Payload(time_ms=1, seq=3)))
    found.take("spBv1.0/north/DBIRTH/node-3/x", b"\xff\xff\xff")
    found.take("spBv1.0/STATE/host", b"{}")
    found.take("acme/hall/oven-1/temperature", json.dumps({"timestamp_ms": 1, "value": 180}).encode())
    found.take("acme/hall/oven-1/status", json.dumps({"door": {"open": False}, "recipe": "R7"}).encode())
    found.take("acme/hall/camera", b"\x89PNG")
    return found


def test_births_are_devices_with_their_metrics() -> None:
    (device,) = heard().sparkplug()
    assert (device.name, device.note) == ("press-01", "edge node north/node-1")
    oil, level, recipe = device.tags
    assert (oil.name, oil.address) == ("Oil_Temperature", "north/node-1/press-01/Oil/Temperature")
    assert (oil.data_type, oil.unit, oil.eu, oil.description) == ("DOUBLE", "Cel", (0.0, 90.0), "Oil of the press")
    assert (level.data_type, level.refused) == ("BOOLEAN", "")
    assert "STRING" in recipe.refused


def test_topics_with_json_are_grouped_by_the_level_above() -> None:
    (device,) = heard().documents()
    assert device.name == "oven-1"
    assert {(tag.address, tag.data_type, bool(tag.refused)) for tag in device.tags} == {
        ("acme/hall/oven-1/temperature", "DOUBLE", False),
        ("acme/hall/oven-1/status#$.door.open", "BOOLEAN", False),
        ("acme/hall/oven-1/status#$.recipe", "DOUBLE", True),
    }


def test_what_is_missing_or_cannot_be_read_is_said() -> None:
    found = heard()
    assert found.unborn() == [("north", "node-2"), ("north", "node-3")]
    assert set(found.problems) == {"spBv1.0/north/node-1", "spBv1.0/north/DBIRTH/node-3/x", "acme/hall/camera"}
    said = "\n".join(broker.lines(found, found.sparkplug(), found.documents(), 5.0))
    assert "north/node-2 sends, but its birth was not heard" in said
    assert "not read: acme/hall/camera" in said
    assert "6 values of 2 devices" in said


def test_both_kinds_become_plant_files() -> None:
    found = heard()
    for protocol, devices in (("sparkplug", found.sparkplug()), ("mqtt", found.documents())):
        place = skeleton.Place(settings={"protocol": protocol, "endpoint": "mqtt://broker:1883"})
        text = skeleton_text.render(skeleton.build(devices, place), "mqtt://broker:1883")
        (device,) = parse_plant(yaml.safe_load(text)).devices
        assert set(device.addresses.values()) == {tag.address for tag in devices[0].tags if not tag.refused}
