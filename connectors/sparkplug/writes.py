"""Writes to Sparkplug devices: one DCMD (NCMD for the node's own metrics) with all values, and what became of each of them.

A command is QoS 0 and has no answer. A value is confirmed when the device reports it. What a device reports instead, or
that it reports nothing, is said for each tag: an outcome never hides that another tag was written.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from base.errors import SchemaError
from base.ids import Clock
from connectors.readings import Write, WriteResult, WriteStatus
from connectors.sparkplug import payload
from connectors.sparkplug.payload import DataType, Metric, Payload, Value
from schemas.definitions import TagDefinition


@dataclass(slots=True)
class _Pending:
    """A command whose values are awaited: what was asked for, and what was reported since, by tag id."""

    wanted: dict[int, float]
    reported: dict[int, float] = field(default_factory=dict)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def on_value(self, tag_id: int, value: float) -> None:
        # A value that was confirmed may change afterwards: a pulse falls back.
        if not self._is_confirmed(tag_id):
            self.reported[tag_id] = value
        if all(map(self._is_confirmed, self.wanted)):
            self.done.set()

    def _is_confirmed(self, tag_id: int) -> bool:
        return tag_id in self.reported and _same(self.reported[tag_id], self.wanted[tag_id])


class Writes:
    """Commands under way.

    `metric_of` gives topic and metric of a tag, or why it cannot be written now; `send` publishes and says whether there was
    a connection.
    """

    def __init__(
        self,
        metric_of: Callable[[TagDefinition], tuple[str, Metric] | str],
        send: Callable[[str, bytes], bool],
        clock: Clock,
    ) -> None:
        self._metric_of, self._send, self._clock = metric_of, send, clock
        self._pending: list[_Pending] = []

    def on_value(self, tag_id: int, value: Value) -> None:
        """A new value of a tag."""
        if self._pending and isinstance(value, int | float):
            for pending in self._pending:
                if tag_id in pending.wanted:
                    pending.on_value(tag_id, float(value))

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Send one command to one device, and wait until it reports the values."""
        command = self._command(writes)
        if isinstance(command, WriteResult):
            return command
        pending = _Pending({write.tag.tag_id: write.value for write in writes})
        self._pending.append(pending)
        try:
            if not self._send(*command):
                return WriteResult(status=WriteStatus.NOT_SENT, detail="there is no connection to the MQTT broker")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await pending.done.wait()
        finally:
            self._pending.remove(pending)
        return _result(writes, pending.reported, timeout_s)

    def _command(self, writes: Sequence[Write]) -> tuple[str, bytes] | WriteResult:
        now_ms = self._clock() // 1000
        topics: set[str] = set()
        metrics: list[Metric] = []
        for write in writes:
            found = self._metric_of(write.tag)
            if isinstance(found, str):
                return WriteResult(status=WriteStatus.NOT_SENT, detail=found)
            topics.add(found[0])
            try:
                value = _typed(found[1].data_type, write.value)
            except SchemaError as error:
                return WriteResult(status=WriteStatus.REFUSED, detail=f"{write.tag.name}: {error}")
            metrics.append(replace(found[1], time_ms=now_ms, value=value))
        if len(topics) != 1:
            detail = f"the tags belong to {len(topics)} Sparkplug devices; one command goes to one of them"
            return WriteResult(status=WriteStatus.NOT_SENT, detail=detail)
        try:
            return topics.pop(), payload.encode(Payload(time_ms=now_ms, metrics=tuple(metrics)))
        except SchemaError as error:
            return WriteResult(status=WriteStatus.REFUSED, detail=str(error))


def _result(writes: Sequence[Write], reported: dict[int, float], timeout_s: float) -> WriteResult:
    """Outcome of a command that was sent. REFUSED only when the device reports other values for all of the tags."""
    readback = {write.tag.name: reported[write.tag.tag_id] for write in writes if write.tag.tag_id in reported}
    outcomes: dict[str, WriteStatus] = {}
    details: list[str] = []
    for write in writes:
        name = write.tag.name
        if name not in readback:
            outcomes[name] = WriteStatus.UNKNOWN
            details.append(f"{name}: the device reported nothing for {timeout_s:g} s after the command")
        elif _same(readback[name], write.value):
            outcomes[name] = WriteStatus.DONE
            details.append(f"{name}: reported by the device")
        else:
            outcomes[name] = WriteStatus.REFUSED
            details.append(f"{name}: wrote {write.value:g}, the device reports {readback[name]:g}")
    kinds = set(outcomes.values())
    status = kinds.pop() if len(kinds) == 1 else WriteStatus.UNKNOWN
    return WriteResult(status=status, detail="; ".join(details), readback=readback)


def _same(reported: float, wanted: float) -> bool:
    return math.isclose(reported, wanted, rel_tol=1e-6, abs_tol=1e-12)


def _typed(data_type: DataType, value: float) -> Value:
    """Value in the metric's type; raises SchemaError when it would change."""
    if data_type is DataType.BOOLEAN:
        if value not in {0.0, 1.0}:
            msg = f"{value:g} is not 0 or 1"
            raise SchemaError(msg)
        return bool(value)
    if data_type in {DataType.FLOAT, DataType.DOUBLE, DataType.UNKNOWN}:
        return float(value)
    if not math.isfinite(value) or int(value) != value:
        msg = f"{value:g} is not a whole number, and the metric is {data_type.name}"
        raise SchemaError(msg)
    return int(value)
