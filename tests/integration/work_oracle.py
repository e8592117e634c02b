"""An oracle of the plant's calendars and stops that knows nothing of intervals: it says what holds at one moment, from the rules.

The SQL functions compute with ranges and PostgreSQL's time zones; this asks each moment by itself, with Python's zoneinfo. Times are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def instant(day: date, clock: time, zone: str) -> datetime:
    """When a local time is: the later of two, and what a clock that was not put forward would show for one that does not exist."""
    local = datetime.combine(day, clock)
    before, after = (
        (datetime.combine(day, clock, UTC) + way * DAY).astimezone(ZoneInfo(zone)).utcoffset() or timedelta()
        for way in (-1, 1)
    )
    candidates = [(local - offset).replace(tzinfo=UTC) for offset in (before, after)]
    real = [at for at in candidates if at.astimezone(ZoneInfo(zone)).replace(tzinfo=None) == local]
    return max(real, default=candidates[0])


def covers(scope: str, path: str) -> bool:
    parts = scope.split("/")
    return path.split("/")[: len(parts)] == parts


@dataclass(frozen=True)
class Shift:
    name: str
    weekdays: tuple[int, ...]
    starts: time
    ends: time


@dataclass(frozen=True)
class Calendar:
    scope: str
    valid_from: date
    valid_to: date | None
    pattern: str


@dataclass(frozen=True)
class DayException:
    scope: str
    day: date
    shift: str
    kind: str
    starts: time | None = None
    ends: time | None = None


@dataclass
class Model:
    zones: Mapping[str, str]
    shifts: Mapping[str, Sequence[Shift]]
    calendars: Sequence[Calendar] = ()
    exceptions: Sequence[DayException] = field(default_factory=list)

    def calendar(self, path: str, day: date) -> Calendar | None:
        found = [
            c
            for c in self.calendars
            if covers(c.scope, path) and c.valid_from <= day and (c.valid_to is None or day < c.valid_to)
        ]
        return max(found, key=lambda c: c.scope.count("/"), default=None)

    def shifts_of_day(self, path: str, day: date) -> list[tuple[str, time, time]]:
        """What is said from the plant down to the machine, one scope after the other."""
        calendar = self.calendar(path, day)
        if calendar is None:
            return []
        wanted = [(s.name, s.starts, s.ends) for s in self.shifts[calendar.pattern] if day.isoweekday() in s.weekdays]
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            scope = "/".join(parts[:depth])
            said = [e for e in self.exceptions if e.scope == scope and e.day == day]
            if any(e.kind == "CLOSED" and not e.shift for e in said):
                wanted = []
            for e in said:
                if e.kind != "EXTRA" and e.shift:
                    wanted = [w for w in wanted if w[0] != e.shift]
            for e in said:
                if e.kind != "CLOSED":
                    assert e.starts is not None
                    assert e.ends is not None
                    wanted.append((e.shift, e.starts, e.ends))
        return wanted

    def timed(self, path: str, days: Iterable[date]) -> list[tuple[datetime, datetime, date, str]]:
        result = []
        for day in days:
            for name, starts, ends in self.shifts_of_day(path, day):
                calendar = self.calendar(path, day)
                assert calendar is not None
                zone = self.zones[calendar.pattern]
                begins = instant(day, starts, zone)
                until = instant(day + DAY if ends <= starts else day, ends, zone)
                if begins < until:
                    result.append((begins, until, day, name))
        return result

    def has_calendar(self, path: str, days: Iterable[date], at: datetime) -> bool:
        return any(
            (c := self.calendar(path, day)) is not None and at.astimezone(ZoneInfo(self.zones[c.pattern])).date() == day
            for day in days
        )


def owner(timed: Sequence[tuple[datetime, datetime, date, str]], at: datetime) -> tuple[str, date] | None:
    """The shift that started last of those that run."""
    running = [s for s in timed if s[0] <= at < s[1]]
    if not running:
        return None
    _, _, day, name = max(running, key=lambda s: (s[0], s[2], s[3]))
    return name, day


def state_at(samples: Sequence[tuple[datetime, str]], at: datetime) -> str | None:
    """The newest word on the state, an hour old at most."""
    known = [s for s in samples if s[0] <= at]
    if not known:
        return None
    time, state = max(known)
    return state if at < time + HOUR else None


@dataclass(frozen=True)
class Word:
    start: datetime
    end: datetime | None
    reason: str | None

    def until(self, samples: Sequence[tuple[datetime, str]]) -> datetime:
        if self.end is not None:
            return self.end
        return min(
            (t for t, state in samples if t >= self.start and state == "EXECUTE"),
            default=datetime.max.replace(tzinfo=UTC),
        )


def stop_at(
    samples: Sequence[tuple[datetime, str]], words: Sequence[Word], automatic: Mapping[str, str], at: datetime
) -> tuple[str | None, str | None] | None:
    """State and reason of a stop at a moment; none when it is none. `words` in the order in which they were entered."""
    state = state_at(samples, at)
    if state == "EXECUTE":
        return None
    last = next((w for w in reversed(words) if w.start <= at < w.until(samples)), None)
    reason = last.reason if last else None
    if state is None:
        return (None, reason) if reason else None
    return state, reason or automatic.get(state)
