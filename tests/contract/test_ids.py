"""UUIDv7: version, variant, the time it was made for, and order."""

from __future__ import annotations

from uuid import RFC_4122

from hypothesis import given
from hypothesis import strategies as st

from base.ids import now_us, uuid7

MILLISECONDS = st.integers(0, 2**48 - 1)


@given(MILLISECONDS)
def test_layout_is_rfc_9562s(time_ms: int) -> None:
    made = uuid7(time_ms * 1000 + 999)
    assert made.version == 7
    assert made.variant == RFC_4122
    assert made.int >> 80 == time_ms


@given(MILLISECONDS, MILLISECONDS)
def test_ids_sort_by_the_millisecond_they_were_made_in(one: int, other: int) -> None:
    if one != other:
        assert (uuid7(one * 1000) < uuid7(other * 1000)) == (one < other)
        assert (str(uuid7(one * 1000)) < str(uuid7(other * 1000))) == (one < other)


def test_ids_of_one_millisecond_differ() -> None:
    assert len({uuid7(0) for _ in range(10_000)}) == 10_000


def test_the_default_time_is_now() -> None:
    before_us = now_us()
    made_ms = uuid7().int >> 80
    assert before_us // 1000 <= made_ms <= now_us() // 1000
