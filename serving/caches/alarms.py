"""Alarms that do not rest: those that stand or are put aside now, and streams of their changes.

Enters: records of the topic `alarms` from its beginning, at least once, per alarm in order; tombstones. Leaves: the newest version of each
alarm, until it is normal. A version that is not newer is ignored, also after the alarm ended, so that a job that repeats its output after
a restart raises nothing again. Bounded: of more than `most` alarms those of the lowest priority are known by number only. What is more
urgent pushes out the oldest of the lowest priority; a critical one always has its place. Called in the event loop only.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

from schemas.alarms import Alarm, AlarmState
from schemas.priorities import Priority
from serving.caches.wakeup import Wakeup

MOST = 20_000
_ENDED = 200_000
"""Alarms that ended, by id and version, and those that are known by number only."""
_RECENT = 1_000
"""Alarms that ended, whole: an acknowledgement that ends one is answered with it."""


Of = tuple[int, str]
"""What an alarm is of: device (0 for a gateway's alarm) and gateway."""


class ByNumber:
    """Alarms that are known by number only, and what they are of."""

    def __init__(self) -> None:
        self._of: OrderedDict[UUID, Of] = OrderedDict()
        self._counts: Counter[Of] = Counter()

    def __len__(self) -> int:
        """How many."""
        return len(self._of)

    def __contains__(self, alarm_id: UUID) -> bool:
        """Whether it is one of them."""
        return alarm_id in self._of

    def add(self, alarm: Alarm) -> None:
        """One more; of too many the oldest is forgotten."""
        self.drop(alarm.alarm_id)
        of = self._of[alarm.alarm_id] = (alarm.device_id, alarm.gateway_id or alarm.line_path)
        self._counts[of] += 1
        if len(self._of) > _ENDED:
            self.drop(next(iter(self._of)))

    def drop(self, alarm_id: UUID) -> bool:
        """One less; whether it was one of them."""
        of = self._of.pop(alarm_id, None)
        if of is None:
            return False
        self._counts[of] -= 1
        if not self._counts[of]:
            del self._counts[of]
        return True

    def count(self, fits: Callable[[Of], bool]) -> int:
        """How many are of what fits."""
        return sum(count for of, count in self._counts.items() if fits(of))


class Alarms:
    """The cache. `changes` grows with each change."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._known: dict[UUID, Alarm] = {}
        self._ended: OrderedDict[UUID, int] = OrderedDict()
        self._recent: OrderedDict[UUID, Alarm] = OrderedDict()
        self._of_priority: dict[Priority, OrderedDict[UUID, None]] = {one: OrderedDict() for one in Priority}
        self.by_number = ByNumber()
        self._readers: set[AlarmReader] = set()
        self.changes = 0

    def __len__(self) -> int:
        """Alarms that are kept."""
        return len(self._known)

    def get(self, alarm_id: UUID) -> Alarm | None:
        """An alarm, or the source of that id, that is kept or has ended a moment ago."""
        return self._known.get(alarm_id) or self._recent.get(alarm_id)

    def all(self) -> Iterator[Alarm]:
        """Alarms and sources that are kept. Of a source that is put aside while an alarm of it is kept, the alarm says so."""
        told = {alarm.source_id for alarm in self._known.values() if alarm.alarm_id != alarm.source_id}
        return (
            alarm for alarm in self._known.values() if alarm.alarm_id != alarm.source_id or alarm.source_id not in told
        )

    def apply(self, alarm: Alarm) -> None:
        """Fold one version in and pass it on."""
        known = self._known.get(alarm.alarm_id)
        if alarm.version <= max(self._ended.get(alarm.alarm_id, -1), known.version if known else -1):
            return
        if alarm.state is AlarmState.NORMAL:
            self._end(alarm)
        else:
            self._ended.pop(alarm.alarm_id, None)  # a source that is put aside again
            self._recent.pop(alarm.alarm_id, None)
            self._keep(alarm)
        self.changes += 1
        kept = alarm.alarm_id not in self.by_number
        for reader in tuple(self._readers):
            reader.offer(alarm, kept=kept)

    def again(self, alarm_id: UUID) -> None:
        """Something that is shown with an alarm has changed: who knows of it is told once more."""
        known = self._known.get(alarm_id)
        if known is None:
            return
        self.changes += 1
        for reader in tuple(self._readers):
            reader.offer(known)

    def forget(self, key: bytes) -> None:
        """A tombstone: the topic has forgotten the alarm."""
        try:
            alarm_id = UUID(key.decode())
        except ValueError:  # no key of ours
            return
        known = self._drop(alarm_id)
        self._recent.pop(alarm_id, None)
        if self.by_number.drop(alarm_id) or known is not None:
            self.changes += 1
            for reader in tuple(self._readers):
                reader.forget(alarm_id)

    @contextmanager
    def opened(self, wakeup: Wakeup, fits: Callable[[Alarm], bool]) -> Iterator[AlarmReader]:
        """A reader of the alarms that fit: those that are kept now, then changes; until the block ends."""
        reader = AlarmReader(wakeup, fits)
        for alarm in self.all():
            reader.offer(alarm)
        self._readers.add(reader)
        try:
            yield reader
        finally:
            self._readers.discard(reader)

    def _keep(self, alarm: Alarm) -> None:
        """Keep it, or its number when there is no room for it: for a critical one there always is."""
        known = self._known.get(alarm.alarm_id)
        if known is not None and known.priority is not alarm.priority:
            self._drop(alarm.alarm_id)
        full = alarm.alarm_id not in self._known and len(self._known) >= self._most
        if full and not self._made_room(alarm.priority) and alarm.priority is not Priority.CRITICAL:
            self.by_number.add(alarm)
            return
        self.by_number.drop(alarm.alarm_id)
        self._known[alarm.alarm_id] = alarm
        self._of_priority[alarm.priority].setdefault(alarm.alarm_id)

    def _made_room(self, priority: Priority) -> bool:
        """Whether an alarm of a lower priority gave way: of the lowest, the oldest."""
        for lower in reversed(Priority):
            if lower.rank <= priority.rank:
                return False
            if kept := self._of_priority[lower]:
                given = self._drop(next(iter(kept)))
                assert given is not None
                self.by_number.add(given)
                return True
        return False

    def _drop(self, alarm_id: UUID) -> Alarm | None:
        known = self._known.pop(alarm_id, None)
        if known is not None:
            self._of_priority[known.priority].pop(alarm_id)
        return known

    def _end(self, alarm: Alarm) -> None:
        self._drop(alarm.alarm_id)
        self.by_number.drop(alarm.alarm_id)
        self._ended[alarm.alarm_id] = alarm.version
        self._recent[alarm.alarm_id] = alarm
        for kept, most in ((self._ended, _ENDED), (self._recent, _RECENT)):
            if len(kept) > most:
                kept.popitem(last=False)


class AlarmReader:
    """What one reader has not taken yet: the newest version of each alarm, and whether anything changed."""

    def __init__(self, wakeup: Wakeup, fits: Callable[[Alarm], bool]) -> None:
        self._wakeup, self._fits = wakeup, fits
        self._pending: dict[UUID, Alarm] = {}
        self._told: set[UUID] = set()

    def __len__(self) -> int:
        """Alarms that wait."""
        return len(self._pending)

    def offer(self, alarm: Alarm, *, kept: bool = True) -> None:
        """Note a version. One that was told of and fits no more is told of once more; one that is not kept only if it was told of."""
        fits = alarm.state is not AlarmState.NORMAL and self._fits(alarm)
        if not (fits and kept) and alarm.alarm_id not in self._told:
            return
        if fits:
            self._told.add(alarm.alarm_id)
        else:
            self._told.discard(alarm.alarm_id)
        self._pending[alarm.alarm_id] = alarm
        self._wakeup.set()

    def forget(self, alarm_id: UUID) -> None:
        """The alarm is gone; what was told of it was told."""
        self._told.discard(alarm_id)
        self._pending.pop(alarm_id, None)

    def take(self, limit: int) -> list[Alarm]:
        """At most `limit` of what waits, those that have waited longest first."""
        return [self._pending.pop(one) for one in list(self._pending)[:limit]]
