"""Results to protobuf messages: the way back of `millrace_client.unpack`, for the fake plant's answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from millrace_client import results
from millrace_client._proto.millrace.v1 import alarms_pb2, commands_pb2, history_pb2, line_pb2, state_pb2, work_pb2
from millrace_client.results.columns import packed
from millrace_client.unpack import ENUMS

_MESSAGES: dict[type, type[Message]] = {
    results.Alarm: alarms_pb2.Alarm,
    results.AlarmActivation: alarms_pb2.AlarmActivation,
    results.AlarmActivations: alarms_pb2.ListAlarmActivationsResponse,
    results.AlarmAnswer: alarms_pb2.AlarmAnswer,
    results.AlarmChanges: alarms_pb2.WatchAlarmsResponse,
    results.AlarmCount: alarms_pb2.AlarmCount,
    results.AlarmCounts: alarms_pb2.AlarmCounts,
    results.AlarmEvaluation: alarms_pb2.AlarmEvaluation,
    results.AlarmEvent: alarms_pb2.AlarmEvent,
    results.AlarmHistory: alarms_pb2.GetAlarmResponse,
    results.AlarmLine: alarms_pb2.AlarmLine,
    results.AlarmOverride: alarms_pb2.AlarmOverride,
    results.CalmList: alarms_pb2.ListAlarmLinesResponse,
    results.Batch: work_pb2.Batch,
    results.BatchPhase: work_pb2.BatchPhase,
    results.Downtime: work_pb2.Downtime,
    results.JobOrder: work_pb2.JobOrder,
    results.JobResponse: work_pb2.JobResponse,
    results.Material: work_pb2.Material,
    results.MaterialActual: work_pb2.MaterialActual,
    results.MaterialLot: work_pb2.MaterialLot,
    results.Reason: work_pb2.Reason,
    results.ScrapEntry: work_pb2.ScrapEntry,
    results.Shift: work_pb2.Shift,
    results.WorkChange: work_pb2.WorkChange,
    results.AnomalyLot: history_pb2.AnomalyLot,
    results.BatchDeviation: history_pb2.BatchDeviation,
    results.ControlLimits: history_pb2.ControlLimits,
    results.ControlPoint: history_pb2.ControlPoint,
    results.DowntimeCause: history_pb2.DowntimeCause,
    results.LotRelation: history_pb2.LotRelation,
    results.LotValue: history_pb2.LotValue,
    results.PlannedProduction: history_pb2.PlannedProduction,
    results.Reliability: history_pb2.Reliability,
    results.Accounting: line_pb2.Accounting,
    results.Aggregate: state_pb2.Aggregate,
    results.Anomaly: state_pb2.Anomaly,
    results.AnomalyLabel: state_pb2.AnomalyLabel,
    results.ChartSeries: history_pb2.ChartSeries,
    results.Command: commands_pb2.Command,
    results.CommandDescription: state_pb2.CommandDescription,
    results.Contributor: state_pb2.Contributor,
    results.Device: state_pb2.Device,
    results.Event: history_pb2.Event,
    results.FoundTags: state_pb2.BatchGetTagsResponse,
    results.Gateway: line_pb2.Gateway,
    results.GatewayConnection: line_pb2.Connection,
    results.LaneAccount: line_pb2.LaneAccount,
    results.LineHealth: line_pb2.LineHealth,
    results.MachineAcknowledgement: alarms_pb2.MachineAcknowledgement,
    results.OeeFigures: history_pb2.OeeFigures,
    results.ParameterDescription: state_pb2.ParameterDescription,
    results.ParameterOutcome: commands_pb2.ParameterOutcome,
    results.PlantNode: state_pb2.PlantNode,
    results.Reject: history_pb2.Reject,
    results.RejectCount: history_pb2.RejectCount,
    results.StageHealth: line_pb2.StageHealth,
    results.StateInterval: history_pb2.StateInterval,
    results.Tag: state_pb2.Tag,
    results.TagBatch: state_pb2.TagBatch,
    results.TagPeriod: history_pb2.TagPeriod,
    results.TagUpdate: state_pb2.TagUpdate,
    results.Value: state_pb2.Value,
}


def message(result: Any) -> Message:
    """Message of a result."""
    kind = type(result)
    codes = getattr(kind, "COLUMNS", {})
    fields = {one.name: getattr(result, one.name) for one in dataclasses.fields(result)}
    return _MESSAGES[kind](
        **{name: packed(codes[name], value) if name in codes else _field(value) for name, value in fields.items()}
    )


def messages(results: Iterable[Any]) -> list[Any]:
    """Messages of results, for a field of an answer."""
    return [message(one) for one in results]


def _field(value: Any) -> Any:
    if isinstance(value, StrEnum):
        return f"{ENUMS[type(value)][1]}{value}"
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_field(one) for one in value]
    return message(value) if type(value) in _MESSAGES else value
