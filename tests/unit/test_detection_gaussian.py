"""`RunningGaussian` is river's, to the last bit; and detectors without trees do not import river."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import anomaly, proba

from stages.detection.running_gaussian import RunningGaussian

values = st.lists(st.floats(min_value=-1e6, max_value=1e6), max_size=60)


@given(values, st.floats(min_value=-1e6, max_value=1e6))
def test_it_learns_and_scores_as_river_does(learned: list[float], scored: float) -> None:
    ours, theirs = RunningGaussian(), anomaly.GaussianScorer(grace_period=0)
    for value in learned:
        ours.update(value)
        theirs.learn_one(None, value)
    assert (ours.count, ours.mean, ours.sigma) == (
        theirs.gaussian.n_samples,
        theirs.gaussian.mu,
        theirs.gaussian.sigma,
    )
    assert 2.0 * abs(ours.cdf(scored) - 0.5) == theirs.score_one(None, scored)


@given(values, st.floats(min_value=0.5, max_value=1e4))
def test_weights_count_as_rivers_do(learned: list[float], weight: float) -> None:
    ours, theirs = RunningGaussian(), proba.Gaussian()
    for value in learned:
        ours.update(value, weight)
        theirs.update(value, weight)
    assert (ours.count, ours.mean, ours.sigma) == (theirs.n_samples, theirs.mu, theirs.sigma)


@given(values)
def test_moments_make_the_same_distribution(learned: list[float]) -> None:
    gaussian = RunningGaussian()
    for value in learned:
        gaussian.update(value)
    again = RunningGaussian.of(*gaussian.moments().tolist())
    assert again.count == gaussian.count
    assert again.moments() == pytest.approx(gaussian.moments(), rel=1e-6, abs=1e-6)


_PROGRAM = """
import sys
import stages.telemetry.logic
from stages.detection.kinds import BUILT_IN, catalogue, make, probe_subject

stages.telemetry.logic.TelemetryLogic()
for spec in BUILT_IN:
    if spec.kind != "halfspace" and not spec.parameters.get("trees"):
        make(spec, probe_subject())
print(sorted({"river", "scipy", "pandas"} & sys.modules.keys()))
"""


def test_detectors_without_trees_import_no_river() -> None:
    done = subprocess.run([sys.executable, "-c", _PROGRAM], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
