"""Methods of AlarmService."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
from millrace_client.threads.carrier import Carrier
from millrace_client.threads.stream import Stream


class AlarmMethods(Carrier):
    """Alarms. Every method raises PreconditionError where alarms are not switched on: an empty list would look like a calm plant."""

    def alarms(
        self,
        prefix: str = "",
        *,
        priorities: AlarmPriority | Iterable[AlarmPriority] = (),
        states: AlarmState | Iterable[AlarmState] = (),
    ) -> Iterator[Alarm]:
        """Alarms at or under a path and of its gateways, by priority, then the newest first; without `states` those that stand.

        Whether anybody evaluates alarms now is with `alarms_page` and `calm_list`.
        """
        return self._pages(partial(self.alarms_page, prefix, priorities=priorities, states=states))

    def alarms_page(
        self,
        prefix: str = "",
        page_token: str = "",
        *,
        priorities: AlarmPriority | Iterable[AlarmPriority] = (),
        states: AlarmState | Iterable[AlarmState] = (),
        page_size: int = PAGE,
        deadline_s: float | None = None,
    ) -> AlarmPage:
        """A page of `alarms`, with counts of all there are and whether they are evaluated; at most 1,000 of them."""
        wanted = calls.alarm_filter(prefix, priorities, states)
        return self._unary(calls.list_alarms(wanted, page_size, page_token), deadline_s)

    def calm_list(self, prefix: str = "", *, deadline_s: float | None = None) -> CalmList:
        """Standing alarms by cause, in at most 20 lines; each critical one has a line of its own, on top."""
        return self._unary(calls.list_lines(prefix), deadline_s)

    def alarm(self, alarm: AlarmRef, *, deadline_s: float | None = None) -> AlarmHistory:
        """An alarm as it stands, with what happened to it. Raises NotFoundError for one that is over."""
        return self._unary(calls.get_alarm(alarm), deadline_s)

    def watch_alarms(
        self,
        prefix: str = "",
        *,
        priorities: AlarmPriority | Iterable[AlarmPriority] = (),
        states: AlarmState | Iterable[AlarmState] = (),
        counts_only: bool = False,
        heartbeat_ms: int = 0,
        deadline_s: float | None = None,
    ) -> Stream[AlarmChanges]:
        """Alarms as they stand, a marker behind the last of them, then changes, and a heartbeat when there are none.

        A `sequence` of 1 begins anew: after a reconnect too. An alarm that fits no more is told of once more. `counts_only`: no alarms.
        """
        wanted = calls.alarm_filter(prefix, priorities, states)
        call = calls.watch_alarms(wanted, counts_only=counts_only, heartbeat_ms=heartbeat_ms)
        return self._stream(course.Repeated(call), deadline_s)

    def acknowledge_alarm(
        self, alarm: AlarmRef, reason: str = "", *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """Take note of an alarm. Durable when it returns; the same `action_id` again is the same action.

        An alarm as an answer gave it is acknowledged as far as that says: when it was raised again since, the action is REFUSED. An id
        alone acknowledges whatever stands.
        """
        return self._unary(calls.acknowledge(alarm, reason, action_id or uuid7()), deadline_s)

    def acknowledge_alarms(
        self,
        alarms: AlarmRefs,
        reason: str = "",
        *,
        action_id: UUID | None = None,
        deadline_s: float | None = None,
    ) -> tuple[AlarmAnswer, ...]:
        """Take note of several, at most 1,000, or of those of a line; an answer for each, in their order.

        One that fails does not stop the others. As in `acknowledge_alarm`, what was raised again since is REFUSED.
        """
        return self._unary(calls.acknowledge_all(alarms, reason, action_id or uuid7()), deadline_s)

    def reset_alarm(
        self, alarm: AlarmRef, reason: str = "", *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """Let a latched alarm go whose condition is over and that has been acknowledged."""
        return self._unary(calls.reset(alarm, reason, action_id or uuid7()), deadline_s)

    def shelve_alarm(
        self,
        alarm: AlarmRef,
        until: Time,
        reason: str,
        *,
        action_id: UUID | None = None,
        deadline_s: float | None = None,
    ) -> AlarmAnswer:
        """Put the source of an alarm aside until a time, at most as long as its rule allows."""
        return self._unary(calls.shelve(alarm, until, reason, action_id or uuid7()), deadline_s)

    def unshelve_alarm(
        self, alarm: AlarmRef, reason: str = "", *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """End a shelving before its time."""
        return self._unary(calls.unshelve(alarm, reason, action_id or uuid7()), deadline_s)

    def take_alarm_out_of_service(
        self,
        alarm: AlarmRef,
        reason: str,
        *,
        until: Time | None = None,
        action_id: UUID | None = None,
        deadline_s: float | None = None,
    ) -> AlarmAnswer:
        """Switch the source of an alarm off, as for maintenance: until a time, or until somebody returns it to service."""
        call = calls.take_out_of_service(alarm, until, reason, action_id or uuid7())
        return self._unary(call, deadline_s)

    def return_alarm_to_service(
        self, alarm: AlarmRef, reason: str = "", *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """Switch it on again."""
        return self._unary(calls.return_to_service(alarm, reason, action_id or uuid7()), deadline_s)

    def alarm_figures(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        deadline_s: float | None = None,
    ) -> AlarmFigures:
        """Figures of EEMUA 191 of a part of the plant; without a range of the last 24 hours, at most of 31 days."""
        return self._unary(calls.get_figures(prefix, start, end), deadline_s)

    def alarm_activations(
        self,
        prefix: str = "",
        *,
        start: Time | None = None,
        end: Time | None = None,
        deadline_s: float | None = None,
    ) -> AlarmActivations:
        """When alarms held under a path, at most 1,000 times; without a range in the last 24 hours, at most in 31 days."""
        return self._unary(calls.list_activations(prefix, start, end), deadline_s)

    def comment_alarm(
        self, alarm: AlarmRef, comment: str, *, action_id: UUID | None = None, deadline_s: float | None = None
    ) -> AlarmAnswer:
        """Say something about an alarm."""
        return self._unary(calls.comment(alarm, comment, action_id or uuid7()), deadline_s)
