"""A lane that is behind validators several frames at a time: what comes out is what frames one after the other give."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import quality, topics
from schemas.definitions import TagDefinition
from schemas.frame import Frame
from stages.config import CatchUpConfig, DetectionConfig, TelemetryConfig, WindowConfig
from stages.intake.micro_batch import Arrived
from stages.outputs import Output
from stages.telemetry.lane import Lane
from stages.telemetry.logic import MicroBatchError
from stages.validation.tag_history import TagHistory
from stages.windows.device_clocks import DeviceClocks
from tests.golden.support import (
    QUIET,
    Driver,
    Sample,
    assert_windows_equal,
    final_windows,
    make_frame,
    records,
    tag,
    validated_frames,
    verdicts,
)

BEHIND_S = 3600.0
TOGETHER = replace(QUIET, windows=WindowConfig(lateness_s=2.0, close_delay_s=0.0))
ALONE = replace(TOGETHER, catch_up=CatchUpConfig(max_wait_s=0.0))

TAGS = [
    tag(1, max_rate=2.0, stuck_after_s=2.0, limit_high=8.0),
    tag(2, 2, max_rate=1.0, windows_s=(1, 5)),
    tag(3, 2, stuck_after_s=1.0),
    tag(4, 3, data_type="INTEGER"),
]
CALCULATING = [
    *TAGS,
    tag(5, expression="tag.tag1 + 1", windows_s=(1, 5)),
    tag(6, 2, expression="known.tag3 && tag.tag3 > 1 ? tag.tag2 : -tag.tag2"),
]
samples = st.builds(
    Sample,
    tag_id=st.sampled_from([1, 2, 3, 4, 9]),
    time_s=st.integers(0, 80).map(lambda at: at / 8),
    value=st.sampled_from([0.0, 0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 9.0, math.nan]),
    quality=st.sampled_from([quality.GOOD, quality.GOOD, quality.GOOD, quality.BAD]),
)


def drain(frames: Sequence[Frame], config: TelemetryConfig, tags: Sequence[TagDefinition], crashing: bool) -> Driver:
    """All frames an hour late, ten a second, with a tick behind every third."""
    driver = Driver(tags, config, crashing=crashing)
    for number, each in enumerate(frames):
        now_s = BEHIND_S + number / 10
        driver.frame(each, now_s=now_s)
        if number % 3 == 2:
            driver.timer(now_s + 0.01)
    driver.timer(driver.now_s + 10.0)
    driver.flush()
    return driver


def outcome(driver: Driver) -> dict[str, object]:
    """What must be the same, but for the windows: they may differ in the last bits."""
    return {
        "validated": [(each.stream, each.sequence) for each in validated_frames(driver.outputs)],
        "verdicts": verdicts(driver.outputs),
        "values": [
            repr(column.tolist())
            for each in validated_frames(driver.outputs)
            for column in (each.tag_id, each.time_us, each.value, each.quality)
        ],
        "rejected": [
            (each["reason"], each["sequence"], each["source_offset"], each["detail"], each["position"].tolist())
            for each in records(driver.outputs, topics.REJECTED)
        ],
        "latest": last_values(driver.outputs),
        "clocks": [
            DeviceClocks.from_bytes(parts["clocks"]).clock_us.tolist()
            for parts in driver.state.values()
            if "clocks" in parts
        ],
        "state": {
            name: part
            for parts in driver.state.values()
            for name, part in parts.items()
            if name.partition("/")[0] in ("dedup", "held", "inputs")
        },
        "memory": [remembered(part) for parts in driver.state.values() for part in memories(parts)],
    }


def memories(parts: dict[str, bytes]) -> list[bytes]:
    return [part for name, part in sorted(parts.items()) if name.startswith("memory/")]


def remembered(part: bytes) -> list[int]:
    """Of the one tag that has both checks: what is remembered beside a check that a tag does not have is nobody's business."""
    history = TagHistory.from_bytes(part)
    found: list[int] = history.rows[:, history.tag_id == 1].ravel().tolist()
    return found


def last_values(outputs: Sequence[Output]) -> list[object]:
    batches = records(outputs, topics.LATEST)[-1:]
    return [batch[name].tolist() for batch in batches for name in ("tag_id", "time_us", "quality")]


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(samples, min_size=1, max_size=70),
    chance=st.randoms(use_true_random=False),
    in_order=st.booleans(),
    crashing=st.booleans(),
    tags=st.sampled_from([TAGS, CALCULATING]),
)
def test_frames_together_give_what_they_give_one_by_one(
    rows: list[Sample], chance: random.Random, in_order: bool, crashing: bool, tags: list[TagDefinition]
) -> None:
    if in_order:
        rows.sort(key=lambda row: row.time_s)
    frames: list[Frame] = []
    while rows:
        size = chance.randint(1, 12)
        part, rows = rows[:size], rows[size:]
        closed_s = max(row.time_s for row in part) + chance.choice([0.1, -5.5, 2.0])
        clock = chance.choice(["SYNCHRONISED", "SYNCHRONISED", "SYNCHRONISED", "UNSYNCHRONISED"])
        stream = chance.choice(["LIVE", "LIVE", "LIVE", "BACKFILL"])
        frames.append(make_frame(part, len(frames), closed_s=closed_s, clock=clock, stream=stream))
    if chance.random() < 0.3:
        frames.append(frames[0])
    together = drain(frames, TOGETHER, tags, crashing=crashing and len(frames) < 6)
    alone = drain(frames, ALONE, tags, crashing=False)
    assert outcome(together) == outcome(alone)
    assert_windows_equal(final_windows(together.outputs), final_windows(alone.outputs))


def steady(count: int, *, tag_id: int = 1, period_s: float = 0.2) -> list[Frame]:
    return [make_frame([(tag_id, at * period_s, float(at % 7))], at) for at in range(count)]


def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many frames went together, call by call."""
    seen: list[int] = []
    whole = Lane.process

    def noted(self: Lane, arrived: Sequence[Arrived], now_us: int) -> list[Output]:
        seen.append(len(arrived))
        return whole(self, arrived, now_us)

    monkeypatch.setattr(Lane, "process", noted)
    return seen


def test_a_lane_that_is_behind_waits_for_a_share_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(monkeypatch)
    driver = Driver([tag(1)], QUIET)
    for number, each in enumerate(steady(40)):
        driver.frame(each, now_s=20.0 + number / 5)
        driver.timer(20.0 + number / 5)
    assert set(seen) == {13}, "what came within a tenth of 22 s, and the frame that shows it is over"
    assert len(validated_frames(driver.outputs)) == sum(seen)


def test_a_lane_that_is_not_behind_validates_every_frame_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(monkeypatch)
    driver = Driver([tag(1)], QUIET)
    for each in steady(10):
        driver.frame(each)
    assert seen == [1] * 10


def test_the_first_frame_that_is_not_behind_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(monkeypatch)
    driver = Driver([tag(1)], QUIET)
    frames = steady(6)
    for each in frames[:5]:
        driver.frame(each, now_s=100.0)
    driver.frame(replace(frames[5], closed_time_us=frames[5].closed_time_us + 100_000_000), now_s=100.0)
    assert seen == [5, 1]
    assert [each.sequence for each in validated_frames(driver.outputs)] == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("bounds", "first"),
    [(CatchUpConfig(max_frames=3), 3), (CatchUpConfig(max_samples=4), 4)],
    ids=["frames", "samples"],
)
def test_what_goes_together_is_bounded(monkeypatch: pytest.MonkeyPatch, bounds: CatchUpConfig, first: int) -> None:
    seen = calls(monkeypatch)
    driver = Driver([tag(1)], replace(QUIET, catch_up=bounds))
    for each in steady(12):
        driver.frame(each, now_s=100.0)
    assert seen == [first] * (12 // first)


def test_frames_of_a_gateway_without_a_clock_are_no_backlog(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(monkeypatch)
    driver = Driver([tag(1)], QUIET)
    for each in steady(3):
        driver.frame(each, now_s=50 * 365 * 86_400.0)
    assert seen == [1, 1, 1]


def test_a_change_of_mode_is_seen_frame_by_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = calls(monkeypatch)
    tags = [tag(1, name="packml_state", data_type="INTEGER"), tag(2)]
    driver = Driver(tags, TelemetryConfig(detection=DetectionConfig()))
    frames = [make_frame([(1, at / 5, 6.0 if at < 6 else 2.0), (2, at / 5, 1.0)], at) for at in range(12)]
    for each in frames[:4]:
        driver.frame(each, now_s=100.0)
    driver.timer(101.0)
    driver.timer(110.0)
    assert seen == [4, 1, 1, 1, 1], "the first mode there is"
    for each in frames[4:6]:
        driver.frame(each, now_s=110.0)
    driver.timer(120.0)
    assert seen[5:] == [2], "no change"
    for each in frames[6:]:
        driver.frame(each, now_s=120.0)
    driver.timer(130.0)
    assert seen[6:] == [6, 1, 1, 1, 1, 1, 1]


def test_frames_that_fail_together_are_validated_one_by_one_from_the_state_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Lane.process

    def broken(self: Lane, arrived: Sequence[Arrived], now_us: int) -> list[Output]:
        outputs = whole(self, arrived, now_us)
        if any(each.frame.sequence == 3 for each in arrived):
            msg = "defect"
            raise RuntimeError(msg)
        return outputs

    monkeypatch.setattr(Lane, "process", broken)
    driver = Driver([tag(1)], QUIET)
    for each in steady(6):
        driver.frame(each, now_s=100.0)
    with pytest.raises(MicroBatchError, match="6 frames of lane"):
        driver.timer(110.0)
    driver.restore()
    driver.timer(110.0)
    assert [each.sequence for each in validated_frames(driver.outputs)] == [0, 1, 2, 4, 5]
    (record,) = records(driver.outputs, topics.REJECTED)
    assert (record["reason"], record["sequence"]) == ("PROCESSING_FAILED", 3)
    driver.frame(steady(7)[6], now_s=111.0)
    assert validated_frames(driver.outputs)[-1].sequence == 6, "not gathered any more"
