"""Cadence: windows merged to longer ones are the windows of all their samples, whatever falls where."""

from __future__ import annotations

import numpy as np
import pytest

from base.errors import ConfigError
from schemas import topics
from stages.config import DetectionConfig, DetectorSpec
from stages.detection.cadence import Merger, merge
from stages.detection.device import DeviceWatch
from stages.detection.episodes import EpisodeConfig, EpisodeTracker
from stages.detection.kinds import catalogue, make
from stages.detection.protocol import Features, Subject
from stages.detection.threshold import AdaptiveThreshold, ThresholdConfig
from tests.golden.support import Driver, records
from tests.unit.test_detection import LANE_TAGS, config, feed

S = 1_000_000


def of_samples(start_s: int, samples: list[list[float]]) -> Features:
    """Features of the samples of each tag, as the lane makes them."""
    columns = [np.array(each) for each in samples]
    nan = np.nan
    return Features(
        start_us=start_s * S,
        end_us=(start_s + 1) * S,
        count=np.array([len(each) for each in columns], dtype=np.int64),
        mean=np.array([each.mean() if len(each) else nan for each in columns]),
        variance=np.array([each.var(ddof=1) if len(each) > 1 else 0.0 if len(each) else nan for each in columns]),
        low=np.array([each.min() if len(each) else nan for each in columns]),
        high=np.array([each.max() if len(each) else nan for each in columns]),
        trend=np.array([each[-1] - each[0] if len(each) else nan for each in columns]),
    )


def test_merged_statistics_are_those_of_all_samples() -> None:
    chance = np.random.default_rng(1)
    seconds = [[chance.normal(5.0, 2.0, size).tolist() for size in sizes] for sizes in ((4, 0), (1, 3), (0, 0), (6, 2))]
    merged = merge([of_samples(second, samples) for second, samples in enumerate(seconds)], 10 * S)
    whole = of_samples(0, [[value for second in seconds for value in second[tag]] for tag in range(2)])
    for name in ("count", "mean", "variance", "low", "high"):
        assert getattr(merged, name) == pytest.approx(getattr(whole, name)), name
    assert (merged.start_us, merged.end_us) == (0, 10 * S)


def test_a_tag_without_a_sample_stays_unknown() -> None:
    merged = merge([of_samples(0, [[1.0], []]), of_samples(1, [[3.0], []])], 2 * S)
    assert merged.count.tolist() == [2, 0]
    assert np.isnan(merged.mean[1])
    assert merged.mean[0] == 2.0


def test_windows_are_merged_by_the_clock() -> None:
    merger = Merger(10)
    starts = [17, 18, 19, 20, 25, 31, 47]
    found = [each for start in starts for each in merger.put(of_samples(start, [[float(start)]]))]
    assert [each.start_us // S for each in found] == [10, 20, 30]
    assert [each.count[0] for each in found] == [3, 2, 1]
    assert [each.start_us // S for each in merger.rest()] == [40]
    assert not merger.rest()


def cadenced(**changes: object) -> DetectionConfig:
    spec = DetectorSpec(
        name="default",
        kind="ensemble",
        parameters={"grace_s": 100.0, "grace_windows": 20},
        every=5,
        **changes,  # type: ignore[arg-type]
    )
    return DetectionConfig(detectors=(spec,), snapshot_interval_s=0.0)


def test_a_lane_scores_at_its_cadence_and_goes_on_exactly_after_a_crash() -> None:
    straight, crashing = (Driver(LANE_TAGS, config(cadenced())) for _ in range(2))
    for driver in (straight, crashing):
        for first in range(0, 360, 8):  # not in step with the cadence
            feed(driver, first, first + 8, fault=25.0 if 304 <= first < 328 else 0.0)
            if driver is crashing:
                driver.crash()
    assert crashing.outputs == straight.outputs
    opened = [each for each in records(straight.outputs, topics.ANOMALIES) if each["phase"] == "OPEN"]
    assert len(opened) == 1
    assert opened[0]["start_us"] % (5 * S) == 0
    assert "detector/1/5" in straight.state["gw-north/0"]


def test_the_alarm_rule_is_the_detectors_own() -> None:
    strict = Driver(LANE_TAGS, config(cadenced(threshold=0.99)))
    lenient = Driver(LANE_TAGS, config(cadenced()))
    opened = []
    for driver in (strict, lenient):
        feed(driver, 0, 300)
        opened.append([each["phase"] for each in feed(driver, 300, 320, fault=6.0)][:1])
    assert opened == [[], ["OPEN"]]


@pytest.mark.parametrize(
    "changes", [{"every": 0}, {"threshold": 1.0}, {"threshold": 0.0}, {"hold_off_s": -1.0}, {"hold_off_windows": 0}]
)
def test_numbers_that_make_no_sense_are_named(changes: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"detector x: {next(iter(changes))}"):
        catalogue([DetectorSpec(name="x", kind="gaussian", **changes)])  # type: ignore[arg-type]


def watch_of(tags: int) -> DeviceWatch:
    unknown = np.full(tags, np.nan)
    ids = np.arange(tags, dtype=np.int32)
    subject = Subject(device_id=1, window_s=1, tag_id=ids, normal_low=unknown, normal_high=unknown, seed=1)
    tracker = EpisodeTracker(1, "default", 1, EpisodeConfig(), AdaptiveThreshold(ThresholdConfig()))
    detector = make(DetectorSpec(name="default", kind="ensemble"), subject)
    return DeviceWatch(1, {1: (subject, detector)}, tracker, has_context=True)


def test_waiting_windows_of_other_tags_than_now_are_left_out() -> None:
    """The registry changed between the state and the restart: the windows would fail, and disable the device."""
    before = watch_of(2)
    before.put(1, of_samples(0, [[1.0], [2.0]]), 0)
    same, fewer = watch_of(2), watch_of(1)
    for watch in (same, fewer):
        watch.set_fields(before.fields())
    found = same.next(None)
    assert found is not None
    assert found[1].mean.tolist() == [1.0, 2.0]
    assert fewer.next(None) is None
