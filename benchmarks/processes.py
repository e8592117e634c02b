"""CPU time and memory of an instance's processes: once, or over the time of a scenario."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import psutil

from benchmarks.figures import slope_per_minute
from stack import processes
from stack.config import StackConfig
from stack.supervisor import Supervisor

_PERIOD_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """Since the process started."""

    cpu_s: float
    memory_mb: float


def usage(config: StackConfig) -> dict[str, Usage]:
    """By service; PostgreSQL's backends are summed up in `postgres`."""
    pids = {state.pid: name for name, state in Supervisor(config).states().items() if state.pid}
    found: dict[str, Usage] = {}
    for process in processes.of_instance(config):
        try:
            command = process.name()
            service = pids.get(process.pid) or pids.get(process.ppid())
            name = service or ("postgres" if command.startswith("postgres") else command)
            one = usage_of(process)
        except psutil.Error:  # gone meanwhile
            continue
        before = found.get(name, Usage(cpu_s=0.0, memory_mb=0.0))
        found[name] = Usage(cpu_s=before.cpu_s + one.cpu_s, memory_mb=before.memory_mb + one.memory_mb)
    return found


@dataclass(kw_only=True)
class Watched:
    """What `watching` saw. `readings` are (seconds since the start, usage by process)."""

    readings: list[tuple[float, dict[str, Usage]]] = field(default_factory=list)

    def cpu_over_time(self) -> dict[str, list[tuple[float, float]]]:
        """Cores by process: (seconds, mean since the reading before)."""
        found: dict[str, list[tuple[float, float]]] = {}
        for (before_s, before), (now_s, now) in zip(self.readings, self.readings[1:], strict=False):
            for name in sorted(now):
                if name in before and now[name].cpu_s >= before[name].cpu_s:  # less: it was started anew
                    cores = (now[name].cpu_s - before[name].cpu_s) / (now_s - before_s)
                    found.setdefault(name, []).append((now_s, cores))
        return found

    def memory_over_time(self) -> dict[str, list[tuple[float, float]]]:
        """MB by process."""
        found: dict[str, list[tuple[float, float]]] = {}
        for seconds, now in self.readings:
            for name in sorted(now):
                found.setdefault(name, []).append((seconds, now[name].memory_mb))
        return found

    def memory_slopes(self, last_s: float) -> dict[str, float]:
        """MB per minute by process, over the last `last_s` seconds."""
        after = self.readings[-1][0] - last_s if self.readings else 0.0
        return {
            name: slope_per_minute([point for point in points if point[0] >= after])
            for name, points in self.memory_over_time().items()
        }

    def cpu(self, from_s: float = 0.0, to_s: float = float("inf")) -> dict[str, float]:
        """Mean cores by process, busiest first, over part of the time."""
        means = {
            name: sum(inside) / len(inside)
            for name, points in self.cpu_over_time().items()
            if (inside := [cores for seconds, cores in points if from_s <= seconds <= to_s])
        }
        return dict(sorted(means.items(), key=lambda item: -item[1]))

    def as_result(self) -> dict[str, Any]:
        """Series for the report."""
        return {"cpu_over_time": self.cpu_over_time(), "memory_over_time": self.memory_over_time()}


@contextmanager
def watching(config: StackConfig, period_s: float = _PERIOD_S) -> Iterator[Watched]:
    """Read the usage every `period_s` on a thread of its own. A reading costs 0.1 s of a core: memory is counted page by page."""
    seen, done, began = Watched(), threading.Event(), time.monotonic()
    failures: list[Exception] = []

    def watch() -> None:
        try:
            while True:
                seen.readings.append((time.monotonic() - began, usage(config)))
                if done.wait(period_s):
                    return
        except Exception as error:  # noqa: BLE001 - raised where the scenario ends
            failures.append(error)

    thread = threading.Thread(target=watch, name="usage")
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()
    if failures:
        raise failures[0]


def usage_of(process: psutil.Process) -> Usage:
    """CPU and memory of one process. Raises psutil.Error when it is gone."""
    times = process.cpu_times()
    # Proportional share, so that PostgreSQL's shared buffers count once.
    return Usage(cpu_s=times.user + times.system, memory_mb=process.memory_full_info().pss / (1 << 20))
