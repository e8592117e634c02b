"""The minute windows in the database against what the generator said: the count of every tag and minute.

Rows of samples are exact by the ledger; windows come from the telemetry job's state, so they show whether that was restored exactly. The
last ones close when their devices have been silent for some seconds, and those that late samples touch are repaired,
in a dense plant when the partition is closed: hence a wait.
"""

from __future__ import annotations

import time

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.generate import MINUTE_US, Expected

_WINDOW_S = MINUTE_US // 1_000_000
_POLL_S = 2.0
_QUERY = """
SELECT tag_id, ((extract(epoch FROM start) - %s) / 60)::bigint, count FROM aggregates
WHERE window_s = %s AND start >= to_timestamp(%s) AND start < to_timestamp(%s)"""


def wrong(dsn: str, expected: Expected, *, wait_s: float = 240.0) -> int:
    """Windows of a minute whose count is not the expected one, missing ones included, once none is or `wait_s` have passed."""
    deadline = time.monotonic() + wait_s
    with psycopg.connect(dsn, autocommit=True) as connection:
        while True:
            differing = int((counts(connection, expected) != expected.count).sum())
            if not differing or time.monotonic() > deadline:
                return differing
            time.sleep(_POLL_S)


def counts(connection: psycopg.Connection[tuple[int, int, int]], expected: Expected) -> NDArray[np.int64]:
    """Counts as `Expected.count` has them: shape (tags + 1, minutes)."""
    start_s, minutes = expected.start_us // 1_000_000, expected.count.shape[1]
    rows = connection.execute(_QUERY, (start_s, _WINDOW_S, start_s, start_s + minutes * _WINDOW_S)).fetchall()
    found = np.zeros_like(expected.count)
    if rows:
        tag_id, minute, count = np.array(rows, dtype=np.int64).T
        found[tag_id, minute] = count
    return found
