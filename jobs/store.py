"""The historian's database as its writer sees it: `historian.store` behind `jobs.writer.Store`.

`WriterFactory` travels with the job's operators, so it holds values only; the connection is opened on the worker, by the writer's thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from base.errors import ConfigError
from historian.store import HistorianStore, StoreUnavailable
from jobs.batching import BatchConfig, Message
from jobs.writer import Poisoned, Store, Writer, Written

_COUNTS = ("frames", "duplicate_frames", "stored", "rejected", "suppressed", "windows", "windows_contested")


class TimescaleStore:
    """See the module."""

    def __init__(self, dsn: str) -> None:
        self._store = HistorianStore(dsn)

    def write(self, messages: Sequence[Message]) -> Written:
        """One transaction; raises StoreUnavailable."""
        result = self._store.write(messages)
        counts = {name: getattr(result, name) for name in _COUNTS} | {"write_ms": round(result.seconds * 1000)}
        poisoned = [
            Poisoned(
                Message(p.message.topic, p.message.partition, p.message.offset, p.message.key, p.message.value),
                p.reason,
                p.detail,
            )
            for p in result.poisoned
        ]
        return Written(poisoned=poisoned, counts=counts)

    def close(self) -> None:
        """Give the connection back."""
        self._store.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class WriterFactory:
    """Makes the writer of one subtask."""

    dsn: str
    config: BatchConfig

    def __post_init__(self) -> None:
        if not self.dsn:
            msg = "postgres.dsn is missing: the historian writes a database"
            raise ConfigError(msg)

    def __call__(self) -> Writer:
        """A writer with a thread of its own; nothing is connected yet."""
        return Writer(self._open, (StoreUnavailable,), self.config)

    def _open(self) -> Store:
        return TimescaleStore(self.dsn)
