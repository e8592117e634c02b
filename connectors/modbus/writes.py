"""Writes to Modbus units with read-back: what is checked before anything moves, and what is said afterwards.

Each tag of a command is a request of its own, so a command for several can end half done: each tag has its outcome. Refused is only
what the unit says it has not begun: an outcome hides no effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from connectors.modbus.address import Point
from connectors.modbus.client import ModbusSession, RefusedError, SilentError
from connectors.readings import TagOutcome, Write, WriteResult, WriteStatus
from schemas.commands import Effect

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
    effect: Effect = Effect.NOT_SENT
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
            return WriteResult(status=WriteStatus.NOT_SENT, detail=detail)
    try:
        async with asyncio.timeout(timeout_s):
            for outcome in outcomes:
                await _write_one(session, outcome)
                if outcome.effect is not Effect.APPLIED:
                    break
    except TimeoutError:
        pass  # the outcome says how far it came
    return WriteResult.of(
        {one.write.tag.name: TagOutcome(effect=one.effect, detail=one.detail, readback=one.value) for one in outcomes}
    )


async def _write_one(session: ModbusSession, outcome: _Outcome) -> None:
    def sent() -> None:
        outcome.effect, outcome.detail = Effect.UNKNOWN, "sent, and not confirmed"

    try:
        await session.write(outcome.point, outcome.entries, sent)
    except RefusedError as error:
        outcome.detail = str(error)
        if error.code in _NOTHING_MOVED:
            outcome.effect = Effect.REFUSED
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
            outcome.effect, outcome.detail = Effect.APPLIED, "written and read back"
            return
        # It took the write, so another value proves no refusal: it may be limited by the unit, or still to come.
        outcome.detail = f"wrote {outcome.write.value:g}, read back {value!r}"
        if loop.time() >= end_s:
            return
        await asyncio.sleep(_LOOK_S)
