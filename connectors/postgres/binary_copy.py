"""Rows for COPY (FORMAT binary), packed by numpy, no Python per row.

Enters: columns. Leaves: bytes as PostgreSQL reads them (big-endian, each field behind its length); `framed` puts the
header and the trailer around them, which psycopg's `Copy` in binary mode leaves to the caller. Binary COPY of one table
this way runs at 2-3 M rows/s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

HEADER = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER = b"\xff\xff"
EPOCH_2000_US = 946_684_800_000_000
"""PostgreSQL counts microseconds from 2000-01-01 UTC."""
CHUNK_BYTES = 1 << 20
"""What goes to libpq at once, which copies it once more."""

_COLUMN_TYPES = {"timestamptz": ">i8", "int8": ">i8", "float8": ">f8", "int4": ">i4", "int2": ">i2", "bool": "u1"}

SAMPLE_COLUMNS = (
    ("time", "timestamptz"),
    ("value", "float8"),
    ("tag_id", "int4"),
    ("quality", "int2"),
    ("verdict", "int2"),
)
COPY_SAMPLES = f"COPY samples ({', '.join(name for name, _ in SAMPLE_COLUMNS)}) FROM STDIN (FORMAT binary)"


def row_dtype(columns: tuple[tuple[str, str], ...]) -> np.dtype[Any]:
    """Structured type of one row: the number of fields, then length and value of each."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for name, kind in columns:
        fields += [(f"{name}_length", ">i4"), (name, _COLUMN_TYPES[kind])]
    return np.dtype(fields)


def empty_rows(columns: tuple[tuple[str, str], ...], rows: int) -> NDArray[Any]:
    """Rows with their lengths filled in; the caller fills the fields. Timestamps are microseconds since 2000."""
    dtype = row_dtype(columns)
    packed = np.empty(rows, dtype=dtype)
    packed["fields"] = len(columns)
    for name, _ in columns:
        packed[f"{name}_length"] = dtype[name].itemsize
    return packed


def pack(columns: tuple[tuple[str, str], ...], values: dict[str, NDArray[Any]]) -> NDArray[Any]:
    """Rows of columns of shape (n,), by name; timestamps as microseconds since 1970 UTC."""
    packed = empty_rows(columns, len(values[columns[0][0]]))
    for name, kind in columns:
        packed[name] = values[name] - EPOCH_2000_US if kind == "timestamptz" else values[name]
    return packed


def chunks(packed: NDArray[Any]) -> list[memoryview]:
    """The buffer in pieces of about a megabyte."""
    view = packed.view(np.uint8).reshape(-1).data
    return [view[start : start + CHUNK_BYTES] for start in range(0, len(view), CHUNK_BYTES)]


def framed(parts: Iterable[memoryview]) -> Iterator[bytes | memoryview]:
    """All that a COPY FROM STDIN is sent, part by part."""
    yield HEADER
    yield from parts
    yield TRAILER


def pieces(
    columns: tuple[tuple[str, str], ...], values: dict[str, NDArray[Any]], order: NDArray[np.intp]
) -> Iterator[memoryview]:
    """Rows in an order, packed a megabyte at a time.

    They stay in the processor's cache, and the server takes one piece in while the next is packed.
    """
    rows = CHUNK_BYTES // row_dtype(columns).itemsize
    for start in range(0, len(order), rows):
        chosen = order[start : start + rows]
        yield from chunks(pack(columns, {name: column.take(chosen) for name, column in values.items()}))


def unpack(data: bytes, columns: tuple[tuple[str, str], ...]) -> NDArray[Any]:
    """Rows of a binary COPY TO without nulls, header and trailer included. Timestamps stay microseconds since 2000."""
    if not data.startswith(HEADER[:11]) or not data.endswith(TRAILER):
        msg = f"{len(data)} bytes are no complete binary COPY"
        raise ValueError(msg)
    return np.frombuffer(
        data,
        dtype=row_dtype(columns),
        offset=len(HEADER),
        count=(len(data) - len(HEADER) - len(TRAILER)) // row_dtype(columns).itemsize,
    )
