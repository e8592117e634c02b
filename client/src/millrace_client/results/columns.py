"""Columns of history: arrays of one length, as they came over the wire.

A column is a read-only numpy array where numpy is installed, a memoryview of the same numbers otherwise: both have a length, an index, an
iterator and `tolist()`.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable
from typing import Any

Column = Any
"""A numpy array, or a memoryview. Kinds: "q" int64, "d" float64, "H" uint16, "B" uint8."""

DTYPES = {"q": "<i8", "d": "<f8", "H": "<u2", "B": "<u1"}


def column(kind: str, chunks: Iterable[bytes]) -> Column:
    """Column of little-endian numbers; `kind` as array.array has it.

    >>> column("q", [bytes([1] + [0] * 7), bytes([2] + [0] * 7)]).tolist()
    [1, 2]
    """
    data = b"".join(chunks)
    numpy = numpy_or_none()
    if numpy is not None:
        return numpy.frombuffer(data, DTYPES[kind])
    if sys.byteorder == "little":
        return memoryview(data).cast(kind)  # type: ignore[call-overload]
    swapped = array(kind, data)  # pragma: no cover - no such machine is tried
    swapped.byteswap()  # pragma: no cover
    return memoryview(swapped).toreadonly()  # pragma: no cover


def packed(kind: str, numbers: Iterable[float]) -> bytes:
    """Little-endian bytes of numbers: the way back of `column`."""
    made = array(kind, numbers)
    if sys.byteorder != "little":
        made.byteswap()  # pragma: no cover
    return made.tobytes()


def numpy_or_none() -> Any:
    """The module numpy, None where it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy
