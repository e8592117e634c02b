"""Rows of a query as Arrow batches: PostgreSQL writes CSV, Arrow reads it.

Enters: a query and its columns. Leaves: record batches of some megabytes, as they come; neither side holds the result. PostgreSQL's
shortest texts of doubles are read back bit for bit.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.csv
from psycopg.sql import SQL

from historian.export.kinds import Kind

_BLOCK = 4 * 1024 * 1024


class _Reader(io.RawIOBase):
    """What COPY sends, as a file."""

    def __init__(self, parts: Iterator[Any]) -> None:
        self._parts = parts
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; fewer only at the end."""
        found = [bytes(self._rest[:size])]
        self._rest = self._rest[size:]
        length = len(found[0])
        while length < size:
            part = next(self._parts, None)
            if part is None:
                break
            found.append(bytes(part[: size - length]))
            self._rest = memoryview(part)[size - length :]
            length += len(found[-1])
        return b"".join(found)


def batches(
    connection: psycopg.Connection[Any], kind: Kind, parameters: Mapping[str, Any], *, block: int = _BLOCK
) -> Iterator[pa.RecordBatch]:
    """Rows in the order of the query."""
    copy = SQL("COPY ({}) TO STDOUT (FORMAT csv)").format(SQL(kind.sql))
    with connection.cursor() as cursor, cursor.copy(copy, parameters) as sent:
        parts = iter(sent)
        first = next(parts, None)
        if first is not None:
            yield from _parsed(_Reader(chain([first], parts)), kind, block)


def _parsed(file: io.RawIOBase, kind: Kind, block: int) -> Iterator[pa.RecordBatch]:
    schema = kind.schema
    options = pyarrow.csv.ConvertOptions(
        column_types=schema,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
        true_values=["t"],
        false_values=["f"],
    )
    reader = pyarrow.csv.open_csv(
        pa.PythonFile(file, mode="r"),
        read_options=pyarrow.csv.ReadOptions(column_names=schema.names, block_size=block, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=kind.texts),
        convert_options=options,
    )
    yield from reader
