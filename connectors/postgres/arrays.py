"""numpy arrays as PostgreSQL arrays, in binary: a parameter of psycopg like any other.

Enters: arrays of shape (n,) of signed integers up to 64 bits, unsigned ones up to 16 or 32 bits, or doubles. Leaves:
the bytes that PostgreSQL reads, without Python per element: lists of numbers as text cost a writer most of its time.
Who calls: `database.connect` registers it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Dumper, PyFormat
from psycopg.pq import Format

# Of the array and of its element (pg_type), and how an element is sent.
_INT4 = (1007, 23, ">i4")
_INT8 = (1016, 20, ">i8")
_FLOAT8 = (1022, 701, ">f8")
_KINDS = {
    np.dtype(name): kind
    for kind, names in ((_INT4, ("i2", "i4", "u1", "u2")), (_INT8, ("i8", "u4")), (_FLOAT8, ("f4", "f8")))
    for name in names
}


class ArrayDumper(Dumper):
    """Of one dtype; psycopg asks `get_key` and `upgrade` for the dumper of an array at hand."""

    format = Format.BINARY

    def __init__(self, cls: type, context: Any = None, kind: tuple[int, int, str] = _FLOAT8) -> None:
        super().__init__(cls, context)
        self.oid, self._element, self._sent = kind

    def get_key(self, obj: NDArray[Any], format: PyFormat) -> Any:  # noqa: A002, ARG002 - psycopg's name
        """One dumper per dtype."""
        return (self.cls, obj.dtype)

    def upgrade(self, obj: NDArray[Any], format: PyFormat) -> ArrayDumper:  # noqa: A002, ARG002
        """The dumper of this array's dtype; raises psycopg.DataError when there is none."""
        kind = _KINDS.get(obj.dtype.newbyteorder("="))
        if kind is None or obj.ndim != 1:
            msg = f"an array of {obj.dtype} with {obj.ndim} dimensions is no column of a row"
            raise psycopg.DataError(msg)
        return ArrayDumper(self.cls, None, kind)

    def dump(self, obj: NDArray[Any]) -> Buffer:
        """Dimensions (none for an empty array), flags, type of the elements, then each behind its length."""
        n = len(obj)
        head = [1, 0, self._element, n, 1] if n else [0, 0, self._element]
        element = np.dtype([("length", ">i4"), ("value", self._sent)])
        body = np.empty(n, dtype=element)
        body["length"], body["value"] = element["value"].itemsize, obj
        return np.array(head, dtype=">i4").tobytes() + body.tobytes()


def register(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
    """Let this connection take arrays as parameters."""
    connection.adapters.register_dumper(np.ndarray, ArrayDumper)
