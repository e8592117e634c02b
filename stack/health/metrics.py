"""The numbers of the watch of the services for Prometheus: the state of the line, what each service answered, restarts.

Enters: the record of each round, what was restarted in it, and `ended`: how often each service ended without being asked to, asked at
each scrape. Leaves: metric families, read in the endpoint's thread.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from stack.backup.state import Safety
from stack.health.answer import Answer
from stack.health.record import Record, Restart
from stack.line_state import State

_PREFIX = "millrace_watch"


class WatchMetrics(Collector):
    """Gauges and counters in `registry`. Without a round yet there are none of the line and of the services."""

    def __init__(self, registry: CollectorRegistry, ended: Callable[[], Mapping[str, int]]) -> None:
        self._ended = ended
        self._record = Record()
        self._safety = Safety(archives=False)
        self._silent: Tally[str] = Tally()
        registry.register(self)

    def show(self, record: Record, safety: Safety) -> None:
        """What is known after a round."""
        self._record, self._safety = record, safety

    def restarted(self, restarts: Iterable[Restart]) -> None:
        """Services were restarted because they were silent."""
        self._silent.update(one.service for one in restarts)

    def describe(self) -> Iterator[Metric]:
        """Nothing: there was no round yet when it is registered."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """The families, now."""
        record = self._record
        states = GaugeMetricFamily(f"{_PREFIX}_line_state", "1 for the state that the line is in", labels=("state",))
        since = GaugeMetricFamily(
            f"{_PREFIX}_line_state_since_seconds", "When the line came into it, seconds since 1970"
        )
        ready = GaugeMetricFamily(
            f"{_PREFIX}_service_ready", "1 when a service answers and can work", labels=("service",)
        )
        if record.state:
            for state in State:
                states.add_metric((state.name.lower(),), float(record.state == state))
            since.add_metric((), datetime.fromisoformat(record.since).timestamp())
        for service, answer in record.services.items():
            ready.add_metric((service,), float(answer == Answer.READY))
        yield from (states, since, ready)
        safety = self._safety
        for name, text, value in (
            ("backup_age_seconds", "Age of the newest backup of the database", safety.backup_age_s),
            ("archive_waiting_segments", "Segments of the write-ahead log that wait for the archive", safety.waiting),
            ("archive_lag_seconds", "Age of the oldest segment that waits", safety.waiting_s),
            (
                "archive_failing",
                "1 while the newest segment cannot be archived",
                safety.archives and bool(safety.failing),
            ),
            ("standby_connected", "1 while the standby follows", safety.standby_connected),
            ("standby_behind_bytes", "Write-ahead log that the standby does not have", safety.standby_behind_bytes),
        ):
            if value is not None:
                yield GaugeMetricFamily(f"{_PREFIX}_{name}", text, value=float(value))
        yield _counter(
            "service_restarts", "Ends of a service that nobody asked for; it was started again", self._ended()
        )
        yield _counter("service_silent_restarts", "Restarts of a service that ran and did not answer", self._silent)


def _counter(name: str, text: str, counts: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"{_PREFIX}_{name}", text, labels=("service",))
    for service, count in counts.items():
        family.add_metric((service,), count)
    return family
