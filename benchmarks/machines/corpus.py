"""The corpus: cases of a kind of machine, a fault or none, and a seed, as windows with the truth beside them.

Even seeds are for design, odd ones are held out: nothing about a detector is chosen by looking at them.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from benchmarks.machines.faults import OF_KIND, Truth, place, put
from benchmarks.machines.usual import USUAL, Run, Values
from stages.detection.protocol import Features

START_US = 1_767_571_200_000_000
"""A Monday."""
SEEDS = 4
QUIET_SEEDS = 8
DESIGN, HELD_OUT = "design", "held out"


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One series. `fault` is empty where there is none."""

    kind: str
    fault: str
    seed: int

    @property
    def half(self) -> str:
        """Which half of the corpus it is of."""
        return DESIGN if self.seed % 2 == 0 else HELD_OUT


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Made:
    """A case made. Columns have shape (windows, tags)."""

    case: Case
    run: Run
    truth: Truth | None
    count: np.ndarray[tuple[int, ...], np.dtype[np.int64]]
    mean: Values
    variance: Values
    low: Values
    high: Values
    trend: Values

    @property
    def windows(self) -> int:
        """Number of windows."""
        return len(self.mean)

    def features(self, at: int) -> Features | None:
        """The window `at` as a detector meets it; None where nothing was heard of the machine."""
        if not self.count[at].any():
            return None
        run, start_us = self.run, START_US + at * self.run.window_s * 1_000_000
        return Features(
            start_us=start_us,
            end_us=start_us + run.window_s * 1_000_000,
            count=self.count[at],
            mean=self.mean[at],
            variance=self.variance[at],
            low=self.low[at],
            high=self.high[at],
            trend=self.trend[at],
            mode=run.mode[at] if run.mode else "",
            settled_s=float(run.settled_s[at]) if run.mode else float("inf"),
        )


def cases(seeds: int = SEEDS) -> list[Case]:
    """All cases: every fault of every kind, and every kind without one."""
    found = [
        Case(kind=kind, fault=fault, seed=seed) for kind in USUAL for fault in OF_KIND[kind] for seed in range(seeds)
    ]
    quiet = seeds + QUIET_SEEDS - SEEDS
    return found + [Case(kind=kind, fault="", seed=seed) for kind in USUAL for seed in range(quiet)]


def make(case: Case) -> Made:
    """The windows of a case; the same for the same case on any machine."""
    chance = np.random.default_rng([case.seed, zlib.crc32(f"{case.kind}/{case.fault}".encode())])
    run = USUAL[case.kind](chance)
    truth = None
    if case.fault:
        truth = place(case.kind, case.fault, run, chance)
        put(run, truth, chance)
    samples = run.samples
    count = (~np.isnan(samples)).sum(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # windows without a sample are NaN, as they are in the line
        mean, low, high = np.nanmean(samples, axis=1), np.nanmin(samples, axis=1), np.nanmax(samples, axis=1)
        variance = np.nanvar(samples, axis=1) * count / np.maximum(count - 1, 1)
    made = Made(
        case=case,
        run=run,
        truth=truth,
        count=count,
        mean=mean,
        variance=variance,
        low=low,
        high=high,
        trend=samples[:, -1] - samples[:, 0],
    )
    run.samples = np.empty(0)
    return made


def batches(chosen: list[Case], size: int) -> Iterator[list[Made]]:
    """Cases made, so many at a time: what bounds the memory."""
    for start in range(0, len(chosen), size):
        yield [make(case) for case in chosen[start : start + size]]
