"""Files of segments before and after their use: made with their blocks reserved, overwritten with zeros."""

from __future__ import annotations

import os
from pathlib import Path


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
