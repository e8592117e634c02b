"""Protobuf messages to results. Pure; absent optional fields become None.

A result has the fields of its message, so one rule for each kind of field does for all of them. `ENUMS` pairs the enums; a test holds the
names of the fields alike.
"""

from __future__ import annotations

import dataclasses
import types
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from functools import cache
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints
from uuid import UUID

from millrace_client._proto.millrace.v1 import alarms_pb2, commands_pb2, history_pb2, line_pb2, state_pb2, work_pb2
from millrace_client.results import (
    AggregateSeries,
    AlarmEvaluationState,
    AlarmEventKind,
    AlarmOutcome,
    AlarmOverrideKind,
    AlarmPriority,
    AlarmRateVerdict,
    AlarmState,
    AnomalyPhase,
    AnomalyVerdict,
    ChartSeries,
    CommandState,
    DeviceState,
    Effect,
    GatewayState,
    Health,
    JobOrderStatus,
    MachineAcknowledgementState,
    MaterialUse,
    Page,
    Quality,
    SampleSeries,
    TagBatch,
    TagUpdate,
    Value,
)
from millrace_client.results.columns import column

R = TypeVar("R")
C = TypeVar("C", SampleSeries, AggregateSeries)

ENUMS: dict[type[StrEnum], tuple[Any, str]] = {
    AlarmEvaluationState: (alarms_pb2.AlarmEvaluationState, "ALARM_EVALUATION_STATE_"),
    AlarmEventKind: (alarms_pb2.AlarmEventKind, "ALARM_EVENT_KIND_"),
    AlarmOutcome: (alarms_pb2.AlarmOutcome, "ALARM_OUTCOME_"),
    AlarmOverrideKind: (alarms_pb2.AlarmOverrideKind, "ALARM_OVERRIDE_KIND_"),
    AlarmPriority: (alarms_pb2.AlarmPriority, "ALARM_PRIORITY_"),
    AlarmRateVerdict: (alarms_pb2.AlarmRateVerdict, "ALARM_RATE_VERDICT_"),
    AlarmState: (alarms_pb2.AlarmState, "ALARM_STATE_"),
    AnomalyPhase: (state_pb2.AnomalyPhase, "ANOMALY_PHASE_"),
    AnomalyVerdict: (state_pb2.AnomalyVerdict, "ANOMALY_VERDICT_"),
    CommandState: (commands_pb2.CommandState, "COMMAND_STATE_"),
    DeviceState: (state_pb2.DeviceState, "DEVICE_STATE_"),
    Effect: (commands_pb2.Effect, "EFFECT_"),
    GatewayState: (line_pb2.GatewayState, "GATEWAY_STATE_"),
    Health: (line_pb2.Health, "HEALTH_"),
    MachineAcknowledgementState: (alarms_pb2.MachineAcknowledgementState, "MACHINE_ACKNOWLEDGEMENT_STATE_"),
    JobOrderStatus: (work_pb2.JobOrderStatus, "JOB_ORDER_STATUS_"),
    MaterialUse: (work_pb2.MaterialUse, "MATERIAL_USE_"),
    Quality: (state_pb2.Quality, "QUALITY_"),
}
"""Enums of results, the enums of the messages, and the prefix of their names."""

Reader = Callable[[Any], Any]


def result(kind: type[R], message: Any) -> R:
    """Result of a message."""
    return kind(**{name: read(message) for name, read in _fields(cast("Any", kind))})


def update(message: state_pb2.TagUpdate) -> TagUpdate:
    """A change of a tag: what `result` makes of it, for the path that most messages take."""
    value = message.value
    return TagUpdate(
        tag_id=message.tag_id,
        path=message.path,
        value=Value(
            value=value.value,
            time_us=value.time_us,
            quality=_QUALITY.get(value.quality, Quality.UNSPECIFIED),
            quality_code=value.quality_code,
            age_us=value.age_us,
        ),
    )


def batch(message: state_pb2.TagBatch) -> TagBatch:
    """Updates of several tags."""
    return TagBatch(
        updates=tuple(map(update, message.updates)),
        snapshot_complete=message.snapshot_complete,
        sequence=message.sequence,
        position=message.position,
        sent_us=message.sent_us,
        interval_ms=message.interval_ms,
        notice=message.notice,
    )


def results(kind: type[R], field: str) -> Callable[[Any], tuple[R, ...]]:
    """What reads the messages in a field of an answer."""
    return lambda message: tuple(result(kind, one) for one in getattr(message, field))


def page(kind: type[R], field: str) -> Callable[[Any], Page[R]]:
    """What reads a page, with the messages in a field of an answer."""
    items = results(kind, field)
    return lambda message: Page(items=items(message), next_page_token=message.next_page_token)


def series(kind: type[C], chunks: Iterable[Any]) -> tuple[C, ...]:
    """Series of the chunks of a history, which come tag by tag; path and unit are in the first of each."""
    by_tag: dict[int, list[Any]] = {}
    for chunk in chunks:
        by_tag.setdefault(chunk.tag_id, []).append(chunk)
    made = []
    for parts in by_tag.values():
        columns = {name: column(code, [getattr(one, name) for one in parts]) for name, code in kind.COLUMNS.items()}
        made.append(kind(**names(kind, parts[0]), **columns))
    return tuple(made)


def names(kind: type[C], first: Any) -> dict[str, Any]:
    """What the first chunk of a tag says beside its columns."""
    wanted = {one.name for one in dataclasses.fields(kind)} - set(kind.COLUMNS)
    return {name: read(first) for name, read in _fields(cast("Any", kind)) if name in wanted}


def chunk(kind: type[C], message: Any, named: dict[str, Any], *, behind_us: int | None) -> tuple[C, int | None]:
    """A chunk as a series of its own, of its rows behind a time, or of all of them; and its newest time, None for no rows."""
    columns = {name: column(code, [getattr(message, name)]) for name, code in kind.COLUMNS.items()}
    times = next(iter(columns.values()))
    first = 0 if behind_us is None else bisect_right(times, behind_us)
    newest_us = int(times[-1]) if len(times) > first else None
    return kind(**named, **{name: values[first:] for name, values in columns.items()}), newest_us


def curve(message: history_pb2.ChartSeries) -> ChartSeries:
    """A curve of a chart."""
    columns = {name: column(code, [getattr(message, name)]) for name, code in ChartSeries.COLUMNS.items()}
    other = {one.name: getattr(message, one.name) for one in dataclasses.fields(ChartSeries) if one.name not in columns}
    return ChartSeries(**other, **columns)


@cache
def _fields(kind: Any) -> tuple[tuple[str, Reader], ...]:
    return tuple((name, _of(name, hint)) for name, hint in get_type_hints(kind).items())


def _of(name: str, hint: Any) -> Reader:
    """What reads a field of this type out of a message."""
    arguments = get_args(hint)
    if get_origin(hint) is types.UnionType:  # optional
        inner = _value(arguments[0])
        return lambda message: inner(getattr(message, name)) if message.HasField(name) else None
    if get_origin(hint) is Mapping:
        return lambda message: dict(getattr(message, name))
    if get_origin(hint) is tuple:
        inner = _value(arguments[0])
        return lambda message: tuple(map(inner, getattr(message, name)))
    inner = _value(hint)
    return lambda message: inner(getattr(message, name))


def _value(hint: Any) -> Reader:
    """What makes a value of this type out of a field's value."""
    if hint is UUID:
        return UUID
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        members, unknown = _members(hint), hint("UNSPECIFIED")
        return lambda number: members.get(number, unknown)
    if dataclasses.is_dataclass(hint):
        kind: Any = hint
        return lambda message: result(kind, message)
    return lambda value: value


def number(member: StrEnum) -> int:
    """Number of an enum's member in the messages."""
    numbers, prefix = ENUMS[type(member)]
    return int(numbers.Value(f"{prefix}{member}"))


def _members(kind: type[StrEnum]) -> dict[int, Any]:
    numbers, prefix = ENUMS[kind]
    return {number: kind(name.removeprefix(prefix)) for name, number in numbers.items()}


_QUALITY: dict[int, Quality] = _members(Quality)
