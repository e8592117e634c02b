"""What the journal's cells say, and how they stand in its file: sealed, or plain where encryption is switched off.

Who calls: `edge.command_journal`, from its thread. Sealed is what people wrote, what machines answered and who it was. Plain
stay the columns that the journal searches by: command ids, states, times, positions in Kafka. Each cell is bound to its
column and command.

A plain cell counts where the journal was plain before, until all of it is sealed; then it is damage, because somebody who has no
key put it there. Which of the two it is says a note in the journal, sealed too.
"""

from __future__ import annotations

import logging
import sqlite3

from base import sealed
from base.key_ring import Key, MissingKeyError
from base.sealed import DamagedError, Opener, Sealer
from edge.at_rest import CELLS, SEALING, AtRest

log = logging.getLogger(__name__)

_PURPOSE = b"millrace command journal"
_COUNTS, _REFUSED = b"plain cells count", b"plain cells are refused"
_NOTE = b"note of the journal"
_NOTHING = frozenset({"", "{}", "[]"})
"""Texts that say nothing, as rows begin with them."""

Cell = bytes | str


class Cells:
    """Cells of one journal. Not thread-safe."""

    def __init__(self, at_rest: AtRest) -> None:
        self._at_rest = at_rest
        self._opener = Opener(at_rest.key, _PURPOSE)
        self._sealer: Sealer | None = None
        self._note: tuple[str, bytes] | None = None
        """Id of the key and text of the note in the file; None: there is none, or none that opens."""
        self._plain_counts = True
        # Nothing is known of rows that an earlier process wrote.
        self._all_with: str | None = "unknown"
        self._resealed = 0

    def write(self, value: Cell, column: str, command_id: str) -> Cell:
        """A value as it stands in the file from now on; plain where there was no room for the note yet."""
        key = self._at_rest.newest() if self._note is not None else None
        if key is None or value in _NOTHING:
            return value
        plain = value.encode() if isinstance(value, str) else value
        return self._seal(key, plain, _about(column, command_id))

    def text(self, cell: Cell, column: str, command_id: str) -> str:
        """What a cell says; raises DamagedError, MissingKeyError."""
        return self.read(cell, column, command_id).decode()

    def read(self, cell: Cell, column: str, command_id: str) -> bytes:
        """What a cell says, as bytes; raises DamagedError, MissingKeyError."""
        if isinstance(cell, bytes) and cell.startswith(sealed.MARK):
            return self._opener.open(cell, _about(column, command_id))
        if not self._plain_counts and cell not in _NOTHING:
            msg = f"{column} of command {command_id} is not encrypted, though the journal is: refused"
            raise DamagedError(msg)
        if isinstance(cell, str):
            return cell.encode()
        if column != "request":  # a plain one is text
            msg = f"{column} of command {command_id} is neither text nor sealed: it was damaged"
            raise DamagedError(msg)
        return cell

    def look(self, db: sqlite3.Connection) -> None:
        """See whether plain cells count, before anything else is read, and when what `reseal` wrote was undone. Raises MissingKeyError."""
        self._all_with, self._resealed, self._note = "unknown", 0, None
        found = db.execute(f"SELECT note FROM {SEALING}").fetchone()
        if found is not None:
            try:
                self._note = sealed.key_id_of(found[0]) or "", self._opener.open(found[0], _NOTE)
            except MissingKeyError:
                if self._at_rest.sealing:
                    raise
                # Nothing is refused while encryption is off. What is sealed asks for its key itself.
            except DamagedError as error:
                log.error("the note of the journal's plain cells does not hold", extra={"cause": str(error)})
        if not self._at_rest.sealing:
            self._plain_counts = True
        elif self._note is not None:
            self._plain_counts = self._note[1] == _COUNTS
        else:
            # Where something is sealed the note is there, or somebody has taken it away.
            self._plain_counts = found is None and not self._any_sealed(db)

    def reseal(self, db: sqlite3.Connection, limit: int) -> tuple[int, bool]:
        """Write some rows anew that are not as `write` would write them: how many had been plain, and whether there may be more.

        After an upgrade that is all of them, after a change of the key those of the key before. Call it in a transaction.
        """
        key = self._at_rest.newest()
        wanted = key.id if key is not None else None
        if self._all_with == wanted:
            return 0, False
        if self._plain_counts:
            self._tell(db, _COUNTS)
        plain, last, seen = 0, self._resealed, 0
        for rowid, command_id, *cells in db.execute(
            f"SELECT rowid, command_id, {', '.join(CELLS['commands'])} FROM commands WHERE rowid > ? ORDER BY rowid LIMIT ?",
            (last, limit),
        ).fetchall():
            plain += self._anew(db, "commands", rowid, command_id, cells, wanted)
            self._resealed, seen = rowid, seen + 1
        if seen == limit:
            return plain, True
        for rowid, command_id, *cells in db.execute("SELECT rowid, command_id, by FROM cancelled").fetchall():
            plain += self._anew(db, "cancelled", rowid, command_id, cells, wanted)
        if key is not None:
            self._tell(db, _REFUSED)
            self._plain_counts = False
        self._all_with, self._resealed = wanted, 0
        return plain, False

    def _tell(self, db: sqlite3.Connection, text: bytes) -> None:
        """Say it in the note, under the newest key; a journal that never had one, or has no key and nothing sealed, needs none."""
        key = self._at_rest.for_notes()
        if key is None and not self._any_sealed(db):
            db.execute(f"DELETE FROM {SEALING}")
        elif (
            key is not None
            and self._note != (key.id, text)
            and (self._at_rest.sealing or self._note or self._any_sealed(db))
        ):
            db.execute(f"DELETE FROM {SEALING}")
            db.execute(f"INSERT INTO {SEALING} VALUES (?)", (self._seal(key, text, _NOTE),))
            self._note = key.id, text

    def _any_sealed(self, db: sqlite3.Connection) -> bool:
        looks = (
            f"SELECT 1 FROM {table} WHERE {' OR '.join(f'substr({one}, 1, 4) = ?1' for one in columns)} LIMIT 1"
            for table, columns in CELLS.items()
        )
        return any(db.execute(look, (sealed.MARK,)).fetchone() for look in looks)

    def _seal(self, key: Key, plain: bytes, about: bytes) -> bytes:
        if self._sealer is None or self._sealer.key.id != key.id:
            self._sealer = Sealer(key, _PURPOSE)
        return self._sealer.seal(plain, about)

    def _anew(
        self, db: sqlite3.Connection, table: str, rowid: int, command_id: str, cells: list[Cell], wanted: str | None
    ) -> int:
        was_plain = False
        for column, cell in zip(CELLS[table], cells, strict=True):
            found = sealed.key_id_of(cell) if isinstance(cell, bytes) else None
            if found == wanted or cell in _NOTHING:
                continue
            try:
                value = self.read(cell, column, command_id)
            except DamagedError:
                continue  # said, and ended, when it is needed
            was_plain |= found is None
            anew = self.write(value if column == "request" else value.decode(), column, command_id)
            db.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (anew, rowid))
        return int(was_plain)


def _about(column: str, command_id: str) -> bytes:
    return f"{column} {command_id}".encode()
