"""The files of the durable buffer: a row of segments, and one spare that is allocated ahead of its use.

Who calls: `edge.buffer`. Leaves: a new segment whenever one is wanted, even on a full disk, as long as there are two.
Every step can be interrupted: what is half done has a name ending in `.tmp`, and the next start deletes it.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from uuid import UUID

from base import locks
from base.files import sync_folder
from base.key_ring import Key
from edge import segment_files as files
from edge.recovery import BufferFailedError
from edge.segment import Segment
from edge.segment_header import MAX_BYTES, UNIT

log = logging.getLogger(__name__)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
Allocate = Callable[[Path, int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class BufferSettings:
    """Bounds of the buffer. `max_bytes` includes the spare segment.

    8 GiB are 72 hours at 1,000 samples/s: a sample takes 17 to 21 bytes on disk in frames of 200 or more, and up to 33 would fit.
    """

    segment_bytes: int = 8 << 20
    max_bytes: int = 8 << 30
    max_age_s: float = 7 * 86_400.0

    def __post_init__(self) -> None:
        if self.segment_bytes < 1 << 14:
            msg = f"segment_bytes is {self.segment_bytes}, below {1 << 14}"
            raise ValueError(msg)
        if self.segment_bytes > MAX_BYTES:
            msg = f"segment_bytes is {self.segment_bytes}, above {MAX_BYTES}"
            raise ValueError(msg)
        if self.max_bytes < 3 * self.segment_bytes:
            msg = f"max_bytes is {self.max_bytes}, less than three segments"
            raise ValueError(msg)


class SegmentStore:
    """Owner of a directory; one process at a time."""

    def __init__(self, directory: Path, segment_bytes: int, allocate: Allocate = files.allocate) -> None:
        """Lock and clean the directory; raises BufferFailedError when another process has it."""
        self.segments: list[Segment] = []
        self.disk_full = False
        self._directory, self._allocate = directory, allocate
        self._segment_bytes = segment_bytes // UNIT * UNIT
        self._spare = directory / "spare.log"
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = self._acquire()
        for leftover in directory.glob("*.tmp"):
            leftover.unlink()
        if self._spare.exists() and not files.is_zeroed(self._spare, segment_bytes):
            self._spare.unlink()

    @property
    def disk_bytes(self) -> int:
        """Bytes on disk, the spare segment included."""
        return sum(segment.capacity for segment in self.segments) + self._segment_bytes * self._spare.exists()

    @property
    def has_spare(self) -> bool:
        """Whether the next segment costs no older one, however full the disk is."""
        return self._spare.exists()

    def ensure_spare(self) -> bool:
        """The same, after the spare was allocated where it was missing and there is room for it."""
        if not self._spare.exists():
            try:
                self._allocate(self._spare, self._segment_bytes)
                self.disk_full = False
            except OSError as error:
                self.disk_full = error.errno in _FULL
        return self._spare.exists()

    def start_next(self, epoch: UUID, key: Key | None, give_up: Callable[[Segment], None]) -> Segment:
        """Add a new segment at the end, encrypted where there is a key; raises BufferFailedError.

        On a full disk the oldest segment's file becomes the new one's, after `give_up` was called with it.
        """
        number = self.segments[-1].number + 1 if self.segments else 0
        path = self._directory / f"segment-{number:012d}.log"
        try:
            self._take_spare(path)
        except OSError as error:
            self.disk_full = error.errno in _FULL
            if not self.disk_full or len(self.segments) < 2:
                msg = f"no room for a segment in {self._directory}: {error}"
                raise BufferFailedError(msg) from error
            oldest = self.segments[0]
            give_up(oldest)
            self.segments.remove(oldest)
            oldest.close()
            _recycle(oldest.path, path)
        segment = Segment.create(path, number, epoch, key)
        for before in self.segments[-1:]:
            before.seal()
        self.segments.append(segment)
        sync_folder(self._directory)
        return segment

    def remove(self, gone: list[Segment]) -> None:
        """Delete segments, or make one the spare when that could not be allocated."""
        for segment in gone:
            self.segments.remove(segment)
            segment.close()
            if not self._spare.exists() and segment.capacity == self._segment_bytes:
                _recycle(segment.path, self._spare)
            else:
                segment.path.unlink()
        sync_folder(self._directory)

    def close(self) -> None:
        """Close all files and give the directory up."""
        for segment in self.segments:
            segment.close()
        self._lock.close()

    def _take_spare(self, path: Path) -> None:
        if not self._spare.exists():
            self._allocate(self._spare, self._segment_bytes)
        self._spare.rename(path)
        try:
            self._allocate(self._spare, self._segment_bytes)
            self.disk_full = False
        except OSError as error:
            if error.errno not in _FULL or not self.segments:
                raise
            self.disk_full = True
            log.warning("disk full: the next segment cannot be allocated", extra={"disk_bytes": self.disk_bytes})

    def _acquire(self) -> IO[bytes]:
        try:
            return locks.take(self._directory / "lock", wait=False)
        except BlockingIOError as error:
            msg = f"another process has the buffer in {self._directory} open"
            raise BufferFailedError(msg) from error


def _recycle(old: Path, new: Path) -> None:
    """Zero the file `old` and give it the name `new`."""
    halfway = new.with_suffix(".tmp")
    old.rename(halfway)
    files.zero(halfway)
    halfway.rename(new)
