"""Gaps in a device's data that begin when its connection breaks and end when all its tags have been heard again.

Used by the machine connectors. How many samples are missing cannot be known (`samples` -1): they were lost before they
reached the gateway. A new connection begins with the current value of every tag, and that of a slow tag may be as old as
its period: samples of a faster tag may be missing behind it. So a gap ends with the latest of the tags' first new
samples, looked for during the first seconds of the connection. A silence of at most one and a half sampling periods of
the device's fastest tag is no gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from connectors.readings import Readings
from schemas.definitions import TagDefinition
from schemas.events import Gap

SETTLING_US = 2_000_000
"""Source time after the first new sample in which other tags are still waited for."""


@dataclass(slots=True)
class _Open:
    from_us: int
    cause: str
    lane: int = 0
    since_us: int = 0
    newest_us: int = 0
    first_us: dict[int, int] = field(default_factory=dict)
    """Per tag: source time of the first sample on the new connection; of a repeat, the beginning of the gap."""


class GapTracker:
    """`report` is called with (device id, gap) when a gap has ended."""

    def __init__(self, report: Callable[[int, Gap], None]) -> None:
        self._report = report
        self._open: dict[int, _Open] = {}

    def begin(self, device_id: int, from_us: int, cause: str) -> None:
        """The device's last sample before its connection broke; an open gap keeps its beginning."""
        gap = self._open.setdefault(device_id, _Open(from_us, cause))
        gap.since_us = gap.newest_us = 0
        gap.first_us.clear()

    def advance(self, device_id: int, from_us: int) -> None:
        """An open gap of the device begins no earlier than this."""
        if (gap := self._open.get(device_id)) is not None:
            gap.from_us = max(gap.from_us, from_us)

    def repeated(self, tag: TagDefinition) -> None:
        """The new connection began with a value of the tag that was seen before: none of its samples is missing."""
        if (gap := self._open.get(tag.device_id)) is not None:
            gap.first_us.setdefault(tag.tag_id, gap.from_us)

    def end(self, readings: Readings, tags: Mapping[int, TagDefinition]) -> None:
        """Note the new readings of devices with an open gap; close those that are heard in full. `tags` by tag id."""
        if not self._open:
            return
        for tag_id, time_us in zip(readings.tag_id, readings.time_us, strict=True):
            tag = tags.get(tag_id)
            gap = None if tag is None else self._open.get(tag.device_id)
            if tag is not None and gap is not None:
                gap.lane = tag.lane
                gap.since_us = gap.since_us or time_us
                gap.newest_us = max(gap.newest_us, time_us)
                gap.first_us.setdefault(tag_id, time_us)
        for device_id, gap in [(device_id, gap) for device_id, gap in self._open.items() if gap.first_us]:
            mine = [tag for tag in tags.values() if tag.device_id == device_id]
            if len(gap.first_us) >= len(mine) or gap.newest_us - gap.since_us >= SETTLING_US:
                self._close(device_id, min(tag.period_ms for tag in mine))

    def _close(self, device_id: int, fastest_ms: int) -> None:
        gap = self._open.pop(device_id)
        to_us = max(gap.first_us.values())
        if gap.from_us and to_us - gap.from_us > 1500 * fastest_ms:
            self._report(device_id, Gap(lane=gap.lane, from_us=gap.from_us, to_us=to_us, cause=gap.cause))
