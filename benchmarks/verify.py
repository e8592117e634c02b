"""What is in the database against what the generator said: count and checksum of every tag and minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks.generate import Expected
from connectors.postgres import binary_copy
from schemas import checksum


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """`lost` and `duplicated` are samples; `wrong_cells` are (tag, minute) pairs whose count or checksum differs."""

    lost: int
    duplicated: int
    wrong_cells: int
    rows: int


def compare(dsn: str, expected: Expected) -> Verdict:
    """Read every stored sample back, in slices of a minute, and compare."""
    count = np.zeros_like(expected.count)
    sums = np.zeros_like(expected.sums)
    with psycopg.connect(dsn) as connection:
        for minute in range(expected.count.shape[1]):
            from_us = expected.start_us + minute * 60_000_000
            _add(connection, from_us, expected, count, sums)
        row = connection.execute("SELECT count(*) FROM samples").fetchone()
    difference = count - expected.count
    assert row is not None
    return Verdict(
        lost=int(-difference[difference < 0].sum()),
        duplicated=int(difference[difference > 0].sum()) + int(row[0]) - int(count.sum()),
        wrong_cells=int(((difference != 0) | (sums != expected.sums)).sum()),
        rows=int(row[0]),
    )


def _add(
    connection: psycopg.Connection[Any],
    from_us: int,
    expected: Expected,
    count: NDArray[np.int64],
    sums: NDArray[np.uint64],
) -> None:
    from_s = from_us // 1_000_000
    span = f"time >= to_timestamp({from_s}) AND time < to_timestamp({from_s + 60})"
    query = f"COPY (SELECT time, value, tag_id, quality, verdict FROM samples WHERE {span}) TO STDOUT (FORMAT binary)"
    row = binary_copy.row_dtype(binary_copy.SAMPLE_COLUMNS).itemsize
    pending = bytearray()
    started = False
    with connection.cursor().copy(query) as copy:
        for block in copy:
            pending += block
            if not started and len(pending) >= len(binary_copy.HEADER):
                del pending[: len(binary_copy.HEADER)]
                started = True
            if len(pending) > 32 << 20:
                whole = len(pending) // row * row
                _fold(bytes(pending[:whole]), expected, count, sums)
                del pending[:whole]
    _fold(bytes(pending[: len(pending) // row * row]), expected, count, sums)


def _fold(data: bytes, expected: Expected, count: NDArray[np.int64], sums: NDArray[np.uint64]) -> None:
    rows = np.frombuffer(data, dtype=binary_copy.row_dtype(binary_copy.SAMPLE_COLUMNS))
    time_us = rows["time"].astype(np.int64) + binary_copy.EPOCH_2000_US
    tag_id = rows["tag_id"].astype(np.int32)
    quality = rows["quality"].astype(np.int16).view(np.uint16)
    cell = tag_id.astype(np.int64) * count.shape[1] + expected.minutes_of(time_us)
    np.add.at(count.reshape(-1), cell, 1)
    np.add.at(
        sums.reshape(-1), cell, checksum.sample_hashes(tag_id, time_us, rows["value"].astype(np.float64), quality)
    )
