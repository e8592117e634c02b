"""Files in folders that belong to PostgreSQL's user, written by whoever starts it: by root, on most machines.

Root writes where somebody else may put links: it follows none, and gives away only what it has made itself.
"""

from __future__ import annotations

import os
import pwd
import tempfile
from pathlib import Path

from stack.errors import StepError


def give_folder(folder: Path, user: str | None) -> None:
    """Make a folder that only the server's user may enter."""
    folder.mkdir(mode=0o700, exist_ok=True)
    if user:
        # A link in its place is no folder of ours: what it points at keeps its owner.
        os.chown(folder, *_ids(user), follow_symlinks=False)


def write(path: Path, data: bytes, user: str | None) -> bool:
    """Give a file this content, and to that user alone, as a whole; whether it had another."""
    if read(path) == data:
        return False
    descriptor, scratch = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if user:
                os.fchown(file.fileno(), *_ids(user))
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return True


def read(path: Path) -> bytes | None:
    """What is in such a file; None when there is none. Raises StepError for a link."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            msg = f"{path} is a link, which is not followed: put the file itself in its place"
            raise StepError(msg) from error
        raise


def _ids(user: str) -> tuple[int, int]:
    found = pwd.getpwnam(user)
    return found.pw_uid, found.pw_gid
