"""Structures by the definitions that a server gives: optional fields, unions, arrays, nesting, and bodies that do not fit."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from asyncua import ua

from connectors.opcua.plain import plain
from connectors.opcua.structures import Structures
from connectors.readings import Unusable

AXIS, ROBOT, SHAPE, CHAIN = (ua.NodeId(number, 2) for number in (1, 2, 3, 4))
DOUBLE, UINT16, TEXT = ua.NodeId(11), ua.NodeId(5), ua.NodeId(12)
ENCODING = 100


def fields(*described: tuple[str, Any], rank: int = -1) -> list[Any]:
    """Names and types."""
    return [
        ua.StructureField(Name=name, DataType=data_type, ValueRank=rank, IsOptional=False)
        for name, data_type in described
    ]


def definition(kind: str, described: list[Any], base: Any = None) -> Any:
    made = ua.StructureDefinition(StructureType=getattr(ua.StructureType, kind), Fields=described)
    made.BaseDataType = base or ua.NodeId(22)
    return made


@pytest.fixture
def structures() -> Structures:
    made = Structures()
    for data_type, built_in in (
        (DOUBLE, ua.VariantType.Double), (UINT16, ua.VariantType.UInt16), (TEXT, ua.VariantType.String),
    ):  # fmt: skip
        made.add_simple(data_type, built_in)
    axis = definition("StructureWithOptionalFields", fields(("Speed", DOUBLE), ("Load", UINT16)))
    axis.Fields[1].IsOptional = True
    robot = definition("Structure", fields(("Name", TEXT)) + fields(("Axes", AXIS), rank=1))
    shape = definition("Union", fields(("Radius", DOUBLE), ("Sides", UINT16)))
    chain = definition("Structure", fields(("Next", CHAIN)))
    for data_type, one in ((AXIS, axis), (ROBOT, robot), (SHAPE, shape), (CHAIN, chain)):
        made.add(data_type, one, encoding(data_type))
    return made


def encoding(data_type: Any) -> Any:
    return ua.NodeId(data_type.Identifier + ENCODING, 2)


def value(data_type: Any, body: bytes) -> Any:
    return ua.ExtensionObject(TypeId=encoding(data_type), Body=body)


def axis_body(speed: float, load: int | None) -> bytes:
    head = struct.pack("<Id", load is not None, speed)
    return head if load is None else head + struct.pack("<H", load)


ROBOT_BODY = struct.pack("<i", 2) + b"R2" + struct.pack("<i", 2) + axis_body(1.5, None) + axis_body(2.5, 7)


def test_fields_are_reached_by_their_path(structures: Structures) -> None:
    robot = value(ROBOT, ROBOT_BODY)
    assert plain(robot, ("Axes", 1, "Speed"), structures.explain) == 2.5
    assert plain(robot, ("Axes", 1, "Load"), structures.explain) == 7
    assert plain(robot, ("Axes", 0, "Load"), structures.explain) is None
    assert plain(robot, ("Name",), structures.explain) == "R2"
    assert plain([robot], (0, "Axes", 0, "Speed"), structures.explain) == 1.5


@pytest.mark.parametrize(
    ("body", "field", "expected"), [(1, "Radius", 2.0), (2, "Sides", 6), (1, "Sides", None), (0, "Radius", None)]
)
def test_a_union_is_one_of_its_fields(structures: Structures, body: int, field: str, expected: float | None) -> None:
    bodies = {0: struct.pack("<I", 0), 1: struct.pack("<Id", 1, 2.0), 2: struct.pack("<IH", 2, 6)}
    assert plain(value(SHAPE, bodies[body]), (field,), structures.explain) == expected


@pytest.mark.parametrize("repeated", [False, True])
def test_fields_of_the_base_type_come_first(structures: Structures, repeated: bool) -> None:
    base, derived = ua.NodeId(10, 2), ua.NodeId(11, 2)
    structures.add(base, definition("Structure", fields(("Number", UINT16))), encoding(base))
    own = fields(*([("Number", UINT16)] if repeated else []), ("Speed", DOUBLE))
    structures.add(derived, definition("Structure", own, base), encoding(derived))
    found = value(derived, struct.pack("<Hd", 3, 4.5))
    assert [plain(found, (name,), structures.explain) for name in ("Number", "Speed")] == [3, 4.5]


@pytest.mark.parametrize(
    ("data_type", "body", "cause"),
    [
        (ROBOT, ROBOT_BODY + b"\0", "1 bytes too many"),
        (ROBOT, ROBOT_BODY[:-1], "is not what the server says"),
        (ROBOT, struct.pack("<iI", -1, 0x7FFFFFFF), "has 2147483647 elements in 0 bytes"),
        (SHAPE, struct.pack("<I", 3), "is not what the server says"),
        (CHAIN, b"", "is not described"),
        (ua.NodeId(99, 2), b"", "whose type the server does not explain"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_name(structures: Structures, data_type: Any, body: bytes, cause: str) -> None:
    found = plain(value(data_type, body), ("Speed",), structures.explain)
    assert isinstance(found, Unusable)
    assert cause in found.reason


def test_a_structure_as_a_whole_is_no_value(structures: Structures) -> None:
    robot = value(ROBOT, ROBOT_BODY)
    for path in ((), ("Axes", 0)):
        found = plain(robot, path, structures.explain)
        assert isinstance(found, Unusable)
        assert found.reason.startswith("a structure: name a field, as in #.")
    missing = plain(robot, ("Speed",), structures.explain)
    assert isinstance(missing, Unusable)
    assert missing.reason == "no field Speed; there is Name, Axes"
