"""Checksums add up in any order and grouping, notice every change, and have known values that other languages can check."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas import checksum


class Columns(NamedTuple):
    tag_id: NDArray[np.int32]
    time_us: NDArray[np.int64]
    value: NDArray[np.float64]
    quality: NDArray[np.uint16]

    def take(self, index: NDArray[np.int64]) -> Columns:
        return Columns(self.tag_id[index], self.time_us[index], self.value[index], self.quality[index])


Sample = tuple[int, int, int, int]
sample = st.tuples(
    st.integers(-(2**31), 2**31 - 1),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**16 - 1),
)
some = st.lists(sample, max_size=30)


def columns(samples: list[Sample]) -> Columns:
    tag, time, bits, quality = zip(*samples, strict=True) if samples else ((), (), (), ())
    return Columns(
        np.array(tag, np.int32),
        np.array(time, np.int64),
        np.array(bits, np.uint64).view(np.float64),
        np.array(quality, np.uint16),
    )


def reference(tag_id: int, time_us: int, value_bits: int, quality: int) -> int:
    """The hash of one sample in plain integers, as docs/columns.md defines it."""
    mask = 2**64 - 1
    h = ((tag_id & mask) << 16 & mask) | quality
    h = h * 0x9E3779B97F4A7C15 & mask
    h ^= time_us & mask
    h ^= h >> 32
    h = h * 0xBF58476D1CE4E5B9 & mask
    h ^= value_bits
    h ^= h >> 29
    h = h * 0x94D049BB133111EB & mask
    return h ^ h >> 32


@given(some)
def test_it_is_the_sum_of_the_documented_hash(samples: list[Sample]) -> None:
    assert checksum.checksum(*columns(samples)) == sum(reference(*sample) for sample in samples) % checksum.MODULUS


@given(some, some)
def test_it_is_additive(one: list[Sample], other: list[Sample]) -> None:
    both = checksum.checksum(*columns(one)) + checksum.checksum(*columns(other))
    assert checksum.checksum(*columns(one + other)) == both % checksum.MODULUS


@given(some, st.randoms(use_true_random=False))
def test_order_does_not_matter(samples: list[Sample], random: object) -> None:
    shuffled = list(samples)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert checksum.checksum(*columns(shuffled)) == checksum.checksum(*columns(samples))


@given(sample, st.integers(0, 3), st.integers(0, 63))
def test_every_bit_of_a_sample_counts(original: Sample, column: int, bit: int) -> None:
    widths = (32, 64, 64, 16)
    width = widths[column]
    changed = list(original)
    flipped = (original[column] ^ 1 << bit % width) & (1 << width) - 1
    signed = column < 2 and flipped >= 1 << width - 1
    changed[column] = flipped - (1 << width) if signed else flipped
    assert checksum.checksum(*columns([tuple(changed)])) != checksum.checksum(*columns([original]))  # type: ignore[list-item]


@given(some)
def test_a_lost_and_a_doubled_sample_show(samples: list[Sample]) -> None:
    whole = checksum.checksum(*columns(samples))
    for position, one in enumerate(samples):
        if reference(*one):  # one in 2^64 samples hashes to zero
            assert checksum.checksum(*columns(samples[:position] + samples[position + 1 :])) != whole
            assert checksum.checksum(*columns([*samples, one])) != whole


def test_zero_and_minus_zero_and_the_nans_differ() -> None:
    bits = [0x0, 1 << 63, 0x7FF8000000000000, 0xFFF8000000000000, 0x7FF8000000000001]
    assert len({checksum.checksum(*columns([(1, 0, value, 0)])) for value in bits}) == len(bits)


@pytest.mark.parametrize(
    ("samples", "expected"),
    [
        ([], 0),
        ([(0, 0, 0, 0)], 0),
        ([(101, 1_767_600_000_000_000, 0x4051E66666666666, 0)], 0xF4A3F6A147423C46),
        ([(101, 1_767_600_000_000_000, 0x4051E66666666666, 0x8000)], 0xE2F31F5A8B5273CC),
    ],
)
def test_known_values(samples: list[Sample], expected: int) -> None:
    assert checksum.checksum(*columns(samples)) == expected


@given(st.integers(0, checksum.MODULUS - 1))
def test_twos_complement_is_read_back(value: int) -> None:
    signed = checksum.to_signed(value)
    assert -(1 << 63) <= signed < 1 << 63
    assert checksum.to_unsigned(signed) == value
