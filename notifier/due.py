"""Who is to be told what of an alarm at a time. Pure: routes, the alarm and what is known of its notifications go in, new ones come out.

The same answer whenever and however often it is asked: what has been told is known by its id; what was called back was not told, and is due
again as soon as somebody has to be told. A step is due `after` behind the moment in
which the one before became due, so a notifier that was away does not tell three steps at once. A step that reaches nobody, or that all its
receivers refused, does not hold the next one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple
from uuid import UUID

from notifier.routes import Route, Routes, StopWhen
from notifier.shifts import NOTHING_KNOWN, Shifts
from schemas.alarms import Alarm, AlarmState
from schemas.notifications import AlarmNotification, NotificationKind, NotificationState, ended_id, raised_id

DAY_US = 86_400_000_000
OLDEST_US = 7 * DAY_US
"""An alarm of which nobody was told, and that did not change for so long, is history: the first start of a notifier tells of none."""
_NOBODY_US = 60_000_000
"""How often a route in which nobody is on duty is looked at."""
_OVER = (AlarmState.NORMAL, AlarmState.RETURNED_UNACKNOWLEDGED)
_STATES = {
    AlarmState.UNACKNOWLEDGED: frozenset[StopWhen](),
    AlarmState.ACKNOWLEDGED: frozenset({StopWhen.ACKNOWLEDGED}),
    AlarmState.RETURNED_UNACKNOWLEDGED: frozenset({StopWhen.RETURNED}),
}
"""States that somebody is told of, and what would end that. Put aside is put aside: nobody is told."""

Known = Mapping[UUID, AlarmNotification]
"""Notifications of one alarm, by their ids."""


class Due(NamedTuple):
    """What is due now, and when to ask again (None: when the alarm or a notification has changed)."""

    notifications: list[AlarmNotification]
    again_us: int | None


def due(
    routes: Routes,
    alarm: Alarm,
    since_us: int,
    changed_us: int,
    known: Known,
    now_us: int,
    shifts: Shifts = NOTHING_KNOWN,
) -> Due:
    """What is due of an alarm whose present activation began at `since_us`, and that is as it is since `changed_us`."""
    found: dict[UUID, AlarmNotification] = {}
    again: list[int] = []
    for route in routes.routes:
        if route.takes(alarm) and rings(alarm, route):
            for one in _called_back(route, alarm, {**known, **found}, now_us, shifts):
                found[one.notification_id] = one
            made, next_us = _escalated(
                route, alarm, since_us, changed_us, _standing({**known, **found}), now_us, shifts
            )
            found |= {one.notification_id: one for one in made}
            again += [] if next_us is None else [next_us]
    found |= {one.notification_id: one for one in _ended(routes, alarm, known, now_us)}
    return Due(list(found.values()), min(again, default=None))


def rings(alarm: Alarm, route: Route) -> bool:
    """Whether somebody still has to be told of the alarm on this route."""
    return alarm.state in _STATES and not _STATES[alarm.state] & route.stop_when


def wanted(routes: Routes, alarm: Alarm | None, notification: AlarmNotification) -> bool:
    """Whether a notification that was not sent yet is still needed."""
    if alarm is None or notification.target not in routes.targets:
        return False
    if notification.kind is NotificationKind.ENDED:
        return alarm.state in _OVER
    return alarm.activations == notification.activation and any(
        route.takes(alarm) and rings(alarm, route) and any(notification.target in step.targets for step in route.steps)
        for route in routes.routes
    )


def may_be_known(one: AlarmNotification) -> bool:
    """Whether its target was told of the alarm, or may have been; not yet, while it is on its way."""
    tried = one.state is NotificationState.SENT or (not one.state.open and one.message_id is not None)
    return one.kind is NotificationKind.RAISED and tried


def _standing(known: Known) -> Known:
    return {number: one for number, one in known.items() if one.state is not NotificationState.CANCELLED}


def _called_back(route: Route, alarm: Alarm, known: Known, now_us: int, shifts: Shifts) -> Iterator[AlarmNotification]:
    """Of steps of which something was called back: for who is on duty now and was not told."""
    standing = _standing(known)
    first = _reached(route, alarm, 0, standing)[0]
    steps = {one.step for one in known.values() if one.state is NotificationState.CANCELLED and _own(one, route, alarm)}
    for number in sorted(steps & set(range(min(first, len(route.steps))))):
        for target in route.steps[number].on_duty(now_us, alarm.path, shifts):
            if raised_id(alarm.alarm_id, alarm.activations, number, target) not in standing:
                yield _raised(alarm, route, number, target, now_us)


def _own(one: AlarmNotification, route: Route, alarm: Alarm) -> bool:
    raised = one.kind is NotificationKind.RAISED
    return raised and one.route == route.name and one.activation == alarm.activations


def _escalated(
    route: Route, alarm: Alarm, since_us: int, changed_us: int, known: Known, now_us: int, shifts: Shifts
) -> tuple[list[AlarmNotification], int | None]:
    first, clock_us, at_once = _reached(route, alarm, since_us, known)
    for number, step in enumerate(route.steps[first:], first):
        due_us = clock_us if at_once else clock_us + step.after_us
        if now_us < due_us:
            return [], due_us
        if not first and now_us > max(since_us, changed_us) + step.after_us + OLDEST_US:
            return [], None
        on_duty = step.on_duty(now_us, alarm.path, shifts)
        ids = {target: raised_id(alarm.alarm_id, alarm.activations, number, target) for target in on_duty}
        if made := [_raised(alarm, route, number, target, now_us) for target in on_duty if ids[target] not in known]:
            following = route.steps[number + 1 : number + 2]
            return made, now_us + following[0].after_us if following else None
        # Nobody is on duty, or another route has told them all.
        at_once = not on_duty
        clock_us = max((known[one].created_us for one in ids.values()), default=clock_us)
    return [], now_us + _NOBODY_US if at_once and first < len(route.steps) else None


def _reached(route: Route, alarm: Alarm, since_us: int, known: Known) -> tuple[int, int, bool]:
    """The step that comes next, when the one before became due, and whether the next one waits for nothing."""
    own = [one for one in known.values() if _own(one, route, alarm)]
    if not own:
        return 0, since_us, False
    newest = max(one.step for one in own)
    told = [one for one in own if one.step == newest]
    failed = all(one.state is NotificationState.FAILED for one in told)
    return newest + 1, min(one.created_us for one in told), failed


def _ended(routes: Routes, alarm: Alarm, known: Known, now_us: int) -> Iterator[AlarmNotification]:
    """For those who were told of the alarm, or may have been, and want to know its end: that of the newest activation that they know.

    What is on its way comes first: a tool that hears of the end before opens it again.
    """
    if alarm.state not in _OVER:
        return
    newest: dict[str, AlarmNotification] = {}
    standing = _standing(known)
    for one in known.values():
        if may_be_known(one):
            newest[one.target] = max(newest.get(one.target, one), one, key=lambda each: (each.activation, -each.step))
    for target, told in sorted(newest.items()):
        number = ended_id(alarm.alarm_id, told.activation, target)
        if target in routes.targets and routes.targets[target].ended and number not in standing:
            yield dataclasses.replace(
                told,
                notification_id=number,
                kind=NotificationKind.ENDED,
                state=NotificationState.DUE,
                message_id=None,
                created_us=now_us,
                updated_us=now_us,
                attempts=0,
                detail="",
            )


def _raised(alarm: Alarm, route: Route, step: int, target: str, now_us: int) -> AlarmNotification:
    return AlarmNotification(
        notification_id=raised_id(alarm.alarm_id, alarm.activations, step, target),
        kind=NotificationKind.RAISED,
        state=NotificationState.DUE,
        alarm_id=alarm.alarm_id,
        activation=alarm.activations,
        route=route.name,
        step=step,
        target=target,
        site=alarm.site,
        rule=alarm.rule,
        path=alarm.path,
        priority=alarm.priority,
        title=alarm.title,
        created_us=now_us,
        updated_us=now_us,
    )
