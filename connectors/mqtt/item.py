"""A tag of a plain MQTT connection, and what was seen of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from connectors.mqtt.address import MISSING, Place
from connectors.mqtt.payload import Sample
from schemas.definitions import TagDefinition


@dataclass(slots=True)
class Item:
    """`last_value` MISSING is not known: an earlier process saw it. `refused` payloads were counted since `told_us`."""

    tag: TagDefinition
    place: Place
    last_us: int
    last_value: Any = MISSING
    refused: int = 0
    told_us: int = 0

    def is_repeat(self, found: Sample, *, again: bool) -> bool:
        """Whether a sample was handed over before; `again` says that the broker may have sent it before.

        What came on a connection is the beginning of what was sent on it, so what is sent again and is older than the newest was seen.
        """
        known = self.last_value is not MISSING
        same = not known or (self.last_value == found.value and type(self.last_value) is type(found.value))
        if found.time_us:
            return (found.time_us == self.last_us and same) or (again and found.time_us < self.last_us)
        return again and known and same
