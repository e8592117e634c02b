"""One TCP connection to a Modbus server: one request at a time, and every way in which it can end by name.

Thin over pymodbus, of which the reconnects and repeats are not used: it would repeat writes. A session is used once: after
the connection is lost another one is made. An answer that came after its timeout is known by its transaction number and left
aside.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException, ModbusIOException

from connectors.modbus.address import Point, Table
from connectors.modbus.settings import ModbusSettings, host_and_port

# What pymodbus tells of requests that were not answered, the connector says in other words.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

_UNANSWERED = 1 << 30
"""Requests without an answer after which pymodbus would close the connection: one silent unit must not cost the others theirs."""


class SilentError(Exception):
    """The unit did not answer in time, or its gateway says that it did not."""


_EXCEPTIONS = {
    1: "illegal function", 2: "illegal data address", 3: "illegal data value", 4: "server device failure", 5: "acknowledge",
    6: "server device busy", 8: "memory parity error", 10: "gateway path unavailable", 11: "gateway target did not respond",
}  # fmt: skip


class RefusedError(Exception):
    """The unit answered with an exception code. Modbus Application Protocol 1.1b3, section 7."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exception {code}, {_EXCEPTIONS.get(code, 'unknown')}")
        self.code = code


_NO_UNIT = frozenset({10, 11})


class ModbusSession:
    """Methods raise SilentError, RefusedError, and ConnectionError when the connection is gone."""

    def __init__(self, settings: ModbusSettings) -> None:
        self._settings = settings
        host, port = host_and_port(settings.endpoint)
        self._client = AsyncModbusTcpClient(
            host, port=port, timeout=settings.timeout_s, retries=0, reconnect_delay=0, trace_connect=self._on_connection
        )
        self._client.set_max_no_responses(_UNANSWERED)
        self._bus = asyncio.Lock()
        self._asking = False
        self.requests = 0

    async def open(self) -> None:
        """Connect; raises ConnectionError."""
        if not await self._client.connect():
            msg = f"nobody takes a connection at {self._settings.endpoint}"
            raise ConnectionError(msg)

    def close(self) -> None:
        """Drop the connection."""
        self._client.close()

    async def read(self, unit: int, table: Table, start: int, count: int) -> list[int]:
        """Entries of a table: registers, or bits as 0 and 1."""
        client = self._client
        call: Callable[..., Awaitable[Any]] = {
            Table.COIL: client.read_coils,
            Table.DISCRETE: client.read_discrete_inputs,
            Table.INPUT: client.read_input_registers,
            Table.HOLDING: client.read_holding_registers,
        }[table]
        async with self._bus:
            answer = await self._ask(lambda: call(start, count=count, device_id=unit))
        entries = answer.bits[:count] if table.of_bits else answer.registers
        if len(entries) != count:
            msg = f"{len(entries)} entries came for {count}"
            raise SilentError(msg)
        return [int(entry) for entry in entries]

    async def write(self, point: Point, entries: Sequence[int], on_sent: Callable[[], None]) -> None:
        """Write a point's entries, once; `on_sent` is called when the request leaves. A bit of a register is changed by its unit alone."""
        client, unit, start = self._client, point.unit, point.start

        def call() -> Awaitable[Any]:
            on_sent()
            if point.table is Table.COIL:
                return client.write_coil(start, bool(entries[0]), device_id=unit)
            if point.bit >= 0:
                mask = 1 << point.bit
                return client.mask_write_register(
                    address=start, and_mask=0xFFFF ^ mask, or_mask=mask * entries[0], device_id=unit
                )
            if len(entries) == 1:
                return client.write_register(start, entries[0], device_id=unit)
            return client.write_registers(start, list(entries), device_id=unit)

        async with self._bus:
            await self._ask(call)

    async def _ask(self, call: Callable[[], Awaitable[Any]]) -> Any:
        self.requests += 1
        self._asking = True
        try:
            answer = await call()
        except ModbusIOException as error:
            msg = f"no answer within {self._settings.timeout_s:g} s"
            raise SilentError(msg) from error
        except ModbusException as error:
            raise ConnectionError(str(error)) from error
        finally:
            self._asking = False
        if answer.isError():
            refused = RefusedError(answer.exception_code)
            if refused.code in _NO_UNIT:
                raise SilentError(str(refused))
            raise refused
        if self._settings.pause_ms:
            await asyncio.sleep(self._settings.pause_ms / 1000)
        return answer

    def _on_connection(self, connected: bool) -> None:
        """Pymodbus lets a request wait for its timeout when the connection is gone."""
        waiting = self._client.ctx.response_future
        if not connected and self._asking and not waiting.done():
            waiting.set_exception(ConnectionError("the connection was lost"))
