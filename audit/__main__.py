"""`python -m audit --config audit.toml`: makes the Merkle log of `audit.log`. SIGTERM and SIGINT end it between two batches.

Enters: the topic, the folder of the log, the keys. Leaves: the log, copies of its checkpoints, metrics. One process an installation: a
second one is refused. A broker that is away is waited for; a disk that takes nothing is tried again, and nothing is read meanwhile.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaError, Message
from prometheus_client import CollectorRegistry, Counter, Gauge

from audit.copies import Copies
from audit.errors import AnotherTopicError
from audit.settings import AuditSettings
from audit.writer import LogWriter, Record
from base import endpoint, heartbeat, logs, signals
from base.errors import MillraceError
from base.settings import load, local_config
from connectors.kafka.client import DeliveryError
from connectors.kafka.consume import Reader
from schemas import topics

log = logging.getLogger(__name__)

_AGAIN_S = 1.0
_PATIENCE_S = 60.0
_FETCH_BYTES = 1 << 16
_GONE = frozenset({KafkaError._AUTO_OFFSET_RESET, KafkaError._LOG_TRUNCATION})
"""The record that would come next is not there: the broker lost its newest records, or deleted those that were not read yet."""


class Metrics:
    """What Prometheus sees."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.entries = Counter("millrace_audit_entries", "Records of audit.log that were published.", registry=registry)
        self.failures = Counter("millrace_audit_failures", "Batches that the disk did not take.", registry=registry)
        self.size = Gauge("millrace_audit_size", "Entries of the log.", registry=registry)
        self.taken = Gauge(
            "millrace_audit_taken_offset", "Newest offset of audit.log that was published.", registry=registry
        )
        self.copies = Gauge("millrace_audit_copies_failing", "1 while checkpoints cannot be copied.", registry=registry)

    def show(self, writer: LogWriter, new: int = 0) -> None:
        """Take over how things stand."""
        self.entries.inc(new)
        self.size.set(writer.size)
        self.taken.set(writer.taken)
        self.copies.set(writer.copies_fail)


def run(settings: AuditSettings, stop: threading.Event) -> None:
    """Write until `stop`. Raises MillraceError for a log that cannot be gone on with, or an error of Kafka that does not pass."""
    registry = endpoint.new_registry()
    metrics, beat = Metrics(registry), heartbeat.from_environment(patience_s=_PATIENCE_S)
    listening = endpoint.start(settings.metrics, registry)
    writer = LogWriter(
        settings.folder, settings.origin, settings.keys, Copies(settings.copies, every_s=settings.copy_every_s)
    )
    try:
        log.info("writing", extra={"folder": str(settings.folder), "size": writer.size, "taken": writer.taken})
        while not stop.is_set():
            try:
                _follow(settings, writer, metrics, beat, stop)
            except AnotherTopicError as error:
                log.error("the topic is read from its beginning", extra={"cause": str(error)})
            except DeliveryError as error:
                if error.error.code() not in _GONE:
                    raise
                log.error("the topic is not what was read, it is looked at again", extra={"cause": str(error)})
    finally:
        writer.close()
        if listening is not None:
            listening.close()


def _follow(
    settings: AuditSettings, writer: LogWriter, metrics: Metrics, beat: heartbeat.Heartbeat, stop: threading.Event
) -> None:
    """Write what comes, until `stop`. Raises AnotherTopicError where the topic has to be begun again."""
    # An offset that is gone is an error here: a reader that went on from the beginning by itself would double what is there.
    # Nobody waits for an entry: what comes within half a second, librdkafka's longest wait, is one answer.
    reader = Reader(
        settings.kafka,
        (re.escape(topics.AUDIT.name),),
        start=writer.start,
        auto_offset_reset="error",
        fetch_min_bytes=_FETCH_BYTES,
    )
    waiting: list[Record] = []
    since_s = 0.0
    for batch in reader.batches(stop):
        beat.tick()
        if batch and not waiting:
            since_s = time.monotonic()
        waiting += map(_record, batch)
        full = len(waiting) >= settings.batch_entries
        if waiting and (full or time.monotonic() - since_s >= settings.batch_ms / 1000):
            while waiting and not stop.is_set():
                beat.tick()
                if _published(writer, waiting, metrics):
                    waiting = []
                else:
                    stop.wait(_AGAIN_S)
        _look_after(writer, metrics)
    if waiting:
        _published(writer, waiting, metrics)


def _published(writer: LogWriter, waiting: Sequence[Record], metrics: Metrics) -> bool:
    try:
        metrics.show(writer, writer.take(waiting))
    except OSError as error:
        metrics.failures.inc()
        log.error("the log was not written; it is tried again", extra={"records": len(waiting), "cause": str(error)})
        return False
    return True


def _look_after(writer: LogWriter, metrics: Metrics) -> None:
    try:
        writer.look_after()
    except (OSError, MillraceError) as error:
        log.error("the keys of the audit log were not looked at", extra={"cause": str(error)})
    metrics.show(writer)


def _record(message: Message) -> Record:
    offset = message.offset()
    assert offset is not None
    return Record(offset, message.value())


def parser() -> argparse.ArgumentParser:
    """Arguments of the program."""
    made = argparse.ArgumentParser(prog="python -m audit", description="Make the Merkle log of the topic audit.log.")
    made.add_argument("--config", type=Path, default=None, help="audit.toml (default: the local stack's)")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit status."""
    options = parser().parse_args(arguments)
    logs.configure("audit")
    stop = signals.stop_event()
    try:
        run(load(AuditSettings, options.config or local_config("audit.toml"), service="audit"), stop)
    except (MillraceError, OSError) as error:
        log.error("the audit log cannot be written", extra={"cause": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
