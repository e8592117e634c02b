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


_NOT_CONDITIONS = frozenset({"scenario", "json", "record"})


def collect(options: argparse.Namespace, *, command: str, load_before: float) -> dict[str, Any]:
    """Everything a reader needs to repeat the run. `load_before`: the machine's load average over a minute before it began."""
    found: dict[str, Any] = {
        "scenario": options.scenario,
        "time": datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        "command": command,
        "arguments": {key: portable(value) for key, value in vars(options).items() if key not in _NOT_CONDITIONS},
        "machine": machine() | {"load_before": round(load_before, 2)},
        "versions": versions(),
    }
    if hasattr(options, "timescaledb"):
        found["storage"] = storage(options.timescaledb)
    if hasattr(options, "workload"):
        found["workload"] = dataclasses.asdict(workload.load(options.workload))
        found["dirt"] = dataclasses.asdict(workload.load_dirt(options.dirt))
    return found


def command_of(options: argparse.Namespace, defaults: argparse.Namespace) -> str:
    """The command line of a run: the scenario and what differs from its defaults, in the parser's order."""
    words = ["./millrace bench", options.scenario]
    for key, default in vars(defaults).items():
        value = getattr(options, key)
        if key in _NOT_CONDITIONS or value == default:
            continue
        option = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            words.append(option)
        elif isinstance(value, list) and isinstance(default, list) and not default:  # given once for each
            words += [f"{option} {portable(one)}" for one in value]
        elif isinstance(value, list):
            words.append(" ".join([option, *(str(portable(one)) for one in value)]))
        else:
            words.append(f"{option} {portable(value)}")
    return " ".join(words)


def portable(value: Any) -> Any:
    """A value that says the same on another machine: whole numbers without a fraction, paths by their names."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.startswith("/"):
        return Path(value).name
    if isinstance(value, list):
        return [portable(one) for one in value]
    return value


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
    found = {"millrace": commit(), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["postgresql"] = postgres.bin_dir().parent.name
    return found


_DOCUMENTS = (":!*.md", ":!benchmarks/results")
"""Files whose change changes no figure."""


def commit() -> str:
    """The checkout's commit, with a plus sign when code differs from it; empty without git."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return ""

    def ask(*words: str) -> str:
        return subprocess.run([git, *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changed = ask("diff", "--name-only", "HEAD", "--", ".", *_DOCUMENTS)
    return ask("describe", "--always") + ("+" if changed else "")


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
