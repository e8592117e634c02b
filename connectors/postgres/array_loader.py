"""PostgreSQL arrays as numpy arrays: what `array_agg` of a column sends in binary, without Python per element.

Enters: the binary of a one-dimensional array of timestamptz, int2, int4, int8, float8 or bool without nulls. Leaves:
an array of shape (n,) in the machine's byte order; timestamps as microseconds since 1970 UTC. Who calls: psycopg, for
the connections of `pool`.

A page of 65,536 rows as three arrays is one row for the client. The same rows by COPY are as many messages, each of
which costs Python most of a microsecond.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

from connectors.postgres.binary_copy import EPOCH_2000_US

_HEAD = 20
"""Bytes before the elements: dimensions, flags, type, length, lower bound."""
# Type of the array (pg_type), and how an element is sent and kept.
_KINDS = {
    1185: (">i8", "i8"),  # timestamptz
    1005: (">i2", "i2"),
    1007: (">i4", "i4"),
    1016: (">i8", "i8"),
    1022: (">f8", "f8"),
    1000: ("u1", "?"),
}
_TIMESTAMPS = 1185


class ArrayLoader(Loader):
    """Of every array type of the table."""

    format = Format.BINARY

    def load(self, data: Buffer) -> NDArray[Any]:
        """Raises ValueError for an array with nulls or of more than one dimension."""
        sent, kept = _KINDS[self.oid]
        dimensions, flags = np.frombuffer(data, ">i4", 2).tolist() if len(data) >= 8 else (0, 0)
        if dimensions == 0:
            return np.empty(0, kept)
        if dimensions != 1 or flags:
            msg = "an array with nulls or of several dimensions is no column"
            raise ValueError(msg)
        element = np.dtype([("length", ">i4"), ("value", sent)])
        found = np.frombuffer(data, element, offset=_HEAD)["value"].astype(kept)
        return found + EPOCH_2000_US if self.oid == _TIMESTAMPS else found


def register(connection: Any) -> None:
    """Let this connection's binary results have numpy arrays."""
    for oid in _KINDS:
        connection.adapters.register_loader(oid, ArrayLoader)
