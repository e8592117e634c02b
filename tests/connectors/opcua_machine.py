"""An asyncua server as the conformance suite's OPC UA machine."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from asyncua import Server, ua

from tests.connectors.machine import SOON, Machine
from tests.integration.gateway_support import free_port

_TYPES = {float: ua.VariantType.Double, int: ua.VariantType.Int64, bool: ua.VariantType.Boolean}
_NAMESPACE = "urn:test:machine"


class OpcUaMachine(Machine):
    """A server of one device."""

    protocol = "opcua"
    exempt: ClassVar[Mapping[str, Any]] = {"redelivery": "a new session begins with a new subscription"}
    settings: ClassVar[Mapping[str, Any]] = {**SOON, "publishing_interval_ms": 20}

    _port = 0
    _server: Server | None = None

    @property
    def endpoint(self) -> str:
        self._port = self._port or free_port()
        return f"opc.tcp://127.0.0.1:{self._port}/machine"

    async def start(self) -> None:
        server = Server()
        await server.init()
        server.set_endpoint(self.endpoint)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace(_NAMESPACE)
        self._nodes: dict[str, Any] = {}
        for name, (value, _) in self.values.items():
            node = await server.nodes.objects.add_variable(ua.NodeId(name, index), name, value, _TYPES[type(value)])
            await node.set_writable()
            self._nodes[name] = node
        self._server = server
        for name, (value, time_us) in self.values.items():
            await self.put(name, value, time_us, bad=False)
        await server.start()

    async def stop(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop()

    def address(self, name: str) -> str:
        return f"nsu={_NAMESPACE};s={name}"

    async def put(self, name: str, value: Any, time_us: int, *, bad: bool) -> None:
        time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
        status = ua.StatusCode(ua.StatusCodes.BadSensorFailure if bad else ua.StatusCodes.Good)
        await self._nodes[name].write_value(ua.DataValue(ua.Variant(value, _TYPES[type(value)]), status, time, time))

    async def poison(self) -> None:
        assert self._server is not None
        for value in (
            ua.Variant([1.0, 2.0], ua.VariantType.Double),
            ua.Variant(ua.Argument(), ua.VariantType.ExtensionObject),
            ua.Variant(b"\x00\xff", ua.VariantType.ByteString),
            ua.Variant(None, ua.VariantType.Null),
        ):
            # The node's own checks are passed by: a real server has nodes of these types.
            await self._server.write_attribute_value(self._nodes["speed"].nodeid, ua.DataValue(value))

    async def get(self, name: str) -> Any:
        return await self._nodes[name].read_value()

    async def refuse_writes(self) -> None:
        for name in self.values:
            await self._nodes[name].set_writable(False)
