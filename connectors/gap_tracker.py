"""Gaps in a device's data that begin when its connection breaks and end with its first new sample.

Used by the machine connectors. How many samples are missing cannot be known (`samples` -1): they were lost before they
reached the gateway. A silence of at most one and a half sampling periods of the device's fastest tag is no gap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from connectors.readings import Readings
from schemas.events import Gap
from schemas.registry import TagDefinition


class GapTracker:
    """`report` is called with (device id, gap) when a gap has ended."""

    def __init__(self, report: Callable[[int, Gap], None]) -> None:
        self._report = report
        self._open: dict[int, tuple[int, str]] = {}

    def begin(self, device_id: int, from_us: int, cause: str) -> None:
        """The device's last sample before its connection broke; an open gap keeps its beginning."""
        self._open.setdefault(device_id, (from_us, cause))

    def advance(self, device_id: int, from_us: int) -> None:
        """An open gap of the device begins no earlier than this."""
        if device_id in self._open:
            start, cause = self._open[device_id]
            self._open[device_id] = (max(start, from_us), cause)

    def end(self, readings: Readings, tags: Mapping[int, TagDefinition]) -> None:
        """Close the gaps of the devices that new readings are of. `tags` by tag id."""
        if not self._open:
            return
        first: dict[int, tuple[int, TagDefinition]] = {}
        for tag_id, time_us in zip(readings.tag_id, readings.time_us, strict=True):
            tag = tags.get(tag_id)
            if tag is not None and time_us > self._open.get(tag.device_id, (1 << 62, ""))[0]:
                known = first.get(tag.device_id)
                if known is None or time_us < known[0]:
                    first[tag.device_id] = (time_us, tag)
        for device_id, (to_us, tag) in first.items():
            from_us, cause = self._open.pop(device_id)
            fastest_ms = min(one.period_ms for one in tags.values() if one.device_id == device_id)
            if from_us and to_us - from_us > 1500 * fastest_ms:
                self._report(device_id, Gap(lane=tag.lane, from_us=from_us, to_us=to_us, cause=cause))
