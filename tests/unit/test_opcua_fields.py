"""Fields of structures of a real server: those of types that it describes are values, the others are refused by name."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.structures104 import new_enum, new_struct, new_struct_field

from connectors.readings import Unusable
from tests.integration.gateway_support import MemorySink, until
from tests.unit.opcua_servers import URI, Machine, connected, tags_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
SLOW_MACHINE_S = 60


async def described(machine: Machine) -> Any:
    """Id of the encoding of a robot with an axis in it: nodes only, this process has no classes for them."""
    index = await machine.server.get_namespace_index(URI)
    mode = await new_enum(machine.server, index, "Mode", ["Idle", "Auto"])
    fields = [new_struct_field("Mode", mode), new_struct_field("Speeds", ua.VariantType.Double, array=True)]
    axis, _ = await new_struct(machine.server, index, "Axis", fields)
    fields = [new_struct_field("Number", ua.VariantType.UInt32), new_struct_field("Axis", axis)]
    _, (encoding, *_) = await new_struct(machine.server, index, "Robot", fields)
    return encoding.nodeid


async def test_fields_are_values_where_the_server_describes_the_type(machine: Machine) -> None:
    encoding = await described(machine)
    body = struct.pack("<I", 7) + struct.pack("<i", 1) + struct.pack("<idd", 2, 1.5, 2.5)
    robot = ua.ExtensionObject(TypeId=encoding, Body=body)
    other = ua.ExtensionObject(TypeId=ua.NodeId(99_999, encoding.NamespaceIndex), Body=body)
    for name, value in (("robot", robot), ("other", other)):
        node_id = ua.NodeId(name, encoding.NamespaceIndex)
        # Of an abstract type: what the value is, the value says.
        machine.nodes[name] = await machine.server.nodes.objects.add_variable(
            node_id, name, ua.Variant(value, ua.VariantType.ExtensionObject), datatype=ua.NodeId(ua.ObjectIds.Structure)
        )
    named, unknown = (f"nsu={URI};s={name}" for name in ("robot", "other"))
    parts = (".Number", ".Axis.Mode", ".Axis.Speeds[1]", ".Axis.Speed", "")
    addresses = [f"{named}#{part}" if part else named for part in parts] + [f"{unknown}#.Number"]
    sink = MemorySink()
    async with connected(machine, tags_of(addresses, device_id=1), sink):
        await until(lambda: all(sink.values(number + 1) for number in range(len(addresses))), timeout_s=SLOW_MACHINE_S)
        found = [sink.values(number + 1)[0] for number in range(len(addresses))]
        assert found[:3] == [7, 1, 2.5]
        reasons = [one.reason for one in found[3:] if isinstance(one, Unusable)]
        assert reasons == [
            "no field Speed; there is Mode, Speeds",
            "a structure: name a field, as in #.Speed",
            "a structure whose type the server does not explain",
        ]
        body = struct.pack("<I", 8) + body[4:]
        await machine.set(
            "robot", ua.Variant(ua.ExtensionObject(TypeId=encoding, Body=body), ua.VariantType.ExtensionObject)
        )
        await until(lambda: sink.values(1) == [7, 8], timeout_s=SLOW_MACHINE_S)
