"""Writes to Sparkplug devices: one DCMD (NCMD for the node's own metrics) with all values, and what became of each of them.

A command is QoS 0 and has no answer: `connectors.awaited_report` waits for what the device reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from base.errors import SchemaError
from base.ids import Clock
from connectors.awaited_report import AwaitedReports, outcome
from connectors.readings import Write, WriteResult, WriteStatus
from connectors.sparkplug import payload
from connectors.sparkplug.payload import DataType, Metric, Payload, Value
from schemas.definitions import TagDefinition


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
        self._reports = AwaitedReports()

    def on_value(self, tag_id: int, value: Value) -> None:
        """A new value of a tag."""
        self._reports.on_value(tag_id, value)

    async def write(self, writes: Sequence[Write], timeout_s: float) -> WriteResult:
        """Send one command to one device, and wait until it reports the values."""
        command = self._command(writes)
        if isinstance(command, WriteResult):
            return command
        with self._reports.expecting(writes) as pending:
            if not self._send(*command):
                return WriteResult(status=WriteStatus.NOT_SENT, detail="there is no connection to the MQTT broker")
            return await outcome(pending, writes, timeout_s)

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
                detail = f"{write.tag.name}: {error}; nothing was written"
                return WriteResult(status=WriteStatus.NOT_SENT, detail=detail)
            metrics.append(replace(found[1], time_ms=now_ms, value=value))
        if len(topics) != 1:
            detail = f"the tags belong to {len(topics)} Sparkplug devices; one command goes to one of them"
            return WriteResult(status=WriteStatus.NOT_SENT, detail=detail)
        try:
            return topics.pop(), payload.encode(Payload(time_ms=now_ms, metrics=tuple(metrics)))
        except SchemaError as error:
            return WriteResult(status=WriteStatus.NOT_SENT, detail=str(error))


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
