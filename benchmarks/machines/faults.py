"""What goes wrong with machines: changes of the samples of one tag in a range of windows, and which kinds of machine they are for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.machines.usual import Chance, Run, Values, course, waveform


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """A fault of `tag` in the windows `first` to `last`, both inclusive."""

    kind: str
    tag: int
    first: int
    last: int


def _span(run: Run, tag: int, first: int) -> float:
    before = run.samples[:first, :, tag]
    low, high = np.nanquantile(before, [0.02, 0.98])
    return float(high - low) or max(abs(float(high)), 1.0) * 0.1


def _sign(chance: Chance) -> float:
    return float(chance.choice([-1.0, 1.0]))


def _step(run: Run, truth: Truth, chance: Chance) -> None:
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    own += _sign(chance) * chance.uniform(0.8, 1.5) * _span(run, truth.tag, truth.first)


def _upward(run: Run, truth: Truth, chance: Chance) -> None:
    """A step up: of what cannot fall below nothing."""
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    own += chance.uniform(1.0, 2.0) * _span(run, truth.tag, truth.first)


def _drift(run: Run, truth: Truth, chance: Chance) -> None:
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    end = _sign(chance) * chance.uniform(1.2, 2.0) * _span(run, truth.tag, truth.first)
    own += np.linspace(0.0, end, len(own))[:, None]


def _flat(run: Run, truth: Truth, _: Chance) -> None:
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    before = run.samples[: truth.first, :, truth.tag].ravel()
    own[:] = before[~np.isnan(before)][-1]


def _noise(run: Run, truth: Truth, chance: Chance) -> None:
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    own += chance.normal(0.0, 0.6 * _span(run, truth.tag, truth.first), own.shape)


def _spike(run: Run, truth: Truth, chance: Chance) -> None:
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    own[:, : max(own.shape[1] // 2, 1)] += _sign(chance) * chance.uniform(1.5, 3.0) * _span(run, truth.tag, truth.first)


def _spike_up(run: Run, truth: Truth, chance: Chance) -> None:
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    own += chance.uniform(4.0, 8.0) * _span(run, truth.tag, truth.first)


def _twelve_deviations(run: Run, truth: Truth, _: Chance) -> None:
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    own += 12.0 * float(np.nanstd(run.samples[: truth.first, :, truth.tag]))


def _relation(run: Run, truth: Truth, chance: Chance) -> None:
    """The tag goes on as far and as fast as before, by causes of its own."""
    own = run.samples[:, :, truth.tag]
    level, deviation = float(own.mean()), float(own.mean(axis=1).std())
    means = level + deviation * course(chance, truth.last + 1 - truth.first, 0.97)
    noise = float((own - own.mean(axis=1)[:, None]).std())
    here = slice(truth.first, truth.last + 1)
    own[here] = means + chance.normal(0.0, noise, own[here].shape)


def _cycle(run: Run, truth: Truth) -> tuple[float, float, bool]:
    """Middle, half height, and whether the tag works by a square wave."""
    before = run.samples[: truth.first, 0, truth.tag]
    low, high = np.quantile(before, [0.05, 0.95])
    middle = 0.5 * (low + high)
    return float(middle), float(high - low) / 2.0, bool((before > middle).mean() < 0.42)


def _frequency(run: Run, truth: Truth, chance: Chance) -> None:
    middle, height, square = _cycle(run, truth)
    own = run.samples[truth.first : truth.last + 1, 0, truth.tag]
    period = run.period * float(chance.choice([0.5, 1.8]))
    turned = 2.0 * np.pi / period * np.arange(len(own))
    own[:] = middle + height * waveform(turned, square) + chance.normal(0.0, height / 8.0, len(own))


def _stopped(run: Run, truth: Truth, chance: Chance) -> None:
    middle, height, _ = _cycle(run, truth)
    own = run.samples[truth.first : truth.last + 1, 0, truth.tag]
    own[:] = middle - height + chance.normal(0.0, height / 8.0, len(own))


def _missed_shift(run: Run, truth: Truth, chance: Chance) -> None:
    own = run.samples[truth.first : truth.last + 1, :, truth.tag]
    low = np.quantile(run.samples[: truth.first, :, truth.tag], 0.2)
    noise = _span(run, truth.tag, truth.first) / 14.0
    own[:] = low + chance.normal(0.0, noise, own.shape)


def _nothing_counted(run: Run, truth: Truth, _: Chance) -> None:
    run.samples[truth.first : truth.last + 1, :, truth.tag] = 0.0


def _valve_rests(run: Run, truth: Truth, _: Chance) -> None:
    run.samples[truth.first : truth.last + 1, :, truth.tag] = 0.0


Change = Callable[[Run, Truth, Chance], None]

FAULTS: dict[str, tuple[Change, int]] = {
    "step": (_step, 120),
    "step up": (_upward, 120),
    "drift": (_drift, 400),
    "flat line": (_flat, 200),
    "more noise": (_noise, 120),
    "spike": (_spike, 1),
    "spike up": (_spike_up, 1),
    "12 deviations, early": (_twelve_deviations, 10),
    "lost relation": (_relation, 300),
    "other frequency": (_frequency, 200),
    "stopped cycle": (_stopped, 150),
    "missed shift": (_missed_shift, 288),
    "nothing counted": (_nothing_counted, 120),
    "resting valve": (_valve_rests, 400),
    "step of a constant": (_step, 60),
}
"""How each is made, and for how many windows."""

OF_KIND: dict[str, tuple[str, ...]] = {
    "steady": ("step", "drift", "flat line", "more noise", "spike"),
    "sluggish": ("step", "drift", "flat line", "more noise", "spike"),
    "load-following": ("lost relation", "step", "flat line", "spike"),
    "cyclic": ("other frequency", "stopped cycle", "flat line", "step", "spike"),
    "daily": ("step", "drift", "flat line", "more noise", "spike"),
    "shifts": ("missed shift", "step", "flat line", "spike"),
    "bursty counts": ("step up", "spike up", "nothing counted"),
    "sparse counts": ("step up", "spike up"),
    "skewed": ("step up", "spike up", "flat line"),
    "discrete": ("step of a constant", "resting valve"),
    "announced modes": ("step", "drift", "flat line", "more noise", "spike"),
    "unannounced modes": ("step", "flat line", "spike"),
    "restarts and gaps": ("step", "flat line", "more noise", "spike"),
    "sixty tags": ("12 deviations, early", "step"),
}


def place(kind: str, fault: str, run: Run, chance: Chance) -> Truth:
    """Where the fault is: after half of the series, or early where its name says so; its tag is one it makes sense for."""
    windows, _, tags = run.samples.shape
    length = FAULTS[fault][1]
    first = int(chance.integers(int(0.55 * windows), windows - length - 120))
    tag = int(chance.integers(0, tags))
    if fault.endswith("early"):
        first = int(chance.integers(130, 200))
    elif fault == "missed shift":
        days = [day for day in range(8, 14) if day % 7 < 5 and day % 7 != 0]
        first = int(chance.choice(days)) * 288
    elif fault == "step of a constant":
        first, tag = int(chance.integers(480, 520)), 0
    elif fault == "resting valve":
        tag = 1
    elif kind == "discrete":
        tag = 2
    elif kind == "announced modes" and fault == "flat line":
        tag = 4
    return Truth(kind=fault, tag=tag, first=first, last=first + length - 1)


def put(run: Run, truth: Truth, chance: Chance) -> Values:
    """Make the fault; the samples with it."""
    FAULTS[truth.kind][0](run, truth, chance)
    return run.samples
