"""A small plant with a story, the same in every run: two sites, three lines, one machine too warm, one dead, one held.

Enters: nothing. Leaves: tag definitions, values at a moment, an open anomaly. The tests of the page show it, and so do the
pictures in the docs.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from schemas import definitions
from schemas.definitions import DataType, TagDefinition
from tests.contract import examples

LINE = "acme/north/forming/line-1"
PRESS = f"{LINE}/blanking/press-01"
DEAD = f"{LINE}/drawing/robot-02"
HELD = "acme/north/forming/line-2/blanking/press-03"


@dataclass(frozen=True, slots=True)
class Kind:
    """A tag of a class of machines: range, limits, and the value around which it moves."""

    name: str
    data_type: DataType
    unit: str
    normal: tuple[float, float]
    limits: tuple[float, float]
    usual: float
    writable: bool = False


_STATE = Kind("packml_state", DataType.INTEGER, "1", (1, 17), (0, 17), 6)
_COMMAND = Kind("packml_command", DataType.INTEGER, "1", (0, 9), (0, 9), 2, writable=True)
_COUNT = Kind("cycle_count", DataType.INTEGER, "1", (0, 4294967295), (0, 4294967295), 48_211)
CLASSES: dict[str, tuple[Kind, ...]] = {
    "press": (
        _STATE,
        _COMMAND,
        _COUNT,
        Kind("speed_setpoint", DataType.DOUBLE, "/min", (0, 40), (0, 60), 24, writable=True),
        Kind("power", DataType.DOUBLE, "kW", (0, 90), (-5, 150), 45),
        Kind("ram_vibration", DataType.DOUBLE, "mm/s", (0, 12), (0, 50), 3.2),
        Kind("ram_force", DataType.DOUBLE, "kN", (0, 2500), (-50, 3500), 1650),
        Kind("oil_temperature", DataType.DOUBLE, "Cel", (10, 75), (-20, 130), 52),
        Kind("bearing_temperature", DataType.DOUBLE, "Cel", (10, 85), (-20, 150), 58),
    ),
    "robot": (
        _STATE,
        _COMMAND,
        Kind("speed_setpoint", DataType.DOUBLE, "%", (0, 100), (0, 100), 80, writable=True),
        Kind("power", DataType.DOUBLE, "kW", (0, 12), (-5, 30), 3.8),
        Kind("joint_torque", DataType.DOUBLE, "N.m", (0, 400), (-800, 800), 160),
        Kind("motor_temperature", DataType.DOUBLE, "Cel", (10, 90), (-20, 150), 61),
        Kind("gripper_closed", DataType.BOOLEAN, "1", (0, 1), (0, 1), 1),
    ),
    "mill": (
        _STATE,
        _COMMAND,
        Kind("speed_setpoint", DataType.DOUBLE, "/min", (0, 12_000), (0, 18_000), 8_000, writable=True),
        Kind("power", DataType.DOUBLE, "kW", (0, 45), (-5, 80), 18),
        Kind("spindle_vibration", DataType.DOUBLE, "mm/s", (0, 8), (0, 40), 1.8),
        Kind("spindle_temperature", DataType.DOUBLE, "Cel", (10, 70), (-20, 130), 46),
        Kind("coolant_pressure", DataType.DOUBLE, "bar", (0, 60), (-1, 120), 38),
    ),
}
_DEVICES = (
    PRESS,
    f"{LINE}/blanking/robot-01",
    f"{LINE}/drawing/press-02",
    DEAD,
    HELD,
    "acme/north/forming/line-2/blanking/robot-03",
    "acme/south/machining/line-1/milling/mill-01",
    "acme/south/machining/line-1/milling/mill-02",
)


def tags() -> list[TagDefinition]:
    """Every tag: device ids from 10, tag ids from 100, twenty a device."""
    template = definitions.tag_from_record(examples.records()["TagDefinition"])
    return [
        _tag(template, path, 10 + place, 100 + 20 * place + at, kind)
        for place, path in enumerate(_DEVICES)
        for at, kind in enumerate(CLASSES[class_of(path)])
    ]


def class_of(path: str) -> str:
    """Class of a device, which its name begins with."""
    return path.rpartition("/")[2].partition("-")[0]


def _tag(template: TagDefinition, path: str, device_id: int, tag_id: int, kind: Kind) -> TagDefinition:
    site = path.split("/")[1]
    return dataclasses.replace(
        template,
        tag_id=tag_id,
        device_id=device_id,
        path=f"{path}/{kind.name}",
        name=kind.name,
        device_class=class_of(path),
        site=site,
        gateway_id=f"gw-{site}-1",
        description=kind.name.replace("_", " ").capitalize(),
        unit=kind.unit,
        data_type=kind.data_type,
        eu_low=kind.normal[0],
        eu_high=kind.normal[1],
        limit_low=kind.limits[0],
        limit_high=kind.limits[1],
        writable=kind.writable,
        windows_s=(10, 60),
        period_ms=1000,
    )


def kind_of(tag: TagDefinition) -> Kind:
    """What a tag is an instance of."""
    return next(kind for kind in CLASSES[tag.device_class] if kind.name == tag.name)


def value_at(tag: TagDefinition, time_us: int) -> float:
    """Value of a tag: a slow wave and a quick one around the usual; the oil of one press is too warm, one press is held."""
    kind = kind_of(tag)
    if tag.device_path == HELD and tag.name == "packml_state":
        return 11.0
    if kind.writable or kind.data_type is not DataType.DOUBLE:
        return float(kind.usual)
    usual = 78.0 if tag.path == f"{PRESS}/oil_temperature" else kind.usual
    span, seconds = kind.normal[1] - kind.normal[0], time_us / 1e6
    return usual + span * (0.012 * math.sin(seconds / 97 + tag.tag_id) + 0.006 * math.sin(seconds / 11 + tag.tag_id))


def anomaly(now_us: int) -> dict[str, Any]:
    """An open episode of the press with the warm oil, as its record has it."""
    ids = {tag.path: tag.tag_id for tag in tags()}
    parts = (
        ("oil_temperature", 0.91, 78.4, 49.2, 55.8),
        ("ram_vibration", 0.38, 4.1, 2.9, 3.6),
    )
    record = examples.records()["Anomaly"]
    return record | {
        "episode_id": UUID("0198c0de-0000-7000-8000-000000000001"),
        "device_id": 10,
        "phase": "OPEN",
        "start_us": now_us - 400_000_000,
        "end_us": None,
        "score": 0.86,
        "peak_score": 0.93,
        "threshold": 0.7,
        "contributors": [
            {
                "tag_id": ids[f"{PRESS}/{name}"],
                "score": score,
                "value": value,
                "expected_low": low,
                "expected_high": high,
            }
            for name, score, value, low, high in parts
        ],
    }
