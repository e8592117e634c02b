"""One file of the durable buffer: a preallocated segment of records, each of which holds or is none.

Who calls: `edge.buffer` only. A segment is a header (`edge.segment_header`) and records behind one another, as
`edge.segment_codec` writes them: encrypted, or behind a checksum; what follows the last record is zeros. The file is
allocated in full before it is used, so that a disk that runs full later cannot stop a write into it, and writes change no
file size (fdatasync has less to do).

Record: kind, stream, lane, sequence, samples, checksum, running totals of samples and checksum of its (lane, stream), first
and last source time, time of append; then the body. Neither a flipped bit nor a record of another segment is ever taken for
one.

A record that does not hold costs itself alone: reading goes on at the next one that does, and what lies between is a `Hole`.
Behind the last record there are zeros; anything else there began as a record and is a hole too, as is the missing end of a
file that is shorter than its header says. A header that does not hold is made again: from its copy at the end of the file,
or from the file's name and the records.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from base.key_ring import DamagedIdError, Key, MissingKeyError
from edge import segment_header
from edge.segment_codec import HEAD_BYTES, KINDS, STREAMS, codec
from edge.segment_header import MAX_BYTES, UNIT, Header
from schemas.frame import Stream

HEAD = struct.Struct("<BBhQIQQQqqq")
assert HEAD.size == HEAD_BYTES
BEGINNING = 0
"""Of a segment, for a cursor: in front of its first record."""


class RecordKind(IntEnum):
    """What a record holds."""

    FRAME = 1
    """Body: a TelemetryFrame message."""
    EVENT = 2
    """Body: device id (4 bytes), then a DeviceEvent message. Lane is EVENT_LANE."""
    STATE = 3
    """Body: the buffer's own counters and positions; see `edge.recovery`."""
    HISTORICAL = 4
    """Body: a TelemetryFrame message, of values that a machine had stored and sent late."""
    FILLER = 5
    """Body: zeros, where records were that did not hold and are accounted for."""


assert (max(RecordKind), max(Stream)) == (KINDS, STREAMS)
OWN = frozenset({RecordKind.STATE, RecordKind.FILLER})
"""Kinds that are the buffer's own affair: they have no sequence."""


class StreamKey(NamedTuple):
    """What a contiguous run of sequences in the buffer belongs to."""

    epoch: UUID
    lane: int
    stream: Stream


@dataclass(kw_only=True, slots=True)
class Entry:
    """A record. `total_samples` and `total_checksum` are cumulative for its stream key, this entry included."""

    kind: RecordKind
    epoch: UUID
    lane: int
    stream: Stream
    sequence: int
    samples: int = 0
    checksum: int = 0
    total_samples: int = 0
    total_checksum: int = 0
    from_us: int = 0
    to_us: int = 0
    appended_us: int = 0
    body: bytes

    @property
    def key(self) -> StreamKey:
        """Sequence space of the entry."""
        return StreamKey(self.epoch, self.lane, self.stream)


@dataclass(slots=True)
class Cursor:
    """How far the entries of one stream have been read, in the order they were appended."""

    stream: Stream
    number: int = 0
    offset: int = BEGINNING


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes that should be records and do not hold, and when the records before and behind were appended (0: there is none)."""

    start: int
    end: int
    after_us: int
    before_us: int


KeyOf = Callable[[str], Key]
"""The key of an id; raises MissingKeyError, DamagedIdError."""


def no_key(key_id: str) -> Key:
    """Where nothing is encrypted."""
    msg = f"key {key_id} is not known: no reference to keys of data at rest is given"
    raise MissingKeyError(msg)


class Segment:
    """A segment. `begin` is where its first record begins, `used` the end of the last that holds; `spans` the sequences by stream key.

    The file stays open while it is written to (until `seal`); it is opened for each reading after that, because there may be a thousand.
    """

    def __init__(self, path: Path, fd: int, header: Header, size: int, key: Key | None) -> None:
        self.path = path
        self.number = header.number
        self.epoch = header.epoch
        self.key_id = header.key_id
        """Of the key it is encrypted with; empty when it is plain."""
        self.capacity = header.units * UNIT or size
        self.begin = self.used = len(header.data)
        self.holes: list[Hole] = []
        self.state_at = 0
        """Where the last STATE record begins; 0 when there is none."""
        self.first_appended_us = 0
        self.last_appended_us = 0
        self.spans: dict[StreamKey, tuple[int, int]] = {}
        self.needs_mending = False
        self._fd: int | None = fd
        self._header = header
        self._copy = header.data if header.sealed else b""
        """What stands at the end of the file, behind all records."""
        self._limit = self.capacity - len(self._copy)
        self._codec = codec(header, key)

    @classmethod
    def create(cls, path: Path, number: int, epoch: UUID, key: Key | None = None) -> Segment:
        """Make the zeroed, allocated file at `path` segment `number`, encrypted when there is a key; raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        size = os.fstat(fd).st_size
        units = size // UNIT if size % UNIT == 0 and size <= MAX_BYTES else 0
        header = (
            segment_header.plain(number, epoch, units)
            if key is None
            else segment_header.sealed(number, epoch, units, key)
        )
        made = cls(path, fd, header, size, key)
        made._write_header(fd)
        return made

    @classmethod
    def open(cls, path: Path, epochs: Iterable[UUID] = (), key_of: KeyOf = no_key) -> Segment | None:
        """Open an existing segment; None when its header does not hold and cannot be made again. Raises MissingKeyError."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            size, most = os.fstat(fd).st_size, segment_header.SEALED.size
            first, last = os.pread(fd, most, 0), os.pread(fd, most, max(0, size - most))
            for header, certain in segment_header.found(path, first, last, size, epochs):
                try:
                    key = key_of(header.key_id) if header.sealed else None
                except DamagedIdError:
                    continue
                made = cls(path, fd, header, size, key)
                if certain or made.begins():
                    made.needs_mending = not first.startswith(header.data)
                    return made
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
        return None

    @property
    def sealed(self) -> bool:
        """Whether it is encrypted."""
        return self._header.sealed

    def fits(self, size: int) -> bool:
        """Whether `size` more bytes fit."""
        return self.used + size <= self._limit

    def pack(self, entry: Entry, ahead: int = 0) -> bytes:
        """Record of an entry, as this segment stores it behind `ahead` bytes that will be written at its end first."""
        return self._pack(entry, self.used + ahead)

    def write(self, data: bytes, entries: list[Entry]) -> None:
        """Write packed records at the end; they count once `sync` has returned. Raises OSError, and can then be repeated."""
        assert self._fd is not None
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, data[done:], self.used + done)
        self.used += len(data)
        for entry in entries:
            self._note(entry)

    def sync(self) -> None:
        """Make what was written durable."""
        assert self._fd is not None
        os.fdatasync(self._fd)

    def records(self, start: int = BEGINNING, end: int | None = None) -> Iterator[tuple[int, int, Entry]]:
        """Records from offset `start` on that hold: where each begins, where it ends, and the entry. What does not hold is passed over."""
        start = max(start, self.begin)
        with self._file() as fd:
            data = os.pread(fd, (self._limit if end is None else end) - start, start)
        at = 0
        while 0 <= at < len(data):
            found = self._codec.unpack(data, at, start)
            if found:
                behind, head, body = found
                yield start + at, start + behind, self._entry(head, body)
                at = behind
            else:
                at = self._codec.next(data, at + 1, start)

    def begins(self) -> bool:
        """Whether the first record holds."""
        with self._file() as fd:
            data = os.pread(fd, self._limit - self.begin, self.begin)
        return self._codec.unpack(data, 0, self.begin) is not None

    def recover(self) -> Iterator[Entry]:
        """Records of a segment found on disk; then `used`, `spans`, `state_at` and `holes` are right."""
        last_us = 0
        for at, behind, entry in self.records():
            if at > self.used:
                self.holes.append(Hole(self.used, at, last_us, entry.appended_us))
            self.used, last_us = behind, entry.appended_us
            if entry.kind is RecordKind.STATE:
                self.state_at = at
            self._note(entry)
            if entry.kind is not RecordKind.FILLER:
                yield entry
        with self._file() as fd:
            rest = os.pread(fd, self._limit - self.used, self.used)
            copy = os.pread(fd, len(self._copy), self._limit)
        least = self._codec.least
        if rest[:least].count(0) != min(least, self._limit - self.used):
            self.holes.append(Hole(self.used, self._limit, last_us, 0))
        # Bits that flipped where nothing was written yet are no loss.
        self.needs_mending |= bool(self.holes) or rest.count(0) != self._limit - self.used or copy != self._copy

    def mend(self) -> None:
        """Make the file whole again, its holes filled; call it when what was in them is accounted for durably. Raises OSError."""
        with self._file() as fd:
            if os.fstat(fd).st_size < self.capacity:
                os.posix_fallocate(fd, 0, self.capacity)
            self._write_header(fd)
            for hole in self.holes:
                if hole.end <= self.used:
                    os.pwrite(fd, self._filler(hole), hole.start)
            tail = os.pread(fd, self._limit - self.used, self.used)
            if tail.count(0) != len(tail):
                os.pwrite(fd, bytes(len(tail)), self.used)
            os.fsync(fd)
        self.holes, self.needs_mending = [], False

    def unseal(self) -> None:
        """Go on writing."""
        self._fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC) if self._fd is None else self._fd

    def seal(self) -> None:
        """Nothing is written any more."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    close = seal

    @contextmanager
    def _file(self) -> Iterator[int]:
        if self._fd is not None:
            yield self._fd
            return
        fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

    def _write_header(self, fd: int) -> None:
        os.pwrite(fd, self._header.data, 0)
        if self._copy:
            os.pwrite(fd, self._copy, self._limit)

    def _pack(self, entry: Entry, at: int) -> bytes:
        head = HEAD.pack(
            entry.kind, entry.stream, entry.lane, entry.sequence, entry.samples, entry.checksum,
            entry.total_samples, entry.total_checksum, entry.from_us, entry.to_us, entry.appended_us,
        )  # fmt: skip
        return self._codec.pack(head, entry.body, at)

    def _filler(self, hole: Hole) -> bytes:
        body = bytes(hole.end - hole.start - self._codec.least)
        entry = Entry(kind=RecordKind.FILLER, epoch=self.epoch, lane=0, stream=Stream.LIVE, sequence=0, body=body)
        return self._pack(entry, hole.start)

    def _note(self, entry: Entry) -> None:
        if entry.kind in OWN:
            return
        self.first_appended_us = self.first_appended_us or entry.appended_us
        self.last_appended_us = max(self.last_appended_us, entry.appended_us)
        first, last = self.spans.get(entry.key, (entry.sequence, entry.sequence))
        self.spans[entry.key] = (min(first, entry.sequence), max(last, entry.sequence))

    def _entry(self, head: bytes, body: bytes) -> Entry:
        kind, stream, lane, sequence, samples, checksum, total_samples, total_checksum, *times = HEAD.unpack(head)
        return Entry(
            kind=RecordKind(kind), epoch=self.epoch, lane=lane, stream=Stream(stream), sequence=sequence,
            samples=samples, checksum=checksum, total_samples=total_samples, total_checksum=total_checksum,
            from_us=times[0], to_us=times[1], appended_us=times[2], body=body,
        )  # fmt: skip
