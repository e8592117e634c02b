"""Windows: the algebra of partials, and final windows against a plain oracle whatever happens to the frames."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas import quality, topics
from schemas.frame import Frame
from stages.config import DetectionConfig, TelemetryConfig, WindowConfig
from stages.windows import algebra
from stages.windows.algebra import Runs, empty, merge, summarise
from tests.golden.support import (
    Driver,
    Sample,
    Window,
    WindowKey,
    assert_windows_equal,
    emissions,
    final_windows,
    make_frame,
    oracle,
    records,
    tag,
    verdicts,
)

PATIENT = TelemetryConfig(
    detection=DetectionConfig(enabled=False), windows=WindowConfig(lateness_s=100_000.0, close_delay_s=0.0)
)
WINDOWS = {1: (1, 10), 2: (1,), 3: (10,), 4: ()}
TAGS = [tag(number, device_id=1 + number // 3, windows_s=sizes) for number, sizes in WINDOWS.items()]

values = st.one_of(
    st.floats(min_value=-1e6, max_value=1e6, allow_subnormal=False),
    st.sampled_from([0.0, 1.0, 1.0, 7.5]),
)
samples = st.builds(
    Sample,
    tag_id=st.sampled_from(sorted(WINDOWS)),
    time_s=st.integers(min_value=0, max_value=250).map(lambda tenths: tenths / 10),
    value=values,
    quality=st.sampled_from([quality.GOOD] * 6 + [quality.UNCERTAIN, quality.BAD_SENSOR_FAILURE]),
)


# --- algebra --------------------------------------------------------------------------------------------------------------


def part(rows: list[tuple[int, float, int]]) -> NDArray[np.int64]:
    """Partial of one window of (time, value, rank)."""
    rows = sorted(rows, key=lambda row: (row[0], row[2]))
    return summarise(
        Runs(
            starts=np.zeros(1, dtype=np.intp),
            counts=np.array([len(rows)], dtype=np.intp),
            time_us=np.array([row[0] for row in rows], dtype=np.int64),
            value=np.array([row[1] for row in rows]),
            rank=np.array([row[2] for row in rows], dtype=np.int64),
            good=None,
        )
    )


def merged(*parts: NDArray[np.int64]) -> NDArray[np.int64]:
    into = empty(1)
    for each in parts:
        merge(into, each)
    return into


def same(left: NDArray[np.int64], right: NDArray[np.int64], scale: float) -> None:
    inexact = [algebra.MEAN, algebra.M2]
    exact = [row for row in range(algebra.ROWS) if row not in inexact]
    assert left[exact].tolist() == right[exact].tolist()
    tolerance = np.array([scale, scale * scale * left[algebra.COUNT, 0]]) * 1e-9
    assert (np.abs(left.view(np.float64)[inexact, 0] - right.view(np.float64)[inexact, 0]) <= tolerance).all()


rows_strategy = st.lists(
    st.tuples(st.integers(0, 20), st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda v: v + 0.0)),
    min_size=3,
    max_size=40,
)


@given(rows_strategy, st.randoms(use_true_random=False))
def test_merging_is_associative_and_commutative(pairs: list[tuple[int, float]], chance: random.Random) -> None:
    rows = [(time, value, rank) for rank, (time, value) in enumerate(pairs)]
    scale = max(1e-3, *(abs(value) for _, value in pairs))
    whole = part(rows)
    chance.shuffle(rows)
    cut, cut2 = sorted(chance.sample(range(1, len(rows)), 2)) if len(rows) > 2 else (1, 1)
    a, b, c = part(rows[:cut]), part(rows[cut:cut2] or rows[:cut]), part(rows[cut2:])
    if cut == cut2:
        return
    same(merged(a, b, c), whole, scale)
    same(merged(c, a, b), whole, scale)
    same(merged(a, merged(b, c)), merged(merged(a, b), c), scale)


def test_merging_nothing_changes_nothing() -> None:
    known = part([(1, 5.0, 1), (2, 7.0, 2)])
    same(merged(known, empty(1)), known, 7.0)
    same(merged(empty(1), known), known, 7.0)


def test_variance_is_stable_far_from_zero() -> None:
    rows = [(at, 1e9 + at % 2, at) for at in range(1000)]
    into = merged(*(part(rows[start : start + 7]) for start in range(0, 1000, 7)))
    assert into.view(np.float64)[algebra.M2, 0] == pytest.approx(250.0, rel=1e-6)


# --- against the oracle ---------------------------------------------------------------------------------------------------


def split(rows: list[Sample], chance: random.Random) -> list[Frame]:
    """Consecutive frames of samples in this order."""
    frames: list[Frame] = []
    at = 0
    while at < len(rows):
        size = chance.randint(1, 12)
        frames.append(make_frame(rows[at : at + size], len(frames), closed_s=30.0))
        at += size
    return frames


def run(frames: list[Frame], *, crashing: bool = False) -> dict[WindowKey, Window]:
    driver = Driver(TAGS, PATIENT, crashing=crashing)
    for each in frames:
        driver.frame(each)
    driver.flush()
    assert all(name in {"GOOD", "DEGRADED_QUALITY"} for name in verdicts(driver.outputs))
    return final_windows(driver.outputs)


@settings(max_examples=150, deadline=None)
@given(st.lists(samples, min_size=1, max_size=80), st.randoms(use_true_random=False))
def test_any_order_duplication_and_split_gives_the_oracles_windows(rows: list[Sample], chance: random.Random) -> None:
    frames = split(rows, chance)
    expected = oracle(frames, WINDOWS)
    assert_windows_equal(run(frames), expected)
    shuffled = frames + chance.sample(frames, len(frames) // 2)
    chance.shuffle(shuffled)
    assert_windows_equal(run(shuffled, crashing=chance.random() < 0.3), expected)
    chance.shuffle(rows)
    again = split(rows, chance)
    final = run(again)
    assert_windows_equal(final, oracle(again, WINDOWS))
    assert {key: row.count for key, row in final.items()} == {key: row.count for key, row in expected.items()}


# --- clocks ---------------------------------------------------------------------------------------------------------------


def test_a_window_is_emitted_when_its_devices_clock_has_passed_its_end() -> None:
    driver = Driver([tag(1), tag(2)])
    driver.frame(make_frame([(1, 0.1, 1.0), (2, 0.5, 2.0)], 0))
    assert not emissions(driver.outputs)
    driver.frame(make_frame([(1, 1.1, 3.0)], 1))
    assert not emissions(driver.outputs), "one frame's delay for tags that are published a little later"
    driver.frame(make_frame([(1, 1.2, 3.0)], 2))
    assert {key for key, _ in emissions(driver.outputs)} == {(1, 1, 0.0), (2, 1, 0.0)}


def test_one_devices_wrong_clock_changes_nobody_elses_windows() -> None:
    def run_with(offset_s: float) -> dict[WindowKey, Window]:
        driver = Driver([tag(1, 1), tag(2, 2)])
        for second in range(30):
            at = second + 0.5
            driver.frame(make_frame([(1, at, second), (2, at + offset_s, second)], second, closed_s=at + 0.1))
        driver.flush()
        return {key: row for key, row in final_windows(driver.outputs).items() if key[0] == 1}

    assert run_with(0.0) == run_with(-1800.0) == run_with(4.9) == run_with(1800.0)


@given(
    st.lists(st.tuples(st.sampled_from([1, 2, 3]), st.integers(0, 200), values), min_size=1, max_size=60),
    st.lists(st.integers(-20_000, 20_000), min_size=1, max_size=20),
    st.randoms(use_true_random=False),
)
def test_whatever_a_clock_says_the_other_devices_windows_stay(
    rows: list[tuple[int, int, float]], clock: list[int], chance: random.Random
) -> None:
    """Device 4 jumps to any time with every frame, and may or may not send at all: nobody else's rows differ, nor their order."""
    sound = [Sample(tag_id, tenths / 10, value) for tag_id, tenths, value in rows]
    frames = [sound[at : at + 3] for at in range(0, len(sound), 3)]
    wild = [[Sample(4, second / 10, 1.0) for second in chance.sample(clock, 1)] for _ in frames]

    def emitted(parts: list[list[Sample]]) -> list[tuple[WindowKey, Window]]:
        driver = Driver([tag(number, number, windows_s=(1, 5)) for number in (1, 2, 3, 4)])
        for sequence, samples_of_frame in enumerate(parts):
            driver.frame(make_frame(samples_of_frame, sequence, closed_s=21.0))
        driver.flush()
        return sorted((key, row) for key, row in emissions(driver.outputs) if key[0] != 4)

    assert emitted([[*one, *other] for one, other in zip(frames, wild, strict=True)]) == emitted(frames)


def test_late_samples_restate_with_more_samples_and_then_are_flagged() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.5, 1.0)], 0))
    driver.frame(make_frame([(1, 5.5, 1.0)], 1))
    driver.frame(make_frame([(1, 0.6, 2.0)], 2, closed_s=6.0))
    rows = [row for key, row in emissions(driver.outputs) if key == (1, 1, 0.0)]
    assert [row.count for row in rows] == [1, 2]
    driver.frame(make_frame([(1, 11.1, 1.0)], 3))
    driver.frame(make_frame([(1, 0.7, 3.0)], 4, closed_s=12.0))
    assert verdicts(driver.outputs)[-1] == "GOOD+LATE"
    driver.flush()
    assert final_windows(driver.outputs)[1, 1, 0.0].count == 2


def test_lateness_is_judged_against_the_clock_before_the_frame() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, float(second), 1.0) for second in range(100)], 0))
    assert set(verdicts(driver.outputs)) == {"GOOD"}
    driver.flush()
    assert len(final_windows(driver.outputs)) == 100


def test_lateness_can_differ_by_window_length() -> None:
    config = TelemetryConfig(
        detection=DetectionConfig(enabled=False),
        windows=WindowConfig(lateness_s=1.0, lateness_by_window_s={"10": 60.0}),
    )
    driver = Driver([tag(1, windows_s=(1, 10))], config)
    driver.frame(make_frame([(1, 0.5, 1.0)], 0))
    driver.frame(make_frame([(1, 30.0, 1.0)], 1))
    driver.frame(make_frame([(1, 0.6, 1.0)], 2, closed_s=30.1))
    driver.flush()
    assert verdicts(driver.outputs)[-1] == "GOOD+LATE"
    final = final_windows(driver.outputs)
    assert final[1, 1, 0.0].count == 1
    assert final[1, 10, 0.0].count == 2


def test_a_silent_device_is_closed_by_processing_time_and_restated_when_it_returns() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.5, 1.0)], 0))
    driver.timer(9.0)
    assert not emissions(driver.outputs)
    driver.timer(12.0)
    assert [row.count for _, row in emissions(driver.outputs)] == [1]
    driver.timer(100.0)
    assert len(emissions(driver.outputs)) == 1
    driver.frame(make_frame([(1, 0.9, 1.0)], 1, closed_s=100.0))
    driver.timer(120.0)
    assert [row.count for _, row in emissions(driver.outputs)] == [1, 2]


def test_a_long_silent_device_leaves_no_state_and_its_windows_stay_exact() -> None:
    driver = Driver([tag(1), tag(2, 2)])
    driver.frame(make_frame([(1, 0.5, 1.0), (2, 0.5, 1.0)], 0))
    driver.timer(1.0)
    for now in range(2, 700, 10):
        driver.timer(float(now))
    assert not [name for name in driver.state[driver.logic.lane_keys()[0]] if name.startswith("window")]
    driver.frame(make_frame([(1, 0.6, 1.0)], 1, closed_s=700.0))
    assert verdicts(driver.outputs)[-1] == "GOOD+LATE", "folding it would emit a window with fewer samples than before"
    driver.frame(make_frame([(1, 700.6, 1.0)], 2))
    driver.flush()
    assert {key: row.count for key, row in final_windows(driver.outputs).items()} == {
        (1, 1, 0.0): 1,
        (2, 1, 0.0): 1,
        (1, 1, 700.0): 1,
    }


def test_state_of_windows_is_bounded() -> None:
    driver = Driver([tag(1, windows_s=(1, 10))])
    for second in range(300):
        driver.frame(make_frame([(1, second + 0.1, 1.0), (1, second + 0.6, 1.0)], second))
    blocks = [name for name in driver.state[driver.logic.lane_keys()[0]] if name.startswith("window")]
    assert len(blocks) <= 14 + 3


def test_backfill_and_replay_are_not_folded() -> None:
    driver = Driver([tag(1)])
    driver.frame(make_frame([(1, 0.5, 1.0)], 0, stream="BACKFILL"))
    driver.frame(make_frame([(1, 0.5, 1.0)], 0, stream="REPLAY"))
    driver.flush()
    assert verdicts(driver.outputs) == ["GOOD", "GOOD"]
    assert not records(driver.outputs, topics.AGGREGATES)
