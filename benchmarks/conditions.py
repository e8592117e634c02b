"""What a result says of its run beside its figures: arguments, workload and dirt in full, machine, versions."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.metadata
import os
import platform
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import workload
from stack import postgres
from stack.config import ROOT, TOOLS

_PACKAGES = ("apache-flink", "confluent-kafka", "fastavro", "numpy", "psycopg", "river", "grpcio", "bytewax")


def collect(options: argparse.Namespace) -> dict[str, Any]:
    """Everything a reader needs to repeat the run."""
    found: dict[str, Any] = {
        "scenario": options.scenario,
        "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "arguments": {key: value for key, value in vars(options).items() if not callable(value)},
        "machine": machine(),
        "versions": versions(),
    }
    if hasattr(options, "timescaledb"):
        found["storage"] = storage(options.timescaledb)
    if hasattr(options, "workload"):
        found["workload"] = dataclasses.asdict(workload.load(options.workload))
        found["dirt"] = dataclasses.asdict(workload.load_dirt(options.dirt))
    return found


def storage(timescaledb: str) -> str:
    """What `auto` or `off` comes to on this machine: figures of one storage say little about the other."""
    return "TimescaleDB" if postgres.uses_timescaledb(timescaledb) else "plain PostgreSQL"


def machine() -> dict[str, Any]:
    """Hardware and system, as far as they show from inside."""
    cpu = (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name"))
    memory_kb = (int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal:"))
    return {
        "cpu": next(cpu, ""),
        "cores": os.cpu_count(),
        "memory_gb": round(next(memory_kb, 0) / 1e6, 1),
        "disk_free_gb": round(shutil.disk_usage(TOOLS.parent).free / 1e9),
        "system": platform.platform(),
    }


def versions() -> dict[str, str]:
    """Of what did the work."""
    found = {"millrace": _commit(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["postgresql"] = postgres.bin_dir().parent.name
    return found


def _commit() -> str:
    """The checkout's commit, with a plus sign when files differ from it; empty without git."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return ""
    command = [git, "describe", "--always", "--dirty=+"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
