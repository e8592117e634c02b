"""What a gateway keeps on disk is encrypted: with which key, and where the keys are.

Who calls: the gateway at its start, its buffer and its journal whenever they begin something new or find something old, and
the tools. The gateway makes its file of keys at its first start, beside its state, for its owner alone; `[at_rest]` names
another place.
"""

from __future__ import annotations

import logging
import sqlite3
import stat
from collections import defaultdict
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from base import key_ring, sealed
from base.errors import ConfigError
from base.key_ring import Key, Keys, MissingKeyError
from edge import segment_header
from edge.segment_header import SEALED

log = logging.getLogger(__name__)

FILE = "at-rest.keys"
"""In the gateway's `state_dir`, where `[at_rest]` names no other place."""
BUFFER, JOURNAL = "buffer", "commands.sqlite"
"""In the gateway's `state_dir`."""
NOTE = "plain.note"
"""In the buffer's folder: see `edge.plain_note`."""
CELLS = {"commands": ("request", "detail", "readback", "outcomes"), "cancelled": ("by",)}
"""Columns of the journal that are sealed, by table; each table has `command_id`."""
SEALING = "sealing"
"""The journal's table with the note of whether plain cells count, in its column `note`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AtRestSettings:
    """Whether buffer and journal are encrypted, and where the keys are: `file:PATH`; default: a file of the gateway's own."""

    encrypt: bool = True
    keys: str = ""

    def __post_init__(self) -> None:
        if self.keys:
            key_ring.open_keys(self.keys)

    def reference(self, state_dir: Path) -> str:
        """Where the keys are."""
        return self.keys or f"file:{state_dir / FILE}"


class AtRest:
    """Keys of one gateway. Without `encrypt`, what was encrypted is still read."""

    def __init__(self, keys: Keys | None, *, encrypt: bool) -> None:
        self.keys, self.sealing = keys, encrypt

    def newest(self) -> Key | None:
        """What is written from now on is encrypted with it; None: it is plain."""
        return self.keys.newest() if self.keys is not None and self.sealing else None

    def for_notes(self) -> Key | None:
        """What says which plain data is the gateway's own is sealed with it, also while encryption is off; None where there is no key."""
        try:
            return self.keys.newest() if self.keys is not None else None
        except ConfigError:
            if self.sealing:
                raise
            return None

    def key(self, key_id: str) -> Key:
        """The key of that id; raises MissingKeyError, DamagedIdError."""
        if self.keys is None:
            msg = f"key {key_id} is not known: no reference to keys of data at rest is given"
            raise MissingKeyError(msg)
        return self.keys.key(key_id)

    def claim(self) -> None:
        """No other gateway has these keys while this one runs. Raises ConfigError."""
        if self.keys is not None and self.sealing:
            self.keys.claim()

    def release(self) -> None:
        """Others may have them."""
        if self.keys is not None:
            self.keys.release()

    def status(self) -> dict[str, Any]:
        """For people."""
        key = self.newest()
        return {
            "encrypted": self.sealing,
            "key": key and key.id,
            "made": key and key.made,
            "keys": self.keys.reference if self.keys else "",
            "problem": self.keys.problem if self.keys else "",
        }


PLAIN = AtRest(None, encrypt=False)
"""Nothing is encrypted, and nothing was."""


def prepare(settings: AtRestSettings, state_dir: Path) -> AtRest:
    """Keys of the gateway with that state, whose file is made where it is the first start. Raises ConfigError, MissingKeyError, OSError.

    A file that is missing while something is encrypted is not made anew: who has to put it back would see another one there.
    """
    reference = settings.reference(state_dir)
    keys = key_ring.open_keys(reference)
    path = key_ring.path_of(reference)
    if path is not None and not path.exists() and not settings.keys:
        try:
            # Notes say what is taken while encryption is on: without it nobody needs to read them.
            used = {key_id: names for key_id, names in uses(state_dir, notes=settings.encrypt).items() if key_id}
        except sqlite3.Error as error:
            msg = f"the journal {state_dir / JOURNAL} cannot be read: {error}"
            raise ConfigError(msg) from error
        if used:
            raise MissingKeyError(_missing(path, used))
        if settings.encrypt:
            log.info("keys of data at rest made", extra={"path": str(path), "key": key_ring.add(path).id})
    if settings.encrypt:
        keys.newest()
    if path is not None and path.exists() and (said := readable_by_others(path)):
        log.warning("keys of data at rest can be read by others", extra={"cause": said})
    return AtRest(keys, encrypt=settings.encrypt)


def readable_by_others(path: Path) -> str:
    """Why a file of keys is not for its owner alone; empty when it is."""
    mode = stat.S_IMODE(path.stat().st_mode)
    return f"{path} has mode {mode:04o}: chmod 600 {path}" if mode & 0o077 else ""


def uses(state_dir: Path, *, notes: bool = True) -> dict[str, list[str]]:
    """Names of files, by the id of the key that something in them is encrypted with; plain ones under "". Raises sqlite3.Error, OSError.

    Without `notes`, those of what was plain count for nothing.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted((state_dir / BUFFER).glob("segment-*.log")):
        found[_of_segment(path)].append(path.name)
    note = state_dir / BUFFER / NOTE
    if notes and note.exists() and (key_id := sealed.key_id_of(note.read_bytes())):
        found[key_id].append(note.name)
    journal = state_dir / JOURNAL
    if journal.exists():
        for key_id in sorted(_of_journal(journal, notes=notes)):
            found[key_id].append(JOURNAL)
    return dict(found)


def _of_segment(path: Path) -> str:
    with path.open("rb") as file:
        first = file.read(SEALED.size)
        file.seek(max(0, path.stat().st_size - SEALED.size))
        header = segment_header.parse(first) or segment_header.parse(file.read(SEALED.size))
    return header.key_id if header else ""


def _of_journal(path: Path, *, notes: bool) -> set[str]:
    with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as db:
        # Of a journal that 0.1 wrote some columns are made later, when it is opened to be written.
        there = {table: {name for _, name, *_ in db.execute(f"PRAGMA table_info({table})")} for table in CELLS}
        heads = [
            f"SELECT DISTINCT substr({column}, 1, 32) FROM {table} WHERE {column} NOT IN ('', '{{}}', '[]')"
            for table, columns in CELLS.items()
            for column in columns
            if column in there[table]
        ]
        if notes and list(db.execute(f"PRAGMA table_info({SEALING})")):
            heads.append(f"SELECT substr(note, 1, 32) FROM {SEALING} WHERE substr(note, 1, 4) = x'{sealed.MARK.hex()}'")
        cells = [cell for query in heads for (cell,) in db.execute(query)]
    return {(sealed.key_id_of(cell) if isinstance(cell, bytes) else None) or "" for cell in cells}


def _missing(path: Path, used: dict[str, list[str]]) -> str:
    named = ", ".join(f"{key_id} ({len(names)} files)" for key_id, names in used.items())
    return (
        f"{path} is missing, and without it what the gateway keeps cannot be read: key {named}. Put it back from its copy;"
        f" nothing was changed"
    )
