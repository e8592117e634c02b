"""`python -m historian.maintenance --config platform.toml`: keeps the history in shape, beside the hot line.

Enters: the platform's configuration. Leaves: repaired windows (every second), hours and days rolled up, native
partitions made ahead, closed and indexed, chunks compressed, old data dropped, sizes measured; tags of what machines propose and a
standing rule accepts; what people changed, in the topic `audit.log`; the plant's shifts, in `work.shifts`. Who starts it: `stack`, or
one deployment anywhere; a second instance waits as a spare (advisory lock). Nothing here is needed for data to be stored:
without it, repairs wait, and partitions are made by the store at the cost of a moment.

A lost database is tried again for ever. SIGTERM and SIGINT end it between two tasks.
"""

from __future__ import annotations

import argparse
import functools
import logging
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg
from prometheus_client import CollectorRegistry

from base import endpoint, heartbeat, logs, signals
from base.errors import MillraceError
from base.settings import KafkaSettings, PlatformSettings, StorageSettings, load, local_config
from connectors.postgres.database import StoreUnavailable, connect, unavailable
from historian import dirty, partitions, rollups, storage_size
from historian.audit_outbox import Forwarder, Send, sender
from historian.compression import compress_chunks
from historian.engine import EngineError, prepare
from historian.maintenance_metrics import MaintenanceMetrics
from historian.repair import repair
from historian.retention import drop_old
from historian.shift_topic import ShiftTopic
from historian.shift_topic import reader as shift_reader
from historian.shift_topic import sender as shift_sender
from registry.publish import publish
from registry.standing import Standing, has_rules

log = logging.getLogger(__name__)

Connection = psycopg.Connection[Any]
_LOCK = 7_161_511_004
_RETRY_S = 2.0
_LONGEST_TASK_S = 6 * 3600.0
"""Indexing a large partition, or dropping many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """Something done every `period_s`."""

    name: str
    period_s: float
    run: Callable[[], None]


class Maintenance:
    """One connection in autocommit and its tasks. `now` is a parameter so that tests set the time.

    `publish` tells gateways, jobs and serving of new tags; without it that is left to `plant publish`.
    """

    def __init__(
        self,
        connection: Connection,
        storage: StorageSettings,
        *,
        metrics: MaintenanceMetrics | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        publish: Callable[[], str] | None = None,
        send: Send | None = None,
        shifts: ShiftTopic | None = None,
    ) -> None:
        """`send`: where events of `audit_outbox` go; without, they wait. `shifts`: where those of the model of work go."""
        self._connection, self._storage, self._now = connection, storage, now
        self._audit = None if send is None else Forwarder(connection, send)
        self._shifts = shifts
        self._metrics = metrics or MaintenanceMetrics(CollectorRegistry())
        self._partitions = partitions.PartitionCache()
        self._sizes: dict[str, int] = {}
        self._plain = prepare(connection).variant == "plain"
        self._publish, self._unpublished = publish, True
        self._standing = Standing()

    def tasks(self) -> tuple[Task, ...]:
        """What to do, in order of urgency."""
        common = (
            Task(name="repair", period_s=1, run=self.repair),
            Task(name="rollups", period_s=5, run=self.roll_up),
            Task(name="retention", period_s=600, run=self.drop_old),
            Task(name="proposals", period_s=5, run=self.accept_proposals),
            Task(name="count", period_s=10, run=self.count_waiting),
            Task(name="size", period_s=600, run=self.measure),
            Task(name="audit", period_s=1, run=self.forward),
            Task(name="shifts", period_s=15, run=self.tell_shifts),
        )
        if not self._plain:
            return (*common, Task(name="compression", period_s=1800, run=self.compress))
        return (
            Task(name="partitions ahead", period_s=30, run=self.make_partitions),
            Task(name="summarise", period_s=1, run=self.summarise),
            *common,
            Task(name="close partitions", period_s=10, run=self.close_partitions),
        )

    def repair(self) -> None:
        """Work off the queue of dirty ranges that are ready."""
        while (result := repair(self._connection, self._partitions)).ranges:
            log.info("windows repaired", extra={"ranges": result.ranges, "windows": result.windows})
            self._metrics.windows_repaired.inc(result.windows)

    def accept_proposals(self) -> None:
        """Make tags of what standing rules accept, and publish them; what Kafka did not take is published the next time."""
        if not has_rules(self._connection):
            return
        if made := self._standing.apply(self._connection):
            log.info("proposals accepted by rules", extra={"tags": made})
            self._unpublished = True
        if self._unpublished and self._publish is not None:
            try:
                self._publish()
            except MillraceError as error:
                log.warning("new tags are not published", extra={"detail": str(error)})
            else:
                self._unpublished = False

    def make_partitions(self) -> None:
        """Make the partitions of the near future."""
        partitions.make_ahead(self._connection, self._now(), self._storage.partitions_ahead)

    def close_partitions(self) -> None:
        """Index the partitions that have ended and grow no more."""
        partitions.close_ended(self._connection, self._now(), self._sizes)

    def summarise(self) -> None:
        """Let the index of what is hot follow the rows."""
        self._metrics.ranges_summarised.inc(partitions.summarise(self._connection))

    def roll_up(self) -> None:
        """Roll up the hours that are over."""
        rollups.thin_marks(self._connection)
        hours = rollups.roll_up(self._connection, self._now(), plain=self._plain)
        if hours:
            log.info("hours rolled up", extra={"hours": hours})

    def drop_old(self) -> None:
        """Drop what is older than its retention."""
        if drop_old(self._connection, self._now(), plain=self._plain):
            self._partitions.forget()

    def compress(self) -> None:
        """Compress the chunks that are due."""
        compress_chunks(self._connection, self._now())

    def forward(self) -> None:
        """Bring what people changed to the audit log."""
        if self._audit is not None:
            self._audit.forward()

    def tell_shifts(self) -> None:
        """Bring the shifts of the model of work to those who know no database."""
        if self._shifts is not None and (written := self._shifts.publish(self._now())):
            log.info("shifts are told", extra={"scopes": written})

    def measure(self) -> None:
        """Measure what each resolution takes on disk, for `status` and Prometheus."""
        self._metrics.set_sizes(storage_size.measure(self._connection))

    def count_waiting(self) -> None:
        """Tell Prometheus what waits."""
        self._metrics.ranges_waiting.set(self.waiting())
        self._metrics.partitions_waiting.set(partitions.waiting(self._connection, self._now())[0])

    def waiting(self) -> int:
        """Ranges that wait for repair."""
        return dirty.waiting(self._connection)


def run_tasks(
    tasks: Sequence[Task],
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
    tick: Callable[[], None] = lambda: None,
    *,
    counted: Callable[[str], AbstractContextManager[None]] = lambda _: nullcontext(),
) -> None:
    """Run each task at its period until `stop` is set, and `tick` before each round; raises what they raise.

    `counted` surrounds each run, given the task's name.
    """
    due = dict.fromkeys((task.name for task in tasks), clock())
    while not stop.is_set():
        tick()
        for task in tasks:
            if stop.is_set():
                return
            if clock() >= due[task.name]:
                with counted(task.name):
                    task.run()
                due[task.name] = clock() + task.period_s
        stop.wait(max(0.0, min(due.values()) - clock()))


def serve(
    dsn: str,
    storage: StorageSettings,
    stop: threading.Event,
    metrics: MaintenanceMetrics,
    tick: Callable[[], None] = lambda: None,
    *,
    kafka: KafkaSettings | None = None,
) -> None:
    """Maintain until `stop` is set, through outages of the database; `tick` is called whenever the loop goes round."""
    send = None if kafka is None else sender(kafka)
    known, tell = (None, None) if kafka is None else (shift_reader(kafka), shift_sender(kafka))
    down = False
    while not stop.is_set():
        tick()
        try:
            with connect(dsn, application="maintenance", autocommit=True) as connection:
                if _alone(connection, stop, tick):
                    log.info("maintenance runs")
                    down = False
                    metrics.active.set(1)
                    publishing = None if kafka is None else functools.partial(publish, dsn, kafka)
                    shifts = ShiftTopic(connection, known, tell) if known is not None and tell is not None else None
                    tasks = Maintenance(
                        connection, storage, metrics=metrics, publish=publishing, send=send, shifts=shifts
                    ).tasks()
                    run_tasks(tasks, stop, tick=tick, counted=metrics.run)
        except (psycopg.Error, StoreUnavailable, EngineError) as error:
            if not down:
                detail = unavailable(error) if isinstance(error, psycopg.Error) else error
                log.warning("maintenance waits for the database", extra={"detail": str(detail)})
            down = True
            metrics.active.set(0)
            stop.wait(_RETRY_S)


def _alone(connection: Connection, stop: threading.Event, tick: Callable[[], None]) -> bool:
    """Wait until no other instance maintains this database; False when stopped first."""
    waited = False
    while not stop.is_set():
        tick()
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", (_LOCK,)).fetchone()
        if row is not None and row[0]:
            return True
        if not waited:
            log.info("another instance maintains this database; waiting as a spare")
        waited = True
        stop.wait(_RETRY_S)
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m historian.maintenance", description="Keep the history in shape.")
    parser.add_argument("--config", default=local_config("platform.toml"), metavar="FILE", help="platform.toml")
    args = parser.parse_args(arguments)
    logs.configure("maintenance")
    registry = endpoint.new_registry()
    metrics = MaintenanceMetrics(registry)
    try:
        platform = load(PlatformSettings, args.config)
        listening = endpoint.start(platform.metrics, registry)
    except MillraceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    beat = heartbeat.from_environment(patience_s=_LONGEST_TASK_S)
    try:
        serve(platform.postgres.dsn, platform.storage, signals.stop_event(), metrics, beat.tick, kafka=platform.kafka)
    finally:
        if listening is not None:
            listening.close()
    log.info("maintenance stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
