"""`commands`: commands at a steady rate on the whole line with the example plant, and where their time goes.

A trip is from the time a command was due to its outcome as its caller sees it: first the gateway's own word (provisional), then the
record that the commands job keeps. Open loop (`command_load`), by hop (`command_hops`). With `beside` synthetic lanes send telemetry
through the same broker, jobs and database. With `kill_at_s` the TaskManager of the commands job is killed (-9) so long after the first
command that counts, and the longest silence of recorded outcomes is a figure. What was actuated, the warm-up included, is counted in the
simulator's journal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import yaml

from base.ids import now_us
from base.settings import KafkaSettings
from benchmarks import command_hops, command_load, processes
from benchmarks import workload as workloads
from benchmarks.beside import example_plant, services, telemetry, with_site
from benchmarks.beside import rate_hz as rate_hz_of
from benchmarks.command_load import Trip
from benchmarks.workload import Workload
from stack import instance, lifecycle, postgres, status
from stack.config import TOOLS, Parallelism, StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.reporting import Progress
from stack.supervisor import Supervisor

_JOB = "millrace-commands"
_SETTLE_S = 15.0
_WARM_UP_S = 10.0
"""Commands before the first that counts: a cold path is not what a shift sees."""
_CLEAR_US = 2_000_000
"""Commands that fell due within this before a kill do not count: they may have been under way."""


def run(
    *,
    commands: int,
    rate_hz: float,
    beside: Workload | None,
    kill_at_s: float,
    spare: int,
    signatures: str,
    progress: Progress,
) -> dict[str, Any]:
    """Bring the platform up, send the commands, take it down.

    `beside`: synthetic telemetry at the workload's rate; `spare`: TaskManagers beside those that the jobs need.
    """
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        settings: dict[str, Any] = {
            "parallelism": Parallelism(),
            "taskmanagers": Parallelism().total + spare,
            "signatures": signatures,
        }
        if beside is not None:
            settings["plant"] = Path(folder) / "plant.yaml"
            settings["plant"].write_text(
                yaml.safe_dump(with_site(example_plant(), workloads.plant(beside)), sort_keys=False)
            )
        with instance.temporary(folder=TOOLS / "bench", **settings) as running:
            names = services(running.config, beside)
            started = time.monotonic()
            lifecycle.up(running.config, progress, names=names)
            up_s = time.monotonic() - started
            started = time.monotonic()
            lifecycle.up(running.config, progress, names=names)
            second_up_s = time.monotonic() - started
            seconds = _WARM_UP_S + commands / rate_hz
            with telemetry(running.config, beside, seconds=_SETTLE_S + seconds + 10) as sender:
                found = _measure(running.config, commands, rate_hz, kill_at_s, progress)
                telemetry_hz = rate_hz_of(sender)
            return {
                "first_up_s": round(up_s, 1),
                "second_up_s": round(second_up_s, 1),
                "rate_hz": rate_hz,
                "telemetry_per_s": round(telemetry_hz),
                **found,
            }


def _measure(
    config: StackConfig, commands: int, rate_hz: float, kill_at_s: float, progress: Progress
) -> dict[str, Any]:
    time.sleep(_SETTLE_S)  # let the cost of starting pass out of the figures
    before, stored_before, began = processes.usage(config), _stored(config), time.monotonic()
    warm_up = round(_WARM_UP_S * rate_hz)
    killed: list[int] = []
    timer = threading.Timer(_WARM_UP_S + kill_at_s, _kill, (config, killed))
    with progress.step("commands") as details:
        if kill_at_s:
            timer.start()
        try:
            every = asyncio.run(command_load.drive(config.serving_address, rate_hz=rate_hz, count=warm_up + commands))
        finally:
            timer.cancel()
        details.append(f"{sum(trip.succeeded for trip in every)} of {len(every)} succeeded")
    elapsed = time.monotonic() - began
    after = processes.usage(config)
    found = status.measure_accounting(config)
    return {
        **_figures(config, _before(every[warm_up:], killed), progress),
        **(_after_kill(config, every, killed[0]) if killed else {}),
        "warm_up_commands": warm_up,
        "actuated": _actuated(config),
        "samples_per_s": round((_stored(config) - stored_before) / elapsed),
        "newest_sample_age_s": found["newest_sample_age_s"],
        "accounting": {name: value for name, value in found.items() if isinstance(value, int | bool | float)},
        "memory_mb": {name: round(one.memory_mb) for name, one in sorted(after.items())},
        "cpu": {
            name: round((one.cpu_s - before[name].cpu_s) / elapsed, 3)
            for name, one in sorted(after.items())
            if name in before
        },
    }


def _before(trips: list[Trip], killed: list[int]) -> list[Trip]:
    """Those whose figures no kill spoils."""
    return [trip for trip in trips if not killed or trip.due_us < killed[0] - _CLEAR_US]


def _figures(config: StackConfig, trips: list[Trip], progress: Progress) -> dict[str, Any]:
    with progress.step("hops"):
        times = command_hops.read(KafkaSettings(bootstrap_servers=config.bootstrap_servers), trips)
    done = [trip for trip in trips if trip.succeeded]
    states: dict[str, int] = {}
    for trip in trips:
        state = trip.state or ("REFUSED" if trip.refusal else "NONE")
        states[state] = states.get(state, 0) + 1
    hops = command_hops.table([times[trip.command_id] for trip in done])
    return {
        "commands": len(trips),
        "succeeded": len(done),
        "states": states,
        "refusals": sorted({trip.refusal for trip in trips if trip.refusal})[:5],
        **command_hops.quantiles(np.array([(trip.seen_us - trip.due_us) / 1000 for trip in done])),
        **command_hops.quantiles(
            np.array([(trip.provisional_us - trip.due_us) / 1000 for trip in done]), "provisional_"
        ),
        "hops": {hop: command_hops.quantiles(values) for hop, values in hops.items()},
    }


def _kill(config: StackConfig, killed: list[int]) -> None:
    """Kill the TaskManager on which the commands job runs; the time goes into `killed`."""
    flink = FlinkRest(config.flink_url)
    job = flink.live_job(_JOB)
    hosts = flink.hosts_of(job.id) if job else set()
    pids = [state.pid for name, state in Supervisor(config).states().items() if name in hosts and state.pid]
    if len(pids) != 1:
        msg = f"{_JOB} runs on {', '.join(sorted(hosts)) or 'nothing'}, not on one TaskManager"
        raise StackError(msg)
    os.kill(pids[0], signal.SIGKILL)
    killed.append(now_us())


def _after_kill(config: StackConfig, trips: list[Trip], killed_us: int) -> dict[str, Any]:
    """The longest silence of recorded outcomes, and seconds from the kill until the job's tasks were at each step of their way back."""
    flink = FlinkRest(config.flink_url)
    job = flink.live_job(_JOB)
    times = flink.task_times_ms(job.id) if job else {}
    steps = {
        state.lower(): round(at_ms / 1000 - killed_us / 1e6, 1)
        for state in ("SCHEDULED", "DEPLOYING", "INITIALIZING", "RUNNING")
        if (at_ms := times.get(state, 0)) * 1000 > killed_us
    }
    return {"silence_after_kill_s": command_hops.longest_silence_s(trips, killed_us), "back_after_kill_s": steps}


def _stored(config: StackConfig) -> int:
    with psycopg.connect(postgres.dsn(config)) as connection:
        row = connection.execute("SELECT coalesce(sum(stored + suppressed + rejected), 0) FROM ledger").fetchone()
    assert row is not None
    return int(row[0])


def _actuated(config: StackConfig) -> int:
    journal = config.data / "simulator" / "journal.sqlite"
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM actuated").fetchone()[0])
