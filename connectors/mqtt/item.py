"""A tag of a plain MQTT connection, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass

from connectors.mqtt.address import Place
from connectors.mqtt.payload import Sample
from connectors.readings import Seen
from schemas.definitions import TagDefinition


@dataclass(slots=True)
class Item:
    """`last` is the newest sample that was handed over, of this process or an earlier one, with the value that came last.

    `refused` payloads were counted since `told_us`.
    """

    tag: TagDefinition
    place: Place
    last: Seen
    refused: int = 0
    told_us: int = 0

    def is_repeat(self, found: Sample, *, again: bool) -> bool:
        """Whether a sample was handed over before; `again` says that the broker may have sent it before.

        What came on a connection is the beginning of what was sent on it, so what is sent again and is older than the newest was seen.
        """
        if found.time_us:
            same = found.time_us == self.last.time_us and self.last.repeats(found.value, found.quality)
            return same or (again and found.time_us < self.last.time_us)
        # Its quality says how sure its age was when it was handed over, which is no part of the value.
        return again and self.last.value is not None and self.last.repeats(found.value, self.last.quality)
