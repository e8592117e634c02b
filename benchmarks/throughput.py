"""`throughput`: drain a preloaded topic through all stages into SQL, and compare what is there with what was sent.

Counted are rows readable in SQL: the ledger, which changes in the transaction that makes the rows visible. The rate is that between the
moments when a tenth and nine tenths of the samples are in: start-up and the thin end are left out, the whole run is in `curve`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from benchmarks import processes, verify
from benchmarks.figures import rate_between
from benchmarks.generate import Expected
from benchmarks.line import Line
from connectors.postgres.database import connect
from historian import partitions
from historian.engine import variant_of

_POLL_S = 0.5
_SAY_S = 5.0
_STALLED_S = 120


@dataclass(kw_only=True)
class Drain:
    """What was seen while the topic drained. `curve` are (seconds since the start, samples accounted for, rows stored)."""

    curve: list[tuple[float, int, int]] = field(default_factory=list)
    cpu: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Samples per second between a tenth and nine tenths of the total."""
        return rate_between([(seconds, accounted) for seconds, accounted, _ in self.curve])


def drain(line: Line, expected: Expected) -> Drain:
    """Wait until every distinct sample is in the ledger; raises TimeoutError when nothing moves any more."""
    seen, started, moved = Drain(), time.monotonic(), time.monotonic()
    before: dict[str, processes.Usage] = {}
    said = started
    with psycopg.connect(line.dsn, autocommit=True) as connection:
        while True:
            row = connection.execute(
                "SELECT coalesce(sum(stored + rejected + suppressed), 0), coalesce(sum(stored), 0) FROM ledger"
            ).fetchone()
            assert row is not None
            now, accounted = time.monotonic(), int(row[0])
            if seen.curve and accounted > seen.curve[-1][1]:
                moved = now
            if accounted and not before:
                before, started = processes.usage(line.config), now
            if accounted:
                seen.curve.append((now - started, accounted, int(row[1])))
                if now - said > _SAY_S:
                    said = now
                    line.progress.sink(
                        f"    {now - started:.0f} s: {accounted:,} of {expected.distinct_samples:,} samples"
                    )
            if accounted >= expected.distinct_samples:
                break
            if now - moved > _STALLED_S:
                msg = f"{accounted} of {expected.distinct_samples} samples after {_STALLED_S} s without progress"
                raise TimeoutError(msg)
            time.sleep(_POLL_S)
    elapsed = max(seen.curve[-1][0], 1e-9)
    after = processes.usage(line.config)
    nothing = processes.Usage(cpu_s=0.0, memory_mb=0.0)
    seen.cpu = {name: (after[name].cpu_s - before.get(name, nothing).cpu_s) / elapsed for name in after}
    seen.memory_mb = {name: one.memory_mb for name, one in after.items()}
    return seen


def close(line: Line, found: dict[str, Any]) -> dict[str, Any]:
    """Close the partitions as the maintenance service does when their time has passed; with TimescaleDB there is nothing to do.

    Indexes are built then: `samples_per_s_with_indexes` is the rate of draining first and building them afterwards.
    """
    with (
        line.progress.step("close partitions") as details,
        connect(line.dsn, application="bench", autocommit=True) as connection,
    ):
        began = time.perf_counter()
        later = datetime.now(UTC) + timedelta(days=30)
        names = partitions.close_ended(connection, later) if variant_of(connection) == "plain" else []
        close_s = time.perf_counter() - began
        details.append(f"{len(names)} closed")
    drain_s = found["samples"] / found["samples_per_s"]
    return {"close_s": close_s, "samples_per_s_with_indexes": found["samples"] / (drain_s + close_s)}


def run(line: Line, expected: Expected) -> dict[str, Any]:
    """Start the jobs on the preloaded topic and measure."""
    line.start_jobs()
    with line.progress.step("drain") as details:
        seen = drain(line, expected)
        details.append(f"{seen.rate / 1e6:.2f} M samples/s")
    with line.progress.step("verify") as details:
        verdict = verify.compare(line.dsn, expected)
        details.append(f"{verdict.rows} rows, {verdict.lost} lost, {verdict.duplicated} duplicated")
    return {
        "samples_per_s": seen.rate,
        "samples": expected.distinct_samples,
        "seconds": seen.curve[-1][0],
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "wrong_cells": verdict.wrong_cells,
        "rows": verdict.rows,
        "rejected": seen.curve[-1][1] - seen.curve[-1][2],
        "rejected_expected": expected.rejected_samples,
        "cpu": {name: round(value, 3) for name, value in sorted(seen.cpu.items(), key=lambda item: -item[1])},
        "memory_mb": {name: round(value) for name, value in seen.memory_mb.items()},
        "curve": [(round(t, 2), accounted) for t, accounted, _ in seen.curve],
    }
