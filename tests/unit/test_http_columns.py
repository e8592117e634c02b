"""Columns of history as JSON and as files, from chunks as the database's reader makes them."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest

from base.errors import InvalidRequestError
from schemas.proto.millrace.v1 import history_pb2
from serving.http import columns, downloads
from serving.http.plain import dumps

START_US = 1_700_000_000_000_000
SAMPLES = history_pb2.ReadSamplesResponse
WINDOWS = history_pb2.ReadAggregatesResponse


def sample_chunk(tag_id: int, values: list[float], *, first: bool, at: int = 0) -> Any:
    """A chunk of samples, a second apart."""
    return SAMPLES(
        tag_id=tag_id,
        path=f"acme/tag{tag_id}" if first else "",
        unit="Cel" if first else "",
        time_us=(START_US + 1_000_000 * np.arange(at, at + len(values), dtype="<i8")).tobytes(),
        value=np.array(values, "<f8").tobytes(),
        quality=np.full(len(values), 0x8000, "<u2").tobytes(),
    )


def window_chunk(tag_id: int, means: list[float]) -> Any:
    """A chunk of windows."""
    n = len(means)
    floats: dict[str, Any] = {name: np.array(means, "<f8").tobytes() for name in ("mean", "min", "max", "stddev")}
    return WINDOWS(
        tag_id=tag_id,
        path="acme/tag",
        unit="Cel",
        window_s=60,
        start_us=(START_US + 60_000_000 * np.arange(n, dtype="<i8")).tobytes(),
        count=np.full(n, 7, "<i8").tobytes(),
        good=np.full(n, 6, "<i8").tobytes(),
        repaired=np.ones(n, "|u1").tobytes(),
        **floats,
    )


async def stream(*chunks: Any) -> AsyncIterator[Any]:
    """Chunks as they come."""
    for chunk in chunks:
        yield chunk


CHUNKS = (
    sample_chunk(1, [1.0, float("nan")], first=True),
    sample_chunk(1, [3.0], first=False, at=2),
    sample_chunk(2, [4.5], first=True),
)


async def test_chunks_become_series() -> None:
    found = await columns.gathered(stream(*CHUNKS))
    assert [one["tag_id"] for one in found] == [1, 2]
    assert found[0]["value"] == [1.0, None, 3.0]
    assert found[0]["time_us"] == [START_US, START_US + 1_000_000, START_US + 2_000_000]
    assert found[0]["quality"] == [0x8000] * 3
    assert found[0]["path"] == "acme/tag1"
    assert json.loads(dumps(found)) == found
    windows = await columns.gathered(stream(window_chunk(1, [1.0, float("nan")])))
    assert windows[0]["mean"] == [1.0, None]
    assert windows[0]["repaired"] == [True, True]
    assert windows[0]["count"] == [7, 7]
    assert windows[0]["window_s"] == 60


async def test_more_points_than_json_is_for_are_refused_with_a_way_out() -> None:
    with pytest.raises(InvalidRequestError, match="arrow"):
        await columns.gathered(stream(*CHUNKS), at_most=3)


async def whole(form: str, message: Any, *chunks: Any) -> bytes:
    """A file."""
    return b"".join([piece async for piece in downloads.pieces(stream(*chunks), message, form)])


@pytest.mark.security("V5.4.1", "V5.4.2")
async def test_samples_as_arrow_parquet_and_csv_are_the_same_table() -> None:
    arrow = pa.ipc.open_stream(await whole("arrow", SAMPLES, *CHUNKS)).read_all()
    parquet = pyarrow.parquet.read_table(io.BytesIO(await whole("parquet", SAMPLES, *CHUNKS)))
    csv = pyarrow.csv.read_csv(io.BytesIO(await whole("csv", SAMPLES, *CHUNKS)))
    rows = arrow.to_pylist()
    assert [row["tag_id"] for row in rows] == [1, 1, 1, 2]
    assert [row["path"] for row in rows] == ["acme/tag1"] * 3 + ["acme/tag2"]
    assert [row["value"] for row in rows] == [1.0, None, 3.0, 4.5]
    assert rows[0]["time"].isoformat() == "2023-11-14T22:13:20+00:00"
    assert arrow.schema.field("time").type == pa.timestamp("us", "UTC")
    assert parquet.to_pylist() == rows
    assert csv.column_names == arrow.column_names
    assert csv["value"].to_pylist() == [1.0, None, 3.0, 4.5]
    assert csv["path"].to_pylist() == [row["path"] for row in rows]


async def test_windows_have_their_columns() -> None:
    table = pa.ipc.open_stream(await whole("arrow", WINDOWS, window_chunk(3, [1.5, float("nan")]))).read_all()
    assert table.column_names == [
        "tag_id", "path", "unit", "window_s", "start", "count", "good", "mean", "min", "max", "stddev", "repaired",
    ]  # fmt: skip
    assert table["mean"].to_pylist() == [1.5, None]
    assert table["repaired"].to_pylist() == [True, True]


@pytest.mark.parametrize("form", sorted(downloads.MEDIA_TYPES))
async def test_a_file_of_nothing_is_a_file(form: str) -> None:
    assert await whole(form, SAMPLES)


async def test_the_first_piece_comes_with_the_first_chunk() -> None:
    taken: list[int] = []

    async def chunks() -> AsyncIterator[Any]:
        for index, chunk in enumerate(CHUNKS):
            taken.append(index)
            yield chunk

    pieces = downloads.pieces(chunks(), SAMPLES, "arrow")
    await anext(pieces)
    assert taken == [0]
    await pieces.aclose()  # type: ignore[attr-defined]
