"""Rows for binary COPY."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from connectors.postgres import binary_copy

COLUMNS = (("time", "timestamptz"), ("value", "float8"), ("tag_id", "int4"), ("quality", "int2"))


def values(rows: int) -> dict[str, NDArray[Any]]:
    rng = np.random.default_rng(1)
    return {
        "time": rng.integers(0, 1 << 50, rows), "value": rng.normal(size=rows), "tag_id": rng.integers(0, 1 << 31, rows).astype(np.int32),
        "quality": rng.integers(-(1 << 15), 1 << 15, rows).astype(np.int16),
    }  # fmt: skip


def test_a_row_is_what_postgresql_documents() -> None:
    packed = binary_copy.pack(
        COLUMNS,
        {
            "time": np.array([binary_copy.EPOCH_2000_US + 7]),
            "value": np.array([1.5]),
            "tag_id": np.array([3]),
            "quality": np.array([-1]),
        },
    )
    assert packed.tobytes() == struct.pack(">h iq id ii ih", 4, 8, 7, 8, 1.5, 4, 3, 2, -1)


def test_unpack_is_the_inverse() -> None:
    given = values(5_000)
    packed = binary_copy.pack(COLUMNS, given)
    data = binary_copy.HEADER + b"".join(binary_copy.chunks(packed)) + binary_copy.TRAILER
    rows = binary_copy.unpack(data, COLUMNS)
    assert (rows["time"] + binary_copy.EPOCH_2000_US).tolist() == given["time"].tolist()
    for name in ("value", "tag_id", "quality"):
        assert rows[name].tolist() == given[name].tolist()


def test_chunks_are_bounded_and_complete() -> None:
    packed = binary_copy.pack(COLUMNS, values(60_000))
    pieces = binary_copy.chunks(packed)
    assert max(map(len, pieces)) <= binary_copy.CHUNK_BYTES
    assert b"".join(pieces) == packed.tobytes()


@pytest.mark.parametrize("data", [b"", binary_copy.HEADER, b"x" * 40])
def test_torn_data_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="no complete binary COPY"):
        binary_copy.unpack(data, COLUMNS)
