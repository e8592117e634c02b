"""A history chunk by chunk: each row once, also when the stream breaks and is read again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from millrace_client import AsyncClient, Client, SampleSeries, calls
from millrace_client._proto.millrace.v1 import history_pb2
from millrace_client.course import Chunks
from millrace_client.fake import FakePlant
from millrace_client.results.columns import packed

CALL = calls.history.read_samples(calls.history.selection([1, 2], 1, 9), 0, good_only=False)


def message(tag_id: int, times: Sequence[int], *, first: bool = True) -> history_pb2.ReadSamplesResponse:
    named: dict[str, Any] = {"path": f"a/b/t{tag_id}", "unit": "Cel"} if first else {}
    return history_pb2.ReadSamplesResponse(
        tag_id=tag_id,
        time_us=packed("q", times),
        value=packed("d", [float(one) for one in times]),
        quality=packed("H", [0] * len(times)),
        **named,
    )


def rows(chunks: Sequence[SampleSeries]) -> list[tuple[str, int, float]]:
    return [
        (one.path, time_us, value)
        for one in chunks
        for time_us, value in zip(one.time_us.tolist(), one.value.tolist(), strict=True)
    ]


def test_chunks_carry_the_names_of_the_first() -> None:
    course = Chunks(SampleSeries, CALL)
    course.call()
    found = [*course.results(message(1, [1, 2])), *course.results(message(1, [3], first=False))]
    assert rows(found) == [("a/b/t1", 1, 1.0), ("a/b/t1", 2, 2.0), ("a/b/t1", 3, 3.0)]
    assert {one.unit for one in found} == {"Cel"}


def test_what_was_given_is_left_out_after_a_break() -> None:
    course = Chunks(SampleSeries, CALL)
    course.call()
    before = [*course.results(message(1, [1, 1, 2])), *course.results(message(2, [5]))]
    assert len(rows(before)) == 4, "samples of the same time are all there"
    course.call()  # it broke
    after = [
        *course.results(message(1, [1, 1, 2])),  # all of it is known
        *course.results(message(2, [5, 6])),
        *course.results(message(2, [7], first=False)),
    ]
    assert [one.tag_id for one in after] == [2, 2]
    assert rows(after) == [("a/b/t2", 6, 6.0), ("a/b/t2", 7, 7.0)]


def test_an_empty_series_is_given_once() -> None:
    course = Chunks(SampleSeries, CALL)
    course.call()
    (empty,) = course.results(message(1, []))
    assert (len(empty), empty.path) == (0, "a/b/t1")
    course.call()
    assert list(course.results(message(1, []))) == []


@pytest.mark.parametrize("threads", [True, False])
async def test_a_reader_that_stops_half_way_holds_nothing(*, threads: bool) -> None:
    plant = FakePlant(machine=None)
    plant.define("a/b/c/d/e/f/t", tag_id=1, device_id=1, unit="Cel")
    for at in range(3):
        plant.set(1, float(at), time_us=1_000_000 + at)
    client: Client | AsyncClient = plant.client() if threads else plant.async_client()
    if isinstance(client, Client):
        with client, client.history_chunks(1, 1_000_000, 2_000_000) as chunks:
            assert next(chunks).value.tolist() == [0.0, 1.0, 2.0]
            chunks.close()
            assert list(chunks) == []
        return
    async with client, client.history_chunks(1, 1_000_000, 2_000_000) as stream:
        assert (await anext(stream)).value.tolist() == [0.0, 1.0, 2.0]
        await stream.aclose()
        assert [one async for one in stream] == []
