"""Device events of the gateway: made from notices of connectors, from readings no frame can carry, and from gaps.

Leaves: bodies of EVENT entries of the buffer: the device id in 4 bytes, then the DeviceEvent message.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from base.ids import Clock
from connectors.readings import Notice
from edge.normalise import Refusal, TextValue
from schemas.definitions import TagDefinition
from schemas.events import DeviceEvent, EventKind, Gap

_DEVICE = struct.Struct("<i")


def pack(event: DeviceEvent) -> bytes:
    """Body of an EVENT entry."""
    return _DEVICE.pack(event.device_id) + event.encode()


def unpack(body: bytes) -> tuple[bytes, bytes]:
    """Kafka key and value of an EVENT entry's body."""
    return str(_DEVICE.unpack_from(body)[0]).encode(), body[_DEVICE.size :]


@dataclass(slots=True)
class _Refused:
    first: Refusal
    last: Refusal
    count: int = 0


@dataclass(slots=True)
class Events:
    """Makes events. Refusals are gathered, so that a tag which is refused at every sample says so once a second.

    `dead` are the devices that have died and were not born again: the gateway's health names them.
    """

    gateway_id: str
    clock: Clock
    dead: set[int] = field(default_factory=set)
    _refused: dict[tuple[int, str], _Refused] = field(default_factory=dict)

    def of_notice(self, notice: Notice) -> bytes:
        """Event of a connector's notice."""
        if notice.kind is EventKind.DEATH:
            self.dead.add(notice.device_id)
        elif notice.kind is EventKind.BIRTH:
            self.dead.discard(notice.device_id)
        return pack(
            DeviceEvent(
                kind=notice.kind,
                gateway_id=self.gateway_id,
                device_id=notice.device_id,
                time_us=notice.time_us,
                text=notice.text,
                attributes=notice.attributes,
                gap=notice.gap,
            )
        )

    def of_gap(self, gap: Gap) -> bytes:
        """Event of frames or samples that the gateway itself lost."""
        lost = "an unknown number of" if gap.samples < 0 else str(gap.samples)
        return pack(
            DeviceEvent(
                kind=EventKind.GAP,
                gateway_id=self.gateway_id,
                device_id=0,
                time_us=self.clock(),
                text=f"{lost} samples lost in the gateway: {gap.cause}",
                gap=gap,
            )
        )

    def of_text(self, value: TextValue, tag: TagDefinition) -> bytes:
        """Event of a text value."""
        return pack(
            DeviceEvent(
                kind=EventKind.STRING,
                gateway_id=self.gateway_id,
                device_id=tag.device_id,
                time_us=value.time_us,
                text=f"{tag.path} = {value.value[:200]}",
                attributes={
                    "tag": tag.path,
                    "tag_id": str(tag.tag_id),
                    "value": value.value,
                    "quality": f"0x{value.quality:04x}",
                },
            )
        )

    def refuse(self, refusals: Iterable[Refusal]) -> None:
        """Gather refusals."""
        for refusal in refusals:
            one = self._refused.setdefault((refusal.tag_id, refusal.reason), _Refused(refusal, refusal))
            one.last = refusal
            one.count += 1

    def drain_refused(self, tags: Mapping[int, TagDefinition]) -> Iterator[bytes]:
        """One event for each tag and reason since the last call."""
        gathered, self._refused = self._refused, {}
        for (tag_id, reason), one in gathered.items():
            tag = tags.get(tag_id)
            name = tag.path if tag else f"tag {tag_id}"
            yield pack(
                DeviceEvent(
                    kind=EventKind.REFUSED,
                    gateway_id=self.gateway_id,
                    device_id=tag.device_id if tag else 0,
                    time_us=one.last.time_us,
                    text=f"{name}: {reason}",
                    attributes={
                        "tag": name,
                        "tag_id": str(tag_id),
                        "reason": reason,
                        "count": str(one.count),
                        "first_us": str(one.first.time_us),
                        "last_us": str(one.last.time_us),
                        "value": one.last.value,
                    },
                )
            )
