"""Domain type of a device event: what is not a sample. Topic `device.events.<site>`, key device id.

Written by gateways; read by the telemetry job, the historian and serving. The same event sent again has the same `event_id`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from base.errors import UndecodableError
from base.ids import uuid7
from schemas import codec
from schemas.frame import Stream

DEAD_DEVICES = "dead_devices"
"""Attribute of GATEWAY_HEALTH: ids of the gateway's devices whose values are stale, as ranges: `3-17,20`."""
CONNECTED, PROBLEM = "connected.", "problem."
"""Attributes of GATEWAY_HEALTH, each with a connection's name behind it: `true` or `false`, and what is wrong with it, if anything."""
CONDITIONS_SINCE = "conditions_since"
"""Attribute of STATE: since when all conditions that a server retains for the device were told, by the gateway's clock: others are over."""
_RANGES = re.compile(r"(\d{1,9}(-\d{1,9})?(,\d{1,9}(-\d{1,9})?)*)?")
_DEVICES_AT_MOST = 1_000_000
UNKNOWN_SAMPLES = -1
"""Samples of a gap that nobody can count: lost before they reached the gateway."""


def device_ranges(device_ids: Iterable[int]) -> str:
    """Text of device ids: `3-17,20`."""
    ranges: list[list[int]] = []
    for device_id in sorted(set(device_ids)):
        if ranges and ranges[-1][1] == device_id - 1:
            ranges[-1][1] = device_id
        else:
            ranges.append([device_id, device_id])
    return ",".join(f"{low}" if low == high else f"{low}-{high}" for low, high in ranges)


def device_ids(text: str) -> frozenset[int]:
    """Device ids of such a text; raises UndecodableError."""
    found: set[int] = set()
    if not _RANGES.fullmatch(text):
        msg = f"not ranges of device ids: {text[:80]!r}"
        raise UndecodableError(msg)
    for part in filter(None, text.split(",")):
        low, _, high = part.partition("-")
        first, last = int(low), int(high or low)
        if last - first + len(found) >= _DEVICES_AT_MOST:
            msg = f"more than {_DEVICES_AT_MOST} device ids: {text[:80]!r}"
            raise UndecodableError(msg)
        found.update(range(first, last + 1))
    return frozenset(found)


class EventKind(StrEnum):
    """What happened."""

    BIRTH = "BIRTH"
    """The device is there, and its values are current."""
    DEATH = "DEATH"
    """The device cannot be reached: its last values are stale."""
    STATE = "STATE"
    """A named state changed."""
    STRING = "STRING"
    """A text value, which no frame can carry."""
    PROPOSAL = "PROPOSAL"
    """A birth named a tag that the registry does not know."""
    REFUSED = "REFUSED"
    """A value that cannot be carried, by name."""
    GAP = "GAP"
    """Samples are missing."""
    GATEWAY_HEALTH = "GATEWAY_HEALTH"
    """The gateway's counters; device 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GapItem:
    """What is missing of one tag: between its last sample before the loss and its first one after it."""

    tag_id: int
    from_us: int
    to_us: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Gap:
    """What is missing. `epoch`, `stream` and sequences are set when frames were lost after append.

    `items` has the bounds of each tag concerned; without items it is all of the device's tags, or all of the lane's.
    """

    lane: int
    epoch: UUID | None = None
    stream: Stream | None = None
    first_sequence: int | None = None
    last_sequence: int | None = None
    samples: int = UNKNOWN_SAMPLES
    from_us: int
    to_us: int
    cause: str
    items: tuple[GapItem, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneHealth:
    """Cumulative counters of one (lane, epoch, stream)."""

    lane: int
    epoch: UUID
    stream: Stream
    next_sequence: int
    produced_samples: int
    produced_checksum: int
    delivered_sequence: int
    buffered_samples: int
    dropped_samples: int


@dataclass(frozen=True, kw_only=True, slots=True)
class DeviceEvent:
    """One event. `device_id` 0 is the gateway itself."""

    event_id: UUID = field(default_factory=uuid7)
    kind: EventKind
    gateway_id: str
    device_id: int
    time_us: int
    text: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    gap: Gap | None = None
    lanes: tuple[LaneHealth, ...] = ()

    @property
    def key(self) -> bytes:
        """Kafka key."""
        return str(self.device_id).encode()

    def encode(self) -> bytes:
        """Kafka value."""
        record = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        record["kind"] = self.kind.value
        record["attributes"] = dict(self.attributes)
        record["gap"] = _plain(self.gap) if self.gap else None
        record["lanes"] = [_plain(lane) for lane in self.lanes]
        return codec.encode("DeviceEvent", record)


def decode(message: bytes) -> DeviceEvent:
    """Event of a Kafka value; raises UndecodableError or UnknownSchemaError."""
    _, record = codec.decode(message, "DeviceEvent")
    gap = record["gap"]
    return DeviceEvent(
        **{
            **record,
            "kind": EventKind(record["kind"]),
            "gap": None if gap is None else _gap(gap),
            "lanes": tuple(LaneHealth(**{**lane, "stream": Stream[lane["stream"]]}) for lane in record["lanes"]),
        }
    )


def _gap(record: dict[str, Any]) -> Gap:
    stream = record["stream"]
    items = tuple(GapItem(**item) for item in record["items"])
    return Gap(**{**record, "stream": None if stream is None else Stream[stream], "items": items})


def _plain(item: Gap | LaneHealth) -> dict[str, Any]:
    record = {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}
    record["stream"] = None if item.stream is None else item.stream.name
    if isinstance(item, Gap):
        record["items"] = [dataclasses.asdict(one) for one in item.items]
    return record
