"""What the gateway knows of commands, on disk: the reason why a command is carried out at most once.

SQLite with a WAL and `synchronous=FULL`: every method that changes something has it on disk when it returns. Who calls:
`edge.commands`, from one thread. In one transaction with the requests go their positions in Kafka, so nothing is skipped
and nothing counts twice. An ended command is remembered longer than the topic is retained, to know it when it comes again.

A gateway that finds an intention without a result after a restart does not know whether the machine was touched: UNKNOWN.
The same is true of requests older than the journal itself: an earlier journal, now lost, may have carried them out; and of a
command whose row was damaged on disk. What people and machines said is sealed in its cells (`edge.journal_cells`).

Over 350 lines: whatever changes a row stands here, for each change decides what may still be carried out.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import sqlite3
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from base.errors import SchemaError, cause_of
from base.ids import Clock
from base.sealed import DamagedError
from edge.at_rest import PLAIN, AtRest
from edge.journal_cells import Cell, Cells
from schemas import codec
from schemas.commands import (
    OUTCOMES,
    CommandControl,
    CommandRequest,
    CommandState,
    ControlAction,
    Outcomes,
    ParameterOutcome,
    readback_of,
)

log = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (created_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS commands (
    command_id TEXT PRIMARY KEY, request BLOB NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '', readback TEXT NOT NULL DEFAULT '{}', expires_us INTEGER NOT NULL,
    updated_us INTEGER NOT NULL, told INTEGER NOT NULL DEFAULT 0, outcomes TEXT NOT NULL DEFAULT '[]');
CREATE INDEX IF NOT EXISTS commands_by_told ON commands (told) WHERE told = 0;
CREATE TABLE IF NOT EXISTS cancelled (command_id TEXT PRIMARY KEY, by TEXT NOT NULL, time_us INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS positions (
    topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL, PRIMARY KEY (topic, partition));
CREATE TABLE IF NOT EXISTS sealing (note BLOB NOT NULL);
"""
_AT_ONCE = 1000
"""Rows of one transaction when all are sealed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One command as the journal has it. PENDING_APPROVAL: waits; DELIVERED: may be carried out; EXECUTING: intended."""

    request: CommandRequest
    state: CommandState
    attempt: int
    detail: str = ""
    readback: dict[str, float] = field(default_factory=dict)
    outcomes: Outcomes = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Received:
    """What came of one message: an entry to acknowledge; whether it is ready to be carried out, and the intention on disk already."""

    entry: Entry
    ready: bool = False
    intended: bool = False


Position = tuple[str, int, int]


class CommandJournal:
    """Commands and positions in one SQLite file. Methods raise sqlite3.Error when the disk refuses."""

    def __init__(self, path: Path, *, clock: Clock, at_rest: AtRest = PLAIN) -> None:
        """Open or make the journal; what is not sealed as it should be is, all of it. Raises sqlite3.Error, MissingKeyError."""
        self._clock, self._cells = clock, Cells(at_rest)
        self.damaged = 0
        """Times a row was asked for since the start that was damaged, or plain where it must not be."""
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.executescript(_SCHEMA)
        if "outcomes" not in {name for _, name, *_ in self._db.execute("PRAGMA table_info(commands)")}:
            self._db.execute("ALTER TABLE commands ADD COLUMN outcomes TEXT NOT NULL DEFAULT '[]'")  # a journal of 0.1
        if self._db.execute("SELECT count(*) FROM meta").fetchone()[0] == 0:
            self._db.execute("INSERT INTO meta VALUES (?)", (clock(),))
        self._cells.look(self._db)
        self._reseal_all()
        self.created_us: int = self._db.execute("SELECT created_us FROM meta").fetchone()[0]

    def receive(
        self,
        messages: Iterable[CommandRequest | CommandControl],
        positions: Iterable[Position],
        *,
        intend: Collection[UUID] = (),
    ) -> list[Received]:
        """Take messages of this gateway in, in order, and the positions behind them.

        Requests in `intend` are to be carried out at once: if they are new and may be, the intention goes to disk with them.
        """
        results: list[Received] = []
        with self._transaction():
            for message in messages:
                result = (
                    self._request(message, intend) if isinstance(message, CommandRequest) else self._control(message)
                )
                results += [] if result is None else [result]
            self._db.executemany(
                "INSERT INTO positions VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
                positions,
            )
        return results

    def intend(self, command_id: UUID) -> bool:
        """Record that the machine is about to be touched; False when the command must not be carried out any more."""
        return self._move(command_id, CommandState.EXECUTING, only_from=CommandState.DELIVERED)

    def finish(self, command_id: UUID, state: CommandState, detail: str, outcomes: Outcomes) -> None:
        """Record how a command ended."""
        name = str(command_id)
        said = {"detail": detail, "readback": json.dumps(readback_of(outcomes))}
        said["outcomes"] = json.dumps([dataclasses.asdict(one) for one in outcomes])
        with self._transaction():
            self._db.execute(
                "UPDATE commands SET state = ?, detail = ?, readback = ?, outcomes = ?, updated_us = ?, told = 0"
                " WHERE command_id = ?",
                (
                    state.value,
                    *(self._cells.write(text, column, name) for column, text in said.items()),
                    self._clock(),
                    name,
                ),
            )

    def end(self, command_id: UUID, state: CommandState, detail: str) -> bool:
        """End a command that was not intended yet; False when it is too late for that."""
        with self._transaction():
            done = self._db.execute(
                "UPDATE commands SET state = ?, detail = ?, updated_us = ?, told = 0 WHERE command_id = ? AND state IN (?, ?)",
                (
                    state.value,
                    self._cells.write(detail, "detail", str(command_id)),
                    self._clock(),
                    str(command_id),
                    CommandState.DELIVERED.value,
                    CommandState.PENDING_APPROVAL.value,
                ),
            )
            return done.rowcount == 1

    def find(self, command_id: UUID) -> Entry | None:
        """What is known of a command; None when nothing is, or its row is damaged."""
        row = self._row(command_id)
        return None if row is None else self._entry(row)

    def recover(self) -> list[Entry]:
        """After a restart: intentions become UNKNOWN; returns commands that may be carried out, in order of receipt."""
        detail = "the gateway was restarted while it carried the command out; nobody knows whether it was"
        with self._transaction():
            query = "SELECT command_id FROM commands WHERE state = ?"
            intended = [name for (name,) in self._db.execute(query, (CommandState.EXECUTING.value,))]
            self._db.executemany(
                "UPDATE commands SET state = ?, detail = ?, updated_us = ?, told = 0 WHERE command_id = ?",
                [
                    (CommandState.UNKNOWN.value, self._cells.write(detail, "detail", name), self._clock(), name)
                    for name in intended
                ],
            )
        return self._entries("WHERE state = ? ORDER BY rowid", CommandState.DELIVERED.value)

    def overdue(self) -> list[Entry]:
        """Commands that wait for approval, and have expired."""
        where = "WHERE state = ? AND expires_us < ?"
        return self._entries(where, CommandState.PENDING_APPROVAL.value, self._clock())

    def untold(self) -> list[Entry]:
        """Commands whose newest state Kafka is not known to have."""
        return self._entries("WHERE told = 0 ORDER BY updated_us")

    def told(self, acknowledged: Iterable[tuple[UUID, CommandState]]) -> None:
        """Kafka has the acknowledgements of these states."""
        with self._transaction():
            self._db.executemany(
                "UPDATE commands SET told = 1 WHERE command_id = ? AND (state = ? OR (state = ? AND ? = ?))",
                [
                    (
                        str(command_id),
                        state.value,
                        CommandState.PENDING_APPROVAL.value,
                        state.value,
                        CommandState.DELIVERED.value,
                    )
                    for command_id, state in acknowledged
                ],
            )

    def positions(self) -> dict[tuple[str, int], int]:
        """Next offset to read, by topic and partition."""
        rows = self._db.execute("SELECT topic, partition, next_offset FROM positions")
        return {(topic, partition): offset for topic, partition, offset in rows}

    def prune(self, before_us: int) -> int:
        """Forget ended commands that expired before then; returns how many."""
        ended = [state.value for state in OUTCOMES]
        with self._transaction():
            gone = self._db.execute(
                f"DELETE FROM commands WHERE expires_us < ? AND updated_us < ? AND state IN ({', '.join('?' * len(ended))})",
                (before_us, before_us, *ended),
            )
            self._db.execute("DELETE FROM cancelled WHERE time_us < ?", (before_us,))
            return gone.rowcount

    def reseal(self, limit: int = 200) -> None:
        """Write some of the rows anew that are sealed with an older key; nothing is done when there are none."""
        try:
            with self._transaction():
                self._cells.reseal(self._db, limit)
        except sqlite3.OperationalError as error:
            self._not_resealed(error)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    # --- inside ----------------------------------------------------------------------------------------------------------

    def _request(self, request: CommandRequest, intend: Collection[UUID]) -> Received:
        row = self._row(request.command_id)
        if row is not None:
            known = self._entry(row) or self._lost(request)
            if known.request.parameters != request.parameters or known.request.name != request.name:
                log.error("the same command id with other content", extra={"command_id": str(request.command_id)})
            attempt = max(known.attempt, request.attempt)
            self._db.execute(
                "UPDATE commands SET attempt = ?, told = 0 WHERE command_id = ?", (attempt, str(request.command_id))
            )
            return Received(entry=dataclasses.replace(known, attempt=request.attempt))
        state, detail = self._first_state(request)
        ready = state is CommandState.DELIVERED
        intended = ready and request.command_id in intend
        entry = Entry(request=request, state=state, attempt=request.attempt, detail=detail)
        self._db.execute(
            "INSERT INTO commands (command_id, request, attempt, state, detail, expires_us, updated_us)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                name := str(request.command_id),
                self._cells.write(request.encode(), "request", name),
                request.attempt,
                CommandState.EXECUTING.value if intended else state.value,
                self._cells.write(detail, "detail", name),
                request.expires_us,
                self._clock(),
            ),
        )
        return Received(entry=entry, ready=ready, intended=intended)

    def _first_state(self, request: CommandRequest) -> tuple[CommandState, str]:
        name = str(request.command_id)
        row = self._db.execute("SELECT by FROM cancelled WHERE command_id = ?", (name,)).fetchone()
        if row is not None:
            try:
                by = self._cells.text(row[0], "by", name)
            except DamagedError:
                by = "somebody whose name was damaged in the journal"
            return CommandState.CANCELLED, f"cancelled by {by} before it arrived"
        if request.submitted_us < self.created_us:
            return CommandState.UNKNOWN, "older than the gateway's journal: an earlier one may have carried it out"
        return (CommandState.PENDING_APPROVAL if request.requires_approval else CommandState.DELIVERED), ""

    def _control(self, control: CommandControl) -> Received | None:
        known = self.find(control.command_id)
        if control.action is ControlAction.CANCEL:
            return self._cancel(control, known)
        if known is None or known.state is not CommandState.PENDING_APPROVAL:
            log.warning("approval of nothing that waits", extra={"command_id": str(control.command_id)})
            return None
        if control.by == known.request.submitted_by:
            log.warning("approval by the submitter does not count", extra={"command_id": str(control.command_id)})
            return None
        return self._change(known, CommandState.DELIVERED, f"approved by {control.by}", ready=True)

    def _cancel(self, control: CommandControl, known: Entry | None) -> Received | None:
        if known is None:
            # Its request may have been lost and may be sent again.
            self._db.execute(
                "INSERT OR IGNORE INTO cancelled VALUES (?, ?, ?)",
                (name := str(control.command_id), self._cells.write(control.by, "by", name), control.time_us),
            )
            return None
        if known.state not in {CommandState.DELIVERED, CommandState.PENDING_APPROVAL}:
            log.info("too late to cancel", extra={"command_id": str(control.command_id), "state": known.state.value})
            return None
        reason = f": {control.reason}" if control.reason else ""
        return self._change(known, CommandState.CANCELLED, f"cancelled by {control.by}{reason}", ready=False)

    def _change(self, known: Entry, state: CommandState, detail: str, *, ready: bool) -> Received:
        name = str(known.request.command_id)
        self._db.execute(
            "UPDATE commands SET state = ?, detail = ?, updated_us = ?, told = 0 WHERE command_id = ?",
            (state.value, self._cells.write(detail, "detail", name), self._clock(), name),
        )
        entry = Entry(request=known.request, state=state, attempt=known.attempt, detail=detail)
        return Received(entry=entry, ready=ready)

    def _move(self, command_id: UUID, state: CommandState, *, only_from: CommandState) -> bool:
        with self._transaction():
            done = self._db.execute(
                "UPDATE commands SET state = ?, updated_us = ?, told = 0 WHERE command_id = ? AND state = ?",
                (state.value, self._clock(), str(command_id), only_from.value),
            )
            return done.rowcount == 1

    def _entries(self, where: str, *parameters: object) -> list[Entry]:
        rows = self._db.execute(f"{_SELECT} {where}", parameters).fetchall()
        return [entry for row in rows if (entry := self._entry(row)) is not None]

    def _row(self, command_id: UUID) -> _Row | None:
        row: _Row | None = self._db.execute(f"{_SELECT} WHERE command_id = ?", (str(command_id),)).fetchone()
        return row

    def _entry(self, row: _Row) -> Entry | None:
        """What a row says. A damaged one says nothing: it is ended as UNKNOWN, and nobody can be told before its request comes again."""
        name, request, state, attempt, *said = row
        try:
            detail, readback, outcomes = (
                self._cells.text(cell, column, name) for column, cell in zip(_SAID, said, strict=True)
            )
            return Entry(
                request=CommandRequest.from_record(
                    codec.decode(self._cells.read(request, "request", name), "CommandRequest")[1]
                ),
                state=CommandState(state),
                attempt=attempt,
                detail=detail,
                readback=json.loads(readback),
                outcomes=tuple(map(ParameterOutcome.from_record, json.loads(outcomes))),
            )
        except (DamagedError, SchemaError, ValueError, KeyError, TypeError) as error:
            self.damaged += 1
            log.error("a command in the journal is damaged", extra={"command_id": name, "cause": cause_of(error)})
            with self._transaction():
                self._db.execute(
                    "UPDATE commands SET state = ?, updated_us = ?, told = 1 WHERE command_id = ?",
                    (CommandState.UNKNOWN.value, self._clock(), name),
                )
            return None

    def _lost(self, request: CommandRequest) -> Entry:
        """A damaged row gets its request again, and an outcome."""
        name = str(request.command_id)
        detail = "the gateway's record of the command was damaged; nobody knows whether it was carried out"
        self._db.execute(
            "UPDATE commands SET request = ?, detail = ?, readback = '{}', outcomes = '[]' WHERE command_id = ?",
            (self._cells.write(request.encode(), "request", name), self._cells.write(detail, "detail", name), name),
        )
        return Entry(request=request, state=CommandState.UNKNOWN, attempt=request.attempt, detail=detail)

    def _reseal_all(self) -> None:
        was_plain, more = 0, True
        try:
            while more:
                with self._transaction():
                    plain, more = self._cells.reseal(self._db, _AT_ONCE)
                was_plain += plain
            if was_plain:
                # Nothing of it is left in pages that are free, or in the log of what was written.
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.OperationalError as error:
            self._not_resealed(error)
            return
        if was_plain:
            log.info("the command journal was plain and is encrypted", extra={"rows": was_plain})

    def _not_resealed(self, error: sqlite3.OperationalError) -> None:
        """A full disk, say: what is there can be read as it is, and it is tried again at the next turn."""
        self._cells.look(self._db)
        log.warning(
            "the command journal is not encrypted anew yet; it is tried again", extra={"cause": cause_of(error)}
        )

    @contextmanager
    def together(self) -> Iterator[None]:
        """One transaction, and one write to disk, for all that is done inside. A method that raises undoes its own changes alone."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if not self._db.in_transaction:
            with self.together():
                yield
            return
        self._db.execute("SAVEPOINT one")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK TO one")
            self._db.execute("RELEASE one")
            raise
        self._db.execute("RELEASE one")


_SAID = ("detail", "readback", "outcomes")
_SELECT = "SELECT command_id, request, state, attempt, detail, readback, outcomes FROM commands"
_Row = tuple[str, Cell, str, int, Cell, Cell, Cell]
