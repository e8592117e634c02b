"""A pymodbus server as the conformance suite's Modbus machine."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, ClassVar

from pymodbus.constants import ExcCodes

from connectors.readings import WriteStatus
from tests.connectors.machine import SOON, Machine
from tests.connectors.modbus_server import ModbusServer
from tests.integration.gateway_support import until

_PLACES = {"speed": 0, "count": 2, "running": 4, "later": 6, "missing": 5000}
_OPTIONS = {"speed": "?type=float32", "count": "?type=int32&order=cdab", "running": ".3", "later": "?type=float32"}


class ModbusMachine(Machine):
    """A unit with its values in holding registers."""

    protocol = "modbus"
    exempt: ClassVar[Mapping[str, Any]] = {
        "time": "Modbus has no time: it is that of receipt",
        "redelivery": "a request is answered once",
    }
    refusal = WriteStatus.UNKNOWN
    settings: ClassVar[Mapping[str, Any]] = {
        **SOON,
        "timeout_s": 0.3,
        "retries": 0,
        "silent_min_s": 0.05,
        "silent_max_s": 0.1,
    }

    _server: ModbusServer | None = None

    @property
    def endpoint(self) -> str:
        self._server = self._server or ModbusServer(1)
        return self._server.endpoint

    async def start(self) -> None:
        assert self.endpoint
        await self._running().start()
        for name, (value, time_us) in self.values.items():
            await self.put(name, value, time_us, bad=False)

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop()

    def address(self, name: str) -> str:
        return f"1/holding/{_PLACES[name]}{_OPTIONS.get(name, '')}"

    async def put(self, name: str, value: Any, time_us: int, *, bad: bool) -> None:
        server = self._running()
        server.failing = {1: ExcCodes.DEVICE_FAILURE} if bad else {}
        await server.set(1, _PLACES[name], *_registers(value))

    async def poison(self) -> None:
        server = self._running()
        server.answers_garbage = True
        seen = server.garbage
        await until(lambda: server.garbage >= seen + 3, what="garbage is answered")
        server.answers_garbage = False

    async def get(self, name: str) -> Any:
        registers = await self._running().get(1, _PLACES[name], 2)
        return struct.unpack(">f", struct.pack(">2H", *registers))[0]

    async def refuse_writes(self) -> None:
        self._running().ignores_writes = True

    def _running(self) -> ModbusServer:
        assert self._server is not None
        return self._server


def _registers(value: Any) -> tuple[int, ...]:
    if isinstance(value, bool):
        return (0b1000 if value else 0,)
    if isinstance(value, int):
        high, low = struct.unpack(">2H", struct.pack(">i", value))
        return low, high
    return struct.unpack(">2H", struct.pack(">f", value))
