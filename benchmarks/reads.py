"""Reading one tag over a range of time from the table that a drain has just filled.

Once as it is (`hot`), once with its partitions closed (`closed`, see `throughput.close`). `read` is count and mean inside the server,
`fetch` all rows to the client in binary. Tags are drawn by seed; each is read once after one that is not counted, so pages come from memory
where they fit and connections are warm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import psycopg

from benchmarks import figures
from benchmarks.generate import Expected
from benchmarks.line import Line
from connectors.postgres.database import connect
from historian import partitions
from historian.engine import variant_of

_TAGS = 20
_WHERE = "FROM samples WHERE tag_id = %s AND time >= to_timestamp(%s) AND time < to_timestamp(%s)"
_READ = f"SELECT count(*), avg(value) {_WHERE}"
_FETCH = f"COPY (SELECT time, value, quality {_WHERE}) TO STDOUT (FORMAT binary)"


def measure(line: Line, expected: Expected, state: str, *, samples: int, seed: int) -> dict[str, Any]:
    """Percentiles of reads of about `samples` samples, or all of a tag when it has fewer.

    `state` is in the names of the figures.
    """
    from_s = expected.start_us / 1e6 + 60  # the array begins a minute before the run
    to_s = from_s + 120 + samples * line.workload.period_ms / 1000
    tags = np.concatenate(list(line.tag_ids.values()))
    chosen = np.random.default_rng(seed).choice(tags, _TAGS + 1, replace=len(tags) < _TAGS + 1).tolist()
    with (
        connect(line.dsn, application="bench", autocommit=True) as connection,
        line.progress.step(f"read one tag, {state}") as details,
    ):
        if state == "hot" and variant_of(connection) == "plain":
            partitions.summarise(connection)  # as the maintenance service does every second
        read_ms, rows = _times(lambda tag: _read(connection, tag, from_s, to_s), chosen)
        fetch_ms, _ = _times(lambda tag: _fetch(connection, tag, from_s, to_s), chosen)
        samples = round(float(np.mean(rows)))
        details.append(f"{samples} samples in {np.median(read_ms):.0f} ms")
    found = figures.percentiles(read_ms, f"read_{state}_") | figures.percentiles(fetch_ms, f"fetch_{state}_")
    return found | {"read_samples": samples}


def _times(read: Callable[[int], int], tags: list[int]) -> tuple[list[float], list[int]]:
    times, rows = [], []
    for tag in tags:
        began = time.perf_counter()
        rows.append(read(tag))
        times.append((time.perf_counter() - began) * 1000)
    return times[1:], rows[1:]


def _read(connection: psycopg.Connection[Any], tag: int, from_s: float, to_s: float) -> int:
    row = connection.execute(_READ, (tag, from_s, to_s)).fetchone()
    assert row is not None
    return int(row[0])


def _fetch(connection: psycopg.Connection[Any], tag: int, from_s: float, to_s: float) -> int:
    with connection.cursor().copy(_FETCH, (tag, from_s, to_s)) as copy:
        return sum(len(block) for block in copy)
