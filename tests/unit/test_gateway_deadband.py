"""Absolute deadband and swinging door: what always passes, and the bound of the error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.normalise import TagTable
from edge.pipeline import Thinning
from stages.thinning.deadband import AbsoluteDeadband, Batch, SwingingDoor, rounds
from tests.integration.gateway_support import tag

pytestmark = pytest.mark.unit
S = 1_000_000


def batch(rows: list[tuple[int, int, float, int]]) -> Batch:
    slot, time_us, value, quality = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Batch(
        np.array(slot, dtype=np.intp), np.array(time_us, dtype=np.int64), np.array(value), np.array(quality, np.uint16)
    )


def kept(result: Batch) -> list[tuple[int, float]]:
    return list(zip(result.slot.tolist(), result.value.tolist(), strict=True))


def test_rounds_are_the_kth_samples_of_all_slots() -> None:
    assert [r.tolist() for r in rounds(np.array([3, 1, 3, 3, 1]))] == [[1, 0], [4, 2], [3]]
    assert list(rounds(np.array([], dtype=np.intp))) == []


def test_deadband_compares_with_the_last_kept_sample() -> None:
    band = AbsoluteDeadband(np.array([1.0, 0.0]))
    first = band.apply(batch([(0, 1, 10.0, 0), (0, 2, 10.6, 0), (1, 2, 5.0, 0), (0, 3, 11.2, 0), (1, 3, 5.0, 0)]))
    assert kept(first) == [(0, 10.0), (1, 5.0), (0, 11.2), (1, 5.0)]
    assert kept(band.apply(batch([(0, 4, 10.3, 0), (0, 5, 10.1, 0)]))) == [(0, 10.1)]


@pytest.mark.parametrize("stage", [AbsoluteDeadband, SwingingDoor])
def test_quality_change_and_silence_always_pass(stage: type[AbsoluteDeadband | SwingingDoor]) -> None:
    thin = stage(np.array([1.0]), max_silence_us=10 * S)
    rows = [(0, 0, 1.0, 0), (0, 1 * S, 1.0, 0x8000), (0, 2 * S, 1.0, 0x8000), (0, 11 * S, 1.0, 0x8000)]
    result = thin.apply(batch(rows))
    assert [(t, q) for t, q in zip(result.time_us.tolist(), result.quality.tolist(), strict=True)] == [
        (0, 0),
        (1 * S, 0x8000),
        (11 * S, 0x8000),
    ]


@pytest.mark.parametrize("stage", [AbsoluteDeadband, SwingingDoor])
def test_values_that_are_not_finite_pass(stage: type[AbsoluteDeadband | SwingingDoor]) -> None:
    thin = stage(np.array([1.0]))
    result = thin.apply(batch([(0, 0, 1.0, 0), (0, 1, np.nan, 0), (0, 2, np.nan, 0), (0, 3, 1.0, 0)]))
    assert len(result.slot) == 4


def test_swinging_door_keeps_the_corners_of_a_ramp() -> None:
    door = SwingingDoor(np.array([0.01]))
    up = [(0, t * S, float(t), 0) for t in range(10)]
    down = [(0, t * S, float(18 - t), 0) for t in range(10, 19)]
    result = door.apply(batch(up + down))
    assert kept(result) == [(0, 0.0), (0, 9.0)]
    last = door.flush(100 * S)
    assert last is not None
    assert kept(last) == [(0, 0.0)]
    assert door.flush(100 * S) is None


def test_each_tag_is_reported_in_its_own_way() -> None:
    table = TagTable(1, [
        tag(1, "a:1", deadband_percent=2.0, eu_low=0.0, eu_high=50.0), tag(2, "a:2", deadband=1.0, swinging_door=True),
        tag(3, "a:3", deadband=1.0, max_silence_s=2.0), tag(4, "a:4"),
    ])  # fmt: skip
    reporting = Thinning(swinging_door=False, max_silence_s=60.0).make(table)
    rows = [(slot, t * S, 10.0 + 0.9 * t, 0) for t in range(5) for slot in range(4)]
    found = kept(reporting.apply(batch(rows)))
    values = {slot: [round(value, 1) for at, value in found if at == slot] for slot in range(4)}
    assert values == {0: [10.0, 11.8, 13.6], 1: [10.0], 2: [10.0, 11.8, 13.6], 3: [10.0, 10.9, 11.8, 12.7, 13.6]}
    last = reporting.flush(100 * S)
    assert last is not None
    assert [(slot, round(value, 1)) for slot, value in kept(last)] == [(1, 13.6)]
    still = [(slot, t * S, 13.6, 0) for t in range(5, 10) for slot in (0, 2)]
    assert [slot for slot, _ in kept(reporting.apply(batch(still)))] == [2, 2], "every two seconds, and every minute"


samples = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 5), st.floats(-100, 100), st.sampled_from([0, 0, 0, 0x4000])),
    max_size=80,
)


def timeline(steps: list[tuple[int, int, float, int]]) -> list[tuple[int, int, float, int]]:
    now, rows = 0, []
    for slot, step, value, quality in steps:
        now += step * S
        rows.append((slot, now, value, quality))
    return rows


@given(samples, st.integers(1, 10))
def test_result_does_not_depend_on_how_samples_are_batched(steps: list[tuple[int, int, float, int]], size: int) -> None:
    rows = timeline(steps)
    for stage in (AbsoluteDeadband, SwingingDoor):
        whole, parts = stage(np.array([5.0, 0.0, 20.0])), stage(np.array([5.0, 0.0, 20.0]))
        once = sorted(_rows(whole.apply(batch(rows))))
        pieces = [row for i in range(0, len(rows), size) for row in _rows(parts.apply(batch(rows[i : i + size])))]
        assert sorted(pieces) == once


@given(samples)
def test_error_stays_within_the_band(steps: list[tuple[int, int, float, int]]) -> None:
    rows = [row for row in timeline(steps) if row[0] == 0]
    rows = [(slot, time_us, value, 0) for slot, time_us, value, _ in rows]
    door, band = SwingingDoor(np.array([5.0])), AbsoluteDeadband(np.array([5.0]))
    corners = _rows(door.apply(batch(rows)))
    rest = door.flush(1 << 60)
    corners += [] if rest is None else _rows(rest)
    steps_kept = _rows(band.apply(batch(rows)))
    for _, time_us, value, _ in rows:
        line = np.interp(time_us, [t for _, t, _, _ in corners], [v for _, _, v, _ in corners])
        assert abs(line - value) <= 5.0 + 1e-9
        before = [v for _, t, v, _ in steps_kept if t <= time_us][-1]
        assert abs(before - value) <= 5.0


def _rows(result: Batch) -> list[tuple[int, int, float, int]]:
    return list(zip(*(column.tolist() for column in result), strict=True))
