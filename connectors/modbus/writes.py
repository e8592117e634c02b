"""Writes to Modbus units with read-back: what is checked before anything moves, and what is said afterwards.

Each tag of a command is a request of its own, so a command for several can end half done. Then its outcome is unknown, and its
detail says of each tag what became of it. Refused is only what the unit says it has not begun: an outcome hides no effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.modbus.address import Point
from connectors.modbus.client import ModbusSession, RefusedError, SilentError
from connectors.readings import Write, WriteResult, WriteStatus

_SETTLING_S = 1.0
"""How long a unit may take to show what was written."""
_LOOK_S = 0.1
_NOTHING_MOVED = frozenset({1, 2, 3, 6})
"""Exceptions before anything is done: illegal function, address, value, busy. Failure (4) and acknowledge (5) may have an effect."""


@dataclass(slots=True)
class _Outcome:
    """What became of one tag."""

    write: Write
    point: Point
    entries: tuple[int, ...]
    status: WriteStatus = WriteStatus.NOT_SENT
    detail: str = "not sent"
    value: float | None = None


async def write_all(session: ModbusSession, points: Sequence[tuple[Write, Point]], timeout_s: float) -> WriteResult:
    """Write in the order given, until one does not succeed. Nothing is sent when any value cannot be written."""
    outcomes: list[_Outcome] = []
    for write, point in points:
        try:
            if not point.table.writable:
                msg = f"{point.table.value} entries are read only"
                raise ValueError(msg)
            outcomes.append(_Outcome(write, point, point.encode(write.value)))
        except ValueError as error:
            detail = f"{write.tag.name}: {error}; nothing was written"
            return WriteResult(status=WriteStatus.REFUSED, detail=detail)
    try:
        async with asyncio.timeout(timeout_s):
            for outcome in outcomes:
                await _write_one(session, outcome)
                if outcome.status is not WriteStatus.DONE:
                    break
    except TimeoutError:
        pass  # the outcome says how far it came
    return _result(outcomes)


async def _write_one(session: ModbusSession, outcome: _Outcome) -> None:
    def sent() -> None:
        outcome.status, outcome.detail = WriteStatus.UNKNOWN, "sent, and not confirmed"

    try:
        await session.write(outcome.point, outcome.entries, sent)
    except RefusedError as error:
        outcome.detail = str(error)
        if error.code in _NOTHING_MOVED:
            outcome.status = WriteStatus.REFUSED
        return
    except (SilentError, ConnectionError) as error:
        outcome.detail = f"{outcome.detail}: {error}"
        return
    outcome.detail = "written, and not read back"
    try:
        await _read_back(session, outcome)
    except (RefusedError, SilentError, ConnectionError) as error:
        outcome.detail = f"{outcome.detail}: {error}"


async def _read_back(session: ModbusSession, outcome: _Outcome) -> None:
    point, loop = outcome.point, asyncio.get_running_loop()
    end_s = loop.time() + _SETTLING_S
    while True:
        entries = await session.read(point.unit, point.table, point.start, point.count)
        if isinstance(value := point.decode(entries), int | float):
            outcome.value = float(value)
        same = value == bool(outcome.entries[0]) if point.bit >= 0 else tuple(entries) == outcome.entries
        if same:
            outcome.status, outcome.detail = WriteStatus.DONE, "written and read back"
            return
        # It took the write, so another value proves no refusal: it may be limited by the unit, or still to come.
        outcome.detail = f"wrote {outcome.write.value:g}, read back {value!r}"
        if loop.time() >= end_s:
            return
        await asyncio.sleep(_LOOK_S)


def _result(outcomes: Sequence[_Outcome]) -> WriteResult:
    readback = {one.write.tag.name: one.value for one in outcomes if one.value is not None}
    statuses = {one.status for one in outcomes}
    detail = "; ".join(f"{one.write.tag.name}: {one.detail}" for one in outcomes)
    if statuses == {WriteStatus.DONE}:
        return WriteResult(status=WriteStatus.DONE, detail="written and read back", readback=readback)
    if statuses & {WriteStatus.DONE, WriteStatus.UNKNOWN}:
        status = WriteStatus.UNKNOWN
    else:
        status = WriteStatus.REFUSED if WriteStatus.REFUSED in statuses else WriteStatus.NOT_SENT
    return WriteResult(status=status, detail=detail, readback=readback)
