"""Archives of loaded classes: a Java process that has one starts with half of the work.

Loading, checking and linking classes is most of what a broker or a TaskManager does until it is ready, and it is the same each time. A
process for which there is no archive writes one when it ends in good order (`-XX:ArchiveClassesAtExit`); those after it map that
(`-XX:SharedArchiveFile`). One is kept for each kind of process, Java and set of jars, for all instances of a checkout. Java starts without
an archive that does not match, but dies of one that is cut short: an archive has its checksum in its name, and is looked through here.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from base.files import sync_file
from stack import java
from stack.config import TOOLS

FOLDER = TOOLS / "classes"
"""Where archives are kept, as KIND-MADE_OF-CHECKSUM.jsa."""
_NEW = ".new"
# The header is written last: a file that a killed process left begins with something else.
_MAGIC = (0xF00BABA8).to_bytes(4, "little")
_DIGITS = 16
_log = logging.getLogger(__name__)


class Options(NamedTuple):
    """Options of `java` for processes of one kind that run at once: for the one that may write the archive, and for the others."""

    first: tuple[str, ...]
    others: tuple[str, ...]


def options(kind: str, jars: Iterable[Path], writer: str) -> Options:
    """Use the archive of that kind, or write it as `writer`, a name that only this process has. An archive is read as a whole for it."""
    name = _name(kind, jars)
    _take_over(name)
    found = _usable(name)
    if found is not None:
        for other in FOLDER.glob(f"{kind}-*"):  # of other jars, or what a killed process left
            if other != found:
                other.unlink(missing_ok=True)
        used = (f"-XX:SharedArchiveFile={found}",)
        return Options(used, used)
    FOLDER.mkdir(parents=True, exist_ok=True)
    return Options((f"-XX:ArchiveClassesAtExit={FOLDER / f'{name}.{writer}{_NEW}'}",), ())


def _name(kind: str, jars: Iterable[Path]) -> str:
    files = [(jar.name, info.st_size, info.st_mtime_ns) for jar in jars for info in (jar.stat(),)]
    made_of = json.dumps([str(java.home()), (java.home() / "release").read_text(), files])
    return f"{kind}-{hashlib.sha256(made_of.encode()).hexdigest()[:_DIGITS]}"


def _take_over(name: str) -> None:
    """Give what a process has written to the end the name under which it is used."""
    for written in sorted(FOLDER.glob(f"{name}.*{_NEW}")):
        try:
            if not _is_whole(written):
                continue
            sync_file(written)
            written.replace(FOLDER / f"{name}-{_checksum(written)}.jsa")
        except FileNotFoundError:  # another instance was faster
            continue


def _usable(name: str) -> Path | None:
    for archive in sorted(FOLDER.glob(f"{name}-*.jsa")):
        if archive.stem.endswith(_checksum(archive)):
            return archive
        _log.warning("an archive of classes is damaged; it is made anew", extra={"file": str(archive)})
        archive.unlink(missing_ok=True)
    return None


def _is_whole(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(len(_MAGIC)) == _MAGIC


def _checksum(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()[:_DIGITS]
