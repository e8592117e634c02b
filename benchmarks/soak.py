"""`soak`: does memory grow, does the lag stay, over many minutes at a steady rate.

The slope of each process's memory (proportional share) is fitted over the last three quarters of the run. PostgreSQL's share holds the
shared buffers that it has touched so far, so it grows until they are full; they are a fixed size.
"""

from __future__ import annotations

from typing import Any

from benchmarks import steady
from benchmarks.freshness import SERVICES
from benchmarks.line import Line
from benchmarks.workload import Dirt
from stack import lifecycle

FITTED = 0.75
"""Part of the run, from its end, that slopes are fitted over: 15 of 20 minutes."""


def run(line: Line, dirt: Dirt, *, seconds: float, seed: int) -> dict[str, Any]:
    """Start the line and load it."""
    lifecycle.up(line.config, line.progress, names=SERVICES)
    plan = steady.plan_of(line, dirt, seconds=seconds, seed=seed)
    found = steady.run(line, plan, act=lambda *_: None, usage_period_s=max(2.0, seconds / 240))
    slopes = found.usage.memory_slopes(seconds * FITTED)
    memory = found.usage.memory_over_time()
    lags = sorted(value for at, value in found.lag if at >= seconds * (1 - FITTED))
    return {
        **found.as_result(found.sent.expected.distinct_samples / seconds),
        "fitted_s": seconds * FITTED,
        "slope_max_mb_per_min": max(slopes.values()),
        "slope_max_process": max(slopes, key=lambda name: slopes[name]),
        "lag_median_samples": lags[len(lags) // 2] if lags else None,
        "lag_max_samples": lags[-1] if lags else None,
        "tables": [
            {
                "title": f"Memory, fitted over the last {seconds * FITTED / 60:.1f} minutes",
                "columns": ["process", "MB at the end", "slope, MB a minute"],
                "rows": [
                    [name, memory[name][-1][1], slope]
                    for name, slope in sorted(slopes.items(), key=lambda item: -item[1])
                ],
            }
        ],
    }
