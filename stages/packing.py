"""State parts as versioned bytes: a small header, then packed little-endian arrays.

`layout` is a byte per kind of part and goes up when its meaning changes; a reader refuses what it does not know, by
name, rather than guess. Never a pickle: a part written today must be readable by any later version of the code.
"""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from base.errors import MillraceError

_HEAD = struct.Struct("<BBHI")
_MAGIC = 0x4D
_DTYPES = tuple(np.dtype(code) for code in ("<i8", "<f8", "<i4", "<u2", "<u1", "<f4"))
_CODES = {dtype: code for code, dtype in enumerate(_DTYPES)}
_ARRAY = struct.Struct("<BII")


class StateError(MillraceError):
    """A state part that this version cannot read."""


def pack(layout: int, fields: dict[str, Any] | None = None, *arrays: NDArray[Any]) -> bytes:
    """Bytes of a JSON-able dictionary and arrays of one or two dimensions (rows, columns)."""
    return pack_text(layout, json.dumps(fields, separators=(",", ":")) if fields else "", *arrays)


def pack_text(layout: int, fields: str, *arrays: NDArray[Any]) -> bytes:
    """`pack` for fields that are JSON already."""
    text = fields.encode()
    chunks = [_HEAD.pack(_MAGIC, layout, len(arrays), len(text)), text]
    for array in arrays:
        rows, columns = array.shape if array.ndim == 2 else (0, array.shape[0])
        columns = array.size // max(rows, 1)  # 0 also for no rows of something
        chunks += (_ARRAY.pack(_CODES[array.dtype], rows, columns), array.tobytes())
    return b"".join(chunks)


def unpack(data: bytes, layout: int, what: str) -> tuple[dict[str, Any], list[NDArray[Any]]]:
    """Inverse of `pack`; arrays are writable copies. Raises StateError naming `what`."""
    try:
        magic, found, count, length = _HEAD.unpack_from(data)
        if magic != _MAGIC or found != layout:
            msg = f"state part {what} has layout {found}, this version reads {layout}"
            raise StateError(msg)
        at = _HEAD.size
        fields = json.loads(data[at : at + length]) if length else {}
        at += length
        arrays: list[NDArray[Any]] = []
        for _ in range(count):
            code, rows, columns = _ARRAY.unpack_from(data, at)
            at += _ARRAY.size
            size = max(rows, 1) * columns
            array = np.frombuffer(data, _DTYPES[code], size, at).copy()
            at += array.nbytes
            arrays.append(array.reshape(rows, columns) if rows else array)
    except (struct.error, IndexError, ValueError) as error:
        msg = f"state part {what} is torn: {error}"
        raise StateError(msg) from error
    return fields, arrays
