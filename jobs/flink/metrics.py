"""Metrics of an operator, in the group `millrace` of Flink's own.

Counters of PyFlink's thread mode are Java objects behind a call; here they are made once per name and kept. Gauges of PyFlink are not
used: Flink reads them on threads of its own, at every question for a metric, and Python called from there beside the operator ends
the process (SIGSEGV in the interpreter's loop). A level is a counter that the operator moves.
"""

from __future__ import annotations

from collections.abc import Callable

from pyflink.datastream import RuntimeContext

PERIOD_US = 1_000_000
"""Levels are asked this often: a shard ticks many times a second, and each question is a call of Python and often one of Java."""


class Metrics:
    """Counters and levels by name. Made in `open`, used by the operator's own thread."""

    def __init__(self, context: RuntimeContext) -> None:
        self._group = context.get_metrics_group().add_group("millrace")
        self._counters: dict[tuple[str, str], object] = {}
        self._levels: dict[str, Callable[[], int]] = {}
        self._told: dict[str, int] = {}
        self._asked_us: int | None = None

    def count(self, name: str, n: int = 1, *, gateway: str = "") -> None:
        """Add to the counter `name`, or to that of a gateway."""
        counter = self._counters.get((name, gateway))
        if counter is None:
            group = self._group.add_group("gateway", gateway) if gateway else self._group
            counter = self._counters[name, gateway] = group.counter(name)
        counter.inc(n)  # type: ignore[attr-defined]

    def level(self, name: str, value: Callable[[], int]) -> None:
        """Something that rises and falls; `value` is asked once a second (`tick`)."""
        self._levels[name] = value

    def tick(self, now_us: int) -> None:
        """Tell Flink the levels if that is a second ago, or if the clock was set back."""
        if self._asked_us is None or not 0 <= now_us - self._asked_us < PERIOD_US:
            self._asked_us = now_us
            self.refresh()

    def refresh(self) -> None:
        """Tell Flink the present levels, whenever that was last done: nothing may tick after this."""
        for name, value in self._levels.items():
            now = value()
            if change := now - self._told.get(name, 0):
                self.count(name, change)
                self._told[name] = now
