"""What a burst took is given back, once in a while."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np
import pytest

from jobs.heap_trim import HeapTrimmer

MB = 1 << 20


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="the C library keeps no such thing")
def test_what_a_burst_took_is_given_back() -> None:
    # Arrays below the size that malloc maps one by one, every hundredth of them kept: the rest cannot be given back by moving the end.
    burst = [np.ones(8_000) for _ in range(1_000)]
    kept = burst[::100]
    del burst
    before = resident()
    assert HeapTrimmer().tick(now_us=0)
    assert resident() < before - 30 * MB
    assert all(array.sum() == 8_000 for array in kept)


def test_not_more_often_than_its_period() -> None:
    trimmer = HeapTrimmer(period_us=1_000)
    assert [now_us for now_us in range(0, 3_000, 250) if trimmer.tick(now_us)] == [0, 1_000, 2_000]
