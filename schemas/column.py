"""Avro logical type `column`: a `bytes` field that holds a packed little-endian array.

To Avro it is just bytes, so any reader can carry it; to fastavro in this process it is a one-dimensional, read-only numpy array of the
schema's `dtype`. Columns keep a frame's per-sample cost at numpy's, not Python's: decoding a 500-sample frame of columns is six times
faster than the same frame as Avro arrays.
"""

from __future__ import annotations

from typing import Any

import fastavro.read
import fastavro.write
import numpy as np
from numpy.typing import NDArray

LOGICAL_TYPE = "column"
EXACT_INTEGERS = 1 << 53
"""Largest magnitude up to which f8, the widest float column there is, holds every integer."""


def read_column(data: bytes, writer_schema: Any, reader_schema: Any = None) -> NDArray[Any]:  # noqa: ARG001
    """View `data` as an array of the writer's dtype; no copy, read-only. Raises ValueError when the length does not fit."""
    return np.frombuffer(data, dtype=writer_schema["dtype"])


def write_column(data: Any, schema: Any) -> bytes:
    """Bytes of a one-dimensional array in the schema's dtype.

    Raises TypeError when the array's dtype cannot be cast without loss, so a wider column never wraps around in silence;
    ValueError for more than one dimension, or bytes that are no whole number of elements.
    """
    dtype = np.dtype(schema["dtype"])
    if isinstance(data, bytes):
        if len(data) % dtype.itemsize:
            msg = f"{len(data)} bytes are no column of {dtype.str}"
            raise ValueError(msg)
        return data
    array = np.asarray(data)
    if array.ndim != 1:
        msg = f"a column has one dimension, not {array.ndim}"
        raise ValueError(msg)
    if (
        array.dtype.kind in "iu" and dtype.kind == "f" and array.size
    ):  # numpy calls int64 to f8 safe; beyond 2^53 it is not
        low, high = int(array.min()), int(array.max())
        if low < -EXACT_INTEGERS or high > EXACT_INTEGERS:
            msg = f"integers from {low} to {high} do not fit {dtype.str} exactly"
            raise TypeError(msg)
    return array.astype(dtype, casting="safe", copy=False).tobytes()


fastavro.read.LOGICAL_READERS[f"bytes-{LOGICAL_TYPE}"] = read_column
fastavro.write.LOGICAL_WRITERS[f"bytes-{LOGICAL_TYPE}"] = write_column
