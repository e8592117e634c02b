"""The synthetic corpus of machines: the same on any machine, with the truth beside each case; and how a detector is judged on it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.machines.corpus import DESIGN, Case, cases, make
from benchmarks.machines.lanes import Outcome, Told
from benchmarks.machines.ranges import vus_pr
from benchmarks.machines.run import figures, judge


def test_there_are_more_than_three_hundred_cases_in_two_halves() -> None:
    chosen = cases()
    assert len(chosen) == len(set(chosen)) > 300
    assert sum(case.half == DESIGN for case in chosen) * 2 == len(chosen)
    assert {case.kind for case in chosen if not case.fault} == {case.kind for case in chosen}


@pytest.mark.parametrize(
    ("kind", "fault"), [("steady", "flat line"), ("bursty counts", "step up"), ("cyclic", "spike")]
)
def test_a_case_is_the_same_each_time_and_its_fault_is_where_the_truth_says(kind: str, fault: str) -> None:
    one, two = (make(Case(kind=kind, fault=fault, seed=1)) for _ in range(2))
    np.testing.assert_array_equal(one.mean, two.mean)
    truth = one.truth
    assert truth is not None
    assert one.windows // 2 < truth.first <= truth.last < one.windows
    other = make(Case(kind=kind, fault=fault, seed=2))
    assert other.mean.shape != one.mean.shape or not np.array_equal(other.mean, one.mean)


def test_a_perfect_score_has_the_whole_volume_and_chance_hardly_any() -> None:
    label = np.zeros(1_000)
    label[400:450] = 1.0
    assert vus_pr(label, 400, 449) > 0.8
    assert vus_pr(np.random.default_rng(1).random(1_000), 400, 449) < 0.15


def test_an_episode_is_a_find_inside_and_false_outside() -> None:
    made = make(Case(kind="steady", fault="step", seed=0))
    truth = made.truth
    assert truth is not None

    def told(opened: int, tag: int, value: float) -> Told:
        first = {"tag_id": tag, "value": value, "expected_low": 0.0, "expected_high": 1.0, "statistic": "level"}
        return Told(opened=opened, ended=truth.last + 10, record={"contributors": [first]})

    right, behind, false = told(truth.first + 3, truth.tag, 2.0), told(truth.last + 20, 0, 2.0), told(100, 0, 0.5)
    found = judge(Outcome(made=made, score=np.zeros(made.windows), episodes=[false, right, behind]))
    assert (found["found"], found["named"], found["delay"], found["false"], found["false_at"]) == (
        True,
        True,
        3,
        1,
        [100],
    )
    missed = judge(Outcome(made=made, score=np.zeros(made.windows), episodes=[]))
    both = figures([found, missed])
    assert both["episode_outlasts_fault_windows"] == {"p50": 10.0, "p90": 10.0}
    assert (both["found_percent"], both["first_contributor_right_percent"]) == (50.0, 100.0)
    assert both["level_outside_expected_percent"] == pytest.approx(66.7)
    assert both["false_per_3000_windows"] == 0.5
