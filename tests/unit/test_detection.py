"""Detection on whole lanes: quiet machines stay quiet, faults open one episode, broken detectors cost nothing but themselves."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas import topics
from schemas.definitions import TagDefinition
from stages.config import DetectionConfig, DetectorSpec, TelemetryConfig, WindowConfig
from stages.detection import feature_map, kinds
from stages.detection.device import DeviceWatch
from stages.detection.episodes import EpisodeConfig, EpisodeTracker
from stages.detection.kinds import make
from stages.detection.protocol import Features, Subject
from stages.detection.threshold import AdaptiveThreshold, ThresholdConfig
from tests.golden.support import Driver, make_frame, records, tag, us
from tests.unit.watched import work

EXECUTE, HELD = 6, 11


# --- one machine, window by window ----------------------------------------------------------------------------------------


class Machine:
    """A machine that works, stops now and then, and warms up again: speed, power, vibration and two temperatures.

    Windows of 10 s with 20 samples. Same physics for everybody: first-order lags and Gaussian noise.
    """

    IDLE = np.array([0.0, 4.0, 0.3, 24.0, 23.0])
    RUNNING = np.array([60.0, 45.0, 3.2, 52.0, 58.0])
    TAU_S = np.array([2.0, 0.5, 1.0, 300.0, 240.0])
    NOISE = np.array([0.1, 0.4, 0.04, 0.05, 0.05])
    LOW, HIGH = np.array([-10.0, 0.0, 0.0, 10.0, 10.0]), np.array([90.0, 90.0, 12.0, 75.0, 85.0])

    def __init__(self, seed: int) -> None:
        self.chance = np.random.default_rng(seed)
        self.value = self.RUNNING.copy()
        self.mode = EXECUTE
        self.left_s = self.chance.exponential(1800.0)
        self.watch = self._watch()
        self.messages: list[tuple[int, bytes]] = []
        self.number = 0
        self.fault_windows = 0

    def _watch(self) -> DeviceWatch:
        subject = Subject(
            device_id=1,
            window_s=10,
            tag_id=np.arange(5, dtype=np.int32),
            normal_low=self.LOW,
            normal_high=self.HIGH,
            seed=1,
        )
        detectors = {10: (subject, make(DetectorSpec(name="default", kind="ensemble"), subject))}
        episodes = EpisodeTracker(1, "default", 1, EpisodeConfig(), AdaptiveThreshold(ThresholdConfig()))
        return DeviceWatch(1, detectors, episodes, has_context=True)

    def run(self, hours: float, fault: Any = None) -> list[dict[str, Any]]:
        """Anomaly records of the next hours; `fault(second, samples)` changes a second's measured values."""
        from schemas import codec

        found = []
        for _ in range(int(hours * 360)):
            found += self._window(fault)
        return [codec.decode(message, "Anomaly")[1] for message in found]

    def _window(self, fault: Any) -> list[bytes]:
        start_us = self.number * 10_000_000
        samples = np.empty((20, 5))
        for second in range(10):
            before = self.value
            self._step(1.0, start_us + second * 1_000_000)
            samples[2 * second] = 0.5 * (before + self.value)
            samples[2 * second + 1] = self.value
        samples += self.chance.normal(0.0, self.NOISE, (20, 5))
        if fault is not None:
            samples = fault(self, samples)
        features = Features(
            start_us=start_us,
            end_us=start_us + 10_000_000,
            count=np.full(5, 20, dtype=np.int64),
            mean=samples.mean(0),
            variance=samples.var(0, ddof=1),
            low=samples.min(0),
            high=samples.max(0),
            trend=samples[-1] - samples[0],
        )
        self.number += 1
        self.watch.context(str(self.mode), start_us)
        messages = work(self.watch, features.start_us + 1_000_000)
        self.watch.put(10, features, features.end_us)
        return messages

    def _step(self, dt_s: float, time_us: int) -> None:
        self.left_s -= dt_s
        if self.left_s <= 0:
            running = self.mode == EXECUTE
            self.mode = HELD if running else EXECUTE
            long = self.chance.random() < 0.1
            self.left_s = self.chance.uniform(300, 700) if long else self.chance.uniform(8, 60)
            self.left_s = self.left_s if running else self.chance.exponential(1800.0)
            self.watch.context(str(self.mode), time_us)
        target = self.RUNNING if self.mode == EXECUTE else self.IDLE
        self.value = target + (self.value - target) * np.exp(-dt_s / self.TAU_S)

    def until_running(self, for_s: float) -> None:
        """Let it run until it has worked for a while and will go on."""
        while not (self.mode == EXECUTE and self.left_s > 1200):
            self._window(None)
        for _ in range(int(for_s / 10)):
            self._window(None)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_normal_machine_makes_less_than_one_false_episode_a_day(seed: int) -> None:
    machine = Machine(seed)
    found = machine.run(24.0)
    assert machine.watch.disabled == ""
    assert Counter(record["phase"] for record in found)["OPEN"] <= 1


def drift(tag_index: int, per_window: float) -> Any:
    def fault(machine: Machine, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        machine.fault_windows += 1
        samples[:, tag_index] += per_window * (machine.fault_windows - 1 + np.arange(20) / 20)
        return samples

    return fault


def spike(tag_index: int, size: float) -> Any:
    def fault(machine: Machine, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        samples[machine.chance.integers(0, 20), tag_index] += size
        return samples

    return fault


def noise(tag_index: int, deviation: float) -> Any:
    def fault(machine: Machine, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        samples[:, tag_index] += machine.chance.normal(0.0, deviation, 20)
        return samples

    return fault


def stuck(tag_index: int) -> Any:
    def fault(machine: Machine, samples: NDArray[np.float64]) -> NDArray[np.float64]:
        samples[:, tag_index] = samples[0, tag_index]
        return samples

    return fault


FAULTS = {
    "drift of power": (1, drift(1, 2.0)),
    "drift of temperature": (3, drift(3, 3.0)),
    "spikes of vibration": (2, spike(2, 4.8)),
    "spikes of temperature": (4, spike(4, 10.0)),
    "noise of vibration": (2, noise(2, 0.6)),
    "noise of temperature": (3, noise(3, 1.0)),
    "stuck temperature": (4, stuck(4)),
    "stuck power": (1, stuck(1)),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_one_episode_that_names_its_tag(name: str) -> None:
    tag_id, fault = FAULTS[name]
    machine = Machine(7)
    machine.run(3.0)
    machine.until_running(200.0)
    began_us = machine.number * 10_000_000
    found = machine.run(120 / 3600, fault) + machine.run(0.2)
    opened = [record for record in found if record["phase"] == "OPEN"]
    assert len(opened) == 1
    assert 0 <= opened[0]["start_us"] - began_us <= 60_000_000
    assert opened[0]["contributors"][0]["tag_id"] == tag_id
    assert [record["phase"] for record in found][-1] == "CLOSE"
    close = found[-1]
    assert close["end_us"] - began_us <= 240_000_000


# --- a lane ---------------------------------------------------------------------------------------------------------------

BRISK = DetectionConfig(
    detectors=(
        DetectorSpec(name="default", kind="ensemble", parameters={"grace_s": 40.0, "grace_windows": 20, "window": 30}),
    ),
)
LANE_TAGS = [
    tag(1, 1, eu_low=0.0, eu_high=100.0),
    tag(2, 1, eu_low=0.0, eu_high=100.0),
    tag(3, 2, eu_low=0.0, eu_high=100.0),
    tag(4, 1, data_type="INTEGER", name="packml_state", windows_s=(60,)),
]


def config(detection: DetectionConfig = BRISK) -> TelemetryConfig:
    return TelemetryConfig(detection=detection, windows=WindowConfig(close_delay_s=0.0))


def feed(
    driver: Driver, first: int, last: int, fault: float = 0.0, *, stream: str = "LIVE", seed: int = 5
) -> list[dict[str, Any]]:
    """Seconds first..last of 10 Hz data of three tags; a fault is added to tag 2. Returns the Anomaly records."""
    chance = np.random.default_rng(seed + first)
    before = len(driver.outputs)
    for second in range(first, last):
        rows: list[tuple[float, ...]] = []
        for step in range(10):
            at = round(second + step / 10, 1)
            rows += [
                (1, at, 50 + chance.normal(0, 1)),
                (2, at, 30 + fault + chance.normal(0, 1)),
                (3, at, chance.normal(0, 1)),
            ]
        rows.append((4, second + 0.05, float(EXECUTE)))
        driver.frame(make_frame(rows, second, stream=stream, closed_s=second + 1.0))
        driver.timer(second + 1.0)
    return records(driver.outputs[before:], topics.ANOMALIES)


def test_a_fault_on_a_lane_opens_and_closes_one_episode_of_its_device() -> None:
    driver = Driver(LANE_TAGS, config())
    assert not feed(driver, 0, 200)
    found = feed(driver, 200, 230, fault=25.0) + feed(driver, 230, 330)
    assert [record["phase"] for record in found if record["phase"] != "UPDATE"] == ["OPEN", "CLOSE"]
    assert {record["device_id"] for record in found} == {1}
    opened = found[0]
    assert opened["start_us"] == us(200.0)
    first = opened["contributors"][0]
    assert first["tag_id"] == 2
    assert first["expected_low"] < 30 < first["expected_high"] < first["value"]
    assert (opened["detector"], opened["detector_version"]) == ("default", 2)
    keys = {output.key for output in driver.outputs if output.topic == topics.ANOMALIES.name}
    assert keys == {b"1"}


def test_a_silent_device_ends_its_episode_by_processing_time() -> None:
    driver = Driver(LANE_TAGS, config())
    feed(driver, 0, 200)
    assert [record["phase"] for record in feed(driver, 200, 205, fault=25.0)] == ["OPEN"]
    before = len(driver.outputs)
    for now in range(210, 400, 5):
        driver.timer(float(now))
    (close,) = records(driver.outputs[before:], topics.ANOMALIES)
    assert close["phase"] == "CLOSE"
    assert us(203.0) <= close["end_us"] <= us(206.0)


def test_a_backlog_raises_no_alarm() -> None:
    driver = Driver(LANE_TAGS, config())
    feed(driver, 0, 200)
    assert not feed(driver, 200, 230, fault=60.0, stream="BACKFILL")


def test_restored_from_its_state_detection_goes_on_exactly() -> None:
    detection = DetectionConfig(detectors=BRISK.detectors, snapshot_interval_s=0.0)
    straight, crashing = Driver(LANE_TAGS, config(detection)), Driver(LANE_TAGS, config(detection))
    for driver in (straight, crashing):
        for first in range(0, 240, 20):
            feed(driver, first, first + 20, fault=25.0 if 180 <= first < 200 else 0.0)
            if driver is crashing:
                driver.crash()
    assert crashing.outputs == straight.outputs
    assert records(straight.outputs, topics.ANOMALIES)


def test_after_a_crash_learning_is_lost_for_no_longer_than_the_interval() -> None:
    detection = DetectionConfig(detectors=BRISK.detectors, snapshot_interval_s=20.0)
    driver = Driver(LANE_TAGS, config(detection))
    feed(driver, 0, 150)
    driver.crash()
    feed(driver, 150, 160)
    assert next(record["phase"] for record in feed(driver, 160, 170, fault=25.0)) == "OPEN", "no new grace period"


def test_snapshots_are_staggered_and_keep_to_their_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: Counter[float] = Counter()
    driver = Driver(
        [tag(number, number, eu_low=0.0, eu_high=1.0) for number in range(1, 41)],
        config(DetectionConfig(snapshot_interval_s=10.0, snapshot_budget_ms=1.0)),
    )
    whole = DeviceWatch.snapshot

    def counted(self: DeviceWatch, window_s: int) -> bytes | None:
        taken[driver.now_s] += 1
        return whole(self, window_s)

    monkeypatch.setattr(DeviceWatch, "snapshot", counted)
    for step in range(160):
        at = step / 4
        driver.frame(make_frame([(number, at, math.sin(at)) for number in range(1, 41)], step))
        driver.timer(at + 0.1)
    assert max(taken.values()) <= 2
    assert len(taken) >= 20
    names = [name for name in driver.state["gw-north/0"] if name.startswith("detector/")]
    assert len(names) == 40


class Broken:
    """A detector that works for a while."""

    version = 1

    def __init__(self, subject: Subject, *, after: int = 0, **_: Any) -> None:
        self.left = after
        self.inner = kinds.KINDS["gaussian"](subject)

    def score(self, features: Features) -> Any:
        self.left -= 1
        if self.left < 0:
            msg = "numerical disaster"
            raise FloatingPointError(msg)
        return self.inner.score(features)

    def learn(self, features: Features) -> None:
        self.inner.learn(features)

    def snapshot(self) -> bytes:
        return b""

    def restore(self, data: bytes) -> None: ...


def test_a_detector_that_raises_is_disabled_for_its_device_and_nothing_else_happens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(kinds.KINDS, "broken", Broken)
    specs = (*BRISK.detectors, DetectorSpec(name="fragile", kind="broken", parameters={"after": 30}))
    tags: list[TagDefinition] = [
        tag(1, 1, eu_low=0.0, eu_high=100.0),
        tag(2, 1, eu_low=0.0, eu_high=100.0),
        tag(3, 2, eu_low=0.0, eu_high=100.0, detector="fragile"),
        LANE_TAGS[3],
    ]
    driver = Driver(tags, config(DetectionConfig(detectors=specs)))
    feed(driver, 0, 200)
    found = feed(driver, 200, 210, fault=25.0)
    assert {record["device_id"] for record in found} == {1}
    assert driver.logic.counters["detectors_disabled"] == 1
    assert driver.logic.counters["failures"] == 0
    assert [record.message for record in caplog.records] == ["detector disabled"]


def test_devices_without_a_detector_are_not_watched() -> None:
    driver = Driver([tag(1, eu_low=0.0, eu_high=1.0, detector="")], config())
    for second in range(60):
        driver.frame(make_frame([(1, second + step / 10, float(step % 3)) for step in range(10)], second))
        driver.timer(second + 1.0)
    assert not [name for name in driver.state["gw-north/0"] if name.startswith("detector/")]


def test_an_unknown_detector_falls_back_to_the_default() -> None:
    driver = Driver(
        [tag(1, eu_low=0.0, eu_high=1.0, detector="no such")], config(DetectionConfig(snapshot_interval_s=0.0))
    )
    for second in range(5):
        driver.frame(make_frame([(1, second + step / 10, float(step % 3)) for step in range(10)], second))
    assert "detector/1/1" in driver.state["gw-north/0"]


def test_a_device_whose_tags_change_starts_to_learn_anew_and_closes_its_episode() -> None:
    driver = Driver(LANE_TAGS, config(DetectionConfig(detectors=BRISK.detectors, snapshot_interval_s=0.0)))
    feed(driver, 0, 200)
    assert feed(driver, 200, 205, fault=25.0)[0]["phase"] == "OPEN"
    driver.publish([tag(9, 1, eu_low=0.0, eu_high=1.0)], 2)
    before = len(driver.outputs)
    driver.timer(206.0)
    (close,) = records(driver.outputs[before:], topics.ANOMALIES)
    assert close["phase"] == "CLOSE"


def test_detection_state_of_a_device_is_bounded() -> None:
    wide = [tag(number, 1, eu_low=0.0, eu_high=1.0) for number in range(1, 201)]
    driver = Driver(wide, config(DetectionConfig(snapshot_interval_s=0.0)))
    for second in range(40):
        driver.frame(
            make_frame([(number, second + step / 4, step / 4) for number in range(1, 201) for step in range(4)], second)
        )
    sizes = {
        name: len(part) for name, part in driver.state["gw-north/0"].items() if name.startswith(("detector", "watches"))
    }
    assert sizes["detector/1/1"] < 64 * 1024
    assert feature_map.MAX_TAGS == 64


@pytest.mark.parametrize("kind", sorted(kinds.KINDS))
def test_a_detector_of_the_most_tags_there_can_be_is_bounded(kind: str) -> None:
    """`docs/detection.md`: 64 tags take 2 to 140 KB, and with `seasonal`, which keeps two profiles of each, 250 KB."""
    tags = feature_map.MAX_TAGS
    unknown = np.full(tags, np.nan)
    subject = Subject(
        device_id=1,
        window_s=1,
        tag_id=np.arange(tags, dtype=np.int32),
        normal_low=unknown,
        normal_high=unknown,
        seed=1,
    )
    detector, chance = kinds.KINDS[kind](subject), np.random.default_rng(1)
    sizes = []
    for number in range(400):
        mean = chance.normal(0.0, 1.0, tags)
        features = Features(
            start_us=number * 1_000_000,
            end_us=(number + 1) * 1_000_000,
            count=np.full(tags, 10, dtype=np.int64),
            mean=mean,
            variance=np.ones(tags),
            low=mean - 2.0,
            high=mean + 2.0,
            trend=np.zeros(tags),
        )
        detector.score(features)
        detector.learn(features)
        if number >= 300:
            sizes.append(len(detector.snapshot()))
    assert max(sizes) < {"seasonal": 256, "drift": 140}.get(kind, 64) * 1024
