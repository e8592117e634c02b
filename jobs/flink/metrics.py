"""Metrics of an operator, in the group `millrace` of Flink's own.

Counters of PyFlink's thread mode are Java objects behind a call; here they are made once per name and kept.
"""

from __future__ import annotations

from collections.abc import Callable

from pyflink.datastream import RuntimeContext


class Metrics:
    """Counters and gauges by name. Made in `open`."""

    def __init__(self, context: RuntimeContext) -> None:
        self._group = context.get_metrics_group().add_group("millrace")
        self._counters: dict[str, object] = {}

    def count(self, name: str, n: int = 1) -> None:
        """Add to the counter `name`."""
        counter = self._counters.get(name)
        if counter is None:
            counter = self._counters[name] = self._group.counter(name)
        counter.inc(n)  # type: ignore[attr-defined]

    def gauge(self, name: str, value: Callable[[], int]) -> None:
        """Register a gauge; `value` is called from Flink's reporter threads, so it must only read."""
        self._group.gauge(name, value)
