"""Alarms: domain objects to protobuf messages and request fields to domain types."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from base.errors import InvalidRequestError, MillraceError, NotFoundError, PermissionDeniedError, shown
from schemas.alarms import Alarm, AlarmEvent, AlarmState, Override
from schemas.priorities import Priority
from schemas.proto.millrace.v1 import alarms_pb2
from serving.at_machine import AtMachine, MachineAck
from serving.caches.alarm_job import Evaluation
from serving.caches.plant import Lookups
from serving.handlers.alarm_figures import Figures, Scope, SourceFigures
from serving.handlers.alarm_records import Activation
from serving.handlers.alarm_views import UNACKNOWLEDGED, AlarmFilter, Counts, path_of
from serving.handlers.alarms import AlarmBatch, AlarmPage, CalmList, Settled
from stages.alarms.calm import Line

E = TypeVar("E", bound=StrEnum)
_MOST_IDS, _MOST_RULES = 1_000, 10
# Fields that are the same in the record and in the message.
_SAME = (
    "version", "site", "rule", "rule_version", "device_id", "gateway_id", "tag_id", "active", "start_us", "activated_us", "returned_us",
    "acknowledged_us", "acknowledged_by", "activations", "value", "detail", "first_out", "chattering", "fleeting", "late", "title", "cause",
    "consequence", "corrective_action", "comment", "updated_us", "condition",
)  # fmt: skip


def uuid(text: str, field: str) -> UUID:
    """Id of a field; raises InvalidRequestError."""
    try:
        return UUID(text)
    except ValueError:
        msg = f"{field} {shown(text)} is no UUID"
        raise InvalidRequestError(msg, field=field) from None


def alarm_filter(message: alarms_pb2.AlarmFilter) -> AlarmFilter:
    """Which alarms."""
    return AlarmFilter(
        prefix=message.prefix,
        priorities=_members(message.priorities, alarms_pb2.AlarmPriority, Priority, "ALARM_PRIORITY_"),
        states=_members(message.states, alarms_pb2.AlarmState, AlarmState, "ALARM_STATE_"),
    )


class AlarmMessages:
    """Alarms as callers see them: with present paths, and with what their machines know of acknowledgements."""

    def __init__(self, plant: Lookups, at_machine: AtMachine) -> None:
        self._plant, self._at_machine = plant, at_machine

    def alarm(self, found: Alarm) -> alarms_pb2.Alarm:
        """An alarm as it stands, with present paths."""
        tag = None if found.tag_id is None else self._plant.find_tag(found.tag_id)
        told = self._at_machine(found)
        return alarms_pb2.Alarm(
            alarm_id=str(found.alarm_id),
            source_id=str(found.source_id),
            path=path_of(self._plant, found) or found.path,
            device_path=self._plant.device_path(found.device_id) if found.device_id else "",
            priority=f"ALARM_PRIORITY_{found.priority}",
            state=f"ALARM_STATE_{found.state}",
            overrides=[_override(one) for one in found.overrides],
            cause_alarm_id=None if found.cause_alarm_id is None else str(found.cause_alarm_id),
            unit="" if tag is None else tag.unit,
            at_machine=None if told is None else _told(told),
            **{name: getattr(found, name) for name in _SAME},
        )

    def page(self, found: AlarmPage) -> alarms_pb2.ListAlarmsResponse:
        """A page of alarms."""
        return alarms_pb2.ListAlarmsResponse(
            alarms=[self.alarm(one) for one in found.alarms],
            next_page_token=found.next_token,
            counts=_counts(found.counts),
            evaluation=evaluation(found.evaluation),
        )

    def calm(self, found: CalmList) -> alarms_pb2.ListAlarmLinesResponse:
        """The calm list."""
        return alarms_pb2.ListAlarmLinesResponse(
            lines=[self._line(one) for one in found.lines],
            counts=_counts(found.counts),
            evaluation=evaluation(found.evaluation),
        )

    def batch(self, found: AlarmBatch) -> alarms_pb2.WatchAlarmsResponse:
        """A message of a stream."""
        return alarms_pb2.WatchAlarmsResponse(
            alarms=[self.alarm(one) for one in found.alarms],
            snapshot_complete=found.snapshot_complete,
            sequence=found.sequence,
            sent_us=found.sent_us,
            counts=_counts(found.counts),
            evaluation=evaluation(found.evaluation),
            notice=found.notice,
        )

    def answer(self, alarm_id: str, found: Settled | MillraceError) -> alarms_pb2.AlarmAnswer:
        """What became of an action."""
        if isinstance(found, MillraceError):
            return alarms_pb2.AlarmAnswer(alarm_id=alarm_id, outcome=_failure(found), detail=str(found))
        outcome = "RECORDED" if found.event is None else "REFUSED" if found.refused else "DONE"
        detail = "" if found.event is None or not found.refused else found.event.detail
        if found.event is None:
            detail = "it is recorded; the alarms job has not answered yet"
        return alarms_pb2.AlarmAnswer(
            alarm_id=alarm_id,
            action_id=str(found.action.action_id),
            outcome=f"ALARM_OUTCOME_{outcome}",
            detail=detail,
            alarm=None if found.alarm is None else self.alarm(found.alarm),
        )

    def _line(self, found: Line) -> alarms_pb2.AlarmLine:
        new = [one for one in found.alarms if one.state in UNACKNOWLEDGED][:_MOST_IDS]
        return alarms_pb2.AlarmLine(
            text=found.text,
            head=self.alarm(found.head),
            priority=f"ALARM_PRIORITY_{found.priority}",
            alarms=len(found.alarms),
            places=len({one.path for one in found.alarms}),
            unacknowledged_ids=[str(one.alarm_id) for one in new],
            unacknowledged_activations=[one.activations for one in new],
            rules=sorted({one.rule for one in found.alarms})[:_MOST_RULES],
        )


def event(found: AlarmEvent) -> alarms_pb2.AlarmEvent:
    """What happened."""
    same = ("time_us", "recorded_us", "by", "reason", "detail", "until_us", "value", "withdrawn")
    return alarms_pb2.AlarmEvent(
        event_id=str(found.event_id),
        kind=f"ALARM_EVENT_KIND_{found.kind}",
        state=f"ALARM_STATE_{found.state}",
        action_id=None if found.action_id is None else str(found.action_id),
        **{name: getattr(found, name) for name in same},
    )


def evaluation(found: Evaluation) -> alarms_pb2.AlarmEvaluation:
    """Whether alarms are evaluated."""
    return alarms_pb2.AlarmEvaluation(
        state=f"ALARM_EVALUATION_STATE_{found.state}", detail=found.detail, advanced_us=found.advanced_us
    )


def figures(found: Figures, counts: Counts, evaluated: Evaluation) -> alarms_pb2.GetAlarmFiguresResponse:
    """Figures of EEMUA 191."""
    return alarms_pb2.GetAlarmFiguresResponse(
        start_us=found.start_us,
        end_us=found.end_us,
        scopes=[_scope(one) for one in found.scopes],
        rates=[alarms_pb2.AlarmRate(start_us=start, alarms=alarms, most=most) for start, alarms, most in found.rates],
        top=[_source(one) for one in found.top],
        chattering=[_source(one) for one in found.chattering],
        stale=[
            alarms_pb2.StaleAlarm(
                alarm_id=str(alarm_id),
                path=path,
                rule=rule,
                title=title,
                priority=f"ALARM_PRIORITY_{priority}",
                since_us=since_us,
            )
            for alarm_id, path, rule, title, priority, since_us in found.stale
        ],
        counts=_counts(counts),
        evaluation=evaluation(evaluated),
    )


def activations(found: list[Activation], left_out: int) -> alarms_pb2.ListAlarmActivationsResponse:
    """When alarms held."""
    return alarms_pb2.ListAlarmActivationsResponse(
        activations=[
            alarms_pb2.AlarmActivation(
                alarm_id=str(one.alarm_id),
                source_id=str(one.source_id),
                rule=one.rule,
                title=one.title,
                priority=f"ALARM_PRIORITY_{one.priority.name}",
                path=one.path,
                device_id=one.device_id,
                gateway_id=one.gateway_id,
                raised_us=one.raised_us,
                returned_us=one.returned_us,
                acknowledged_us=one.acknowledged_us,
                acknowledged_by=one.acknowledged_by,
                detail=one.detail,
            )
            for one in found
        ],
        left_out=left_out,
    )


def _scope(one: Scope) -> alarms_pb2.AlarmScopeFigures:
    return alarms_pb2.AlarmScopeFigures(
        scope=one.scope,
        alarms=one.alarms,
        per_10_min=one.per_10_min,
        peak_10_min=one.peak_10_min,
        flood_share=one.flood_share,
        by_priority=_by_priority(one.by_priority),
        acknowledged=one.acknowledged,
        time_to_acknowledge_s=one.time_to_acknowledge_s,
        verdict=f"ALARM_RATE_VERDICT_{one.verdict}",
    )


def _source(one: SourceFigures) -> alarms_pb2.AlarmSourceFigures:
    return alarms_pb2.AlarmSourceFigures(
        path=one.path, rule=one.rule, title=one.title, alarms=one.alarms, share=one.share, chattering=one.chattering
    )


def _failure(error: MillraceError) -> str:
    kinds = {NotFoundError: "NOT_FOUND", PermissionDeniedError: "DENIED", InvalidRequestError: "REFUSED"}
    return "ALARM_OUTCOME_" + next((name for kind, name in kinds.items() if isinstance(error, kind)), "FAILED")


def _override(one: Override) -> alarms_pb2.AlarmOverride:
    return alarms_pb2.AlarmOverride(
        kind=f"ALARM_OVERRIDE_KIND_{one.kind}",
        since_us=one.since_us,
        by=one.by,
        reason=one.reason,
        until_us=one.until_us,
    )


def _told(told: MachineAck) -> alarms_pb2.MachineAcknowledgement:
    return alarms_pb2.MachineAcknowledgement(
        state=f"MACHINE_ACKNOWLEDGEMENT_STATE_{told.state}",
        detail=told.detail,
        command_id=None if told.command_id is None else str(told.command_id),
    )


def _counts(found: Counts) -> alarms_pb2.AlarmCounts:
    return alarms_pb2.AlarmCounts(
        unacknowledged=_by_priority(found.unacknowledged),
        standing=_by_priority(found.standing),
        shelved=found.shelved,
        suppressed=found.suppressed,
        out_of_service=found.out_of_service,
        not_kept=found.not_kept,
    )


def _by_priority(counts: Mapping[Priority, int]) -> list[alarms_pb2.AlarmCount]:
    return [alarms_pb2.AlarmCount(priority=f"ALARM_PRIORITY_{one}", count=counts.get(one, 0)) for one in Priority]


def _members(numbers: Any, enum: Any, kind: type[E], prefix: str) -> frozenset[E]:
    names = {number: name.removeprefix(prefix) for name, number in enum.items()}
    known = set(kind)
    for number in numbers:
        if names.get(number) not in known:
            msg = f"{kind.__name__} {number} is not one of {', '.join(kind)}"
            raise InvalidRequestError(msg)
    return frozenset(kind(names[number]) for number in numbers)
