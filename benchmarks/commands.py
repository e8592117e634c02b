"""`commands`: round trips on the whole line with the example plant, and what each process of it uses meanwhile.

A round trip is from the caller's submit to SUCCEEDED as the caller sees it: first from the gateway's own word (provisional), then from the
record that the commands job keeps. One command at a time, in turn on machines of both protocols, values within the EU range; nothing is
sent twice. What was actuated, the warm-up included, is counted in the simulator's journal.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from typing import Any

import numpy as np
import psycopg

from benchmarks import processes
from millrace_client import AsyncClient, CommandState, Tag
from stack import instance, lifecycle, postgres, status
from stack.config import TOOLS, StackConfig
from stack.reporting import Progress

_TAG = "speed_setpoint"
_SETTLE_S = 20.0
_WARM_UP = 20
"""Commands before the first that counts: a cold path is not what a shift sees."""
_PERIOD_S = 0.15
"""Between the starts of two commands, under the rate limit of one caller (10 a second)."""


def run(*, commands: int, progress: Progress) -> dict[str, Any]:
    """Bring the platform up, send the commands, take it down."""
    with instance.temporary(folder=TOOLS / "bench") as running:
        started = time.monotonic()
        lifecycle.up(running.config, progress)
        up_s = time.monotonic() - started
        started = time.monotonic()
        lifecycle.up(running.config, progress)
        second_up_s = time.monotonic() - started
        return {
            "first_up_s": round(up_s, 1),
            "second_up_s": round(second_up_s, 1),
            **_measure(running.config, commands, progress),
        }


def _measure(config: StackConfig, commands: int, progress: Progress) -> dict[str, Any]:
    time.sleep(_SETTLE_S)  # let the cost of starting pass out of the figures
    before, stored_before, began = processes.usage(config), _stored(config), time.monotonic()
    with progress.step("commands") as details:
        trips = asyncio.run(_round_trips(config, commands))
        details.append(f"{len(trips)} done")
    trips = trips[_WARM_UP:]
    elapsed = time.monotonic() - began
    after = processes.usage(config)
    final = np.array([trip[1] for trip in trips if trip[2]]) * 1000
    provisional = np.array([trip[0] for trip in trips if trip[2]]) * 1000
    found = status.measure_accounting(config)
    return {
        "commands": len(trips),
        "succeeded": len(final),
        "warm_up_commands": _WARM_UP,
        "actuated": _actuated(config),
        **_percentiles("", final),
        **_percentiles("provisional_", provisional),
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


async def _round_trips(config: StackConfig, commands: int) -> list[tuple[float, float, bool]]:
    """Per command: seconds to the provisional and to the recorded outcome, and whether it succeeded."""
    trips = []
    async with AsyncClient(config.serving_address) as client:
        tags = [tag async for tag in client.tags() if tag.name == _TAG]
        for number in range(_WARM_UP + commands):
            due = time.monotonic() + _PERIOD_S
            trips.append(await _round_trip(client, tags[number % len(tags)], number))
            await asyncio.sleep(max(0.0, due - time.monotonic()))
    return trips


async def _round_trip(client: AsyncClient, tag: Tag, number: int) -> tuple[float, float, bool]:
    # Distinct values, so that a read-back or report of an old one is never taken for the new one.
    assert tag.eu_low is not None
    assert tag.eu_high is not None
    value = tag.eu_low + (tag.eu_high - tag.eu_low) * (0.5 + 0.3 * (number + 1) / (number + 2))
    began, provisional = time.perf_counter(), 0.0
    command = await client.submit(tag.path.rpartition("/")[0], "write", {_TAG: round(value, 3)})
    async with asyncio.timeout(60):
        async for state in client.watch_command(command):
            now = time.perf_counter() - began
            if state.state is CommandState.SUCCEEDED and not provisional:
                provisional = now
            if state.final:
                return provisional, now, state.succeeded
    return provisional, float("nan"), False


def _percentiles(prefix: str, values: np.ndarray[Any, Any]) -> dict[str, float]:
    return {f"{prefix}p{q}_ms": round(float(np.percentile(values, q)), 1) for q in (50, 95, 99)} if len(values) else {}


def _stored(config: StackConfig) -> int:
    with psycopg.connect(postgres.dsn(config)) as connection:
        row = connection.execute("SELECT coalesce(sum(stored + suppressed + rejected), 0) FROM ledger").fetchone()
    assert row is not None
    return int(row[0])


def _actuated(config: StackConfig) -> int:
    journal = config.data / "simulator" / "journal.sqlite"
    with sqlite3.connect(f"file:{journal}?mode=ro", uri=True) as connection:
        return int(connection.execute("SELECT count(*) FROM actuated").fetchone()[0])
