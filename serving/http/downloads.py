"""History as a file, while it is read: CSV, Arrow (IPC stream), Parquet.

Enters: chunks of columns from a handler. Leaves: bytes of a file, piece by piece; memory holds a chunk, or a row group of Parquet. One
table, tag by tag, each by time: tag_id, path, unit, then the columns of the contract; times are timestamps in UTC with microseconds, a
statistic that is missing is null. pyarrow works in a thread: the loop stays free.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.message import Message

from historian.export import forms
from historian.export.forms import Form
from serving.http import columns

MEDIA_TYPES: Mapping[str, str] = {
    "csv": "text/csv; charset=utf-8; header=present",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}
_FORMS = {"csv": Form.CSV, "arrow": Form.ARROW_STREAM, "parquet": Form.PARQUET}
_TIMES = frozenset({"time_us", "start_us"})


class _Sink:
    """Takes what a writer writes, until somebody fetches it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._at = 0
        self.closed = False

    def write(self, data: Any) -> int:
        """Keep bytes."""
        part = bytes(data)
        self._parts.append(part)
        self._at += len(part)
        return len(part)

    def tell(self) -> int:
        """Bytes so far."""
        return self._at

    def flush(self) -> None:
        """Nothing waits here."""

    def close(self) -> None:
        """The file is complete."""
        self.closed = True

    def taken(self) -> bytes:
        """What has come since the last time."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def schema_of(message: type[Message]) -> pa.Schema:
    """Columns of the file of a kind of chunk."""
    fields = [pa.field("tag_id", pa.int32()), pa.field("path", _TEXT), pa.field("unit", _TEXT)]
    if "window_s" in message.DESCRIPTOR.fields_by_name:
        fields.append(pa.field("window_s", pa.int32()))
    fields += [pa.field(_name(name), _type(name)) for name in columns.names_of(message)]
    return pa.schema(fields)


_TEXT = pa.dictionary(pa.int8(), pa.string())


def _name(column: str) -> str:
    return column.removesuffix("_us") if column in _TIMES else column


def _type(column: str) -> pa.DataType:
    if column in _TIMES:
        return pa.timestamp("us", "UTC")
    return pa.bool_() if column == "repaired" else pa.from_numpy_dtype(np.dtype(columns.TYPES[column]))


def batch_of(chunk: Any, path: str, unit: str, schema: pa.Schema) -> pa.RecordBatch:
    """A chunk as rows."""
    names = columns.names_of(type(chunk))
    rows = len(columns.array(chunk, names[0]))
    first = pa.array(np.zeros(rows, np.int8))
    made = [
        pa.array(np.full(rows, chunk.tag_id, np.int32)),
        pa.DictionaryArray.from_arrays(first, pa.array([path])),
        pa.DictionaryArray.from_arrays(first, pa.array([unit])),
    ]
    if "window_s" in schema.names:
        made.append(pa.array(np.full(rows, chunk.window_s, np.int32)))
    for name in names:
        column = columns.array(chunk, name)
        if column.dtype.kind == "f":
            made.append(pa.array(column, mask=~np.isfinite(column)))
        else:
            made.append(pa.array(column.astype(bool) if name == "repaired" else column).cast(_type(name)))
    return pa.RecordBatch.from_arrays(made, schema=schema)


async def pieces(chunks: AsyncIterable[Any], message: type[Message], form: str) -> AsyncIterator[bytes]:
    """Bytes of a file of this form, as the chunks come; at least one piece. The first is there when the first chunk is."""
    sink = _Sink()
    schema = schema_of(message)
    writer: forms.Writer = await asyncio.to_thread(forms.writer, sink, schema, _FORMS[form])
    names: dict[int, tuple[str, str]] = {}
    async for chunk in chunks:
        # Path and unit stand in a tag's first chunk only.
        path, unit = names.setdefault(chunk.tag_id, (chunk.path, chunk.unit))
        await asyncio.to_thread(_write, writer, chunk, path, unit, schema)
        if data := sink.taken():
            yield data
    await asyncio.to_thread(writer.close)
    yield sink.taken()


def _write(writer: forms.Writer, chunk: Any, path: str, unit: str, schema: pa.Schema) -> None:
    writer.write_batch(batch_of(chunk, path, unit, schema))
