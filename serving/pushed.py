"""Batches of live values on their way out: each update is encoded once, however many read it, and no message is built for it.

Enters: `Batch`es of the watches. Leaves: `PushedBatch`es, each the contract's TagBatch, as protobuf or as JSON: to the byte what the
library makes of the message, and what `serving.http.plain` makes of that. All of an update but its age stays until the tag changes again,
and is kept by tag; a batch is made of these pieces, of the ages by its own clock, and of a few bytes of its own. Pieces are of one version
of the registry, for a path may be another in the next. Called in the event loop only.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from functools import lru_cache

from schemas import quality
from schemas.proto.millrace.v1 import state_pb2
from serving.caches.plant import Plant
from serving.handlers.watching import Batch
from serving.rpc.translate import QUALITY

_KEPT = 50_000
"""Tags of which pieces are kept; some 500 bytes each."""
# Tags of the wire format: field number and kind in one byte.
_UPDATES, _VALUE, _NUMBER, _TIME, _AGE = b"\x0a", b"\x1a", b"\x09", b"\x10", b"\x28"
_DOUBLE = struct.Struct("<d").pack
_ZERO = _DOUBLE(0.0)
_MASK = (1 << 64) - 1
_BYTE = [bytes((number,)) for number in range(0x80)]


class Pieces:
    """The pieces of one server."""

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._kept: dict[int, _Piece] = {}
        plant.on_version(self._kept.clear)

    def pushed(self, batch: Batch) -> PushedBatch:
        """The batch as a message."""
        return PushedBatch(self, batch)

    def updates(self, batch: Batch) -> list[_Piece]:
        """A piece for each update of a batch; good until the next call."""
        kept, found = self._kept, []
        columns = zip(batch.tag_ids, batch.changes, batch.values, batch.times_us, batch.qualities, strict=True)
        for tag_id, change, number, time_us, code in columns:
            piece = kept.get(tag_id)
            if piece is None:
                piece = self._new(tag_id)
            if piece.change != change:
                piece.set(change, number, time_us, code)
            found.append(piece)
        return found

    def _new(self, tag_id: int) -> _Piece:
        if len(self._kept) >= _KEPT:
            self._kept.clear()
        piece = self._kept[tag_id] = _Piece(tag_id, self._plant.tag_path(tag_id))
        return piece


class _Piece:
    """A tag's update without its age."""

    __slots__ = ("_code", "_heads", "_made_for", "_number", "_start", "_tail", "_texts", "change", "time_us")

    def __init__(self, tag_id: int, path: str) -> None:
        heads = [state_pb2.TagUpdate(tag_id=tag_id, path=one).SerializeToString() for one in ("", path)]
        self._heads = [head + _VALUE for head in heads]
        self._texts = [
            f'{{"tag_id":{tag_id},"path":{json.dumps(one, ensure_ascii=False)},"value":{{"value":' for one in ("", path)
        ]
        self.set(-1, 0.0, 0, 0)

    def set(self, change: int, number: float, time_us: int, code: int) -> None:
        """The update of this change."""
        self.change, self._number, self.time_us, self._code = change, number, time_us, code
        self._start, self._made_for, self._tail = b"", (-1, False), ""

    def start(self, age_bytes: int, *, with_path: bool) -> bytes:
        """Protobuf up to the age, which has so many bytes; a field that is 0 has none."""
        if self._made_for != (age_bytes, with_path):
            number = _DOUBLE(self._number)
            value = b"" if number == _ZERO else _NUMBER + number
            value += _time(self.time_us) + _quality(self._code)
            if age_bytes:
                value += _AGE
            update = self._heads[with_path] + varint(len(value) + age_bytes) + value
            self._start = _UPDATES + varint(len(update) + age_bytes) + update
            self._made_for = age_bytes, with_path
        return self._start

    def text(self, *, with_path: bool) -> str:
        """JSON up to the age."""
        if not self._tail:
            number = repr(self._number) if math.isfinite(self._number) else "null"
            severity = quality.name(self._code).upper()
            self._tail = (
                f'{number},"time_us":{self.time_us},"quality":"{severity}","quality_code":{self._code},"age_us":'
            )
        return self._texts[with_path] + self._tail


@dataclass(frozen=True, slots=True)
class PushedBatch:
    """A message of `WatchTagBatches`. It answers to what gRPC asks of a message, and to what the faces of HTTP do."""

    pieces: Pieces
    batch: Batch

    @property
    def position(self) -> str:
        """As in TagBatch."""
        return self.batch.position

    def SerializeToString(self) -> bytes:
        """The message in protobuf."""
        batch, parts = self.batch, list[bytes]()
        with_path, sent_us = batch.with_paths, batch.sent_us
        ages: dict[int, bytes] = {}  # most of a batch are of one frame
        for piece in self.pieces.updates(batch):
            age = ages.get(piece.time_us)
            if age is None:
                age_us = sent_us - piece.time_us
                age = ages[piece.time_us] = varint(age_us) if age_us > 0 else b""
            parts += (piece.start(len(age), with_path=with_path), age)
        rest = state_pb2.TagBatch(
            snapshot_complete=batch.snapshot_complete,
            sequence=batch.sequence,
            position=batch.position,
            sent_us=sent_us,
            interval_ms=batch.interval_ms,
            notice=batch.notice,
        )
        parts.append(rest.SerializeToString())
        return b"".join(parts)

    def json(self) -> str:
        """The message in JSON."""
        batch, with_path = self.batch, self.batch.with_paths
        updates = [
            f"{piece.text(with_path=with_path)}{max(0, batch.sent_us - piece.time_us)}}}}}"
            for piece in self.pieces.updates(batch)
        ]
        return (
            f'{{"updates":[{",".join(updates)}],"snapshot_complete":{"true" if batch.snapshot_complete else "false"},'
            f'"sequence":{batch.sequence},"position":{json.dumps(batch.position)},"sent_us":{batch.sent_us},'
            f'"interval_ms":{batch.interval_ms},"notice":{json.dumps(batch.notice, ensure_ascii=False)}}}'
        )


def varint(number: int) -> bytes:
    """A number above 0 in protobuf's base 128."""
    if number <= 0x7F:
        return _BYTE[number]
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)


@lru_cache(maxsize=256)
def _time(time_us: int) -> bytes:
    return _TIME + varint(time_us & _MASK) if time_us else b""


@lru_cache(maxsize=256)
def _quality(code: int) -> bytes:
    return state_pb2.Value(quality=QUALITY[quality.name(code)], quality_code=code).SerializeToString()
