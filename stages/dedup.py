"""Deduplication of frames by identity: an interval set and the last checksums per (gateway, epoch, lane, stream).

One `LaneDedup` per lane. The same identity with the same checksum is a duplicate; with another checksum a conflict.
Checksums are remembered in a ring addressed by sequence, for about the last `remember` frames of each key; what is
older counts as a duplicate, since telling needs the checksum. Keys of old epochs keep their interval set and lose their
ring.
"""

from __future__ import annotations

import json
from enum import Enum
from functools import lru_cache
from uuid import UUID

import numpy as np

from schemas.frame import SequenceKey, Stream
from stages import packing
from stages.intervals import IntervalSet

LAYOUT = 1
_RINGS = 8


@lru_cache(maxsize=4096)
def _name(key: SequenceKey, has_ring: bool) -> str:
    """A key as JSON: written with every frame, so made once."""
    return json.dumps([key.gateway_id, str(key.epoch), key.lane, int(key.stream), has_ring])


class Seen(Enum):
    """What is known of an identity."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class LaneDedup:
    """What has been seen of one lane. A ring has shape (2, remember): sequences (-1: none), checksums."""

    __slots__ = ("_remember", "_rings", "sets")

    def __init__(self, remember: int) -> None:
        self._remember = max(remember, 1)
        self.sets: dict[SequenceKey, IntervalSet] = {}
        self._rings: dict[SequenceKey, np.ndarray[tuple[int, int], np.dtype[np.int64]]] = {}

    def look(self, key: SequenceKey, sequence: int, checksum: int) -> Seen:
        """What `(key, sequence)` is, without noting it."""
        seen = self.sets.get(key)
        if seen is None or sequence not in seen:
            return Seen.NEW
        ring = self._rings.get(key)
        at = sequence % self._remember
        if ring is None or ring[0, at] != sequence or ring[1, at] == checksum:
            return Seen.DUPLICATE
        return Seen.CONFLICT

    def note(self, key: SequenceKey, sequence: int, checksum: int) -> None:
        """Note a new frame."""
        seen = self.sets.get(key)
        if seen is None:
            seen = self.sets[key] = IntervalSet()
        seen.add(sequence)
        ring = self._rings.get(key)
        if ring is None:
            ring = self._rings[key] = np.full((2, self._remember), -1, dtype=np.int64)
            if len(self._rings) > _RINGS:
                del self._rings[next(iter(self._rings))]
        at = sequence % self._remember
        ring[0, at] = sequence
        ring[1, at] = checksum

    def to_bytes(self) -> bytes:
        """State part."""
        names, arrays = [], []
        for key, seen in self.sets.items():
            ring = self._rings.get(key)
            names.append(_name(key, ring is not None))
            arrays.append(np.frombuffer(seen.to_bytes(), dtype="<i8"))
            if ring is not None:
                arrays.append(ring)
        return packing.pack_text(LAYOUT, '{"keys":[' + ",".join(names) + "]}", *arrays)

    @classmethod
    def from_bytes(cls, data: bytes, remember: int) -> LaneDedup:
        """Inverse of `to_bytes`; the ring may have another size than when it was written."""
        fields, arrays = packing.unpack(data, LAYOUT, "dedup")
        dedup = cls(remember)
        rest = iter(arrays)
        for gateway_id, epoch, lane, stream, has_ring in fields["keys"]:
            key = SequenceKey(gateway_id, UUID(epoch), lane, Stream(stream))
            dedup.sets[key] = IntervalSet.from_bytes(next(rest).tobytes())
            if has_ring:
                ring = next(rest)
                if ring.shape[1] != dedup._remember:
                    fresh = np.full((2, dedup._remember), -1, dtype=np.int64)
                    known = ring[:, np.argsort(ring[0])]
                    fresh[:, known[0, known[0] >= 0] % dedup._remember] = known[:, known[0] >= 0]
                    ring = fresh
                dedup._rings[key] = ring
        return dedup
