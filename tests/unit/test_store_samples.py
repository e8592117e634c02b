"""Columns of a batch and their sums, against the obvious loop."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from historian.samples import Fate, by_tag, columns_of, dirty_ranges, key_sums, minute_ranges, minute_sums
from schemas import checksum
from schemas.frame import Frame, SequenceKey
from schemas.verdicts import LATE_FLAG, VERDICT_MASK, is_reject
from tests.integration.history import T0_US, make_frame, random_frames

MINUTE_US = 60_000_000


def grouped(frames: list[Frame]) -> dict[SequenceKey, list[Frame]]:
    groups: dict[SequenceKey, list[Frame]] = {}
    for item in frames:
        groups.setdefault(item.key, []).append(item)
    return groups


@pytest.mark.parametrize("seed", range(5))
def test_sums_equal_a_loop_over_samples(seed: int) -> None:
    frames = random_frames(np.random.default_rng(seed), 20) + random_frames(
        np.random.default_rng(seed + 100), 6, lane=3
    )
    columns = columns_of(grouped(frames))
    suppressed = np.random.default_rng(seed).random(len(columns.fate)) < 0.2
    columns.fate[suppressed & (columns.fate == Fate.STORED)] = Fate.SUPPRESSED

    counts: dict[object, int] = defaultdict(int)
    sums: dict[object, int] = defaultdict(int)
    place = 0
    for key, group in grouped(frames).items():
        for item in group:
            assert item.verdict is not None
            hashes = checksum.sample_hashes(item.tag_id, item.time_us, item.value, item.quality)
            for n in range(item.samples):
                fate = int(columns.fate[place])
                assert (fate == Fate.REJECTED) == is_reject(int(item.verdict[n]) & VERDICT_MASK)
                minute = (item.closed_time_us if fate == Fate.REJECTED else int(item.time_us[n])) // MINUTE_US
                for index in ((key, fate), (key.gateway_id, key.lane, minute, fate)):
                    counts[index] += 1
                    sums[index] = (sums[index] + int(hashes[n])) % checksum.MODULUS
                counts[key, "late"] += bool(item.verdict[n] & LATE_FLAG) and fate != Fate.REJECTED
                place += 1

    for key, total in zip(columns.keys, key_sums(columns), strict=True):
        assert total.counts == [counts[key, fate] for fate in range(3)]
        assert total.checksums == [sums[key, fate] for fate in range(3)]
        assert total.late == counts[key, "late"]
        assert sum(total.verdicts) == sum(total.counts)
    for minute_key, found in minute_sums(columns).items():
        assert found.counts == [counts[(*minute_key, fate)] for fate in range(3)]
        assert found.checksums == [sums[(*minute_key, fate)] for fate in range(3)]


def test_newest_time_ignores_rejected_samples() -> None:
    columns = columns_of(grouped([make_frame([1, 1], [T0_US, T0_US + 5], [1.0, 2.0], verdict=[0, 21])]))
    assert next(iter(key_sums(columns))).newest_us == T0_US
    columns = columns_of(grouped([make_frame([1], [T0_US], [1.0], verdict=21)]))
    assert next(iter(key_sums(columns))).newest_us is None
    assert dirty_ranges(columns) == []


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 40)), min_size=1, max_size=60))
def test_minute_ranges_cover_exactly_the_touched_minutes(touched: list[tuple[int, int]]) -> None:
    tags, minutes = zip(*touched, strict=True)
    ranges = minute_ranges(np.array(tags, dtype=np.int32), np.array(minutes) * MINUTE_US + 7, "LATE")
    covered = [
        (item.tag_id, minute)
        for item in ranges
        for minute in range(item.from_us // MINUTE_US, item.to_us // MINUTE_US + 1)
    ]
    assert covered == sorted(set(touched))
    ends = {(item.tag_id, item.from_us): item.to_us for item in ranges}
    assert not any((item.tag_id, item.to_us + 1) in ends for item in ranges), "neighbours are one range"


@given(st.lists(st.integers(1, 300_000), min_size=1, max_size=60), st.booleans())
def test_each_tags_samples_are_together_in_the_order_in_which_they_came(tags: list[int], descending: bool) -> None:
    order = by_tag(np.array(tags, dtype=np.int32), descending=descending).tolist()
    assert order == sorted(range(len(tags)), key=lambda place: -tags[place] if descending else tags[place])
