"""What the journal's cells say, and how they stand in its file: sealed, or plain where encryption is switched off.

Who calls: `edge.command_journal`, from its thread. Sealed is what people wrote, what machines answered and who it was. Plain
stay the columns that the journal searches by: command ids, states, times, positions in Kafka. Each cell is bound to its
column and command.
"""

from __future__ import annotations

import sqlite3

from base import sealed
from base.sealed import DamagedError, Opener, Sealer
from edge.at_rest import CELLS, AtRest

_PURPOSE = b"millrace command journal"
_NOTHING = frozenset({"", "{}", "[]"})
"""Texts that say nothing, as rows begin with them."""

Cell = bytes | str


class Cells:
    """Cells of one journal. Not thread-safe."""

    def __init__(self, at_rest: AtRest) -> None:
        self._at_rest = at_rest
        self._opener = Opener(at_rest.key, _PURPOSE)
        self._sealer: Sealer | None = None
        # Nothing is known of rows that an earlier process wrote.
        self._all_with: str | None = "unknown"
        self._resealed = 0

    def write(self, value: Cell, column: str, command_id: str) -> Cell:
        """A value as it stands in the file from now on."""
        key = self._at_rest.newest()
        if key is None or value in _NOTHING:
            return value
        if self._sealer is None or self._sealer.key.id != key.id:
            self._sealer = Sealer(key, _PURPOSE)
        plain = value.encode() if isinstance(value, str) else value
        return self._sealer.seal(plain, _about(column, command_id))

    def text(self, cell: Cell, column: str, command_id: str) -> str:
        """What a cell says; raises DamagedError, MissingKeyError."""
        return self.read(cell, column, command_id).decode()

    def read(self, cell: Cell, column: str, command_id: str) -> bytes:
        """What a cell says, as bytes; raises DamagedError, MissingKeyError."""
        if isinstance(cell, str):
            return cell.encode()
        if cell.startswith(sealed.MARK):
            return self._opener.open(cell, _about(column, command_id))
        if column != "request":  # a plain one is text
            msg = f"{column} of command {command_id} is neither text nor sealed: it was damaged"
            raise DamagedError(msg)
        return cell

    def again(self) -> None:
        """What `reseal` wrote was undone: it begins anew."""
        self._all_with, self._resealed = "unknown", 0

    def reseal(self, db: sqlite3.Connection, limit: int) -> tuple[int, bool]:
        """Write some rows anew that are not as `write` would write them: how many had been plain, and whether there may be more.

        After an upgrade that is all of them, after a change of the key those of the key before. Call it in a transaction.
        """
        key = self._at_rest.newest()
        wanted = key.id if key is not None else None
        if self._all_with == wanted:
            return 0, False
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
        self._all_with, self._resealed = wanted, 0
        return plain, False

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
