"""A running line under a steady load: what `recovery` and `soak` share.

Sends a plan at its rate, looks at the lag once in a while (samples sent and not yet accounted for in SQL), lets the scenario act
meanwhile, waits until everything has arrived, and compares every row.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks import processes, verify, windows
from benchmarks.ledger_watch import LedgerWatch
from benchmarks.line import Line
from benchmarks.pace import Plan, Sender, Sent
from benchmarks.processes import Watched

_LOOK_S = 0.2
_SAY_S = 10.0


@dataclass(kw_only=True)
class Steady:
    """What was seen. `lag`: (seconds since the first frame, samples)."""

    lag: list[tuple[float, int]] = field(default_factory=list)
    curve: list[tuple[float, int]] = field(default_factory=list)
    sent: Sent
    usage: Watched
    verdict: verify.Verdict
    wrong_windows: int

    @property
    def exact(self) -> bool:
        """Whether every row and every minute window is as it must be."""
        found = self.verdict
        return not (found.lost or found.duplicated or found.wrong_cells or self.wrong_windows)

    def as_result(self, rate: float) -> dict[str, Any]:
        """Figures and series that both scenarios give."""
        return {
            "samples_per_s": rate,
            "samples": self.sent.expected.distinct_samples,
            "lost": self.verdict.lost,
            "duplicated": self.verdict.duplicated,
            "wrong_cells": self.verdict.wrong_cells,
            "wrong_windows": self.wrong_windows,
            "rows": self.verdict.rows,
            "exact": self.exact,
            "curve": self.curve,
            "series": {"Samples sent and not yet in SQL": {"unit": "samples", "lines": {"lag": self.lag}}},
            "cpu": self.usage.cpu(),
            **self.usage.as_result(),
        }


def run(
    line: Line,
    plan: Plan,
    *,
    act: Callable[[float, int, Sender], None],
    usage_period_s: float = 2.0,
    stalled_s: float = 120.0,
) -> Steady:
    """Send, look and verify. `act` is called about five times a second with (seconds since the first frame, lag, sender)."""
    lag: list[tuple[float, int]] = []
    curve: list[tuple[float, int]] = []
    with (
        LedgerWatch(line.dsn, frames=False, poll_s=_LOOK_S / 2) as ledger,
        processes.watching(line.config, usage_period_s) as seen,
    ):
        with line.progress.step("steady load") as details, Sender(plan, line.kafka) as sender:
            said = 0.0
            while (at := time.time() - sender.start_us / 1e6) < plan.seconds:
                if at > 0:
                    accounted, sent_samples = ledger.samples, sender.samples
                    lag.append((at, max(0, sent_samples - accounted)))
                    curve.append((at, accounted))
                    act(at, lag[-1][1], sender)
                    if at - said > _SAY_S:
                        said = at
                        line.progress.sink(
                            f"    {at:.0f} of {plan.seconds:.0f} s: {accounted:,} in SQL, lag {lag[-1][1]:,} samples"
                        )
                time.sleep(_LOOK_S)
            sent = sender.result()
            details.append(f"{sent.expected.distinct_samples:,} samples")
        with line.progress.step("drain"):
            ledger.wait_for(sent.expected.distinct_samples, stalled_s=stalled_s)
    with line.progress.step("verify") as details:
        verdict = verify.compare(line.dsn, sent.expected)
        details.append(f"{verdict.rows} rows, {verdict.lost} lost, {verdict.duplicated} duplicated")
    with line.progress.step("verify windows") as details:
        wrong_windows = windows.wrong(line.dsn, sent.expected)
        details.append(f"{wrong_windows} of {np.count_nonzero(sent.expected.count)} wrong")
    return Steady(lag=lag, curve=curve, sent=sent, usage=seen, verdict=verdict, wrong_windows=wrong_windows)


def plan_of(line: Line, dirt: Any, *, seconds: float, seed: int) -> Plan:
    """Plan of a line's own workload."""
    return Plan(
        workload=line.workload,
        dirt=dirt,
        tag_ids=line.tag_ids,
        seconds=seconds,
        seed=seed,
        registry_version=line.registry_version,
        stand_in=line.stand_in,
    )
