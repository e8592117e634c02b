"""Modbus TCP connector of the gateway: reads every tag at its period, neighbours with one request, and writes with read-back.

Enters: the registry's tags by address (`<connection>:<address>`, the form is in `connectors.modbus.address`), writes. Leaves, to
a `Sink`: a reading per tag and period, with the gateway's time of receipt (Modbus has no time of its own: the BIRTH event says
`time_source: gateway`); BIRTH and DEATH of devices; GAP per tag after an outage; REFUSED for an address that the unit refuses.

A bus answers one request after the other, so a unit that does not answer costs the others its timeout. It is left alone for a
while then, longer each time, and all its tags wait with it. An exception code is an answer: an address that the unit does not
have is refused alone, and a unit that is busy or broken gives readings of bad quality.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base.ids import Clock
from connectors.device_notices import DeviceNotices
from connectors.gap_tracker import GapTracker
from connectors.modbus.address import Table, parse
from connectors.modbus.client import ModbusSession, RefusedError, SilentError
from connectors.modbus.plan import Block, Item, blocks
from connectors.modbus.settings import ModbusSettings
from connectors.modbus.writes import write_all
from connectors.pauses import Pauses
from connectors.readings import Readings, Seen, Sink, Write, WriteResult, WriteStatus
from schemas import quality
from schemas.definitions import TagDefinition
from schemas.events import EventKind

log = logging.getLogger(__name__)

_BAD_ADDRESS = frozenset({1, 2, 3})
"""Exception codes that an address causes: illegal function, data address, data value (some devices: too many at once)."""
_ILLEGAL_FUNCTION = 1
_QUALITY = {4: quality.BAD_DEVICE_FAILURE, 5: quality.BAD_RESOURCE_UNAVAILABLE, 6: quality.BAD_RESOURCE_UNAVAILABLE}
_DEAF_S = 5.0
"""A connection on which nobody has answered for this long is made anew: it may be half open."""
_LATE_TOLD = 3


@dataclass(slots=True)
class _Unit:
    """A unit of the bus. `retry_s` is a time of the event loop."""

    problem: str = ""
    pause_s: float = 0.0
    retry_s: float = 0.0


class ModbusConnector:
    """One server's connection: reconnects by itself, until it is stopped. Implements `connectors.readings.Connector`."""

    def __init__(self, settings: ModbusSettings, *, name: str, sink: Sink, clock: Clock) -> None:
        self.name = name
        self._settings, self._sink, self._clock = settings, sink, clock
        self._prefix = f"{name}:"
        self._items: dict[int, Item] = {}
        self._by_tag: dict[int, TagDefinition] = {}
        self._last_us: dict[int, int] = {}
        self._refused: dict[int, tuple[float, str]] = {}
        self._fresh: set[int] = set()
        self._units: dict[int, _Unit] = {}
        self._queue: list[tuple[float, int, Block]] = []
        self._queued = 0
        self._changed = asyncio.Event()
        self._notices = DeviceNotices(
            sink, clock, connector=name, endpoint=settings.endpoint, born={"time_source": "gateway"}
        )
        self._gaps = GapTracker(self._notices.gap)
        self._session: ModbusSession | None = None
        self._heard_s = 0.0
        self._connects = self._requests = self._late = 0
        self._late_in_a_row: dict[tuple[int, Table, int], int] = {}
        self._late_told = False
        self._problem = "not yet connected"

    def serves(self, address: str) -> bool:
        """Whether an address of the registry belongs to this connection."""
        return address.startswith(self._prefix)

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:  # noqa: ARG002
        """Take over the tags by address; polling follows."""
        known, mine = self._by_tag, {tag.tag_id: tag for address, tag in tags.items() if self.serves(address)}
        self._items, self._by_tag = {}, mine
        for tag in known.values():
            if tag.tag_id not in mine:
                self._refused.pop(tag.tag_id, None)
                self._gaps.forget(tag)
        for tag in mine.values():
            is_new = tag.tag_id not in known or known[tag.tag_id].address != tag.address
            try:
                self._items[tag.tag_id] = Item(tag, parse(tag.address.removeprefix(self._prefix)))
            except ValueError as error:
                self._refuse(tag, str(error), math.inf)
                continue
            if is_new:
                self._refused.pop(tag.tag_id, None)
                self._fresh.add(tag.tag_id)
                self._last_us.setdefault(tag.tag_id, self._sink.last_seen(tag.tag_id).time_us)
                cause = "the tag was not read" if self._connects else "the gateway was not running"
                self._missing([self._items[tag.tag_id]], cause)
        units = {item.point.unit for item in self._items.values()}
        self._units = {unit: self._units.get(unit, _Unit()) for unit in units}
        self._changed.set()

    def status(self) -> dict[str, Any]:
        """Numbers and states for people."""
        refused = {self._by_tag[tag_id].address: text for tag_id, (_, text) in self._refused.items()}
        silent = {unit: one.problem for unit, one in sorted(self._units.items()) if one.problem}
        return {
            "kind": "modbus",
            "endpoint": self._settings.endpoint,
            "connected": self._session is not None,
            "problem": self._problem,
            "tags": len(self._by_tag),
            "units": len(self._units),
            "silent": dict(list(silent.items())[:20]),
            "refused": dict(sorted(refused.items())[:20]),
            "connects": self._connects,
            "requests": self._requests,
            "late": self._late,
            "time_source": "gateway",
        }

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write one tag after the other and read each back."""
        found = [(write, self._items.get(write.tag.tag_id)) for write in writes]
        if self._session is None:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=self._problem or "not connected")
        if missing := [write.tag.name for write, item in found if item is None]:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=f"{missing[0]} has no address that can be written")
        points = [(write, item.point) for write, item in found if item is not None]
        return await write_all(self._session, points, timeout_s)

    # --- connection ----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection until cancelled, with growing pauses between attempts."""
        pauses = Pauses(self._settings.reconnect_min_s, self._settings.reconnect_max_s)
        while True:
            if not self._items:
                self._changed.clear()
                await self._changed.wait()
                continue
            connects = self._connects
            session = ModbusSession(self._settings)
            try:
                await session.open()
                await self._serve(session)
            except ConnectionError as error:
                self._down(str(error))
            finally:
                self._session = None
                session.close()
            await pauses.sleep(connected=self._connects > connects)

    async def _serve(self, session: ModbusSession) -> None:
        """Poll until the connection is lost."""
        self._session, self._problem = session, ""
        self._connects += 1
        self._late_told = False
        self._heard_s = _now_s()
        for unit in self._units.values():
            unit.retry_s = 0.0
        self._fresh = set(self._items)
        self._changed.set()
        log.info("connected", extra={"endpoint": self._settings.endpoint})
        while True:
            if self._changed.is_set():
                self._changed.clear()
                self._plan()
            wait_s = self._queue[0][0] - _now_s() if self._queue else None
            if wait_s is not None and wait_s <= 0:
                due_s, _, block = heapq.heappop(self._queue)
                await self._poll(session, block, due_s)
                continue
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _down(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("no connection", extra={"endpoint": self._settings.endpoint, "cause": problem})
        self._problem = problem
        self._missing(self._items.values(), f"no connection to {self._settings.endpoint}: {problem}")
        self._notices.died(self._by_tag.values(), problem)

    # --- polling -------------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        """Put what is to be read in the queue: what was never read now, the rest at the next beat of its period."""
        settings, now_s = self._settings, _now_s()
        self._queue, self._late_in_a_row = [], {}
        alone = [item for tag_id, item in self._items.items() if tag_id in self._refused]
        for item in alone:
            self._put(Block((item,)), self._refused[item.tag.tag_id][0])
        others = [item for tag_id, item in self._items.items() if tag_id not in self._refused]
        found = blocks(
            others, max_registers=settings.max_registers, max_bits=settings.max_bits, max_hole=settings.max_hole
        )
        for block in found:
            is_new = any(item.tag.tag_id in self._fresh for item in block.items)
            self._put(block, now_s if is_new else _next_beat_s(block, now_s))
        self._fresh.clear()

    def _put(self, block: Block, due_s: float) -> None:
        self._queued += 1
        heapq.heappush(self._queue, (due_s, self._queued, block))

    async def _poll(self, session: ModbusSession, block: Block, due_s: float) -> None:
        """Read a block and put it back in the queue."""
        unit = self._units.get(block.unit)
        now_s = _now_s()
        if unit is None:
            return  # the tags have changed
        if unit.problem and now_s < unit.retry_s:
            self._put(block, unit.retry_s)
            return
        self._punctual(block, now_s - due_s)
        try:
            entries = await self._read(session, block, repeats=0 if unit.problem else self._settings.retries)
        except SilentError as error:
            self._silent(block.unit, unit, str(error))
            self._put(block, unit.retry_s)
            self._check_link()
            return
        except RefusedError as error:
            self._answered(unit)
            self._refused_block(block, error)
            return
        self._answered(unit)
        self._take(block, entries)
        self._put(block, _next_beat_s(block, _now_s()))

    async def _read(self, session: ModbusSession, block: Block, *, repeats: int) -> list[int]:
        while True:
            self._requests += 1
            try:
                return await session.read(block.unit, block.items[0].point.table, block.start, block.count)
            except SilentError:
                if repeats <= 0:
                    raise
                repeats -= 1

    def _take(self, block: Block, entries: Sequence[int]) -> None:
        readings, time_us = Readings(), self._clock()
        for item in self._current(block):
            at = item.point.start - block.start
            value = item.point.decode(entries[at : at + item.point.count])
            readings.add(item.tag.tag_id, time_us, value, quality.GOOD)
        self._hand_over(readings, time_us)

    def _current(self, block: Block) -> list[Item]:
        """Items that are still wanted: the tags may have changed while the unit answered."""
        return [item for item in block.items if self._items.get(item.tag.tag_id) == item]

    def _hand_over(self, readings: Readings, time_us: int) -> None:
        for tag_id in readings.tag_id:
            self._last_us[tag_id] = time_us
            if self._refused.pop(tag_id, None) is not None:
                self._notices.accepted(tag_id)
        self._notices.born(self._by_tag[tag_id] for tag_id in readings.tag_id)
        self._gaps.heard(readings, self._by_tag)
        self._sink.readings(readings)

    def _punctual(self, block: Block, late_s: float) -> None:
        """Say it once a connection when the bus cannot keep the periods: there are fewer samples then, and no outage."""
        beats = int(late_s * 1e6) // block.period_us
        self._late += beats
        place = (block.unit, block.items[0].point.table, block.start)
        in_a_row = self._late_in_a_row[place] = self._late_in_a_row.get(place, 0) + 1 if beats else 0
        if in_a_row >= _LATE_TOLD and not self._late_told:
            self._late_told = True
            text = f"{self.name}: requests take longer than the periods of the tags; they are read as often as the bus allows"
            log.warning("the bus is too slow for the periods", extra={"endpoint": self._settings.endpoint})
            self._notices.tell(EventKind.STATE, 0, text)

    def _check_link(self) -> None:
        if (deaf_s := _now_s() - self._heard_s) >= max(_DEAF_S, 3 * self._settings.timeout_s):
            msg = f"nothing was heard for {deaf_s:.0f} s"
            raise ConnectionError(msg)

    # --- answers that are no values ---------------------------------------------------------------------------------------

    def _answered(self, unit: _Unit) -> None:
        self._heard_s = _now_s()
        unit.problem, unit.pause_s = "", 0.0

    def _silent(self, number: int, unit: _Unit, problem: str) -> None:
        settings = self._settings
        if not unit.problem:
            log.warning(
                "a unit is silent", extra={"endpoint": settings.endpoint, "modbus_unit": number, "cause": problem}
            )
        unit.problem = problem
        unit.pause_s = min(max(settings.silent_min_s, 2 * unit.pause_s), settings.silent_max_s)
        unit.retry_s = _now_s() + unit.pause_s
        mine = [item for item in self._items.values() if item.point.unit == number]
        self._missing(mine, f"unit {number} was silent: {problem}")
        speaking = {item.tag.device_id for item in self._items.values() if not self._units[item.point.unit].problem}
        lost = [item.tag for item in mine if item.tag.device_id not in speaking]
        self._notices.died(lost, f"unit {number}: {problem}")

    def _refused_block(self, block: Block, error: RefusedError) -> None:
        now_s = _now_s()
        if error.code not in _BAD_ADDRESS:
            readings, time_us = Readings(), self._clock()
            for item in self._current(block):
                readings.add(item.tag.tag_id, time_us, None, _QUALITY.get(error.code, quality.BAD))
            self._hand_over(readings, time_us)
            self._put(block, _next_beat_s(block, now_s))
        elif len(block.items) > 1 and error.code != _ILLEGAL_FUNCTION:
            for half in block.halves():
                self._put(half, now_s)
        else:
            for item in block.items:
                self._refuse(item.tag, str(error), now_s + self._settings.refused_retry_s)
                self._missing([item], f"the unit refused the address: {error}")
                self._put(Block((item,)), now_s + self._settings.refused_retry_s)

    def _refuse(self, tag: TagDefinition, problem: str, retry_s: float) -> None:
        if tag.tag_id not in self._refused:
            log.warning("an address is refused", extra={"tag": tag.path, "cause": problem})
        self._notices.refused(tag, problem)
        self._refused[tag.tag_id] = (retry_s, problem)

    def _missing(self, items: Iterable[Item], cause: str) -> None:
        for item in items:
            self._gaps.open(item.tag, Seen(self._last_us.get(item.tag.tag_id, 0)), cause)


def _now_s() -> float:
    return asyncio.get_running_loop().time()


def _next_beat_s(block: Block, now_s: float) -> float:
    """When the block is due next: tags of one period keep one beat, whatever is added or taken away."""
    period_s = block.period_us / 1e6
    return (math.floor(now_s / period_s) + 1) * period_s
