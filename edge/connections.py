"""All connections of a gateway: started, stopped and changed while the others go on.

Enters: specifications of connections (at the start, and at each reload), tags by address, writes. Leaves: what `edge.supervised` says of
each. Who calls: `edge.gateway`, in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from base.ids import Clock
from connectors.readings import Sink, Write, WriteResult, WriteStatus
from edge.supervised import ConnectionSpec, Pace, Supervised
from schemas.definitions import TagDefinition


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """Names of connections by what a reload did to them."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]

    def __str__(self) -> str:
        """For people."""
        parts = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return "; ".join(f"{what} {', '.join(names)}" for what, names in parts if names) or "no connection changed"


class Connections:
    """Supervised connections by name. `settled` waits until all that was handed over is appended."""

    def __init__(
        self, *, sink: Sink, clock: Clock, settled: Callable[[], Awaitable[None]], pace: Pace | None = None
    ) -> None:
        self._sink, self._clock, self._settled, self._pace = sink, clock, settled, pace or Pace()
        self._running: dict[str, tuple[Supervised, asyncio.Task[None]]] = {}
        self._tags: Mapping[str, TagDefinition] | None = None
        self._foreign: frozenset[str] = frozenset()
        self._failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def apply(self, specs: Iterable[ConnectionSpec]) -> Changes:
        """Make the running connections those of `specs`; what did not change is not touched, except that it is tried again at once."""
        wanted = {spec.name: spec for spec in specs}
        before = {name: one.spec for name, (one, _) in self._running.items()}
        removed = [name for name in before if name not in wanted]
        changed = [name for name, spec in wanted.items() if name in before and before[name] != spec]
        added = [name for name in wanted if name not in before]
        await asyncio.gather(*(self._stop(name) for name in [*removed, *changed]))
        if changed:
            await self._settled()
        for name in [*changed, *added]:
            self._start(wanted[name])
        for one, _ in self._running.values():
            one.retry()
        return Changes(added=tuple(added), removed=tuple(removed), changed=tuple(changed))

    async def run(self) -> None:
        """Wait until cancelled; raises when a supervisor itself fails, which none should."""
        await asyncio.shield(self._failure)

    async def close(self) -> None:
        """Stop all of them."""
        running, self._running = self._running, {}
        await asyncio.gather(*(_cancelled(task) for _, task in running.values()))
        self._failure.cancel()

    def update(self, tags: Mapping[str, TagDefinition], foreign: frozenset[str]) -> None:
        """Take over the tags by address."""
        self._tags, self._foreign = tags, foreign
        for one, _ in self._running.values():
            one.update(tags, foreign)

    def unserved(self) -> list[str]:
        """Addresses of tags that no connection serves."""
        return [address for address in self._tags or () if self._of(address) is None]

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Write through the connection that serves the device."""
        address = writes[0].tag.address
        one = self._of(address)
        if one is None:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=f"no connection serves {address[:200]}")
        return await one.write(writes, timeout_s)

    async def acknowledge(self, address: str, seen_us: int, comment: str, timeout_s: float) -> WriteResult:
        """Acknowledge a condition, `<connection>:<node id>`, as it stood at a time of the gateway's clock."""
        if (one := self._of(address)) is None:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=f"no connection serves {address[:200]}")
        return await one.acknowledge(address.removeprefix(f"{one.name}:"), seen_us, comment, timeout_s)

    def status(self) -> list[dict[str, Any]]:
        """Numbers and states of each, for people."""
        return [one.status() for one, _ in self._running.values()]

    def _of(self, address: str) -> Supervised | None:
        return next((one for one, _ in self._running.values() if one.serves(address)), None)

    def _start(self, spec: ConnectionSpec) -> None:
        one = Supervised(spec, sink=self._sink, clock=self._clock, settled=self._settled, pace=self._pace)
        if self._tags is not None:
            one.update(self._tags, self._foreign)
        task = asyncio.create_task(one.run(), name=f"connection {spec.name}")
        task.add_done_callback(self._ended)
        self._running[spec.name] = (one, task)

    async def _stop(self, name: str) -> None:
        one, task = self._running.pop(name)
        # Asked before it ends: afterwards nobody knows which devices were its.
        one.devices_are_stale("its connection is not configured any more, or anew")
        await _cancelled(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not self._failure.done():
            self._failure.set_exception(error)


async def _cancelled(task: asyncio.Task[None]) -> None:
    """Cancel a supervisor and wait for it: its connector's end is bounded there."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
