"""The server's numbers for Prometheus: calls as they end, caches and load as they are at a scrape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from serving.server import Server

# From a cache read to a command whose outcome is waited for.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)


class CallMetrics:
    """Counts calls by method and status code. Streams count when they end; `code` is the gRPC status, in HTTP the one it stands for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "millrace_serving_calls", "Calls that ended, by status code", ("method", "code"), registry=registry
        )
        self._seconds = Histogram(
            "millrace_serving_call_seconds",
            "Duration of unary calls",
            ("method",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._messages = Counter(
            "millrace_serving_messages", "Messages sent, those of streams too", ("method",), registry=registry
        )

    def ended(self, method: str, code: str, *, seconds: float, messages: int, streaming: bool) -> None:
        """A call has ended; `method` is a name of a face's table, never a caller's text."""
        self._calls.labels(method, code).inc()
        self._messages.labels(method).inc(messages)
        if not streaming:
            self._seconds.labels(method).observe(seconds)


class DatabaseMetrics:
    """Counts statements by outcome (ok, failed, unavailable, overloaded, cancelled), with their duration."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._statements = Counter(
            "millrace_serving_database_statements", "Statements that ended, by outcome", ("outcome",), registry=registry
        )
        self._seconds = Histogram(
            "millrace_serving_database_seconds",
            "Duration of statements, waiting for a connection included",
            buckets=_SECONDS,
            registry=registry,
        )

    def ended(self, seconds: float, outcome: str) -> None:
        """A statement has ended."""
        self._statements.labels(outcome).inc()
        self._seconds.observe(seconds)


def watch(server: Server, registry: CollectorRegistry) -> None:
    """Gauges of a server's caches; they are read at each scrape."""
    for name, text, read in (
        (
            "ready",
            "1 when the caches of all services are current",
            lambda: server.state.ready and server.commands.ready,
        ),
        ("streams", "Open streams", lambda: len(server.streams)),
        ("tags", "Tags with a last value", lambda: len(server.values)),
        ("commands", "Commands that are remembered", lambda: len(server.book)),
        ("episodes", "Anomaly episodes that are remembered", lambda: len(server.episodes)),
        ("loop_lag_seconds", "How late the event loop came in the last second or so", lambda: server.gate.load.lag_s),
        (
            "turn_seconds",
            "How long streams waited for their turn in the last second or so",
            lambda: server.gate.load.turn_s,
        ),
        ("stretch", "What streams multiply their intervals with", lambda: server.gate.load.stretch),
        (
            "updates_per_second",
            "Updates of live values that streams sent, a second, in the last quarter of a second that they did",
            lambda: server.budget.rate,
        ),
        ("stream_level", "Updates a second that one stream may send now", lambda: server.budget.level),
        ("audit_written", "Audit events that were written", lambda: server.gate.trail.written),
        ("audit_lost", "Audit events that the broker did not take", lambda: server.gate.trail.lost),
        ("database_idle", "Connections to the database that are open and idle", lambda: server.database.idle),
        (
            "foreign_records",
            "Records refused since the start because they name a gateway or device of another site than their topic's",
            lambda: server.news.origins.refused,
        ),
        ("registry_version", "Version of the registry in use", lambda: server.plant.version),
    ):
        Gauge(f"millrace_serving_{name}", text, registry=registry).set_function(read)
