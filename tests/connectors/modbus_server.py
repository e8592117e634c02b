"""A Modbus TCP server with units that can be slow, silent, broken or dirty: pymodbus's own, nothing of ours."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.integration.gateway_support import free_port

ENTRIES = 100
"""Registers 0 to 99 and bits 0 to 1599 are there; what is beyond is an illegal address."""


_WRITES = {5, 6, 15, 16, 22}


class ModbusServer:
    """Units with one space of registers each. `holes` are registers that are no address."""

    def __init__(self, *units: int, holes: Sequence[int] = ()) -> None:
        self.port = free_port()
        self.units = units
        self.silent: set[int] = set()
        """Units that answer nothing."""
        self.ignores_writes = False
        self.answers_garbage = False
        self.garbage = 0
        """Answers that were no Modbus."""
        self.failing: dict[int, ExcCodes] = {}
        """Exception of each unit."""
        self.requests: list[tuple[int, int, int, int]] = []
        """(unit, function, address, count) of everything that was carried out."""
        self._holes = set(holes)
        self._mine = False
        self._server: ModbusTcpServer | None = None
        self._values: dict[int, list[int]] = {unit: [0] * ENTRIES for unit in units}

    @property
    def endpoint(self) -> str:
        """Endpoint of a connection to it."""
        return f"modbus://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, with the values that there were."""
        self._server = ModbusTcpServer(
            [self._device(unit) for unit in self.units],
            address=("127.0.0.1", self.port),
            trace_packet=self._packet,
            ignore_missing_devices=True,
        )
        await self._server.serve_forever(background=True)

    async def stop(self) -> None:
        """Close all connections and listen no more."""
        if self._server is not None:
            if not self._holes:
                self._values = {unit: await self.get(unit, 0, ENTRIES) for unit in self.units}
            await self._server.shutdown()  # type: ignore[no-untyped-call]
            self._server = None

    async def set(self, unit: int, address: int, *registers: int) -> None:
        """Put registers."""
        assert self._server is not None
        with self._by_hand():
            await self._server.async_setValues(unit, 16, address, list(registers))

    async def get(self, unit: int, address: int, count: int = 1) -> list[int]:
        """Registers as they are."""
        assert self._server is not None
        with self._by_hand():
            return [int(value) for value in await self._server.async_getValues(unit, 3, address, count)]

    @contextlib.contextmanager
    def _by_hand(self) -> Iterator[None]:
        self._mine = True
        try:
            yield
        finally:
            self._mine = False

    def _device(self, unit: int) -> SimDevice:
        data = [
            SimData(at, values=value, datatype=DataType.REGISTERS)
            for at, value in enumerate(self._values[unit])
            if at not in self._holes
        ]

        async def action(
            function: int,
            _start: int,
            address: int,
            count: int,
            current: Any,
            values: Any,
        ) -> ExcCodes | None:
            if self._mine or (function in _WRITES and values is None):
                return None  # by the test's hand, or the server looks at what it has written
            self.requests.append((unit, function, address, count))
            if values is not None and self.ignores_writes:
                values[:] = current[address : address + count]
            return self.failing.get(unit)

        return SimDevice(unit, simdata=data, use_bit_addressing=True, action=action)

    def _packet(self, sending: bool, data: bytes) -> bytes:
        if not sending:
            return data
        if data[6] in self.silent:
            return b""
        if not self.answers_garbage:
            return data
        self.garbage += 1
        return b"\x00" * 20
