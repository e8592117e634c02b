"""gRPC face of the alarm handlers: unpacks requests, asks the policies, writes what they decide to the audit log, packs answers.

What is done to an alarm goes on whatever the audit log does: `alarm.actions` is a record of who, when and why by itself, and nobody may be
kept from an alarm (ADR 0045). The event is handed over before what it is about, and the answer waits for it, `serving.trail.WAIT_S` at
most.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias
from uuid import UUID, uuid5

import grpc

from base.errors import InvalidRequestError, MillraceError, NotFoundError
from base.ids import uuid7
from schemas.alarms import LONGEST_ASIDE_US, Alarm, AlarmAction, AlarmActionKind
from schemas.proto.millrace.v1 import alarms_pb2, alarms_pb2_grpc
from serving import trail
from serving.at_machine import AtMachine
from serving.handlers.alarm_figures import AlarmFigures
from serving.handlers.alarm_records import AlarmRecords
from serving.handlers.alarm_views import path_of
from serving.handlers.alarms import AlarmHandlers
from serving.handlers.state import StateHandlers
from serving.load import spaced
from serving.policies import engine as policies
from serving.policies.engine import AlarmAsk, Place, Policies
from serving.principals import current
from serving.rpc import translate_alarms
from serving.rpc.decisions import Decisions, Noted, place_of
from serving.seen import seen
from serving.trail import Trail

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
_VERBS = {
    AlarmActionKind.SHELVE: policies.SHELVE,
    AlarmActionKind.UNSHELVE: policies.SHELVE,
    AlarmActionKind.OUT_OF_SERVICE: policies.SHELVE,
    AlarmActionKind.IN_SERVICE: policies.SHELVE,
}
"""What policies call an action; all others take note of an alarm."""


class AlarmService(alarms_pb2_grpc.AlarmServiceServicer):
    """Servicer of `millrace.v1.AlarmService`. The state handlers know machines' states, the policies decide."""

    def __init__(
        self,
        handlers: AlarmHandlers,
        records: AlarmRecords,
        figures: AlarmFigures,
        state: StateHandlers,
        policies: Policies,
        trail: Trail,
        at_machine: AtMachine,
    ) -> None:
        self._handlers, self._records, self._figures, self._state = handlers, records, figures, state
        self._trail, self._decisions = trail, Decisions(policies, trail)
        self._plant, self._messages = handlers.plant, translate_alarms.AlarmMessages(handlers.plant, at_machine)

    async def ListAlarms(
        self, request: alarms_pb2.ListAlarmsRequest, context: Context
    ) -> alarms_pb2.ListAlarmsResponse:
        """Alarms in pages."""
        wanted = translate_alarms.alarm_filter(request.filter)
        found = await self._handlers.list_alarms(wanted, request.page_size, request.page_token)
        return self._messages.page(found)

    async def ListAlarmLines(
        self, request: alarms_pb2.ListAlarmLinesRequest, context: Context
    ) -> alarms_pb2.ListAlarmLinesResponse:
        """The calm list."""
        return self._messages.calm(await self._handlers.lines(request.prefix))

    async def GetAlarm(self, request: alarms_pb2.GetAlarmRequest, context: Context) -> alarms_pb2.GetAlarmResponse:
        """One alarm, with its events where history has them."""
        found = await self._one(translate_alarms.uuid(request.alarm_id, "alarm_id"))
        events, missing = await self._records.events_of(found)
        return alarms_pb2.GetAlarmResponse(
            alarm=self._messages.alarm(found),
            events=[translate_alarms.event(one) for one in events],
            events_missing=missing,
            evaluation=translate_alarms.evaluation(self._handlers.evaluation()),
        )

    async def _one(self, alarm_id: UUID) -> Alarm:
        """An alarm that does not rest, or one that is over. Raises NotFoundError, also for one that the caller may not see."""
        try:
            return await self._handlers.get(alarm_id)
        except NotFoundError as missing:
            try:
                found = await self._records.alarm(alarm_id)
            except MillraceError as error:
                raise missing from error
            if not path_of(seen(self._plant), found):
                raise
            return found

    async def WatchAlarms(
        self, request: alarms_pb2.WatchAlarmsRequest, context: Context
    ) -> AsyncGenerator[alarms_pb2.WatchAlarmsResponse, None]:
        """Alarms as they change."""
        wanted = translate_alarms.alarm_filter(request.filter)
        opened = self._handlers.watch(wanted, counts_only=request.counts_only, heartbeat_ms=request.heartbeat_ms)
        async with aclosing(opened) as batches:
            async for batch in batches:
                yield self._messages.batch(batch)

    async def AcknowledgeAlarm(
        self, request: alarms_pb2.AcknowledgeAlarmRequest, context: Context
    ) -> alarms_pb2.AlarmAnswer:
        """Take note of one."""
        return await self._act(AlarmActionKind.ACKNOWLEDGE, request, request.reason, activations=request.activations)

    async def AcknowledgeAlarms(
        self, request: alarms_pb2.AcknowledgeAlarmsRequest, context: Context
    ) -> alarms_pb2.AcknowledgeAlarmsResponse:
        """Take note of several."""
        operation = self._action_id(request.action_id)
        if not request.alarm_ids:
            msg = "alarm_ids is empty; name the alarms that are acknowledged"
            raise InvalidRequestError(msg, field="alarm_ids")
        if request.activations and len(request.activations) != len(request.alarm_ids):
            msg = f"activations are of {len(request.activations)} alarms, alarm_ids of {len(request.alarm_ids)}; name one for each, or none"
            raise InvalidRequestError(msg, field="activations")
        ids = {text: translate_alarms.uuid(text, "alarm_ids") for text in request.alarm_ids}
        seen = dict(zip(request.alarm_ids, request.activations, strict=False))
        wanted: dict[str, tuple[Alarm, AlarmAction] | MillraceError] = {}
        noted: list[Noted] = []
        self._handlers.require_ready()
        async for text, alarm_id in spaced(ids.items()):
            action_id = uuid5(operation, str(alarm_id))
            try:
                wanted[text], event = await self._allowed(
                    AlarmActionKind.ACKNOWLEDGE,
                    alarm_id,
                    action_id,
                    request.reason,
                    operation=operation,
                    activations=seen.get(text, 0),
                )
                noted.append(event)
            except MillraceError as error:
                wanted[text] = error
        good = {text: pair for text, pair in wanted.items() if isinstance(pair, tuple)}
        settled = dict(zip(good, await self._handlers.act_all(list(good.values())), strict=True))
        await self._trail.settled(*noted)
        became = {text: pair if isinstance(pair, MillraceError) else settled[text] for text, pair in wanted.items()}
        answers = [self._messages.answer(text, became[text]) async for text in spaced(request.alarm_ids)]
        return alarms_pb2.AcknowledgeAlarmsResponse(answers=answers)

    async def ResetAlarm(self, request: alarms_pb2.ResetAlarmRequest, context: Context) -> alarms_pb2.AlarmAnswer:
        """Let a latched one go."""
        return await self._act(AlarmActionKind.RESET, request, request.reason)

    async def ShelveAlarm(self, request: alarms_pb2.ShelveAlarmRequest, context: Context) -> alarms_pb2.AlarmAnswer:
        """Put one aside for a time."""
        self._require_until(request.until_us, "nothing would be shelved")
        return await self._act(AlarmActionKind.SHELVE, request, request.reason, until_us=request.until_us)

    async def UnshelveAlarm(self, request: alarms_pb2.UnshelveAlarmRequest, context: Context) -> alarms_pb2.AlarmAnswer:
        """Put one aside no more."""
        return await self._act(AlarmActionKind.UNSHELVE, request, request.reason)

    async def TakeAlarmOutOfService(
        self, request: alarms_pb2.TakeAlarmOutOfServiceRequest, context: Context
    ) -> alarms_pb2.AlarmAnswer:
        """Switch one off, until a time or for good."""
        if request.until_us:
            self._require_until(request.until_us, "nothing would be out of service")
        until_us = request.until_us or None
        return await self._act(AlarmActionKind.OUT_OF_SERVICE, request, request.reason, until_us=until_us)

    async def ReturnAlarmToService(
        self, request: alarms_pb2.ReturnAlarmToServiceRequest, context: Context
    ) -> alarms_pb2.AlarmAnswer:
        """Switch one on again."""
        return await self._act(AlarmActionKind.IN_SERVICE, request, request.reason)

    async def GetAlarmFigures(
        self, request: alarms_pb2.GetAlarmFiguresRequest, context: Context
    ) -> alarms_pb2.GetAlarmFiguresResponse:
        """Whether people can live with the alarms."""
        counts, evaluation = self._handlers.counts(request.prefix), self._handlers.evaluation(request.prefix)
        found = await self._figures.of(request.prefix, request.start_us, request.end_us)
        return translate_alarms.figures(found, counts, evaluation)

    async def ListAlarmActivations(
        self, request: alarms_pb2.ListAlarmActivationsRequest, context: Context
    ) -> alarms_pb2.ListAlarmActivationsResponse:
        """When alarms held."""
        self._handlers.require_ready()
        found, left_out = await self._records.activations(
            seen(self._plant), request.prefix, request.start_us, request.end_us
        )
        return translate_alarms.activations(found, left_out)

    async def CommentAlarm(self, request: alarms_pb2.CommentAlarmRequest, context: Context) -> alarms_pb2.AlarmAnswer:
        """Say something about one."""
        if not request.comment.strip():
            msg = "comment is empty; a comment says something"
            raise InvalidRequestError(msg, field="comment")
        return await self._act(AlarmActionKind.COMMENT, request, request.comment)

    async def _act(
        self, kind: AlarmActionKind, request: Any, reason: str, *, until_us: int | None = None, activations: int = 0
    ) -> alarms_pb2.AlarmAnswer:
        alarm_id = translate_alarms.uuid(request.alarm_id, "alarm_id")
        (alarm, action), noted = await self._allowed(
            kind, alarm_id, self._action_id(request.action_id), reason, until_us=until_us, activations=activations
        )
        settled = await self._handlers.act(alarm, action)
        await self._trail.settled(noted)
        return self._messages.answer(request.alarm_id, settled)

    async def _allowed(
        self,
        kind: AlarmActionKind,
        alarm_id: UUID,
        action_id: UUID,
        reason: str,
        *,
        until_us: int | None = None,
        operation: UUID | None = None,
        activations: int = 0,
    ) -> tuple[tuple[Alarm, AlarmAction], Noted]:
        """The action on an alarm that the caller sees, if it may. Raises NotFoundError or PermissionDeniedError."""
        reason = reason.strip()
        trail.about(reason=reason, operation=str(operation or action_id))
        alarm = await self._handlers.get(alarm_id)
        action = self._handlers.action(
            kind,
            alarm,
            action_id=action_id,
            by=current.get().name,
            reason=reason,
            until_us=until_us,
            activations=activations,
        )
        place = self._place(alarm)
        for_s = _for_s(action)
        ask = AlarmAsk(name=kind.lower(), rule=alarm.rule, priority=str(alarm.priority), reason=reason, for_s=for_s)
        verb = _VERBS.get(kind, policies.ACKNOWLEDGE)
        trail.about(name=alarm.rule)
        about = {"before": str(alarm.state), "after": str(alarm.alarm_id)}
        return (alarm, action), self._decisions.allowed(verb, place, ask, **about)

    def _place(self, alarm: Alarm) -> Place:
        """Where it is, for policies: the device, or a line or gateway as if it were one."""
        if not alarm.device_id or not (path := self._plant.device_path(alarm.device_id)):
            kind = "" if alarm.device_id else "line" if alarm.line_path else "gateway"
            return Place(path=path_of(self._plant, alarm), device_class=kind, site=alarm.site)
        return place_of(self._plant.device_at(path), self._state)

    def _require_until(self, until_us: int, otherwise: str) -> None:
        now = self._handlers.clock()
        if until_us <= now:
            msg = f"until_us {until_us} is not after now ({now}): {otherwise}"
            raise InvalidRequestError(msg, field="until_us")
        if until_us > now + LONGEST_ASIDE_US:
            msg = f"until_us {until_us} is more than 10 years after now ({now}); an alarm is put aside for 10 years at most"
            raise InvalidRequestError(msg, field="until_us")

    def _action_id(self, text: str) -> UUID:
        return translate_alarms.uuid(text, "action_id") if text else uuid7(self._handlers.clock())


def _for_s(action: AlarmAction) -> int:
    """For how long an action puts its alarm aside, for policies."""
    if action.until_us is not None:
        return max(1, (action.until_us - action.time_us) // 1_000_000)
    return policies.NO_END_S if action.kind is AlarmActionKind.OUT_OF_SERVICE else 0
