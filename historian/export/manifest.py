"""What an export was asked for and which days are done: `_manifest.json` in its folder.

Enters: a request. Leaves: the request to go on with, and the days that are complete. Readers of folders of data leave out names that begin
with `_`. A day is in the manifest when its file is complete on disk; what a killed run began is begun again.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base import files, locks
from base.errors import ConflictError, PreconditionError

NAME = "_manifest.json"
_LOCK = "_lock"
_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Day:
    """A day that is done. `file` is relative to the folder, empty without rows."""

    file: str
    rows: int
    bytes: int


@dataclass(kw_only=True, slots=True)
class Manifest:
    """`asked`: the arguments as given. `begin` and `end`: what they meant when the export began, ISO 8601."""

    asked: Mapping[str, Any]
    scope: str
    begin: str
    end: str
    days: dict[str, Day] = field(default_factory=dict)
    complete: bool = False

    @property
    def rows(self) -> int:
        """Of all days that are done."""
        return sum(day.rows for day in self.days.values())

    @property
    def bytes(self) -> int:
        """The same."""
        return sum(day.bytes for day in self.days.values())


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """The folder, for one export at a time; raises ConflictError."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = locks.take(folder / _LOCK, wait=False)
    except BlockingIOError:
        msg = f"another export writes to {folder} now"
        raise ConflictError(msg) from None
    with lock:
        yield


def read(folder: Path, asked: Mapping[str, Any]) -> Manifest | None:
    """The manifest of an earlier run of the same request; None in an empty folder.

    Raises PreconditionError for a folder that holds something else: nothing is ever written over.
    """
    path = folder / NAME
    if not path.exists():
        if other := sorted(entry.name for entry in folder.iterdir() if entry.name != _LOCK):
            msg = f"{folder} is not empty ({other[0]}) and holds no export: give another folder with --out"
            raise PreconditionError(msg)
        return None
    content = json.loads(path.read_text())
    if content.pop("millrace_export", None) != _VERSION:
        msg = f"{path} is of another version: give another folder with --out"
        raise PreconditionError(msg)
    found = Manifest(**content | {"days": {name: Day(**day) for name, day in content["days"].items()}})
    if different := [name for name in asked if found.asked.get(name) != asked[name]]:
        name = different[0]
        msg = f"{folder} holds another export ({name}: {found.asked.get(name)}, not {asked[name]}): give another folder with --out"
        raise PreconditionError(msg)
    for name, day in found.days.items():
        if day.file and not (folder / day.file).exists():
            msg = (
                f"{folder / day.file} of the export's day {name} is gone: put it back, or begin again in another folder"
            )
            raise PreconditionError(msg)
    return found


def write(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest as a whole."""
    content = {"millrace_export": _VERSION, **dataclasses.asdict(manifest)}
    files.replace_durably(folder / NAME, json.dumps(content, indent=1) + "\n")
