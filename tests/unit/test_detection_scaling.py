"""Windows of several devices examined together against each examined alone, over changes of mode, gaps and missing samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stages.detection.examination import examine
from stages.detection.protocol import Features, Subject
from stages.detection.scaled import ScaledDetector, ensemble
from stages.detection.scaling import AdaptiveScaler

WINDOW_US = 10_000_000
SIZES = (1, 2, 5, 9)


def subject(number: int, tags: int) -> Subject:
    low = np.where(np.arange(tags) % 2 == 0, np.nan, -4.0)
    ids = np.arange(tags, dtype=np.int32)
    return Subject(device_id=number, window_s=10, tag_id=ids, normal_low=low, normal_high=-low, seed=number)


class Machine:
    """A machine with two modes, pauses, windows without samples and a fault now and then."""

    def __init__(self, seed: int, tags: int) -> None:
        self._chance, self._tags = np.random.default_rng(seed), tags
        self._at_us, self._mode, self._settled_s = 0, "", math.inf

    def window(self) -> Features:
        chance, tags = self._chance, self._tags
        if chance.random() < 0.02:
            self._mode, self._settled_s = ("run" if self._mode != "run" else "hold"), float(chance.integers(0, 9))
        if chance.random() < 0.01:
            self._at_us += 7 * WINDOW_US
        level = (3.0 if self._mode == "run" else 1.0) + (50.0 if chance.random() < 0.01 else 0.0)
        samples = level + chance.normal(size=(12, tags)).cumsum(0) * 0.1
        count = np.where(chance.random(tags) < 0.05, chance.integers(0, 4), 12)
        unknown = count == 0
        columns = (
            samples.mean(0),
            samples.var(0, ddof=1),
            samples.min(0),
            samples.max(0),
            samples[-1] - samples[0],
        )
        mean, variance, low, high, trend = (np.where(unknown, np.nan, column) for column in columns)
        start_us, settled_s = self._at_us, self._settled_s
        self._at_us += WINDOW_US
        self._settled_s += 10.0
        return Features(
            start_us=start_us,
            end_us=start_us + WINDOW_US,
            count=count,
            mean=mean,
            variance=variance,
            low=low,
            high=high,
            trend=trend,
            mode=self._mode,
            settled_s=settled_s,
        )


@pytest.mark.parametrize("seed", range(3))
def test_detectors_prepared_together_do_what_each_does_alone(seed: int) -> None:
    machines = [Machine(seed * 10 + number, tags) for number, tags in enumerate(SIZES)]
    together, alone = (
        [ensemble(subject(n, tags), grace_s=50.0, grace_windows=5) for n, tags in enumerate(SIZES)] for _ in range(2)
    )
    chance, scored = np.random.default_rng(seed), 0
    for _ in range(600):
        windows = [machine.window() for machine in machines]
        # Not every device has a window each time.
        chosen = np.flatnonzero(chance.random(len(SIZES)) < 0.8).tolist()
        ScaledDetector.prepare([(together[at], windows[at]) for at in chosen])
        for at in chosen:
            one, other = together[at].score(windows[at]), alone[at].score(windows[at])
            assert (one.value, one.grace) == (other.value, other.grace)
            for name in ("part", "seen", "expected_low", "expected_high"):
                np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            together[at].learn(windows[at])
            alone[at].learn(windows[at])
            scored += one.value > 0.0
    assert scored > 50, "nothing was scored"
    for one, other in zip(together, alone, strict=True):
        assert one.snapshot() == other.snapshot()


def test_examining_a_window_changes_nothing() -> None:
    scaler, machine = AdaptiveScaler(subject(1, 3)), Machine(1, 3)
    for _ in range(100):
        scaler.commit(examine([(scaler, machine.window())])[0])
    before, window = scaler.arrays(), machine.window()
    examine([(scaler, window)])
    fields, arrays = scaler.arrays()
    assert fields == before[0]
    for one, other in zip(arrays, before[1], strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_window_that_was_prepared_and_never_scored_leaves_no_trace() -> None:
    machine = Machine(2, 3)
    one, other = ensemble(subject(1, 3)), ensemble(subject(1, 3))
    for _ in range(50):
        skipped, window = machine.window(), machine.window()
        ScaledDetector.prepare([(one, skipped), (ensemble(subject(2, 3)), skipped)])
        assert one.score(window).value == other.score(window).value
        one.learn(window)
        other.learn(window)
    assert one.snapshot() == other.snapshot()
