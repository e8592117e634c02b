"""What the notifier knows: alarms that do not rest, and notifications of the last week. Called in the event loop only.

Enters: records of `alarms` and of `alarm.notifications`, at least once, per key in order. Leaves: for each alarm what is due, for each
target what waits. Bounded by what stands: an alarm that is over is forgotten when nothing of it is left to be sent.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from uuid import UUID

from notifier.due import OLDEST_US, Due, due, may_be_known, wanted
from notifier.grouping import urgent
from notifier.routes import Routes
from notifier.shifts import NOTHING_KNOWN
from schemas.alarms import Alarm, AlarmState
from schemas.notifications import AlarmNotification, NotificationState

_ENDED = 200_000
"""Alarms that ended, by id and version: a job that repeats its output after a restart raises nothing again."""


@dataclass(frozen=True, slots=True)
class Standing:
    """An alarm, when its present activation began by the earlier of two clocks (the gateway's may be ahead), and when it changed last."""

    alarm: Alarm
    since_us: int
    changed_us: int


class Book:
    """The state. Not for several loops."""

    def __init__(self, routes: Routes) -> None:
        self.routes = routes
        self.shifts = NOTHING_KNOWN
        self._standing: dict[UUID, Standing] = {}
        self._ended: OrderedDict[UUID, int] = OrderedDict()
        self._of_alarm: dict[UUID, dict[UUID, AlarmNotification]] = {}
        self._open: dict[str, dict[UUID, AlarmNotification]] = {}
        self._begun: dict[str, dict[UUID, int]] = {}

    def __len__(self) -> int:
        """Alarms that are kept."""
        return len(self._standing)

    def alarm(self, alarm_id: UUID) -> Alarm | None:
        """An alarm that is kept."""
        found = self._standing.get(alarm_id)
        return found.alarm if found else None

    def alarms(self) -> list[UUID]:
        """Ids of all that are kept."""
        return list(self._standing)

    def take_alarm(self, alarm: Alarm, recorded_us: int) -> bool:
        """Fold one version in; whether it is news."""
        if alarm.alarm_id == alarm.source_id:
            return False
        known = self._standing.get(alarm.alarm_id)
        if alarm.version <= max(self._ended.get(alarm.alarm_id, -1), known.alarm.version if known else -1):
            return False
        since_us = min(alarm.activated_us or alarm.start_us or recorded_us, recorded_us)
        if known is not None and known.alarm.activations == alarm.activations:
            since_us = min(since_us, known.since_us)
        self._standing[alarm.alarm_id] = Standing(alarm, since_us, recorded_us)
        if alarm.state is AlarmState.NORMAL and alarm.alarm_id not in self._of_alarm:
            self._end(alarm)
            return False
        return True

    def forget_alarm(self, alarm_id: UUID) -> None:
        """The topic has forgotten it."""
        self._standing.pop(alarm_id, None)

    def take(self, one: AlarmNotification) -> None:
        """A notification as it stands now."""
        self._of_alarm.setdefault(one.alarm_id, {})[one.notification_id] = one
        if one.state.open:
            self._open.setdefault(one.target, {})[one.notification_id] = one
        else:
            self._open.get(one.target, {}).pop(one.notification_id, None)
        if one.message_id is not None and not urgent(one):
            self._begun.setdefault(one.target, {}).setdefault(one.message_id, one.updated_us)

    def drop(self, one: AlarmNotification) -> None:
        """It is gone from the topic."""
        of_alarm = self._of_alarm.get(one.alarm_id, {})
        of_alarm.pop(one.notification_id, None)
        if not of_alarm:
            self._of_alarm.pop(one.alarm_id, None)
        self._open.get(one.target, {}).pop(one.notification_id, None)

    def due(self, alarm_id: UUID, now_us: int) -> Due:
        """What is due of an alarm, and when to ask again. One that is over and of which nothing is left is forgotten."""
        standing = self._standing.get(alarm_id)
        if standing is None:
            return Due([], None)
        known = self._of_alarm.get(alarm_id, {})
        found = due(self.routes, standing.alarm, standing.since_us, standing.changed_us, known, now_us, self.shifts)
        over = standing.alarm.state is AlarmState.NORMAL and not found.notifications
        if over and not any(one.state.open for one in known.values()):
            self._end(standing.alarm)
        return found

    def open_of(self, target: str) -> list[AlarmNotification]:
        """What is to be sent to a target."""
        return list(self._open.get(target, {}).values())

    def unwanted(self, target: str) -> list[AlarmNotification]:
        """What waits for a target, is in no message yet, and is not needed any more."""
        return [one for one in self.open_of(target) if one.state is NotificationState.DUE and not self.needed(one)]

    def needed(self, one: AlarmNotification) -> bool:
        """Whether a notification that was not sent yet is still needed."""
        return wanted(self.routes, self.alarm(one.alarm_id), one)

    def orphans(self) -> list[AlarmNotification]:
        """Open notifications to targets that the routes do not have (any more)."""
        return [one for name in self._open if name not in self.routes.targets for one in self.open_of(name)]

    def begun_us(self, target: str, after_us: int) -> list[int]:
        """When messages to a target were begun since then, without those that do not count; older ones are forgotten."""
        found = {number: at for number, at in self._begun.get(target, {}).items() if at > after_us}
        self._begun[target] = found
        return list(found.values())

    def outdated(self, now_us: int) -> list[AlarmNotification]:
        """What can be forgotten: settled a week ago, and the alarm is over, or its target knows of a newer activation."""
        return [
            one
            for alarm_id, of_alarm in self._of_alarm.items()
            for one in self._past(alarm_id, of_alarm.values())
            if not one.state.open and one.updated_us < now_us - OLDEST_US
        ]

    def _past(self, alarm_id: UUID, found: Collection[AlarmNotification]) -> Iterator[AlarmNotification]:
        alarm = self.alarm(alarm_id)
        newest: dict[str, int] = {}
        for one in found:
            if may_be_known(one):
                newest[one.target] = max(one.activation, newest.get(one.target, 0))
        for one in found:
            if alarm is None or one.activation < min(alarm.activations, newest.get(one.target, alarm.activations)):
                yield one

    def _end(self, alarm: Alarm) -> None:
        del self._standing[alarm.alarm_id]
        self._ended[alarm.alarm_id] = alarm.version
        self._ended.move_to_end(alarm.alarm_id)
        if len(self._ended) > _ENDED:
            self._ended.popitem(last=False)
