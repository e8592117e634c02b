"""Maintenance's numbers for Prometheus: runs, failures and time of each task, what waits for repair, whether it is at work."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Summary

from historian.storage_size import Size


class MaintenanceMetrics:
    """Counters and gauges in `registry`, set by the loop as it works."""

    def __init__(self, registry: CollectorRegistry) -> None:
        prefix = "millrace_maintenance"
        self._seconds = Summary(f"{prefix}_task_seconds", "Runs of a task and their time", ("task",), registry=registry)
        self._failures = Counter(f"{prefix}_task_failures", "Runs that ended in an error", ("task",), registry=registry)
        self._success = Gauge(
            f"{prefix}_task_last_success_timestamp_seconds", "When a task last ended well", ("task",), registry=registry
        )
        self.windows_repaired = Counter(f"{prefix}_windows_repaired", "Windows computed anew", registry=registry)
        self.ranges_waiting = Gauge(
            f"{prefix}_ranges_waiting", "Ranges of tags that wait for repair", registry=registry
        )
        self.ranges_summarised = Counter(
            f"{prefix}_ranges_summarised", "Ranges of pages of hot partitions made findable by tag", registry=registry
        )
        self.partitions_waiting = Gauge(
            f"{prefix}_partitions_waiting",
            "Partitions of samples that have ended and are not closed",
            registry=registry,
        )
        labels = ("resolution", "form")
        self._rows = Gauge(
            f"{prefix}_stored_rows", "Rows of history; form is compressed or rows", labels, registry=registry
        )
        self._bytes = Gauge(f"{prefix}_stored_bytes", "Their bytes on disk, with indexes", labels, registry=registry)
        self.active = Gauge(
            f"{prefix}_active",
            "1 while this instance maintains; 0 for a spare or without a database",
            registry=registry,
        )

    def set_sizes(self, sizes: Sequence[Size]) -> None:
        """Show what was measured."""
        for size in sizes:
            for form, rows, taken in (
                ("rows", size.rows, size.bytes),
                ("compressed", size.compressed_rows, size.compressed_bytes),
            ):
                self._rows.labels(size.resolution, form).set(rows)
                self._bytes.labels(size.resolution, form).set(taken)

    @contextmanager
    def run(self, task: str) -> Iterator[None]:
        """Count one run of a task."""
        began_s = time.monotonic()
        try:
            yield
        except BaseException:
            self._failures.labels(task).inc()
            raise
        self._seconds.labels(task).observe(time.monotonic() - began_s)
        self._success.labels(task).set_to_current_time()
