"""Columns of history as JSON: chunks of one tag after the other, gathered to series.

Enters: messages with little-endian arrays in `bytes` fields (`ReadSamplesResponse`, `ReadAggregatesResponse`, `ChartSeries`). Leaves:
numpy arrays without a copy, and series of plain lists. JSON is for some thousand points; a series of millions is a download
(`serving.http.downloads`).
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from numpy.typing import NDArray

from base.errors import InvalidRequestError
from serving.http.plain import plain

MAX_POINTS = 200_000
"""Points of all series of an answer in JSON."""

TYPES: Mapping[str, str] = {
    "time_us": "<i8",
    "start_us": "<i8",
    "count": "<i8",
    "good": "<i8",
    "value": "<f8",
    "mean": "<f8",
    "min": "<f8",
    "max": "<f8",
    "stddev": "<f8",
    "quality": "<u2",
    "repaired": "|u1",
}
"""Columns by name, as .proto files describe them."""


def names_of(message: type[Message]) -> list[str]:
    """Columns of a message, in the order of the contract."""
    return [field.name for field in message.DESCRIPTOR.fields if field.type == FieldDescriptor.TYPE_BYTES]


def array(message: Any, name: str) -> NDArray[Any]:
    """A column."""
    return np.frombuffer(getattr(message, name), TYPES[name])


def listed(column: NDArray[Any], name: str) -> list[Any]:
    """A column as values of JSON."""
    values: list[Any] = (column.astype(bool) if name == "repaired" else column).tolist()
    if column.dtype.kind != "f" or (finite := np.isfinite(column)).all():
        return values
    return [value if good else None for value, good in zip(values, finite.tolist(), strict=True)]


def series(message: Any) -> dict[str, Any]:
    """A message with columns as values of JSON."""
    return {field.name: _value(message, field) for field in message.DESCRIPTOR.fields if field.name != "tag_complete"}


def _value(message: Any, field: FieldDescriptor) -> Any:
    value = getattr(message, field.name)
    if field.type == FieldDescriptor.TYPE_BYTES:
        return listed(array(message, field.name), field.name)
    return [plain(one) for one in value] if field.type == FieldDescriptor.TYPE_MESSAGE else value


async def gathered(chunks: AsyncIterable[Any], *, at_most: int = MAX_POINTS) -> list[dict[str, Any]]:
    """Series of a stream of chunks. Raises InvalidRequestError when there are more points than JSON is for."""
    found: dict[int, dict[str, Any]] = {}
    points = 0
    async for chunk in chunks:
        columns = names_of(type(chunk))
        points += len(getattr(chunk, columns[0])) // 8
        if points > at_most:
            msg = (
                f"more than {at_most:,} points: narrow the range, set a limit, or ask for format=arrow, parquet or csv"
            )
            raise InvalidRequestError(msg)
        part = series(chunk)
        known = found.setdefault(chunk.tag_id, part)
        if known is not part:
            for name in columns:
                known[name] += part[name]
    return list(found.values())
