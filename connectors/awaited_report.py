"""A write whose only confirmation is that the machine reports the values: what is waited for, and what it came to.

For protocols without an answer to a write (Sparkplug commands, plain MQTT). A tag is written when the machine reports the value.
A report of another value proves nothing: a machine that is slow, or cut off for a moment, goes on with its old value and acts
afterwards. So the outcome of what was not confirmed is unknown, with what was reported instead; it is never a failure that may hide
an effect.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from connectors.readings import TagOutcome, Write, WriteResult, is_same
from schemas.commands import Effect


@dataclass(slots=True)
class Pending:
    """A write that waits: what was asked for, and what was reported since, by tag id."""

    wanted: dict[int, float]
    reported: dict[int, float] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def on_value(self, tag_id: int, value: float) -> None:
        """A report; one that confirmed the value stays: it may change afterwards, a pulse falls back."""
        if not self.is_confirmed(tag_id):
            self.reported[tag_id] = value
        if all(map(self.is_confirmed, self.wanted)):
            self.done.set()

    def is_confirmed(self, tag_id: int) -> bool:
        """Whether the machine reported what was asked for."""
        return tag_id in self.reported and is_same(self.reported[tag_id], self.wanted[tag_id])


class AwaitedReports:
    """The writes of one connection that wait. `on_value` sees every value that is reported."""

    def __init__(self) -> None:
        self._pending: list[Pending] = []

    def on_value(self, tag_id: int, value: object) -> None:
        """A machine reported a value; costs nothing while no write waits."""
        if not self._pending or not isinstance(value, int | float):
            return
        for pending in self._pending:
            if tag_id in pending.wanted:
                pending.on_value(tag_id, float(value))

    @contextlib.contextmanager
    def expecting(self, writes: Sequence[Write]) -> Iterator[Pending]:
        """Reports count from here on: enter before the write is sent, and await `outcome` inside."""
        pending = Pending({write.tag.tag_id: write.value for write in writes})
        self._pending.append(pending)
        try:
            yield pending
        finally:
            self._pending.remove(pending)


async def outcome(pending: Pending, writes: Sequence[Write], timeout_s: float) -> WriteResult:
    """Wait until all values are reported, at most so long, and say for each tag what came of it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await pending.done.wait()
    return WriteResult.of({write.tag.name: _outcome(write, pending, timeout_s) for write in writes})


def _outcome(write: Write, pending: Pending, timeout_s: float) -> TagOutcome:
    found = pending.reported.get(write.tag.tag_id)
    if found is None:
        return TagOutcome(effect=Effect.UNKNOWN, detail=f"nothing was reported for {timeout_s:g} s")
    if pending.is_confirmed(write.tag.tag_id):
        return TagOutcome(effect=Effect.APPLIED, detail="reported by the device", readback=found)
    detail = (
        f"wrote {write.value:g}, the device reports {found:g} {timeout_s:g} s later: it has refused, or not acted yet"
    )
    return TagOutcome(effect=Effect.UNKNOWN, detail=detail, readback=found)
