"""The journal: what was emitted and what was done to the machines, in SQLite, so that tests can account for every sample.

Enters: calls from the event loop, which only append to lists. Leaves: rows, written by a thread in one transaction every `interval_s`.
Order: rows appear in the order of the calls. Delivery: `flush` returns when everything called before it is committed; a killed process
loses at most the last interval. What was done to a machine is different: it is committed before `actuated` returns, so it is in the journal
before anybody is told. `seq` counts emitted samples over restarts, without holes.

When the file would grow beyond `keep` samples the oldest are deleted and counted in `tags.trimmed`.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from base.errors import MillraceError
from simulator.fault_effects import Fault
from simulator.journal_schema import SCHEMA, Flag, value_bits
from simulator.plant import Device, Tag
from simulator.simulation import Sample

logger = logging.getLogger(__name__)

_INSERT_SAMPLE = "INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_ACTUATED = "INSERT INTO actuated (time_us, device, tag, value, via) VALUES (?, ?, ?, ?, ?)"
_INSERT_NOT_ACTUATED = "INSERT INTO not_actuated (time_us, device, tag, value, via, reason) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_FAULT = "INSERT INTO faults (fault_id, time_us, action, device, tag, kind, detail) VALUES (?, ?, ?, ?, ?, ?, ?)"
_SET_META = "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
_SET_MACHINE = "INSERT INTO machines VALUES (?, ?) ON CONFLICT (device) DO UPDATE SET snapshot = excluded.snapshot"
_MARK_SENT = f"UPDATE samples SET flags = flags | {Flag.SENT:d} WHERE seq = ?"
_TRIM_COUNT = (
    "UPDATE tags SET trimmed = trimmed + c.n FROM"
    " (SELECT tag_no, count(*) AS n FROM samples WHERE seq <= ? GROUP BY tag_no) AS c WHERE c.tag_no = tags.tag_no"
)
_TRIM = "DELETE FROM samples WHERE seq <= ?"
_BUSY_S = 60.0
"""How long a write waits for a transaction of samples, the deletion of a million of them at worst."""

Row = tuple[Any, ...]


class JournalError(MillraceError):
    """The journal cannot be written, so what was emitted can no longer be accounted for."""


class Journal:
    """Writer. Open it with the plant's devices; all methods but `actuated`, `flush` and `close` return at once."""

    def __init__(
        self, path: Path, devices: Iterable[Device], *, keep: int = 10_000_000, interval_s: float = 0.2
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._keep = keep
        self._interval_s = interval_s
        self._lock = threading.Lock()
        self._samples: list[Row] = []
        # Statements beside the samples, run behind them in order.
        self._others: list[tuple[str, Row]] = []
        self._failure: sqlite3.Error | None = None
        self._closing = threading.Event()
        self._wanted = threading.Event()
        self._written = threading.Condition(self._lock)
        self._calls = self._done = 0
        try:
            self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            self._db.executescript(f"PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; {SCHEMA}")
            self._direct = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=_BUSY_S)
            self._direct.execute("PRAGMA synchronous = NORMAL")
            self._tag_no = self._register(devices)
            self.seq = int(self._db.execute("SELECT coalesce(max(seq), 0) FROM samples").fetchone()[0])
            self._first_seq = int(self._db.execute("SELECT coalesce(min(seq), 1) FROM samples").fetchone()[0])
        except sqlite3.Error as error:
            msg = f"journal {path} cannot be opened: {error}"
            raise JournalError(msg) from error
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def record(self, sample: Sample, *, sent: bool) -> int:
        """A sample was emitted; returns its sequence number."""
        real, bits, flags = value_bits(sample.value)
        if sent:
            flags |= Flag.SENT
        with self._lock:
            self.seq += 1
            seq = self.seq
            no = self._tag_no[sample.tag.index]
            self._samples.append(
                (seq, no, sample.time_us, real, bits, sample.quality, int(flags), sample.fault or None)
            )
            self._calls += 1
        return seq

    def mark_sent(self, seq: int) -> None:
        """A sample that nobody could see when it was emitted has been shown since: by a birth, or to a new subscription."""
        self._other(_MARK_SENT, (seq,))

    def actuated(self, time_us: int, tag: Tag, value: float, via: str) -> None:
        """A write was carried out; in the file when this returns, after 0.1 ms or a transaction of samples. Raises JournalError."""
        try:
            self._direct.execute(_INSERT_ACTUATED, (time_us, tag.device, tag.name, float(value), via))
        except sqlite3.Error as error:
            self._failure = error
            self.check()

    def not_actuated(self, time_us: int, tag: Tag, value: float | None, via: str, reason: str) -> None:
        """A write was refused or, by a fault, ignored."""
        self._other(_INSERT_NOT_ACTUATED, (time_us, tag.device, tag.name, value, via, reason))

    def fault(self, fault: Fault, action: str, time_us: int) -> None:
        """A fault was put on (`added`), taken off (`removed`) or is over (`expired`)."""
        described = json.dumps(fault.describe(time_us))
        tag = fault.tag.name if fault.tag else ""
        self._other(_INSERT_FAULT, (fault.id, time_us, action, fault.device.key, tag, fault.kind.value, described))

    def set_meta(self, key: str, value: str) -> None:
        """Remember something over restarts."""
        self._other(_SET_META, (key, value))

    def meta(self, key: str) -> str | None:
        """What was remembered before this journal was opened or flushed."""
        with self._lock:
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_machines(self, snapshots: Mapping[str, Mapping[str, Any]]) -> None:
        """Remember the machines' state over restarts."""
        for device, snapshot in snapshots.items():
            self._other(_SET_MACHINE, (device, json.dumps(snapshot)))

    def machines(self) -> dict[str, dict[str, Any]]:
        """The machines' state as last remembered."""
        with self._lock:
            rows = self._db.execute("SELECT device, snapshot FROM machines").fetchall()
        return {device: json.loads(snapshot) for device, snapshot in rows}

    @property
    def pending(self) -> int:
        """Calls not yet committed."""
        return self._calls - self._done

    def check(self) -> None:
        """Raise JournalError when writing has failed."""
        if self._failure is not None:
            msg = f"journal cannot be written: {self._failure}"
            raise JournalError(msg) from self._failure

    def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until everything called so far is committed; raises JournalError."""
        with self._lock:
            calls = self._calls
            self._wanted.set()
            in_time = self._written.wait_for(lambda: self._done >= calls or self._failure is not None, timeout_s)
        self.check()
        if not in_time:
            msg = f"journal did not commit within {timeout_s} s"
            raise JournalError(msg)

    def close(self) -> None:
        """Commit the rest and close; raises JournalError when that failed."""
        self._closing.set()
        self._wanted.set()
        self._thread.join()
        self._direct.close()
        self._db.close()
        self.check()

    def _other(self, statement: str, row: Row) -> None:
        with self._lock:
            self._others.append((statement, row))
            self._calls += 1

    def _run(self) -> None:
        while True:
            self._wanted.wait(self._interval_s)
            self._wanted.clear()
            closing = self._closing.is_set()
            try:
                self._write()
            except sqlite3.Error as error:
                logger.exception("journal cannot be written")
                with self._lock:
                    self._failure = error
                    self._written.notify_all()
                return
            if closing:
                return

    def _write(self) -> None:
        with self._lock:
            samples, self._samples = self._samples, []
            others, self._others = self._others, []
            calls = self._calls
        if samples or others:
            self._db.execute("BEGIN")
            self._db.executemany(_INSERT_SAMPLE, samples)
            for statement, row in others:
                self._db.execute(statement, row)
            if samples:
                self._trim(samples[-1][0])
            self._db.execute("COMMIT")
        with self._lock:
            self._done = calls
            self._written.notify_all()

    def _trim(self, last_seq: int) -> None:
        # A tenth at a time: one large deletion every few minutes is cheaper than a small one in every transaction.
        if last_seq - self._first_seq + 1 <= self._keep * 1.1:
            return
        last_trimmed = last_seq - self._keep
        self._db.execute(_TRIM_COUNT, (last_trimmed,))
        self._db.execute(_TRIM, (last_trimmed,))
        self._first_seq = last_trimmed + 1

    def _register(self, devices: Iterable[Device]) -> dict[int, int]:
        tags = [tag for device in devices for tag in device.tags]
        self._db.executemany(
            "INSERT INTO tags (device, tag_path) VALUES (?, ?) ON CONFLICT (tag_path) DO NOTHING",
            [(tag.device, tag.path) for tag in tags],
        )
        known = dict(self._db.execute("SELECT tag_path, tag_no FROM tags"))
        return {tag.index: known[tag.path] for tag in tags}
