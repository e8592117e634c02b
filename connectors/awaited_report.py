"""A write whose only confirmation is that the machine reports the values: what is waited for, and what it came to.

For protocols without an answer to a write (Sparkplug commands, plain MQTT). Reports of any other value are noted: a machine
that goes on with another value has refused; one that says nothing leaves the outcome unknown.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from connectors.readings import Write, WriteResult, WriteStatus


@dataclass(slots=True)
class _Pending:
    wanted: dict[int, float]
    reported: dict[int, float] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class AwaitedReports:
    """The writes of one connection that wait. `on_value` sees every value that is reported."""

    def __init__(self) -> None:
        self._pending: list[_Pending] = []

    def on_value(self, tag_id: int, value: object) -> None:
        """A machine reported a value; costs nothing while no write waits."""
        if not self._pending or not isinstance(value, int | float):
            return
        for pending in self._pending:
            if tag_id in pending.wanted:
                pending.reported[tag_id] = float(value)
                if all(
                    one in pending.reported and _same(pending.reported[one], wanted)
                    for one, wanted in pending.wanted.items()
                ):
                    pending.done.set()

    @contextlib.contextmanager
    def expecting(self, writes: Sequence[Write]) -> Iterator[_Pending]:
        """Reports count from here on: enter before the write is sent, and `outcome` it inside."""
        pending = _Pending({write.tag.tag_id: write.value for write in writes})
        self._pending.append(pending)
        try:
            yield pending
        finally:
            self._pending.remove(pending)


async def outcome(pending: _Pending, writes: Sequence[Write], timeout_s: float) -> WriteResult:
    """Wait until all values are reported, at most so long, and say what came of it."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(timeout_s):
            await pending.done.wait()
    readback = {w.tag.name: pending.reported[w.tag.tag_id] for w in writes if w.tag.tag_id in pending.reported}
    if pending.done.is_set():
        return WriteResult(status=WriteStatus.DONE, detail="reported by the device", readback=readback)
    differing = [
        f"{write.tag.name}: wrote {write.value:g}, device reports {readback[write.tag.name]:g}"
        for write in writes
        if write.tag.name in readback and not _same(readback[write.tag.name], write.value)
    ]
    if differing and len(differing) == len(writes):
        return WriteResult(status=WriteStatus.REFUSED, detail="; ".join(differing), readback=readback)
    silent = [write.tag.name for write in writes if write.tag.name not in readback]
    detail = "; ".join([*differing, *(f"{name}: nothing was reported for {timeout_s:g} s" for name in silent)])
    return WriteResult(status=WriteStatus.UNKNOWN, detail=detail, readback=readback)


def _same(reported: float, wanted: float) -> bool:
    return math.isclose(reported, wanted, rel_tol=1e-6, abs_tol=1e-12)
