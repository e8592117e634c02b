"""Files that change as a whole: who reads one finds the old content or the new, whenever its writer is killed.

What is half written has the file's name with a dot before and `.new` behind it; the next writing begins it anew.
"""

from __future__ import annotations

import os
from pathlib import Path

Stamp = tuple[int, int, int]
PLAIN, OWNERS = 0o666, 0o600
"""Modes of new files: what the process's umask leaves, and for their owner alone."""


def replace(path: Path, data: str | bytes, *, mode: int = PLAIN) -> None:
    """Give a file this content, text as UTF-8. Its folder is there."""
    _write(path, data, mode=mode, durable=False)


def replace_durably(path: Path, data: str | bytes, *, mode: int = PLAIN) -> None:
    """The same; it outlasts a loss of power when this returns."""
    _write(path, data, mode=mode, durable=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """What was made, renamed or deleted in a folder is on disk when this returns."""
    _sync(folder, os.O_RDONLY | os.O_DIRECTORY)


def sync_file(file: Path) -> None:
    """What somebody else has written to a file is on disk when this returns."""
    _sync(file, os.O_RDONLY)


def stamp(file: Path) -> Stamp:
    """What is another when a file was written or another took its place: its time, its inode, its size. Raises OSError."""
    found = file.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: str | bytes, *, mode: int, durable: bool) -> None:
    scratch = path.with_name(f".{path.name}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data.encode() if isinstance(data, str) else data)
        if durable:
            file.flush()
            os.fsync(file.fileno())
    scratch.replace(path)
