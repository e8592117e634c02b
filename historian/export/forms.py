"""Batches of columns as a file, written while they come: CSV, Arrow, Parquet.

Enters: Arrow record batches of one schema. Leaves: bytes, to anything with `write`. Memory holds a batch, or a row group of Parquet.
Called by `historian.export.run` for files and by `serving.http.downloads` for answers: a stream of Arrow can be read while it comes,
an Arrow file in any order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

_ROW_GROUP = 256 * 1024


class Form(StrEnum):
    """What the bytes are."""

    CSV = "csv"
    ARROW = "arrow"
    ARROW_STREAM = "arrow_stream"
    PARQUET = "parquet"


class Writer(Protocol):
    """One file."""

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Take some rows."""

    def close(self) -> None:
        """The file is complete."""


class _ParquetWriter:
    """Gathers batches to row groups: small ones make a file slow to read."""

    def __init__(self, sink: Any, schema: pa.Schema) -> None:
        self._writer = pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd")
        self._schema = schema
        self._batches: list[pa.RecordBatch] = []
        self._rows = 0

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Keep a batch, write a row group when there is enough for one."""
        self._batches.append(batch)
        self._rows += batch.num_rows
        if self._rows >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write the rest and the footer."""
        if self._batches:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        self._writer.write_table(pa.Table.from_batches(self._batches, self._schema))
        self._batches, self._rows = [], 0


class _FlatWriter:
    """For forms without dictionaries, or whose dictionaries cannot change within a file."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """The same rows with plain texts."""
        flat = [
            column.dictionary_decode() if pa.types.is_dictionary(column.type) else column for column in batch.columns
        ]
        self._writer.write_batch(pa.RecordBatch.from_arrays(flat, schema=_flat(batch.schema)))

    def close(self) -> None:
        """Nothing waits here."""
        self._writer.close()


def writer(sink: Any, schema: pa.Schema, form: Form) -> Writer:
    """Writer of a file of this form. `sink` has write, tell, flush, close and closed, as binary files have."""
    if form is Form.PARQUET:
        return _ParquetWriter(sink, schema)
    if form is Form.ARROW_STREAM:
        return pa.ipc.new_stream(sink, schema)  # type: ignore[no-any-return]
    if form is Form.ARROW:
        options = pa.ipc.IpcWriteOptions(compression="zstd")
        return _FlatWriter(pa.ipc.new_file(sink, _flat(schema), options=options))
    return _FlatWriter(pyarrow.csv.CSVWriter(sink, _flat(schema)))


def _flat(schema: pa.Schema) -> pa.Schema:
    fields = [
        pa.field(field.name, field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in schema
    ]
    return pa.schema(fields)
