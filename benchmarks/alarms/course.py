"""The course of alarms on the whole line: raised by faults of the simulator, seen, acknowledged, over, and on record.

The example plant runs with its gateways and machines; synthetic lanes send telemetry through the same broker, jobs and database. Its rules
are those of `excursions`, so every alarm is one of the run's own.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from base.settings import KafkaSettings
from benchmarks import beside as telemetry_beside
from benchmarks import processes, workload
from benchmarks.alarms import caller, excursions, hops, line, record
from benchmarks.alarms.excursions import Excursion, Simulator
from benchmarks.workload import Workload
from millrace_client import Client
from stack import lifecycle, postgres
from stack.config import StackConfig
from stack.reporting import Progress

_SETTLE_S = 15.0
_WARM_UP = 10
"""Excursions before the first that counts: a cold path is not what a shift sees."""
_STORED_S = 120.0
_AFTER_S = 20.0


def run(*, alarms: int, rate_hz: float, beside: Workload | None, progress: Progress) -> dict[str, Any]:
    """Bring the line up, play the faults, take it down."""
    plant = telemetry_beside.example_plant()
    rules = excursions.rules(plant)
    if beside is not None:
        plant = telemetry_beside.with_site(plant, workload.plant(beside))
    with line.made_of(plant, rules) as config:
        lifecycle.up(config, progress, names=telemetry_beside.services(config, beside))
        seconds = _SETTLE_S + (_WARM_UP + alarms) / rate_hz + _AFTER_S
        with telemetry_beside.telemetry(config, beside, seconds=seconds) as sender:
            time.sleep(_SETTLE_S)  # let the cost of starting pass out of the figures
            before = processes.usage(config)
            began_us, began_s = record.moment_us(), time.monotonic()
            done = play(config, alarms=alarms, rate_hz=rate_hz, progress=progress)
            elapsed_s = time.monotonic() - began_s
            after = processes.usage(config)
            sent_hz = telemetry_beside.rate_hz(sender)
        return {
            "rate_hz": rate_hz,
            "telemetry_per_s": round(sent_hz),
            **verdict(config, done, began_us, progress),
            "cpu": {
                name: round((one.cpu_s - before[name].cpu_s) / elapsed_s, 3)
                for name, one in sorted(after.items())
                if name in before
            },
            "memory_mb": {name: round(one.memory_mb) for name, one in sorted(after.items())},
        }


def play(config: StackConfig, *, alarms: int, rate_hz: float, progress: Progress) -> list[Excursion]:
    """So many excursions on a line that is up, and some before them."""
    with Client(config.serving_address) as client:
        chosen = excursions.targets(client.tags())
    done = excursions.plan(chosen, count=_WARM_UP + alarms, rate_hz=rate_hz)
    simulator = Simulator(config)
    http = f"{config.host}:{config.ports.serving_http}"
    with progress.step("alarms") as details:
        try:
            asyncio.run(caller.drive(caller.Call(grpc=config.serving_address, http=http, faults=simulator), done))
        finally:
            simulator.clear()
        details.append(f"{sum(not one.wrong for one in done)} of {len(done)} as they should be")
    return done


def verdict(config: StackConfig, done: list[Excursion], began_us: int, progress: Progress) -> dict[str, Any]:
    """Figures of those that count; what is stored and counted is compared for all."""
    rules, dsn = [excursions.RULE], postgres.dsn(config)
    settings = KafkaSettings(bootstrap_servers=config.bootstrap_servers)
    with progress.step("stored"):
        record.until(lambda: record.settled(dsn, since_us=began_us, rules=rules, count=len(done)), timeout_s=_STORED_S)
        rows = record.stored(dsn, since_us=began_us, rules=rules)
        wrong = record.compare(done, rows) + record.unlike(rows, record.published(settings))
        wrong += record.wrong_figures(dsn, record.activations_of(done), began_us, record.moment_us())
    with progress.step("hops"):
        counted = done[_WARM_UP:]
        shown = hops.read_frames(settings, counted)
        found = hops.table(counted, shown, record.raised(settings, began_us))
    seen = found["closed_to_seen"]
    return {
        "alarms": len(counted),
        "warm_up_alarms": len(done) - len(counted),
        "seen": sum(bool(one.seen_us) for one in counted),
        "seen_in_page_feed": sum(bool(one.stream_us) for one in counted),
        "acknowledged": sum(bool(one.acknowledged_seen_us) for one in counted),
        "normal_again": sum(bool(one.normal_seen_us) for one in counted),
        "stored": len(rows),
        "without_frame": sum(one.number not in shown for one in counted),
        "wrong": len(wrong),
        "contradictions": wrong[:20],
        **seen,
        "hops": found,
        "tables": [{"title": "From the frame that shows it", "columns": hops.COLUMNS, "rows": hops.rows(found)}],
    }
