"""CPU time and memory of an instance's processes, read from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from stack import lifecycle
from stack.config import StackConfig
from stack.supervisor import Supervisor

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


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
    pss_kb = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return Usage(cpu_s=cpu_s, memory_mb=pss_kb / 1024)
