"""What a connector hands over, kept in memory with the time of its arrival: the gateway's place in the campaign."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

from connectors.readings import Notice, Readings, Seen, Value
from schemas.definitions import TagDefinition
from schemas.events import EventKind


class Row(NamedTuple):
    """A sample as it came."""

    time_us: int
    value: Value
    quality: int


class GapRow(NamedTuple):
    """A gap of one tag."""

    from_us: int
    to_us: int
    cause: str


class Recorder:
    """A `connectors.readings.Sink` that confirms every append at once. `tags` by tag id."""

    def __init__(self, tags: Mapping[int, TagDefinition]) -> None:
        self._tags = tags
        self.rows: dict[int, list[Row]] = {tag_id: [] for tag_id in tags}
        self.gaps: dict[int, list[GapRow]] = {tag_id: [] for tag_id in tags}
        self.notices: list[Notice] = []
        self._heard: dict[int, float] = {}
        self._last_us: dict[int, int] = {}

    def readings(self, readings: Readings, on_appended: Callable[[], None] | None = None) -> None:
        """Keep all of them."""
        now = time.monotonic()
        rows = map(Row, readings.time_us, readings.value, readings.quality)
        for tag_id, row in zip(readings.tag_id, rows, strict=True):
            self.rows[tag_id].append(row)
            self._heard[tag_id] = now
            self._last_us[tag_id] = max(self._last_us.get(tag_id, 0), row.time_us)
        if on_appended is not None:
            on_appended()

    def notice(self, notice: Notice) -> None:
        """Keep it; a gap is kept by tag."""
        self.notices.append(notice)
        gap = notice.gap
        if gap is None:
            return
        for item in gap.items:
            self.gaps[item.tag_id].append(GapRow(item.from_us, item.to_us, gap.cause))
        if not gap.items:
            for tag in self._tags.values():
                if tag.device_id == notice.device_id:
                    self.gaps[tag.tag_id].append(GapRow(gap.from_us, gap.to_us, gap.cause))

    def last_seen(self, tag_id: int) -> Seen:
        """The tag's newest sample; its time is enough for the connector, which goes on in one process."""
        return Seen(self._last_us.get(tag_id, 0))

    def silent_since(self, since_s: float) -> set[int]:
        """Tags of which nothing has arrived since then (monotonic seconds)."""
        return {tag_id for tag_id in self._tags if self._heard.get(tag_id, 0.0) < since_s}

    def count(self) -> int:
        """Samples so far."""
        return sum(map(len, self.rows.values()))

    def of(self, kind: EventKind) -> int:
        """How many notices of a kind there were."""
        return sum(notice.kind is kind for notice in self.notices)
