"""What the alarms job answered to actions of people, for those who wait for it.

Enters: records of `alarm.events` from now on. Leaves: the event of an action, for the last `_REMEMBERED` actions, so that an action that is
sent again is answered as it was. Called in the event loop only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from schemas.alarms import AlarmEvent
from serving.caches.wakeup import Wakeup

_REMEMBERED = 10_000


class AlarmAnswers:
    """The events of actions, and who waits for one."""

    def __init__(self) -> None:
        self._of: OrderedDict[UUID, AlarmEvent] = OrderedDict()
        self._waiting: set[Wakeup] = set()

    def apply(self, event: AlarmEvent) -> None:
        """Note an event, if it answers an action."""
        if event.action_id is None:
            return
        self._of[event.action_id] = event
        if len(self._of) > _REMEMBERED:
            self._of.popitem(last=False)
        for wakeup in self._waiting:
            wakeup.set()

    def get(self, action_id: UUID) -> AlarmEvent | None:
        """What was answered to an action."""
        return self._of.get(action_id)

    @contextmanager
    def awaited(self, wakeup: Wakeup) -> Iterator[None]:
        """Set `wakeup` at each answer, until the block ends."""
        self._waiting.add(wakeup)
        try:
            yield
        finally:
            self._waiting.discard(wakeup)
