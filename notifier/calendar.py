"""Weekly times: whether somebody is on duty. Pure; local times of a zone, so a shift begins at six in summer and in winter."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60


@dataclass(frozen=True, kw_only=True, slots=True)
class Span:
    """From a minute of these days to another one: of the next day where it is not later."""

    days: frozenset[int]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Calendar:
    """Spans of a week, but not those that begin on `closed` days."""

    zone: ZoneInfo
    spans: tuple[Span, ...]
    closed: Collection[date] = frozenset()

    def covers(self, time_us: int) -> bool:
        """Whether a time is in one of the spans."""
        local = datetime.fromtimestamp(time_us / 1e6, UTC).astimezone(self.zone)
        minute, today = local.hour * 60 + local.minute, local.date()
        yesterday = today - timedelta(days=1)
        return any(
            (self._begins(span, today) and span.start <= minute < (span.end if span.end > span.start else DAY_MINUTES))
            or (span.end <= span.start and self._begins(span, yesterday) and minute < span.end)
            for span in self.spans
        )

    def _begins(self, span: Span, day: date) -> bool:
        return day.weekday() in span.days and day not in self.closed
