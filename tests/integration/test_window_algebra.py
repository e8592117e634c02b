"""The algebra of windows in SQL is that of the stream: hours merged from minutes, of some hundred generated tags at once."""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from historian import aggregates
from historian.aggregates import Windows
from historian.partitions import PartitionCache
from historian.windows import windows_of
from stages.windows import algebra
from tests.integration.fix_history import history, sql, variant
from tests.integration.history import T0_US

__all__ = ["history", "sql", "variant"]

Sql = psycopg.Connection[Any]
CASES = 300
HOUR_US = 3_600_000_000
START_US = T0_US // HOUR_US * HOUR_US
VALUES = np.array([-1e6, -1.5, 0.0, 2.0, 2.0, 1e-9, 1e12])
"""Few, so that extremes tie, and of very different sizes."""


def samples(seed: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], NDArray[np.uint16]]:
    """Samples of CASES tags within an hour, up to 40 each; some tags, and some minutes, have no good one."""
    random = np.random.default_rng(seed)
    tag_id = np.repeat(np.arange(1, CASES + 1, dtype=np.int32), random.integers(1, 41, CASES))
    n = len(tag_id)
    time_us = START_US + random.choice(HOUR_US, n, replace=False)
    close = random.random(n) < 0.5  # half of them lie in two minutes, so that minutes have several
    time_us[close] = START_US + random.choice(120_000_000, int(close.sum()), replace=False)
    bad = random.random(n) < np.where(tag_id % 10 == 0, 1.0, 0.3)
    return tag_id, time_us, random.choice(VALUES, n), np.where(bad, 0x8000, 0).astype(np.uint16)


def merged(minutes: Windows, order: NDArray[np.intp]) -> NDArray[np.int64]:
    """Hours of all tags, shape (14, CASES), by `algebra.merge` of their minutes in this order."""
    hours = algebra.empty(CASES)
    for at in order.tolist():
        part = algebra.empty(1)
        real = part.view(np.float64)
        part[algebra.COUNT], part[algebra.GOOD] = minutes["count"][at], minutes["good"][at]
        if minutes["good"][at]:
            for name, row in (("mean", algebra.MEAN), ("m2", algebra.M2), ("min", algebra.MIN), ("max", algebra.MAX)):
                real[row] = minutes[name][at]
            for name, row, time in (("first", algebra.FIRST, algebra.FIRST_T), ("last", algebra.LAST, algebra.LAST_T)):
                real[row], part[time] = minutes[name][at], minutes[f"{name}_time"][at]
            part[algebra.MIN_T], part[algebra.MAX_T] = minutes["min_time"][at], minutes["max_time"][at]
        slot = int(minutes["tag_id"][at]) - 1
        algebra.merge(hours[:, slot : slot + 1], part)
    return hours


@pytest.mark.parametrize("seed", [1, 2])
def test_hours_in_sql_are_those_of_the_algebra(sql: Sql, seed: int) -> None:
    tag_id, time_us, value, quality = samples(seed)
    minutes = windows_of(tag_id, time_us, value, quality, 60)
    PartitionCache().ensure(sql, "aggregates", START_US, START_US + HOUR_US - 1)
    with sql.transaction(), sql.cursor() as cursor:
        aggregates.upsert(cursor, minutes, repaired=True)
    found = sql.execute(
        """SELECT tag_id, count, good, mean, m2, min, max, first, last,
                  (extract(epoch FROM min_time) * 1000000)::bigint, (extract(epoch FROM max_time) * 1000000)::bigint,
                  (extract(epoch FROM first_time) * 1000000)::bigint, (extract(epoch FROM last_time) * 1000000)::bigint
           FROM aggregates_1h WHERE window_s = 60 AND start = to_time(%s) ORDER BY tag_id""",
        (START_US,),
    ).fetchall()
    assert len(found) == CASES
    hours = merged(minutes, np.random.default_rng(seed).permutation(len(minutes["start"])))
    real = hours.view(np.float64)
    at_once = windows_of(tag_id, time_us, value, quality, 3600)
    exact = (algebra.MIN, algebra.MAX, algebra.FIRST, algebra.LAST)
    times = (algebra.MIN_T, algebra.MAX_T, algebra.FIRST_T, algebra.LAST_T)
    for slot, (tag, count, good, mean, m2, *rest) in enumerate(found):
        assert (tag, count, good) == (slot + 1, hours[algebra.COUNT, slot], hours[algebra.GOOD, slot])
        if not good:
            assert (mean, m2, *rest) == (None,) * 10
            continue
        assert rest == [*(real[row, slot] for row in exact), *(hours[row, slot] for row in times)]
        spread = max(1.0, float(at_once["m2"][slot]))
        assert mean == pytest.approx(real[algebra.MEAN, slot], rel=1e-9, abs=1e-9 * spread**0.5)
        assert m2 == pytest.approx(real[algebra.M2, slot], rel=1e-9, abs=1e-9 * spread)
        assert at_once["mean"][slot] == pytest.approx(mean, rel=1e-9, abs=1e-9 * spread**0.5)
        assert at_once["m2"][slot] == pytest.approx(m2, rel=1e-9, abs=1e-9 * spread)
