"""One file of the durable buffer: a preallocated segment of checksummed records.

Who calls: `edge.buffer` only. A segment is a header (magic, version, number, epoch, CRC) and records behind one another;
what follows the last record is zeros. The file is allocated in full before it is used, so that a disk that runs full later
cannot stop a write into it, and writes change no file size (fdatasync has less to do).

Record: CRC-32, body length, kind, stream, lane, sequence, samples, checksum, running totals of samples and checksum of its
(lane, stream), first and last source time, time of append; then the body. The CRC covers everything behind itself and is
seeded with the segment's header, so neither a flipped bit nor a record of another segment is ever taken for one.

A record that does not hold costs itself alone: reading goes on at the next one that does, and what lies between is a `Hole`. Behind the
last record there are zeros; anything else there began as a record and is a hole too, as is the missing end of a file that is shorter than
its header says. A header that does not hold is made again from the file's name and the records.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

import numpy as np

from schemas.frame import Stream

HEADER = struct.Struct("<4sHHQ16sI")
MAGIC = b"MRBF"
VERSION = 2
"""Version 1 had no length in its header, and its checksums were seeded with a constant: the CRC of what ends in its own CRC."""
_SEED_1 = 0x2144DF1C
RECORD = struct.Struct("<IIBBhQIQQQqqq")
UNIT = 1 << 14
"""Segments are a multiple of this, so that 16 bits of the header say how long the file has to be (0: not known)."""
MAX_BYTES = UNIT * 0xFFFF
_CRC_BYTES = 4
_SEARCH = 1 << 20


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
    offset: int = HEADER.size


@dataclass(frozen=True, slots=True)
class Hole:
    """Bytes that should be records and do not hold, and when the records before and behind were appended (0: there is none)."""

    start: int
    end: int
    after_us: int
    before_us: int


class Segment:
    """A segment. `used` is the end of the last record that holds; `spans` the sequences in it by stream key.

    The file stays open while it is written to (until `seal`); it is opened for each reading after that, because there may be a thousand.
    """

    def __init__(self, path: Path, fd: int, number: int, epoch: UUID, capacity: int, header: bytes) -> None:
        self.path = path
        self.number = number
        self.epoch = epoch
        self.capacity = capacity
        self.used = HEADER.size
        self.holes: list[Hole] = []
        self.state_at = 0
        """Where the last STATE record begins; 0 when there is none."""
        self.first_appended_us = 0
        self.last_appended_us = 0
        self.spans: dict[StreamKey, tuple[int, int]] = {}
        self.needs_mending = False
        self._fd: int | None = fd
        self._header = header
        self._seed = crc32(header[:-_CRC_BYTES]) if HEADER.unpack(header)[1] == VERSION else _SEED_1

    @classmethod
    def create(cls, path: Path, number: int, epoch: UUID) -> Segment:
        """Make the zeroed, allocated file at `path` segment `number`; raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        capacity = os.fstat(fd).st_size
        header = _header(number, epoch, capacity // UNIT if capacity % UNIT == 0 and capacity <= MAX_BYTES else 0)
        os.pwrite(fd, header, 0)
        return cls(path, fd, number, epoch, capacity, header)

    @classmethod
    def open(cls, path: Path, epochs: Iterable[UUID] = ()) -> Segment | None:
        """Open an existing segment; None when its header does not hold and none of `epochs` makes it hold."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        size, found = os.fstat(fd).st_size, os.pread(fd, HEADER.size, 0)
        for header in _headers(path, found, size, epochs):
            _, _, units, number, epoch, _ = HEADER.unpack(header)
            made = cls(path, fd, number, UUID(bytes=epoch), units * UNIT or size, header)
            if header == found or made.begins():
                made.needs_mending = header != found
                return made
        os.close(fd)
        return None

    def fits(self, size: int) -> bool:
        """Whether `size` more bytes fit."""
        return self.used + size <= self.capacity

    def pack(self, entry: Entry) -> bytes:
        """Record of an entry, as this segment stores it."""
        rest = RECORD.pack(
            0, len(entry.body), entry.kind, entry.stream, entry.lane, entry.sequence, entry.samples, entry.checksum,
            entry.total_samples, entry.total_checksum, entry.from_us, entry.to_us, entry.appended_us,
        )[_CRC_BYTES:]  # fmt: skip
        crc = crc32(entry.body, crc32(rest, self._seed))
        return crc.to_bytes(_CRC_BYTES, "little") + rest + entry.body

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

    def records(self, start: int = HEADER.size, end: int | None = None) -> Iterator[tuple[int, int, Entry]]:
        """Records from offset `start` on that hold: where each begins, where it ends, and the entry. What does not hold is passed over."""
        with self._file() as fd:
            data = os.pread(fd, (self.capacity if end is None else end) - start, start)
        at = 0
        while 0 <= at < len(data):
            behind = self._behind(data, at)
            if behind:
                fields = RECORD.unpack_from(data, at)
                yield start + at, start + behind, self._entry(fields, data[at + RECORD.size : behind])
                at = behind
            else:
                at = self._next(data, at + 1)

    def begins(self) -> bool:
        """Whether the first record holds."""
        with self._file() as fd:
            data = os.pread(fd, self.capacity, 0)
        return bool(self._behind(data, HEADER.size))

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
            rest = os.pread(fd, self.capacity - self.used, self.used)
        if rest[: RECORD.size].count(0) != min(RECORD.size, self.capacity - self.used):
            self.holes.append(Hole(self.used, self.capacity, last_us, 0))
        # Bits that flipped where nothing was written yet are no loss.
        self.needs_mending |= bool(self.holes) or rest.count(0) != self.capacity - self.used

    def mend(self) -> None:
        """Make the file whole again, its holes filled; call it when what was in them is accounted for durably. Raises OSError."""
        with self._file() as fd:
            if os.fstat(fd).st_size < self.capacity:
                os.posix_fallocate(fd, 0, self.capacity)
            os.pwrite(fd, self._header, 0)
            for hole in self.holes:
                if hole.end <= self.used:
                    os.pwrite(fd, self._filler(hole), hole.start)
            tail = os.pread(fd, self.capacity - self.used, self.used)
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

    def _behind(self, data: bytes, at: int) -> int:
        """End of the record at that place in `data`; 0 when there is none that holds."""
        if at + RECORD.size > len(data):
            return 0
        crc, length = struct.unpack_from("<II", data, at)
        behind: int = at + RECORD.size + length
        if not length or behind > len(data):
            return 0
        return behind if crc32(memoryview(data)[at + _CRC_BYTES : behind], self._seed) == crc else 0

    def _next(self, data: bytes, at: int) -> int:
        """Where the next record that holds begins; -1 when there is none. What cannot be a head of a record is passed over by numpy."""
        view, last = np.frombuffer(data, dtype=np.uint8), len(data) - RECORD.size
        for start in range(at, last, _SEARCH):
            stop = min(start + _SEARCH, last)
            # Kind and stream are small, and the highest bytes of length, sequence, samples and times are zero.
            plausible = view[start + 8 : stop + 8] - np.uint8(1) <= max(RecordKind) - 1
            plausible &= view[start + 9 : stop + 9] <= max(Stream)
            for zero in (7, 18, 19, 39, 55, 63, 71):
                plausible &= view[start + zero : stop + zero] == 0
            for offset in (np.flatnonzero(plausible) + start).tolist():
                if self._behind(data, offset):
                    return int(offset)
        return -1

    def _filler(self, hole: Hole) -> bytes:
        body = bytes(hole.end - hole.start - RECORD.size)
        entry = Entry(kind=RecordKind.FILLER, epoch=self.epoch, lane=0, stream=Stream.LIVE, sequence=0, body=body)
        return self.pack(entry)

    def _note(self, entry: Entry) -> None:
        if entry.kind in OWN:
            return
        self.first_appended_us = self.first_appended_us or entry.appended_us
        self.last_appended_us = max(self.last_appended_us, entry.appended_us)
        first, last = self.spans.get(entry.key, (entry.sequence, entry.sequence))
        self.spans[entry.key] = (min(first, entry.sequence), max(last, entry.sequence))

    def _entry(self, fields: tuple[int, ...], body: bytes) -> Entry:
        _, _, kind, stream, lane, sequence, samples, checksum, total_samples, total_checksum, *times = fields
        return Entry(
            kind=RecordKind(kind), epoch=self.epoch, lane=lane, stream=Stream(stream), sequence=sequence,
            samples=samples, checksum=checksum, total_samples=total_samples, total_checksum=total_checksum,
            from_us=times[0], to_us=times[1], appended_us=times[2], body=body,
        )  # fmt: skip


def _header(number: int, epoch: UUID, units: int, version: int = VERSION) -> bytes:
    data = HEADER.pack(MAGIC, version, units, number, epoch.bytes, 0)[:-_CRC_BYTES]
    return data + crc32(data).to_bytes(_CRC_BYTES, "little")


def _headers(path: Path, found: bytes, size: int, epochs: Iterable[UUID]) -> Iterator[bytes]:
    """The header found when it holds, else those it may have been: the number is in the file's name, an epoch differs in a bit at most."""
    if len(found) == HEADER.size:
        magic, version, units, number, epoch, _ = HEADER.unpack(found)
        if magic == MAGIC and version in (1, VERSION) and found == _header(number, UUID(bytes=epoch), units, version):
            yield found
            return
        as_number = int.from_bytes(epoch, "big")
        epochs = [UUID(int=as_number), *epochs, *(UUID(int=as_number ^ (1 << bit)) for bit in range(128))]
        number = int(path.stem.partition("-")[2])
        for one in epochs:
            for length in dict.fromkeys((size // UNIT if size % UNIT == 0 else 0, units, 0)):
                yield _header(number, one, length)
