"""The corpus of run-to-failure series: the same on any machine, with the truth beside each; and how forecasts are judged on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.wear.corpus import DESIGN, HOUR_US, LIMIT_HIGH, NOISES, START_US, UNWORN, WEARS, Case, Made, cases, make
from benchmarks.wear.run import figures, judge


def test_there_are_two_hundred_series_in_two_halves_with_every_noise_in_both() -> None:
    chosen = cases()
    assert len(chosen) == len(set(chosen)) >= 200
    assert sum(case.half == DESIGN for case in chosen) * 2 == len(chosen)
    for half in (True, False):
        seeds = {case.seed for case in chosen if (case.half == DESIGN) is half}
        assert {seed // 2 % len(NOISES) for seed in seeds} == set(range(len(NOISES)))


@pytest.mark.parametrize("kind", [*WEARS, *UNWORN])
def test_a_series_is_the_same_each_time_and_fails_where_the_truth_says(kind: str) -> None:
    one, two = (make(Case(kind=kind, seed=1)) for _ in range(2))
    np.testing.assert_array_equal(one.mean, two.mean)
    assert (one.fails is not None) is (kind in WEARS)
    if one.fails is not None and one.begins is not None:
        fails = int(one.fails)
        assert one.begins < fails < len(one.mean)
        assert np.nanmean(one.mean[fails - 12 : fails + 12]) == pytest.approx(LIMIT_HIGH, abs=8.0)


def record(episode: int, phase: str, at_h: float, likely_h: float, *, width_h: float = 10.0) -> dict[str, Any]:
    def us(hour: float) -> int:
        return START_US + round(hour * HOUR_US)

    said = {
        "as_of_us": us(at_h),
        "limit_us": us(likely_h),
        "earliest_us": us(likely_h - width_h),
        "latest_us": us(likely_h + width_h),
    }
    return {
        "episode_id": episode,
        "phase": phase,
        "start_us": us(at_h) if phase == "OPEN" else 0,
        "end_us": us(at_h) if phase == "CLOSE" else None,
        "contributors": [said],
    }


def test_what_is_counted_of_a_series_that_fails() -> None:
    made = Made(case=Case(kind="linear", seed=0), mean=np.zeros(250), begins=0, fails=200.0)
    found = judge(made, [record(1, "OPEN", 100, 190), record(1, "UPDATE", 150, 230), record(1, "CLOSE", 200, 230)])
    assert (found["in_time"], found["lead"], found["false"]) == (True, 0.5, 0)
    assert (found["covered"], found["error"]) == (0.5, pytest.approx(0.35))
    given_up = judge(made, [record(1, "OPEN", 100, 190), record(1, "CLOSE", 170, 190)])
    assert (given_up["in_time"], given_up["lead"]) == (False, 0.0)


def test_what_is_counted_of_a_series_that_does_not_fail_and_before_the_wear_begins() -> None:
    quiet = Made(case=Case(kind="flat", seed=0), mean=np.zeros(720))
    onset = Made(case=Case(kind="onset", seed=0), mean=np.zeros(900), begins=720, fails=850.0)
    judged = [judge(quiet, [record(1, "OPEN", 10, 20)]), judge(onset, [record(1, "OPEN", 700, 800)])]
    assert [each["false"] for each in judged] == [1, 1]
    assert figures(judged)["false_per_machine_month"] == 1.0
