"""Methods of AlarmService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from functools import partial
from uuid import UUID

from millrace_client import course
from millrace_client.calls import PAGE, AlarmRef, AlarmRefs
from millrace_client.calls import alarms as calls
from millrace_client.ids import uuid7
from millrace_client.results import (
    Alarm,
    AlarmActivations,
    AlarmAnswer,
    AlarmChanges,
    AlarmFigures,
    AlarmHistory,
    AlarmPage,
    AlarmPriority,
    AlarmState,
    CalmList,
    Time,
)
from millrace_client.tasks.carrier import Carrier
from millrace_client.tasks.stream import AsyncStream


class AlarmMethods(Carrier):
    """Alarms. Every method raises PreconditionError where alarms are not switched on: an empty list would look like a calm plant."""

    def alarms(
        self,
        prefix: str = "",
        *,
        priorities: AlarmPriority | Iterable[AlarmPriority] = (),
        states: AlarmState | Iterable[AlarmState] = (),
    ) -> AsyncIterator[Alarm]:
        """As `Client.alarms`."""
        return self._pages(partial(self.alarms_page, prefix, priorities=priorities, states=states))

    async def alarms_page(
        self,
        prefix: str = "",
        page_token: str = "",
        *,
        priorities: AlarmPriority | Iterable[AlarmPriority] = (),
        states: AlarmState | Iterable[AlarmState] = (),
        page_size: int = PAGE,
        deadline_s: float | None = None,
    ) -> AlarmPage:
        """As `Client.alarms_page`."""
        wanted = calls.alarm_filter(prefix, priorities, states)
        return await self._unary(calls.list_alarms(wanted, page_size, page_token), deadline_s)

    async def calm_list(self, prefix: str = "", *, deadline_s: float | None = None) -> CalmList:
        """As `Client.calm_list`."""
        return await self._unary(calls.list_lines(prefix), deadline_s)

    async def alarm(self, alarm: AlarmRef, *, deadline_s: float | None = None) -> AlarmHistory:
        """As `Client.alarm`."""
        return await self._unary(calls.get_alarm(alarm), deadline_s)

    def watch_alarms(
        self,
        prefix: str = "",
        *,
        priorities: AlarmPriority | Iterable[AlarmPriority] = (),
        states: AlarmState | Iterable[AlarmState] = (),
        counts_only: bool = False,
        heartbeat_ms: int = 0,
        deadline_s: float | None = None,
    ) -> AsyncStream[AlarmChanges]:
        """As `Client.watch_alarms`."""
        wanted = calls.alarm_filter(prefix, priorities, states)
        call = calls.watch_alarms(wanted, counts_only=counts_only, heartbeat_ms=heartbeat_ms)
        return self._stream(course.Repeated(call), deadline_s)

    async def acknowledge_alarm(
        self, alarm: AlarmRef, reason: str = "", *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """As `Client.acknowledge_alarm`."""
        return await self._unary(calls.acknowledge(alarm, reason, action_id or uuid7()), deadline_s)

    async def acknowledge_alarms(
        self,
        alarms: AlarmRefs,
        reason: str = "",
        *,
        action_id: UUID | None = None,
        deadline_s: float | None = None,
    ) -> tuple[AlarmAnswer, ...]:
        """As `Client.acknowledge_alarms`."""
        return await self._unary(calls.acknowledge_all(alarms, reason, action_id or uuid7()), deadline_s)

    async def reset_alarm(
        self, alarm: AlarmRef, reason: str = "", *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """As `Client.reset_alarm`."""
        return await self._unary(calls.reset(alarm, reason, action_id or uuid7()), deadline_s)

    async def shelve_alarm(
        self,
        alarm: AlarmRef,
        until: Time,
        reason: str,
        *,
        action_id: UUID | None = None,
        deadline_s: float | None = None,
    ) -> AlarmAnswer:
        """As `Client.shelve_alarm`."""
        return await self._unary(calls.shelve(alarm, until, reason, action_id or uuid7()), deadline_s)

    async def unshelve_alarm(
        self, alarm: AlarmRef, reason: str = "", *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """As `Client.unshelve_alarm`."""
        return await self._unary(calls.unshelve(alarm, reason, action_id or uuid7()), deadline_s)

    async def take_alarm_out_of_service(
        self,
        alarm: AlarmRef,
        reason: str,
        *,
        until: Time | None = None,
        action_id: UUID | None = None,
        deadline_s: float | None = None,
    ) -> AlarmAnswer:
        """As `Client.take_alarm_out_of_service`."""
        call = calls.take_out_of_service(alarm, until, reason, action_id or uuid7())
        return await self._unary(call, deadline_s)

    async def return_alarm_to_service(
        self, alarm: AlarmRef, reason: str = "", *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """As `Client.return_alarm_to_service`."""
        return await self._unary(calls.return_to_service(alarm, reason, action_id or uuid7()), deadline_s)

    async def alarm_figures(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        deadline_s: float | None = None,
    ) -> AlarmFigures:
        """As `Client.alarm_figures`."""
        return await self._unary(calls.get_figures(prefix, start, end), deadline_s)

    async def alarm_activations(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        deadline_s: float | None = None,
    ) -> AlarmActivations:
        """As `Client.alarm_activations`."""
        return await self._unary(calls.list_activations(prefix, start, end), deadline_s)

    async def comment_alarm(
        self, alarm: AlarmRef, comment: str, *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """As `Client.comment_alarm`."""
        return await self._unary(calls.comment(alarm, comment, action_id or uuid7()), deadline_s)
