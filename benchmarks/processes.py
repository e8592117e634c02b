"""CPU time and memory of an instance's processes, read from /proc: once, or over the time of a scenario."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import slope_per_minute
from stack import lifecycle
from stack.config import StackConfig
from stack.supervisor import Supervisor

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
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
    for pid, comm in lifecycle.processes(config):
        name = pids.get(pid) or pids.get(_parent(pid)) or ("postgres" if comm.startswith("postgres") else comm)
        try:
            one = _read(pid)
        except OSError:  # gone meanwhile
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
        except Exception as error:  # raised where the scenario ends
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


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _read(pid: int) -> Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    cpu_s = (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    # Proportional share, so that PostgreSQL's shared buffers count once.
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    pss_kb = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return Usage(cpu_s=cpu_s, memory_mb=pss_kb / 1024)
