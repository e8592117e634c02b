"""Frames that wait for a registry version: FIFO per lane, bounded by count, bytes and time.

A gateway may know of a new tag before the job does; judged at once, its samples would be refused as unknown for ever.
Once one frame of a lane waits, all later ones of that lane wait behind it. When the bound is reached the oldest is
judged with what is known, and the job goes on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from uuid import UUID

from schemas.frame import SequenceKey, Stream
from stages import packing
from stages.config import HoldConfig
from stages.outputs import Origin

LAYOUT = 1
Identity = tuple[SequenceKey, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldFrame:
    """One waiting frame with what is needed to judge it later. `number` names its state part."""

    number: int
    message: bytes
    origin: Origin
    key: SequenceKey
    sequence: int
    samples: int
    checksum: int
    registry_version: int
    held_us: int

    def to_bytes(self) -> bytes:
        """State part."""
        fields = {
            "number": self.number,
            "origin": list(self.origin),
            "key": [self.key.gateway_id, str(self.key.epoch), self.key.lane, int(self.key.stream)],
            "sequence": self.sequence,
            "samples": self.samples,
            "checksum": self.checksum,
            "registry_version": self.registry_version,
            "held_us": self.held_us,
            "message": len(self.message),
        }
        return packing.pack(LAYOUT, fields) + self.message

    @classmethod
    def from_bytes(cls, data: bytes) -> HeldFrame:
        """Inverse of `to_bytes`."""
        fields, _ = packing.unpack(data, LAYOUT, "held")
        gateway_id, epoch, lane, stream = fields["key"]
        topic, partition, offset = fields["origin"]
        return cls(
            number=fields["number"],
            message=data[len(data) - fields["message"] :],
            origin=Origin(topic, partition, offset),
            key=SequenceKey(gateway_id, UUID(epoch), lane, Stream(stream)),
            sequence=fields["sequence"],
            samples=fields["samples"],
            checksum=fields["checksum"],
            registry_version=fields["registry_version"],
            held_us=fields["held_us"],
        )


class HeldFrames:
    """The waiting frames of one lane."""

    __slots__ = ("_bytes", "_config", "_next", "changed", "queue", "sums")

    def __init__(self, config: HoldConfig) -> None:
        self._config = config
        self.queue: deque[HeldFrame] = deque()
        self.sums: dict[Identity, int] = {}
        self.changed: dict[int, HeldFrame | None] = {}
        self._bytes = 0
        self._next = 0

    def __len__(self) -> int:
        return len(self.queue)

    @property
    def overfull(self) -> bool:
        """Whether the oldest has to be judged with what is known."""
        return len(self.queue) > self._config.max_frames or self._bytes > self._config.max_bytes

    def number(self) -> int:
        """Number of the next frame to be put in."""
        return self._next

    def put(self, held: HeldFrame) -> None:
        """Add behind the others."""
        self.queue.append(held)
        self.sums[held.key, held.sequence] = held.checksum
        self._bytes += len(held.message)
        self._next = held.number + 1
        self.changed[held.number] = held

    def pop(self) -> HeldFrame:
        """Take the oldest out."""
        held = self.queue.popleft()
        del self.sums[held.key, held.sequence]
        self._bytes -= len(held.message)
        self.changed[held.number] = None
        return held
