"""Deduplication of frames by identity: an interval set and the last checksums per (gateway, epoch, lane, stream).

One `LaneDedup` per lane. The same identity with the same checksum is a duplicate; with another checksum a conflict.
Checksums are remembered in a ring addressed by sequence, for about the last `remember` frames of each key; what is
older counts as a duplicate, since telling needs the checksum. Keys of old epochs keep their interval set and lose their
ring.

Keys of the REPLAY stream are many and short-lived, an epoch for each fault that was corrected: they are kept apart, in a
state entry of their own, and only the newest of them. A frame of an older one that is sent again is validated again; the
ledger stores it once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import ClassVar
from uuid import UUID

import numpy as np

from schemas.frame import SequenceKey, Stream
from stages import packing
from stages.intake.intervals import IntervalSet
from stages.intake.lane_table import LaneTable

LAYOUT = 1
_RINGS = 8
"""Rings kept of REPLAY keys, and of all others."""
_ENTRY, _REPLAY_ENTRY = "dedup", "dedup/REPLAY"
REPLAYS = 256
"""Keys of the REPLAY stream kept."""


@lru_cache(maxsize=4096)
def _name(key: SequenceKey, has_ring: bool) -> str:
    """A key as JSON: written with every frame, so made once."""
    return json.dumps([key.gateway_id, str(key.epoch), key.lane, int(key.stream), has_ring])


def _is_replay(key: SequenceKey) -> bool:
    return key.stream is Stream.REPLAY


class Seen(Enum):
    """What is known of an identity."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class LaneDedup:
    """What has been seen of one lane; a part of its state.

    A ring has shape (2, remember): sequences (-1: none), checksums.
    """

    __slots__ = ("_changed", "_remember", "_rings", "sets")
    kinds: ClassVar[tuple[str, ...]] = ("dedup",)
    by_tag: ClassVar[bool] = False

    def __init__(self, remember: int) -> None:
        self._remember = max(remember, 1)
        self.sets: dict[SequenceKey, IntervalSet] = {}
        self._rings: dict[SequenceKey, np.ndarray[tuple[int, int], np.dtype[np.int64]]] = {}
        self._changed: set[str] = set()

    def classify(self, key: SequenceKey, sequence: int, checksum: int) -> Seen:
        """What `(key, sequence)` is, without recording it."""
        seen = self.sets.get(key)
        if seen is None or sequence not in seen:
            return Seen.NEW
        ring = self._rings.get(key)
        at = sequence % self._remember
        if ring is None or ring[0, at] != sequence or ring[1, at] == checksum:
            return Seen.DUPLICATE
        return Seen.CONFLICT

    def record(self, key: SequenceKey, sequence: int, checksum: int) -> None:
        """Record a new frame."""
        self._changed.add(_REPLAY_ENTRY if _is_replay(key) else _ENTRY)
        seen = self.sets.get(key)
        if seen is None:
            seen = self.sets[key] = IntervalSet()
            if _is_replay(key):
                self._forget_replays()
        seen.add(sequence)
        ring = self._rings.get(key)
        if ring is None:
            ring = self._rings[key] = np.full((2, self._remember), -1, dtype=np.int64)
            rivals = [other for other in self._rings if _is_replay(other) == _is_replay(key)]
            if len(rivals) > _RINGS:
                del self._rings[rivals[0]]
        at = sequence % self._remember
        ring[0, at] = sequence
        ring[1, at] = checksum

    def _forget_replays(self) -> None:
        replays = [key for key in self.sets if _is_replay(key)]
        for key in replays[: max(len(replays) - REPLAYS, 0)]:
            del self.sets[key]
            self._rings.pop(key, None)

    def drain_changes(self) -> dict[str, bytes | None]:
        """See StatePart: one entry for the keys of REPLAY, one for all others."""
        changes: dict[str, bytes | None] = {
            name: self.to_bytes(replays=name == _REPLAY_ENTRY) for name in self._changed
        }
        self._changed.clear()
        return changes

    def restore(self, entries: Mapping[str, bytes]) -> None:
        """See StatePart. A ring may have had another size when it was written."""
        for data in entries.values():
            self._restore(data)

    def relayout(self, table: LaneTable) -> None:
        """See StatePart: identities do not depend on tags."""

    def to_bytes(self, *, replays: bool = False) -> bytes:
        """Entry of the keys of REPLAY, or of all others."""
        names, arrays = [], []
        for key, seen in self.sets.items():
            if _is_replay(key) is not replays:
                continue
            ring = self._rings.get(key)
            names.append(_name(key, ring is not None))
            arrays.append(np.frombuffer(seen.to_bytes(), dtype="<i8"))
            if ring is not None:
                arrays.append(ring)
        return packing.pack_text(LAYOUT, '{"keys":[' + ",".join(names) + "]}", *arrays)

    def _restore(self, data: bytes) -> None:
        fields, arrays = packing.unpack(data, LAYOUT, "dedup")
        rest = iter(arrays)
        for gateway_id, epoch, lane, stream, has_ring in fields["keys"]:
            key = SequenceKey(gateway_id, UUID(epoch), lane, Stream(stream))
            self.sets[key] = IntervalSet.from_bytes(next(rest).tobytes())
            if has_ring:
                ring = next(rest)
                if ring.shape[1] != self._remember:
                    fresh = np.full((2, self._remember), -1, dtype=np.int64)
                    known = ring[:, np.argsort(ring[0])]
                    fresh[:, known[0, known[0] >= 0] % self._remember] = known[:, known[0] >= 0]
                    ring = fresh
                self._rings[key] = ring
