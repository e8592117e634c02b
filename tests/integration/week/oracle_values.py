"""Statistics, control charts, genealogy and batches, worked out from what a week sent and from its truth. Shares nothing with the SQL."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.packml import State
from simulator.week import Week
from simulator.week.model import Batch, Series

Floats = NDArray[np.float64]
HOUR_US = 3_600_000_000
# Montgomery, Introduction to Statistical Quality Control, appendix VI: A2, d2, D3, D4 for subgroups of 4 and 5.
SPC = {4: (0.729, 2.059, 0.0, 2.282), 5: (0.577, 2.326, 0.0, 2.114)}


def steps(series: Series, from_us: int, to_us: int) -> list[tuple[int, int, float, bool]]:
    """(start, end, value, good) of each value while it held, within the range; for an hour at most."""
    found = []
    for place, at_us in enumerate(series.time_us.tolist()):
        following = series.time_us[place + 1] if place + 1 < len(series.time_us) else math.inf
        low, high = max(at_us, from_us), min(following, at_us + HOUR_US, to_us)
        if low < high:
            found.append((low, int(high), float(series.value[place]), not bool(series.bad[place])))
    return found


def weighted(series: Series, from_us: int, to_us: int, low: float, high: float) -> dict[str, float]:
    """Statistics weighted by time."""
    all_steps = steps(series, from_us, to_us)
    held = np.array([(b - a) / 1e6 for a, b, _, good in all_steps if good])
    value = np.array([v for _, _, v, good in all_steps if good])
    mean = float((held * value).sum() / held.sum())
    return {
        "mean": mean, "stddev": float(np.sqrt((held * (value - mean) ** 2).sum() / held.sum())),
        "min": float(value.min()), "max": float(value.max()), "first": float(value[0]), "last": float(value[-1]),
        "good_s": float(held.sum()), "not_good_s": sum((b - a) / 1e6 for a, b, _, good in all_steps if not good),
        "below_s": float(held[value < low].sum()), "above_s": float(held[value > high].sum()),
        "in_range_s": float(held[(value >= low) & (value <= high)].sum()),
    }  # fmt: skip


def at(series: Series, at_us: int) -> tuple[int, float]:
    """Newest sample at or before a moment."""
    place = int(np.searchsorted(series.time_us, at_us, side="right")) - 1
    return int(series.time_us[place]), float(series.value[place])


def grid(series: Series, from_us: int, to_us: int, every_us: int, method: str) -> list[tuple[int, float | None]]:
    """Values at the points of a grid. A bad value, and for lines one at the other end, makes a point unknown."""
    found: list[tuple[int, float | None]] = []
    for at_us in range(from_us, to_us, every_us):
        place = int(np.searchsorted(series.time_us, at_us, side="right")) - 1
        if place < 0 or series.bad[place]:
            found.append((at_us, None))
        elif method == "step" or series.time_us[place] == at_us:
            found.append((at_us, float(series.value[place])))
        elif place + 1 == len(series.time_us) or series.bad[place + 1]:
            found.append((at_us, None))
        else:
            pair = slice(place, place + 2)
            found.append((at_us, float(np.interp(at_us, series.time_us[pair], series.value[pair]))))
    return found


def subgroups(week: Week, device: str, tag: str, from_us: int, to_us: int, n: int, state: State | None) -> list[Floats]:
    """Subgroups of consecutive good samples, those taken in a state."""
    series = week.samples[device][tag]
    taken = []
    for time_us, value, bad in zip(series.time_us.tolist(), series.value.tolist(), series.bad.tolist(), strict=True):
        if from_us <= time_us < to_us and not bad:
            now = next(one.state for one in week.machines[device].states if one.start_us <= time_us < one.end_us)
            if state is None or now is state:
                taken.append(value)
    return [np.array(taken[i : i + n]) for i in range(0, len(taken) - n + 1, n)]


def limits(groups: list[Floats], lsl: float, usl: float) -> dict[str, float]:
    """Limits of the charts and capability."""
    a2, d2, d3, d4 = SPC[len(groups[0])]
    mean = float(np.mean([group.mean() for group in groups]))
    spread = float(np.mean([np.ptp(group) for group in groups]))
    sigma = spread / d2
    return {
        "subgroups": len(groups), "mean": mean, "lcl": mean - a2 * spread, "ucl": mean + a2 * spread, "range_mean": spread,
        "range_lcl": d3 * spread, "range_ucl": d4 * spread, "sigma": sigma,
        "cp": (usl - lsl) / (6 * sigma), "cpk": min(usl - mean, mean - lsl) / (3 * sigma),
    }  # fmt: skip


def rules(means: Iterable[float], centre: float, ucl: float) -> list[list[int]]:
    """Western Electric rules that each point completes."""
    third = (ucl - centre) / 3
    z = [(mean - centre) / third for mean in means]
    found: list[list[int]] = []
    for place, own in enumerate(z):
        broken = []
        for side in (1, -1):
            signed = [side * one for one in z[: place + 1]]
            now = side * own
            if now > 3:
                broken.append(1)
            if now > 2 and sum(one > 2 for one in signed[-3:]) >= 2:
                broken.append(2)
            if now > 1 and sum(one > 1 for one in signed[-5:]) >= 4:
                broken.append(3)
            if len(signed) >= 8 and all(one > 0 for one in signed[-8:]):
                broken.append(4)
        found.append(sorted(broken))
    return found


def ancestors(week: Week, lot: str, way: str) -> dict[str, int]:
    """Lots that a lot was made of (back) or that were made of it (forward), with the number of steps."""
    consumed = [one for one in week.actuals if one.use == "CONSUMED"]
    produced = [one for one in week.actuals if one.use == "PRODUCED"]
    pairs = {
        (c.lot, p.lot)
        for c in consumed for p in produced
        if c.job_response == p.job_response and c.start_us < p.end_us and p.start_us < c.end_us
    }  # fmt: skip
    found: dict[str, int] = {}
    wave, depth = {lot}, 0
    while wave:
        depth += 1
        wave = (
            {(a if way == "back" else b) for a, b in pairs if (b if way == "back" else a) in wave}
            - found.keys()
            - {lot}
        )
        found |= dict.fromkeys(wave, depth)
    return found


def profile(week: Week, batch: Batch, tag: str, points: int) -> dict[str, Floats]:
    """A tag at even shares of each phase."""
    series = week.samples[batch.device][tag]
    return {
        phase.phase: np.interp(
            phase.start_us + np.arange(points) * (phase.end_us - phase.start_us) / points, series.time_us, series.value
        )
        for phase in batch.phases
    }


def deviation(week: Week, batch: Batch, golden: Batch, tag: str, points: int) -> dict[str, dict[str, Any]]:
    """A batch against the golden one, by phase."""
    ours, theirs = profile(week, batch, tag, points), profile(week, golden, tag, points)
    found = {}
    for phase, reference in zip(batch.phases, golden.phases, strict=True):
        off = ours[phase.phase] - theirs[phase.phase]
        found[phase.phase] = {
            "duration_s": (phase.end_us - phase.start_us) / 1e6,
            "golden_duration_s": (reference.end_us - reference.start_us) / 1e6,
            "mean_deviation": float(off.mean()), "rms_deviation": float(np.sqrt((off**2).mean())),
            "max_deviation": float(np.abs(off).max()),
        }  # fmt: skip
    return found
