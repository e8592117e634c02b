"""Locks between processes: the kernel's, on a file, so that one whose holder was killed is free at once."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import IO

from base.files import PLAIN


def take(path: Path, *, wait: bool = True, mode: int = PLAIN, inheritable: bool = False) -> IO[bytes]:
    """Hold the lock of a file, made with this mode where it is missing, until what is returned is closed or the process ends.

    Without `wait` it raises BlockingIOError when somebody else holds it. `inheritable`: programs that this process starts hold it too. The
    file's content means nothing, and it stays: deleting it would let two in.
    """
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode), "r+b", buffering=0)
    try:
        os.set_inheritable(file.fileno(), inheritable)
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BaseException:
        file.close()
        raise
    return file


def hold(path: Path) -> IO[bytes]:
    """Hold the lock of a file that is there, perhaps to be read only, as `take` does without waiting. Raises BlockingIOError, OSError."""
    file = path.open("rb", buffering=0)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BaseException:
        file.close()
        raise
    return file
