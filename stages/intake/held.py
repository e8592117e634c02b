"""Frames that wait, FIFO per lane: for a registry version, or for others of their micro-batch when their lane is behind.

A gateway may know of a new tag before the job does; validated at once, its samples would be refused as unknown for ever.
Once one frame of a lane waits, all later ones of that lane wait behind it. The queue is bounded by count and bytes:
beyond that the oldest is validated with what is known, and the job goes on.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from schemas import frame
from schemas.frame import Frame, SequenceKey
from stages import packing
from stages.config import HoldConfig
from stages.intake.lane_table import LaneTable
from stages.intake.micro_batch import Arrived
from stages.outputs import Origin

LAYOUT = 1
_quoted = lru_cache(json.dumps)
Identity = tuple[SequenceKey, int]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class HeldFrame:
    """One frame that waits since `held_us`. `number` names its state entry.

    `gathered`: it waits for others of its micro-batch only, not for the registry, and is not reported as held.
    """

    number: int
    identity: Identity
    arrived: Arrived
    held_us: int
    gathered: bool

    @property
    def frame(self) -> Frame:
        """The frame itself."""
        return self.arrived.frame

    def to_bytes(self) -> bytes:
        """State entry."""
        message, (topic, partition, offset) = self.arrived.message, self.arrived.origin
        fields = (
            f'{{"number":{self.number},"origin":[{_quoted(topic)},{partition},{offset}],"held_us":{self.held_us},'
            f'"gathered":{"true" if self.gathered else "false"},"message":{len(message)}}}'
        )
        return packing.pack_text(LAYOUT, fields) + message

    @classmethod
    def from_bytes(cls, data: bytes) -> HeldFrame:
        """Inverse of `to_bytes`."""
        fields, _ = packing.unpack(data, LAYOUT, "held")
        message = data[len(data) - fields["message"] :]
        decoded = frame.decode(message)
        return cls(
            number=fields["number"],
            identity=(decoded.key, decoded.sequence),
            arrived=Arrived(decoded, Origin(*fields["origin"]), message),
            held_us=fields["held_us"],
            gathered=fields.get("gathered", False),
        )


class HeldFrames:
    """The waiting frames of one lane; a part of its state. `checksums` has that of each identity that waits."""

    __slots__ = ("_bytes", "_changed", "_config", "_next", "checksums", "queue", "samples")
    kinds: ClassVar[tuple[str, ...]] = ("held",)
    by_tag: ClassVar[bool] = False

    def __init__(self, config: HoldConfig) -> None:
        self._config = config
        self.queue: deque[HeldFrame] = deque()
        self.checksums: dict[Identity, int] = {}
        self._changed: dict[int, HeldFrame | None] = {}
        self.samples = 0
        self._bytes = 0
        self._next = 0

    def __len__(self) -> int:
        return len(self.queue)

    @property
    def overfull(self) -> bool:
        """Whether the oldest has to be validated with what is known."""
        return len(self.queue) > self._config.max_frames or self._bytes > self._config.max_bytes

    def number(self) -> int:
        """Number of the next frame to be put in."""
        return self._next

    def put(self, held: HeldFrame) -> None:
        """Append to the queue."""
        self.queue.append(held)
        self.checksums[held.identity] = held.frame.checksum
        self.samples += held.frame.samples
        self._bytes += len(held.arrived.message)
        self._next = held.number + 1
        self._changed[held.number] = held

    def pop(self) -> HeldFrame:
        """Remove and return the oldest."""
        held = self.queue.popleft()
        del self.checksums[held.identity]
        self.samples -= held.frame.samples
        self._bytes -= len(held.arrived.message)
        self._changed[held.number] = None
        return held

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart: one entry per frame."""
        changes = {
            f"held/{number}": None if held is None else held.to_bytes() for number, held in self._changed.items()
        }
        self._changed.clear()
        return changes

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart."""
        for each in sorted(map(HeldFrame.from_bytes, entries.values()), key=lambda held: held.number):
            self.put(each)
        self._changed.clear()

    def relayout(self, table: LaneTable) -> None:
        """See StatePart: frames wait as they came."""
