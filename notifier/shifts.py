"""Whether a shift of the plant's model of work is on. Pure: what the topic `work.shifts` says goes in.

What is not known counts as on duty, so that a mistake or an outage tells somebody too many and never nobody: a place without a calendar,
time without one, time beyond what has been told, a shift of a name that the model of work does not have, and a topic that was never read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from schemas.shifts import ShiftCalendar


@dataclass(frozen=True, kw_only=True, slots=True)
class Shifts:
    """Calendars by scope; none while nothing is known."""

    calendars: Mapping[str, ShiftCalendar] = field(default_factory=dict)

    def on(self, names: Collection[str], place: str, time_us: int) -> bool:
        """Whether one of the shifts is on at a place, or nobody knows."""
        return not self.unknown(names, place, time_us) and self._now(place, time_us) in names

    def counts(self, names: Collection[str], place: str, time_us: int) -> bool:
        """Whether who has these shifts is told at a time."""
        return bool(self.unknown(names, place, time_us)) or self.on(names, place, time_us)

    def unknown(self, names: Collection[str], place: str, time_us: int) -> str:
        """Why nobody knows whether they are on; empty when it is known."""
        if not self.calendars:
            return "no calendar has been told (topic work.shifts)"
        calendar = self._of(place)
        if calendar is None:
            return f"no calendar covers {place or 'the whole plant'}"
        if missing := sorted(set(names) - set(calendar.names)):
            return f"the model of work has no shift {missing[0]!r}; it has {', '.join(calendar.names) or 'none'}"
        if not calendar.from_us <= time_us < calendar.until_us:
            return f"the calendar of {calendar.scope} has not been told for this time"
        if not any(one.start_us <= time_us < one.end_us for one in calendar.planned):
            return f"{calendar.scope} has no calendar at this time"
        return ""

    def _now(self, place: str, time_us: int) -> str:
        calendar = self._of(place)
        assert calendar is not None
        at = bisect_right(calendar.shifts, time_us, key=lambda one: one.start_us) - 1
        found = calendar.shifts[at] if at >= 0 else None
        return found.shift if found is not None and time_us < found.end_us else ""

    def _of(self, place: str) -> ShiftCalendar | None:
        """Of the longest scope that covers it."""
        parts = place.split("/")
        for length in range(len(parts), 0, -1):
            if (found := self.calendars.get("/".join(parts[:length]))) is not None:
                return found
        return None


NOTHING_KNOWN = Shifts()
