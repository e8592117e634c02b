"""The historian's store: a batch of Kafka records becomes rows in one transaction, once, whatever is sent again.

Enters: `write(batch)` with raw records of telemetry.validated, telemetry.rejected, telemetry.latest,
telemetry.aggregates, telemetry.lanes, telemetry.anomalies, anomaly.labels, device.events.<site>, command.states, alarms and
alarm.events, mixed; they are decoded here and told apart by their schema. Leaves: rows, and a `WriteResult`. Who calls: the historian
job, one store per subtask, one thread at a time; tests and benchmarks.

Delivery: at least once from the caller makes exactly once in the tables. Records may come in any order, several times,
and from two writers at once (a zombie and its successor): the ledger row of each sequence is locked, only frames it
does not have are copied, and the counts are added in the same transaction. During an outage `write` raises
StoreUnavailable; the caller keeps the batch and calls again. A record that cannot be stored is left out, named in the
result, and costs the others nothing: the batch is split until it is alone.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import psycopg
from numpy.typing import NDArray

from connectors.postgres import binary_copy
from connectors.postgres.database import StoreUnavailable, blames_data, connect, missing_partition, unavailable
from historian import aggregates, corrections, dirty, ledger, origins, positions, records, timeline
from historian.batch import Batch, Message, Poisoned, WriteResult, decode_batch
from historian.engine import EngineError, prepare
from historian.history_policy import HistoryPolicy
from historian.partitions import PartitionCache
from historian.poison import write_isolated
from historian.samples import Columns, Fate, by_tag, columns_of, dirty_ranges

__all__ = ["HistorianStore", "Message", "Poisoned", "StoreUnavailable", "WriteResult"]


class HistorianStore:
    """One connection, opened at the first write and again after an outage. Not for several threads at once."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: psycopg.Connection[Any] | None = None
        self._ledger = ledger.Ledger()
        self._policy = HistoryPolicy()
        self._partitions = PartitionCache()
        self._descending = False

    def write(self, batch: Sequence[Message]) -> WriteResult:
        """Store a batch; returns what became of it. Raises StoreUnavailable, with nothing of the batch stored that is not so marked."""
        started = time.perf_counter()
        result = WriteResult()
        decoded = decode_batch(batch)
        result.poisoned += decoded.poisoned
        result.add(write_isolated(decoded, self._attempt))
        result.seconds = time.perf_counter() - started
        return result

    def close(self) -> None:
        """Give the connection back; the next write opens another."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _attempt(self, batch: Batch) -> WriteResult:
        """One transaction; a second one when a partition had gone. Raises StoreUnavailable for what may pass, else the error."""
        try:
            try:
                return self._transaction(batch)
            except psycopg.Error as error:
                if not missing_partition(error):
                    raise
                self._reset(error)
            return self._transaction(batch)
        except Exception as error:
            self._reset(error)
            raise _told_apart(error) from error

    def _reset(self, error: Exception) -> None:
        """Forget what a rolled back transaction or a lost connection may have taken away."""
        self._ledger.forget()
        self._partitions.forget()
        connection = self._connection
        if connection is not None and (
            connection.closed or isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError))
        ):
            self.close()

    def _open(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            connection = connect(self._dsn, application="historian")
            try:
                timeline.require_known(connection)
                connection.execute("SET client_min_messages = warning")
                # What comes from Kafka is read again when it is lost: it does not wait for a synchronous standby.
                connection.execute("SET synchronous_commit = local")
                prepare(connection, direct_compress=True)
                connection.commit()
            except Exception:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _transaction(self, batch: Batch) -> WriteResult:
        connection = self._open()
        for table, from_us, to_us in batch.time_ranges():
            self._partitions.ensure(connection, table, from_us, to_us)
        result = WriteResult()
        with connection.transaction(), connection.cursor() as cursor:
            if batch.frames:
                self._write_frames(cursor, batch, result)
            of_own_site, refused = origins.told_apart(cursor, batch)
            result.poisoned += refused
            for name, write in records.WRITERS.items():
                if found := of_own_site if name == "DeviceEvent" else batch.records.get(name):
                    write(cursor, [record for record, _ in found])
                    result.records[name] = len(found)
            if found := batch.records.get("AggregateBatch"):
                windows = aggregates.upsert(
                    cursor, aggregates.windows_of_records(record for record, _ in found), repaired=False
                )
                result.windows, result.windows_contested = windows.given, windows.contested
            if batch.positions:  # last of all locks, as everywhere
                positions.write(cursor, batch.positions)
        return result

    def _write_frames(self, cursor: psycopg.Cursor[Any], batch: Batch, result: WriteResult) -> None:
        keys = sorted(batch.frames)
        candidates = {key: [frame for _, (frame, _) in sorted(batch.frames[key].items())] for key in keys}
        self._policy.refresh(cursor, max(frame.registry_version for group in candidates.values() for frame in group))
        locked = self._ledger.lock(cursor, keys)
        fresh = ledger.new_frames(cursor, candidates)
        given = sum(map(len, candidates.values())) + batch.doubled
        result.frames = sum(map(len, fresh.values()))
        result.duplicate_frames = given - result.frames
        if not fresh:
            return
        columns = columns_of(fresh)
        self._policy.apply(cursor, columns)
        ledger.add(cursor, fresh, columns, locked)
        corrections.supersede(cursor, columns)
        self._copy(cursor, columns, result)
        dirty.mark(cursor, dirty_ranges(columns))

    def _copy(self, cursor: psycopg.Cursor[Any], columns: Columns, result: WriteResult) -> None:
        stored = columns.fate == Fate.STORED
        result.stored, result.rejected, result.suppressed = columns.fates()
        if not result.stored:
            return
        values: dict[str, NDArray[Any]] = {
            "time": columns.time_us,
            "value": columns.value,
            "tag_id": columns.tag_id,
            "quality": columns.quality.view("int16"),
            "verdict": columns.verdict,
        }
        # Tag by tag: one tag's rows share pages, and a read of it touches few. Up and down by turns: pages that two batches share would
        # hold the first and the last tag otherwise, and for the BRIN all between.
        order = by_tag(columns.tag_id, descending=self._descending)
        self._descending = not self._descending
        if result.stored < len(stored):
            order = order[stored[order]]
        with cursor.copy(binary_copy.COPY_SAMPLES) as copy:
            for part in binary_copy.framed(binary_copy.pieces(binary_copy.SAMPLE_COLUMNS, values, order)):
                copy.write(part)


def _told_apart(error: Exception) -> Exception:
    """StoreUnavailable for an error that may pass, else the error itself."""
    if isinstance(error, psycopg.Error) and not blames_data(error):
        return unavailable(error)
    return StoreUnavailable(str(error)) if isinstance(error, EngineError) else error
