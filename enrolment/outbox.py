"""Events for the audit log that wait for the broker: a file of lines in the authority's folder.

An event is on disk before what it tells of has an effect for anybody else, and is taken out when the topic has it. A kill between the two
sends it twice, with the same `event_id`. A line that a loss of power cut is of an event that had no effect yet: the next one takes its
place. A line that cannot be read for another reason is put aside, and an event says so: it holds nothing else up. Refusals may come as
often as somebody asks, so the first of a kind is an event, and those that follow within `WINDOW_S` are counted in one.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from authority.book import Book
from base import files
from base.errors import SchemaError
from schemas.audit import AuditEvent, Outcome

log = logging.getLogger(__name__)

WINDOW_S = 10.0
MOST_LINES = 10_000
"""While the broker is away longer than this lasts, refusals are counted in memory and written afterwards."""
_AT_ONCE = 500

Send = Callable[[Sequence[AuditEvent]], None]


class Outbox:
    """The file of one authority. Who only writes calls `put`; one process forwards."""

    def __init__(self, authority: Book) -> None:
        self._authority = authority

    @property
    def file(self) -> Path:
        """Where it is."""
        return self._authority.folder / "enrolment-events"

    @property
    def aside_file(self) -> Path:
        """Lines that could not be read."""
        return self._authority.folder / "enrolment-events.unreadable"

    def put(self, event: AuditEvent) -> None:
        """Durable when it returns."""
        with self._authority.held():
            self._cut()
            _append(self.file, event.encode().hex().encode() + b"\n")

    def waiting(self) -> int:
        """How many wait."""
        return len(self._lines())

    def forward(self, send: Send) -> int:
        """Send what waits, the oldest first; how many. Raises what `send` raises."""
        sent = 0
        while lines := self._lines()[:_AT_ONCE]:
            read = [_read(line) for line in lines]
            unreadable = [line for line, event in zip(lines, read, strict=True) if event is None]
            events = [event for event in read if event is not None]
            send([*events, _lost(len(unreadable))] if unreadable else events)
            with self._authority.held():
                if unreadable:
                    _append(self.aside_file, b"".join(line + b"\n" for line in unreadable))
                    extra = {"lines": len(unreadable), "aside": str(self.aside_file)}
                    log.error("events for the audit log cannot be read and are put aside", extra=extra)
                left = self._lines()[len(lines) :]
                files.replace_durably(self.file, b"".join(line + b"\n" for line in left), mode=files.OWNERS)
            sent += len(lines)
        return sent

    def _cut(self) -> None:
        """Take away what has no end; called under the lock."""
        if not self.file.exists() or not (length := self.file.stat().st_size):
            return
        with self.file.open("rb+") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() == b"\n":
                return
            file.seek(0)
            whole = file.read().rfind(b"\n") + 1
            log.warning("an event that a loss of power cut is taken out", extra={"bytes": length - whole})
            file.truncate(whole)

    def _lines(self) -> list[bytes]:
        try:
            text = self.file.read_bytes()
        except FileNotFoundError:
            return []
        # A line that a loss of power cut has no end; the event it was of had no effect yet.
        return text.split(b"\n")[:-1]


def _append(path: Path, data: bytes) -> None:
    """Durable when it returns."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, files.OWNERS)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _read(line: bytes) -> AuditEvent | None:
    try:
        return AuditEvent.decode(bytes.fromhex(line.decode("ascii")))
    except (ValueError, SchemaError):
        return None


def _lost(count: int) -> AuditEvent:
    detail = (
        f"{count} waiting events cannot be read; they lie beside the authority's list, in enrolment-events.unreadable"
    )
    return AuditEvent(
        service="enrolment", action="audit:lost", outcome=Outcome.ERROR, subject="", detail=detail, count=count
    )


@dataclass(slots=True)
class _Counted:
    since_s: float
    newest: AuditEvent | None = None
    count: int = 0


class Refusals:
    """Puts the first refusal of a kind out at once, and the next ones counted. Its outbox is its own; any thread may call."""

    def __init__(self, outbox: Outbox, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._outbox, self._clock_s = outbox, clock_s
        self._kinds: dict[str, _Counted] = {}
        self._lock = threading.Lock()

    def note(self, kind: str, event: AuditEvent) -> None:
        """One refusal. `kind` is one of few, never what a caller says."""
        with self._lock:
            counted = self._kinds.get(kind)
            if counted is None and self._outbox.waiting() < MOST_LINES:
                self._kinds[kind] = _Counted(self._clock_s())
                self._outbox.put(event)
                return
            counted = self._kinds.setdefault(kind, _Counted(self._clock_s()))
            counted.newest, counted.count = event, counted.count + 1

    def flush(self) -> None:
        """Put out what was counted and whose window is over."""
        with self._lock:
            for kind, counted in list(self._kinds.items()):
                if self._clock_s() - counted.since_s < WINDOW_S:
                    continue
                if counted.newest is None:
                    del self._kinds[kind]
                elif self._outbox.waiting() < MOST_LINES:
                    self._outbox.put(replace(counted.newest, count=counted.count))
                    self._kinds[kind] = _Counted(self._clock_s())
