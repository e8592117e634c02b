"""Writes the historian's batches on a thread, one after the other, until each is in the database.

Enters: a batch of messages. Leaves: the store's `WriteResult`, with the messages that cannot be stored for good, when
all others are committed. Who calls it: the historian's operator, from one thread. While the thread waits for PostgreSQL
the operator goes on buffering: decoding, COPY and commit of one batch overlap with reading the next.

The writer decides when, the store (`historian.store`) decides what: an unavailable database is tried again until it is
back or the writer is closed; everything else is in the result. The store's transactions are idempotent, so a batch whose
commit was not confirmed is simply written again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from base.errors import ConfigError
from connectors.postgres import transport
from historian.store import HistorianStore, StoreUnavailable, WriteResult
from jobs.batching import BatchConfig, Message, retry_delay_s

log = logging.getLogger(__name__)


class Store(Protocol):
    """What the writer needs of the database."""

    def write(self, batch: Sequence[Message]) -> WriteResult:
        """Store a batch, each of its messages once. Raises StoreUnavailable when it is worth trying again."""

    def close(self) -> None:
        """Give the connection back."""


class Writer:
    """One batch at a time. `open_store` is called on the thread."""

    def __init__(self, open_store: Callable[[], Store], config: BatchConfig) -> None:
        self._open_store, self._config = open_store, config
        self._closing = threading.Event()
        self._wake = threading.Condition()
        self._batch: list[Message] | None = None
        self._outcome: WriteResult | None = None
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

    def collect(self, wait_s: float = 0.0) -> WriteResult | None:
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
        except BaseException as error:  # noqa: BLE001 - the operator's thread must hear of it: `collect` raises, the job restarts
            with self._wake:
                self._fatal = error
                self._wake.notify_all()

    def _next(self) -> list[Message] | None:
        with self._wake:
            self._wake.wait_for(lambda: self._closing.is_set() or (self._batch is not None and self._outcome is None))
            return None if self._closing.is_set() else self._batch

    def _write(self, batch: Sequence[Message]) -> WriteResult | None:
        """None when the writer is closed before it succeeds."""
        attempt = 0
        while not self._closing.is_set():
            try:
                if self._store is None:
                    self._store = self._open_store()
                written = self._store.write(batch)
            except StoreUnavailable as error:
                attempt += 1
                self._unreachable(error, attempt, len(batch))
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


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterFactory:
    """Makes the writer of one subtask. It travels with the job's operators, so it holds values only."""

    dsn: str
    config: BatchConfig

    def __post_init__(self) -> None:
        if not self.dsn:
            msg = "postgres.dsn is missing: the historian writes a database"
            raise ConfigError(msg)
        transport.check(self.dsn)  # when the job is submitted, not when it first writes

    def __call__(self) -> Writer:
        """A writer with a thread of its own; nothing is connected yet."""
        return Writer(lambda: HistorianStore(self.dsn), self.config)
