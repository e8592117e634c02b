"""What goes out in one message: a flood for one target is a few messages by cause and a digest, and nothing critical waits. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple
from uuid import UUID, uuid5

from notifier.routes import Target
from schemas.notifications import AlarmNotification, NotificationKind
from schemas.priorities import Priority

MINUTE_US = 60_000_000
MOST = 200
"""Notifications in one message; what is left has its turn in the next one."""


class Choice(NamedTuple):
    """What goes out now in one message (nothing: an empty list), and when to ask again (None: when something else has come)."""

    notifications: list[AlarmNotification]
    again_us: int | None


def urgent(one: AlarmNotification) -> bool:
    """Whether it goes out alone and at once, however much there is."""
    return one.priority is Priority.CRITICAL and one.kind is NotificationKind.RAISED


def choose(
    target: Target,
    waiting: Collection[AlarmNotification],
    cause: Callable[[AlarmNotification], UUID],
    sent_us: Sequence[int],
    now_us: int,
) -> Choice:
    """The next message of what is not urgent, when messages went out at `sent_us`.

    What has the same cause goes together. The last message that a minute may have takes everything that waits.
    """
    if not waiting:
        return Choice([], None)
    ordered = sorted(waiting, key=lambda one: (one.created_us, one.priority.rank, str(one.notification_id)))
    ready_us = ordered[0].created_us + target.gather_us
    recent = sorted(at for at in sent_us if at > now_us - MINUTE_US)
    if len(recent) >= target.per_minute:
        ready_us = max(ready_us, recent[-target.per_minute] + MINUTE_US)
    if now_us < ready_us:
        return Choice([], ready_us)
    if len(recent) < target.per_minute - 1:
        first = cause(ordered[0])
        ordered = [one for one in ordered if cause(one) == first]
    return Choice(sorted(ordered[:MOST], key=lambda one: one.priority.rank), None)


def message_id(notifications: Sequence[AlarmNotification]) -> UUID:
    """Id of the message that has these: that of the notification, when it is alone."""
    first, *others = sorted(one.notification_id for one in notifications)
    return uuid5(first, ",".join(map(str, others))) if others else first
