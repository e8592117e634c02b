"""Every registered kind of detector keeps the promises of the protocol; a new one is tested by being registered."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from base.errors import ConfigError
from stages import packing
from stages.config import DetectorSpec
from stages.detection.kinds import BUILT_IN, KINDS, catalogue, make
from stages.detection.protocol import Detector, Features, Subject

TAGS = 5
WINDOW_US = 10_000_000
MAX_STATE_BYTES = 64 * 1024

Make = Callable[..., Detector]


def subject(tags: int = TAGS) -> Subject:
    ids = np.arange(1, tags + 1, dtype=np.int32)
    return Subject(
        device_id=7, window_s=10, tag_id=ids, normal_low=np.zeros(tags), normal_high=np.full(tags, 100.0), seed=7
    )


def window(number: int, chance: np.random.Generator, tags: int = TAGS, **changes: object) -> Features:
    """One quiet window: means 20, 21, … with small noise, 20 samples a window."""
    mean = 20.0 + np.arange(tags) + chance.normal(0.0, 0.3, tags)
    values: dict[str, object] = {
        "start_us": number * WINDOW_US,
        "end_us": (number + 1) * WINDOW_US,
        "count": np.full(tags, 20, dtype=np.int64),
        "mean": mean,
        "variance": chance.chisquare(19, tags) / 19,
        "low": mean - 2.0,
        "high": mean + 2.0,
        "trend": chance.normal(0.0, 1.4, tags),
    }
    return Features(**(values | changes))  # type: ignore[arg-type]


def taught(detector: Detector, windows: int = 700, seed: int = 1) -> np.random.Generator:
    chance = np.random.default_rng(seed)
    for number in range(windows):
        features = window(number, chance)
        detector.score(features)
        detector.learn(features)
    return chance


@pytest.fixture(params=sorted(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def new(kind: str, tags: int = TAGS) -> Detector:
    return KINDS[kind](subject(tags))


def test_scores_are_in_bounds_and_explained(kind: str) -> None:
    detector, chance = new(kind), np.random.default_rng(3)
    for number in range(400):
        features = window(number, chance)
        if number % 50 == 49:
            features = window(number, chance, mean=chance.normal(0, 10.0 ** chance.integers(0, 300), TAGS))
        score = detector.score(features)
        assert 0.0 <= score.value <= 1.0
        for column in (score.part, score.seen, score.expected_low, score.expected_high):
            assert column.shape == (TAGS,)
        assert ((score.part >= 0.0) & (score.part <= 1.0)).all()
        assert not (score.grace and score.value)
        detector.learn(features)


def test_there_is_a_grace_period_and_it_ends(kind: str) -> None:
    detector, chance = new(kind), np.random.default_rng(3)
    first = detector.score(window(0, chance))
    assert first.grace
    assert first.value == 0.0
    taught(detector)
    assert not detector.score(window(700, chance)).grace


def test_a_fault_scores_higher_than_what_is_usual(kind: str) -> None:
    detector = new(kind)
    chance = taught(detector)
    usual = max(detector.score(window(700, chance)).value for _ in range(50))
    for number in range(700, 703):  # a detector may want a fault confirmed by the next windows
        shifted = window(number, chance)
        for column in (shifted.mean, shifted.low, shifted.high):
            column[2] += 40.0
        fault = detector.score(shifted)
        detector.learn(shifted)
    assert fault.value > usual + 0.15
    assert int(np.argmax(fault.part)) == 2
    assert fault.expected_high[2] < shifted.mean[2]


def test_scoring_changes_nothing(kind: str) -> None:
    detector = new(kind)
    chance = taught(detector)
    features, other = window(700, chance), window(700, chance, mean=np.full(TAGS, 500.0))
    before = detector.snapshot()
    first = detector.score(features).value
    for _ in range(3):
        detector.score(other)
    assert detector.score(features).value == first
    assert detector.snapshot() == before


def test_it_is_reproducible(kind: str) -> None:
    one, two = new(kind), new(kind)
    taught(one)
    chance = taught(two)
    features = window(700, chance)
    assert one.score(features).value == two.score(features).value
    assert one.snapshot() == two.snapshot()


@pytest.mark.parametrize("windows", [0, 1, 20, 300, 700])
def test_a_snapshot_holds_all_that_was_learned(kind: str, windows: int) -> None:
    detector, restored = new(kind), new(kind)
    chance = taught(detector, windows)
    restored.restore(detector.snapshot())
    for number in range(windows, windows + 300):
        features = window(number, chance)
        one, two = detector.score(features), restored.score(features)
        assert one.grace == two.grace
        assert one.value == pytest.approx(two.value, abs=1e-9)
        detector.learn(features)
        restored.learn(features)


def test_snapshots_are_bounded(kind: str) -> None:
    detector, chance = new(kind, 12), np.random.default_rng(1)
    for number in range(1500):
        detector.learn(window(number, chance, 12, mode=f"{number // 20 % 30}"))
    assert len(detector.snapshot()) < MAX_STATE_BYTES


def test_a_snapshot_of_something_else_is_refused(kind: str) -> None:
    detector = new(kind)
    taught(detector, 300)
    data = detector.snapshot()
    with pytest.raises(packing.StateError):
        new(kind, TAGS + 1).restore(data)
    for broken in (b"", data[:40], b"\x00" + data[1:]):
        with pytest.raises(packing.StateError):
            new(kind).restore(broken)


def test_missing_and_constant_tags_are_survived(kind: str) -> None:
    detector, chance = new(kind), np.random.default_rng(5)
    for number in range(500):
        features = window(number, chance)
        for column in (features.mean, features.variance, features.low, features.high, features.trend):
            column[0] = math.nan
        features.count[0] = 0
        features.mean[1], features.variance[1], features.trend[1] = 3.0, 0.0, 0.0
        features.low[1] = features.high[1] = 3.0
        score = detector.score(features)
        assert score.value < 0.65
        assert score.part[0] == 0.0
        detector.learn(features)
    everything = window(
        500, chance, count=np.zeros(TAGS, np.int64), mean=np.full(TAGS, np.nan), variance=np.full(TAGS, np.nan)
    )
    detector.score(everything)
    detector.learn(everything)


def test_a_new_normal_is_learned_in_the_end(kind: str) -> None:
    detector = new(kind)
    chance = taught(detector)
    number = 700
    for number in range(700, 6000):
        features = window(number, chance)
        features.mean[1] += 15.0
        score = detector.score(features)
        detector.learn(features)
        if number > 800 and score.value < 0.3:
            break
    assert number < 5_999


# --- the catalogue --------------------------------------------------------------------------------------------------------


def test_built_in_detectors_can_be_made() -> None:
    assert {spec.name for spec in BUILT_IN} == {"default", "thorough", *KINDS} - {"ensemble"}
    for spec in catalogue(()).values():
        assert make(spec, subject()).version >= 1


def test_a_configured_detector_replaces_a_built_in_one() -> None:
    ours = DetectorSpec(name="default", kind="gaussian", parameters={"grace_s": 60.0})
    assert catalogue([ours])["default"] is ours


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            DetectorSpec(name="x", kind="oracle"),
            "kind 'oracle'; known: drift, ensemble, gaussian, halfspace, relation, robust, seasonal",
        ),
        (DetectorSpec(name="x", kind="gaussian", parameters={"speed": 1}), "detector x of kind gaussian: .*speed"),
    ],
)
def test_a_wrong_configuration_is_named(spec: DetectorSpec, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        catalogue([spec])
