"""One file of the durable buffer: a preallocated segment of checksummed records.

Who calls: `edge.buffer` only. A segment is a header (magic, version, number, epoch, CRC) and records behind one another;
what follows the last record is zeros. The file is allocated in full before it is used, so that a disk that runs full later
cannot stop a write into it, and writes change no file size (fdatasync has less to do).

Record: CRC-32, body length, kind, stream, lane, sequence, samples, checksum, running totals of samples and checksum of its
(lane, stream), first and last source time, time of append; then the body. The CRC covers everything behind itself and is
seeded with the segment's header, so neither a flipped bit nor a record of another segment is ever taken for one.

Reading stops at the first record that does not hold. `damaged` then tells a clean end (zeros) from a torn or corrupt one.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple
from uuid import UUID
from zlib import crc32

from schemas.frame import Stream

HEADER = struct.Struct("<4sHHQ16sI")
MAGIC = b"MRBF"
VERSION = 1
RECORD = struct.Struct("<IIBBhQIQQQqqq")
_CRC_BYTES = 4


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


class Segment:
    """An open segment. `used` is the end of the last record that holds; `spans` the sequences in it by stream key."""

    def __init__(self, path: Path, fd: int, number: int, epoch: UUID, capacity: int) -> None:
        self.path = path
        self.number = number
        self.epoch = epoch
        self.capacity = capacity
        self.used = HEADER.size
        self.damaged = False
        self.first_appended_us = 0
        self.last_appended_us = 0
        self.spans: dict[StreamKey, tuple[int, int]] = {}
        self._fd = fd
        self._seed = crc32(_header(number, epoch))

    @classmethod
    def create(cls, path: Path, number: int, epoch: UUID) -> Segment:
        """Make the zeroed, allocated file at `path` segment `number`; raises OSError."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        os.pwrite(fd, _header(number, epoch), 0)
        return cls(path, fd, number, epoch, os.fstat(fd).st_size)

    @classmethod
    def open(cls, path: Path) -> Segment | None:
        """Open an existing segment; None when the header does not hold."""
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        data = os.pread(fd, HEADER.size, 0)
        if len(data) == HEADER.size:
            magic, version, _, number, epoch, _ = HEADER.unpack(data)
            if magic == MAGIC and version == VERSION and data == _header(number, UUID(bytes=epoch)):
                return cls(path, fd, number, UUID(bytes=epoch), os.fstat(fd).st_size)
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
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, data[done:], self.used + done)
        self.used += len(data)
        for entry in entries:
            self._note(entry)

    def sync(self) -> None:
        """Make what was written durable."""
        os.fdatasync(self._fd)

    def read(self, start: int = HEADER.size, end: int | None = None) -> Iterator[tuple[int, Entry]]:
        """Records from offset `start`, each with the offset behind it, up to the first one that does not hold."""
        data = os.pread(self._fd, (self.capacity if end is None else end) - start, start)
        at = 0
        while at + RECORD.size <= len(data):
            fields = RECORD.unpack_from(data, at)
            length = fields[1]
            behind = at + RECORD.size + length
            if not length or behind > len(data):
                return
            if crc32(memoryview(data)[at + _CRC_BYTES : behind], self._seed) != fields[0]:
                return
            yield start + behind, self._entry(fields, data[at + RECORD.size : behind])
            at = behind

    def recover(self) -> Iterator[Entry]:
        """Records of a segment found on disk; then `used`, `spans` and `damaged` are right."""
        for behind, entry in self.read():
            self.used = behind
            self._note(entry)
            yield entry
        rest = os.pread(self._fd, self.capacity - self.used, self.used)
        self.damaged = rest.count(0) != len(rest)

    def truncate(self) -> None:
        """Cut off what does not hold; the segment is full from now on."""
        os.ftruncate(self._fd, self.used)
        os.fsync(self._fd)
        self.capacity = self.used

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)

    def _note(self, entry: Entry) -> None:
        if entry.kind is RecordKind.STATE:
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


def allocate(path: Path, capacity: int) -> None:
    """Make a zeroed file of `capacity` bytes with its blocks reserved; raises OSError and leaves nothing when it fails."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, capacity)
        os.fsync(fd)
    except OSError:
        path.unlink()
        raise
    finally:
        os.close(fd)


def zero(path: Path) -> None:
    """Overwrite a file with zeros, keeping its blocks: room for a new segment on a disk that is full."""
    fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        size, chunk = os.fstat(fd).st_size, bytes(1 << 20)
        for offset in range(0, size, len(chunk)):
            os.pwrite(fd, chunk[: size - offset], offset)
        os.fsync(fd)
    finally:
        os.close(fd)


def is_zeroed(path: Path, capacity: int) -> bool:
    """Whether the file has this size and only zeros."""
    return path.stat().st_size == capacity and not path.read_bytes().strip(b"\0")


def _header(number: int, epoch: UUID) -> bytes:
    data = HEADER.pack(MAGIC, VERSION, 0, number, epoch.bytes, 0)[:-_CRC_BYTES]
    return data + crc32(data).to_bytes(_CRC_BYTES, "little")
