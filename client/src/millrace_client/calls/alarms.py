"""Calls of AlarmService."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any
from uuid import UUID

from google.protobuf.message import Message

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import alarms_pb2
from millrace_client.calls.method import Call, Method, message
from millrace_client.results import (
    Alarm,
    AlarmActivations,
    AlarmAnswer,
    AlarmChanges,
    AlarmCounts,
    AlarmEvaluation,
    AlarmFigures,
    AlarmHistory,
    AlarmLine,
    AlarmPage,
    AlarmPriority,
    AlarmState,
    CalmList,
    Time,
)
from millrace_client.results.times import to_us

AlarmRef = UUID | str | Alarm
"""An alarm by id, or as an answer gave it."""
AlarmRefs = Iterable[AlarmRef] | AlarmLine
"""Several of them, or those of a line that are not acknowledged."""

_SERVICE = "AlarmService"
LIST_ALARMS = Method(_SERVICE, "ListAlarms", alarms_pb2.ListAlarmsRequest, alarms_pb2.ListAlarmsResponse)
LIST_LINES = Method(_SERVICE, "ListAlarmLines", alarms_pb2.ListAlarmLinesRequest, alarms_pb2.ListAlarmLinesResponse)
GET_ALARM = Method(_SERVICE, "GetAlarm", alarms_pb2.GetAlarmRequest, alarms_pb2.GetAlarmResponse)
WATCH_ALARMS = Method(
    _SERVICE, "WatchAlarms", alarms_pb2.WatchAlarmsRequest, alarms_pb2.WatchAlarmsResponse, streaming=True
)
# Idempotent because the action's id is made here, before the first try.
ACKNOWLEDGE = Method(_SERVICE, "AcknowledgeAlarm", alarms_pb2.AcknowledgeAlarmRequest, alarms_pb2.AlarmAnswer)
ACKNOWLEDGE_ALL = Method(
    _SERVICE, "AcknowledgeAlarms", alarms_pb2.AcknowledgeAlarmsRequest, alarms_pb2.AcknowledgeAlarmsResponse
)
RESET = Method(_SERVICE, "ResetAlarm", alarms_pb2.ResetAlarmRequest, alarms_pb2.AlarmAnswer)
SHELVE = Method(_SERVICE, "ShelveAlarm", alarms_pb2.ShelveAlarmRequest, alarms_pb2.AlarmAnswer)
UNSHELVE = Method(_SERVICE, "UnshelveAlarm", alarms_pb2.UnshelveAlarmRequest, alarms_pb2.AlarmAnswer)
OUT_OF_SERVICE = Method(
    _SERVICE, "TakeAlarmOutOfService", alarms_pb2.TakeAlarmOutOfServiceRequest, alarms_pb2.AlarmAnswer
)
IN_SERVICE = Method(_SERVICE, "ReturnAlarmToService", alarms_pb2.ReturnAlarmToServiceRequest, alarms_pb2.AlarmAnswer)
FIGURES = Method(_SERVICE, "GetAlarmFigures", alarms_pb2.GetAlarmFiguresRequest, alarms_pb2.GetAlarmFiguresResponse)
ACTIVATIONS = Method(
    _SERVICE,
    "ListAlarmActivations",
    alarms_pb2.ListAlarmActivationsRequest,
    alarms_pb2.ListAlarmActivationsResponse,
)
COMMENT = Method(_SERVICE, "CommentAlarm", alarms_pb2.CommentAlarmRequest, alarms_pb2.AlarmAnswer)
METHODS = (
    LIST_ALARMS,
    LIST_LINES,
    GET_ALARM,
    WATCH_ALARMS,
    ACKNOWLEDGE,
    ACKNOWLEDGE_ALL,
    RESET,
    SHELVE,
    UNSHELVE,
    OUT_OF_SERVICE,
    IN_SERVICE,
    FIGURES,
    ACTIVATIONS,
    COMMENT,
)

_answer = partial(unpack.result, AlarmAnswer)


def alarm_filter(
    prefix: str, priorities: AlarmPriority | Iterable[AlarmPriority], states: AlarmState | Iterable[AlarmState]
) -> alarms_pb2.AlarmFilter:
    """Which alarms."""
    return message(
        alarms_pb2.AlarmFilter,
        prefix=prefix,
        priorities=[f"ALARM_PRIORITY_{one}" for one in ([priorities] if isinstance(priorities, str) else priorities)],
        states=[f"ALARM_STATE_{one}" for one in ([states] if isinstance(states, str) else states)],
    )


def list_alarms(wanted: alarms_pb2.AlarmFilter, page_size: int, page_token: str) -> Call[AlarmPage]:
    """A page of alarms."""
    request = message(alarms_pb2.ListAlarmsRequest, filter=wanted, page_size=page_size, page_token=page_token)
    return Call(LIST_ALARMS, request, _page)


def list_lines(prefix: str) -> Call[CalmList]:
    """The calm list."""
    request = message(alarms_pb2.ListAlarmLinesRequest, prefix=prefix)
    return Call(LIST_LINES, request, partial(unpack.result, CalmList))


def get_alarm(alarm: AlarmRef) -> Call[AlarmHistory]:
    """An alarm and what happened to it."""
    return Call(
        GET_ALARM, message(alarms_pb2.GetAlarmRequest, alarm_id=_id(alarm)), partial(unpack.result, AlarmHistory)
    )


def watch_alarms(wanted: alarms_pb2.AlarmFilter, *, counts_only: bool, heartbeat_ms: int) -> Call[AlarmChanges]:
    """Alarms as they change."""
    request = message(alarms_pb2.WatchAlarmsRequest, filter=wanted, counts_only=counts_only, heartbeat_ms=heartbeat_ms)
    return Call(WATCH_ALARMS, request, partial(unpack.result, AlarmChanges))


def acknowledge(alarm: AlarmRef, reason: str, action_id: UUID) -> Call[AlarmAnswer]:
    """Take note of an alarm, as far as it was seen."""
    return _act(ACKNOWLEDGE, alarm, action_id, reason=reason, activations=_seen(alarm))


def acknowledge_all(alarms: AlarmRefs, reason: str, action_id: UUID) -> Call[tuple[AlarmAnswer, ...]]:
    """Take note of several, as far as they were seen."""
    if isinstance(alarms, AlarmLine):
        ids, seen = [str(one) for one in alarms.unacknowledged_ids], list(alarms.unacknowledged_activations)
    else:
        given = list(alarms)
        ids, seen = [_id(one) for one in given], [_seen(one) for one in given]
    request = message(
        alarms_pb2.AcknowledgeAlarmsRequest,
        alarm_ids=ids,
        action_id=str(action_id),
        reason=reason,
        activations=seen if any(seen) else [],
    )
    return Call(ACKNOWLEDGE_ALL, request, unpack.results(AlarmAnswer, "answers"))


def reset(alarm: AlarmRef, reason: str, action_id: UUID) -> Call[AlarmAnswer]:
    """Let a latched alarm go."""
    return _act(RESET, alarm, action_id, reason=reason)


def shelve(alarm: AlarmRef, until: Time, reason: str, action_id: UUID) -> Call[AlarmAnswer]:
    """Put an alarm aside."""
    return _act(SHELVE, alarm, action_id, reason=reason, until_us=to_us(until))


def unshelve(alarm: AlarmRef, reason: str, action_id: UUID) -> Call[AlarmAnswer]:
    """Put it aside no more."""
    return _act(UNSHELVE, alarm, action_id, reason=reason)


def take_out_of_service(alarm: AlarmRef, until: Time | None, reason: str, action_id: UUID) -> Call[AlarmAnswer]:
    """Switch an alarm off."""
    return _act(OUT_OF_SERVICE, alarm, action_id, reason=reason, until_us=to_us(until))


def return_to_service(alarm: AlarmRef, reason: str, action_id: UUID) -> Call[AlarmAnswer]:
    """Switch it on again."""
    return _act(IN_SERVICE, alarm, action_id, reason=reason)


def get_figures(prefix: str, start: Time | None, end: Time | None) -> Call[AlarmFigures]:
    """Whether people can live with the alarms."""
    request = message(alarms_pb2.GetAlarmFiguresRequest, prefix=prefix, start_us=to_us(start), end_us=to_us(end))
    return Call(FIGURES, request, partial(unpack.result, AlarmFigures))


def list_activations(prefix: str, start: Time | None, end: Time | None) -> Call[AlarmActivations]:
    """When alarms held."""
    request = message(alarms_pb2.ListAlarmActivationsRequest, prefix=prefix, start_us=to_us(start), end_us=to_us(end))
    return Call(ACTIVATIONS, request, partial(unpack.result, AlarmActivations))


def comment(alarm: AlarmRef, text: str, action_id: UUID) -> Call[AlarmAnswer]:
    """Say something about it."""
    return _act(COMMENT, alarm, action_id, comment=text)


def _act(method: Method, alarm: AlarmRef, action_id: UUID, **fields: Any) -> Call[AlarmAnswer]:
    request: Message = message(method.request, alarm_id=_id(alarm), action_id=str(action_id), **fields)
    return Call(method, request, _answer)


def _id(alarm: AlarmRef) -> str:
    return str(alarm.alarm_id if isinstance(alarm, Alarm) else alarm)


def _seen(alarm: AlarmRef) -> int:
    """How often it had been raised when it was seen; 0 where that is not known."""
    return alarm.activations if isinstance(alarm, Alarm) else 0


def _page(found: Any) -> AlarmPage:
    return AlarmPage(
        items=tuple(unpack.result(Alarm, one) for one in found.alarms),
        next_page_token=found.next_page_token,
        counts=unpack.result(AlarmCounts, found.counts),
        evaluation=unpack.result(AlarmEvaluation, found.evaluation),
    )
