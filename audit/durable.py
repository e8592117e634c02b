"""Files that are on disk when a call returns: what the log promised has to outlast the power."""

from __future__ import annotations

import os
from pathlib import Path


def write_durable(target: Path, data: bytes) -> None:
    """Replace a file as a whole; it is on disk when this returns."""
    scratch = target.with_name(f".{target.name}.new")
    with scratch.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(target)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """What was made, renamed or deleted in a folder is on disk when this returns."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
