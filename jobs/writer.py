"""Writes the historian's batches on a thread, one after the other, until each is in the database.

Enters: a batch of messages. Leaves: the messages the database refused for good, when all others are committed. Who
calls it: the historian's operator, from one thread. While the thread waits for PostgreSQL the operator goes on
buffering: decoding, COPY and commit of one batch overlap with reading the next.

An unavailable database is tried again until it is back or the writer is closed. A batch that fails in any other way
is split until the message that is to blame is alone; that one is given back, the rest is written. The store's
transactions are idempotent, so a batch whose commit was not confirmed may simply be written again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from jobs.batching import BatchConfig, Message, retry_delay_s

log = logging.getLogger(__name__)


class Poisoned(NamedTuple):
    """A message that cannot be stored, and why."""

    message: Message
    reason: str
    detail: str


@dataclass(kw_only=True, slots=True)
class Written:
    """What became of a batch: what was left out for good, and counts by name (`stored`, `rejected`, `write_ms`, ...)."""

    poisoned: list[Poisoned] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, other: Written) -> None:
        """Count another part of the same batch in."""
        self.poisoned += other.poisoned
        for name, count in other.counts.items():
            self.counts[name] = self.counts.get(name, 0) + count


class Store(Protocol):
    """What the writer needs of the database. Raises `Unavailable` (the type given to the writer) when it is worth trying again."""

    def write(self, messages: Sequence[Message]) -> Written:
        """One transaction."""

    def close(self) -> None:
        """Give the connection back."""


class Writer:
    """One batch at a time. `unavailable` are the exceptions that mean: try again."""

    def __init__(
        self, open_store: Callable[[], Store], unavailable: tuple[type[Exception], ...], config: BatchConfig
    ) -> None:
        self._open_store, self._unavailable, self._config = open_store, unavailable, config
        self._closing = threading.Event()
        self._wake = threading.Condition()
        self._batch: list[Message] | None = None
        self._outcome: Written | None = None
        self._store: Store | None = None
        self._fatal: BaseException | None = None
        self.retries = 0
        self.outage = False
        self._thread = threading.Thread(target=self._run, name="historian-writer", daemon=True)
        self._thread.start()

    def start(self, batch: list[Message]) -> None:
        """Begin to write; the one before must have been collected."""
        with self._wake:
            assert self._batch is None, "a batch is in flight"
            self._batch = batch
            self._wake.notify_all()

    def collect(self, wait_s: float = 0.0) -> Written | None:
        """What became of the batch in flight; None when it is not written yet, after waiting up to `wait_s`."""
        with self._wake:
            if wait_s and self._outcome is None:
                self._wake.wait_for(lambda: self._outcome is not None or self._fatal is not None, wait_s)
            if self._fatal is not None:
                msg = "the historian's writer thread ended"
                raise RuntimeError(msg) from self._fatal
            outcome, self._outcome = self._outcome, None
            if outcome is not None:
                self._batch = None
            return outcome

    def close(self, wait_s: float = 5.0) -> None:
        """Stop after the transaction under way, or at once when the database is away; what is unwritten stays in the operator's state."""
        self._closing.set()
        with self._wake:
            self._wake.notify_all()
        self._thread.join(wait_s)

    def _run(self) -> None:
        try:
            while (batch := self._next()) is not None:
                written = self._write(batch)
                if written is None:
                    break
                with self._wake:
                    self._outcome = written
                    self._wake.notify_all()
            if self._store is not None:
                self._store.close()
        except BaseException as error:  # the operator's thread must hear of it: `collect` raises, the job restarts
            with self._wake:
                self._fatal = error
                self._wake.notify_all()

    def _next(self) -> list[Message] | None:
        with self._wake:
            self._wake.wait_for(lambda: self._closing.is_set() or (self._batch is not None and self._outcome is None))
            return None if self._closing.is_set() else self._batch

    def _write(self, batch: Sequence[Message]) -> Written | None:
        """None when the writer is closed before it succeeds."""
        attempt = 0
        while not self._closing.is_set():
            try:
                if self._store is None:
                    self._store = self._open_store()
                written = self._store.write(batch)
            except self._unavailable as error:
                attempt += 1
                self._unreachable(error, attempt, len(batch))
            except Exception as error:
                return self._isolate(batch, error)
            else:
                if self.outage:
                    log.info("database is back", extra={"attempts": attempt})
                self.outage = False
                return written
        return None

    def _unreachable(self, error: Exception, attempt: int, messages: int) -> None:
        delay_s = retry_delay_s(self._config, attempt)
        self.retries += 1
        if not self.outage or attempt % 20 == 0:
            log.warning(
                "database unavailable", extra={"error": str(error), "attempt": attempt, "held_messages": messages}
            )
        self.outage = True
        self._closing.wait(delay_s)

    def _isolate(self, batch: Sequence[Message], error: Exception) -> Written | None:
        if len(batch) == 1:
            log.error(
                "message cannot be stored", exc_info=error, extra={"topic": batch[0].topic, "offset": batch[0].offset}
            )
            return Written(poisoned=[Poisoned(batch[0], "PROCESSING_FAILED", f"{type(error).__name__}: {error}")])
        middle = len(batch) // 2
        first = self._write(batch[:middle])
        second = None if first is None else self._write(batch[middle:])
        if first is None or second is None:
            return None
        first.add(second)
        return first
