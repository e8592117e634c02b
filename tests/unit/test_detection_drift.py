"""ADWIN against river's, its bounds and its state; the model finds a change too small for any single window."""

from __future__ import annotations

import numpy as np
import pytest
from river import drift

from stages.detection.adwin import Adwin
from tests.unit.test_detection_conformance import new, window


def changing(seed: int) -> list[float]:
    chance = np.random.default_rng(seed)
    parts = [chance.normal(mean, 0.1, 600) for mean in (0.4, 0.55, 0.55, 0.3)]
    return [float(value) for value in np.clip(np.concatenate(parts), 0.0, 1.0)]


@pytest.mark.parametrize("seed", range(5))
def test_it_first_cuts_where_the_library_does(seed: int) -> None:
    """The library forgets everything at a cut, ours what is before it, as in the paper: they part there."""
    ours, theirs = Adwin(0.002), drift.ADWIN(delta=0.002, clock=32, min_window_length=5, grace_period=10)
    for at, value in enumerate(changing(seed)):
        cut = ours.update(value)
        theirs.update(value)
        assert (cut is not None) == theirs.drift_detected, at
        assert ours.width == theirs.width
        assert ours.mean == pytest.approx(theirs.estimation)
        if cut is not None:
            assert at < 800
            return
    pytest.fail("no cut")


def test_later_changes_are_cut_too_and_the_window_is_of_the_last() -> None:
    adwin = Adwin()
    cuts = [at for at, value in enumerate(changing(1)) if adwin.update(value) is not None]
    assert any(600 < at < 800 for at in cuts)
    assert any(1_800 < at < 1_950 for at in cuts)
    assert adwin.width < 700
    assert adwin.mean == pytest.approx(0.3, abs=0.03)


def test_a_cut_says_how_far_the_mean_moved() -> None:
    adwin = Adwin()
    changes = [adwin.update(value) for value in [0.2] * 500 + [0.6] * 200]
    moved = [each for each in changes if each is not None]
    assert moved
    assert moved[0] == pytest.approx(0.4, abs=0.05)


def test_no_change_no_cut() -> None:
    chance = np.random.default_rng(1)
    adwin = Adwin()
    assert all(adwin.update(float(value)) is None for value in chance.uniform(0.0, 1.0, 20_000))
    assert adwin.width == 20_000


def test_state_is_bounded_and_exact() -> None:
    one, two = Adwin(), Adwin()
    values = changing(9)
    for value in values:
        one.update(value)
    numbers = one.numbers()
    assert len(numbers) * 8 < 2_048
    two.set_numbers(numbers)
    for value in values:
        assert one.update(value) == two.update(value)
    assert one.numbers() == two.numbers()
    with pytest.raises(ValueError, match="ADWIN"):
        two.set_numbers(numbers[:-1])


def test_a_small_change_that_stays_is_found_though_no_window_is_unusual() -> None:
    detector, plain = new("drift"), new("gaussian")
    chance = np.random.default_rng(2)
    best: dict[bool, float] = {False: 0.0, True: 0.0}
    largest = 0.0
    for number in range(2_000):
        features = window(number, chance)
        if number >= 1_200:
            features.mean[1] += 0.8  # a deviation and a half, that any window may have
        score = detector.score(features)
        if number >= 700:
            best[number >= 1_200] = max(best[number >= 1_200], score.value)
            largest = max(largest, plain.score(features).value)
        detector.learn(features)
        plain.learn(features)
    assert best[False] < 0.5 < best[True]
    assert largest < 0.5
