"""History through the gRPC server, from a real database: what callers get back is what was stored."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import grpc
import numpy as np
import psycopg
import pytest
from numpy.typing import NDArray

from base.settings import PostgresSettings
from historian.store import HistorianStore
from schemas.proto.millrace.v1 import history_pb2, history_pb2_grpc, line_pb2, line_pb2_grpc, state_pb2
from serving.handlers import pages
from tests.integration.fix_history import copy_of, history, sql, store, variant
from tests.integration.history import (
    SECOND_US,
    T0_US,
    event_fields,
    make_frame,
    record,
    register,
    validated,
    window_batch,
)
from tests.unit.served import definition, served

__all__ = ["copy_of", "history", "sql", "store", "variant"]

DEVICE = "acme/north/forming/line-1/cell-1/press-01"
Sql = psycopg.Connection[Any]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The plain stubs of a server."""

    history: Any
    line: Any


@asynccontextmanager
async def reading(dsn: str, tags: dict[str, int]) -> AsyncIterator[Reading]:
    """A server that knows the tags of `register`."""
    postgres = PostgresSettings(dsn=dsn)
    async with served(postgres=postgres) as running, grpc.aio.insecure_channel(running.address) as channel:
        with_device = [
            definition(
                tag_id=tag_id, device_id=77, path=f"{DEVICE}/{name}", name=name, unit="kW", period_ms=100,
                windows_s=(1, 60), gateway_id="gw", site="north", deadband=0.0,
            )
            for name, tag_id in tags.items()
        ]  # fmt: skip
        running.know(with_device, version=9)
        stubs = history_pb2_grpc.HistoryServiceStub(channel), line_pb2_grpc.LineServiceStub(channel)  # type: ignore[no-untyped-call]
        yield Reading(history=stubs[0], line=stubs[1])


def whole(*tag_ids: int, seconds: int = 7200) -> history_pb2.Selection:
    return history_pb2.Selection(tag_ids=tag_ids, start_us=T0_US, end_us=T0_US + seconds * SECOND_US)


def write(store: HistorianStore, tag_id: int, times: NDArray[Any], values: NDArray[Any], **options: Any) -> None:
    for at in range(0, len(times), 20_000):
        part = slice(at, at + 20_000)
        n = len(times[part])
        store.write(
            [validated(make_frame([tag_id] * n, times[part].tolist(), values[part].tolist(), sequence=at, **options))]
        )


async def columns(call: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[Any]]:
    chunks = [chunk async for chunk in call]
    time_us, value, code = (
        np.frombuffer(b"".join(getattr(one, name) for one in chunks), dtype)
        for name, dtype in (("time_us", "<i8"), ("value", "<f8"), ("quality", "<u2"))
    )
    return time_us, value, code, chunks


async def test_samples_come_back_bit_for_bit_over_partitions_and_pages(
    history: str, store: HistorianStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "FIRST_ROWS", 100)
    monkeypatch.setattr(pages, "PAGE_ROWS", 700)
    power = register(history)["power"]
    rng = np.random.default_rng(1)
    # Two hours, with silence, a burst denser than the tag's period, and times that are there several times.
    times = np.sort(
        np.concatenate(
            [
                T0_US + rng.integers(0, 60 * SECOND_US, 2000),
                T0_US + 3500 * SECOND_US + np.repeat(np.arange(300), 10) * 50_000,
                T0_US + 7000 * SECOND_US + np.arange(500) * 10,
            ]
        )
    )
    values = rng.normal(size=len(times))
    quality = rng.choice([0, 0x4000, 0x8031, 0xFFFF], len(times))
    for number, part in enumerate([slice(0, 2000), slice(2000, 5000), slice(5000, 5500)]):
        one = [power] * len(times[part]), times[part].tolist(), values[part].tolist()
        store.write([validated(make_frame(*one, quality=quality[part].tolist(), sequence=number))])
    async with reading(history, {"power": power}) as running:
        ask = history_pb2.ReadSamplesRequest
        time_us, value, code, chunks = await columns(running.history.ReadSamples(ask(selection=whole(power))))
        order = np.lexsort((values, times))
        assert time_us.tolist() == times.tolist()
        assert value[np.lexsort((value, time_us))].tolist() == values[order].tolist()
        assert sorted(zip(time_us.tolist(), value.tolist(), code.tolist(), strict=True)) == sorted(
            zip(times.tolist(), values.tolist(), quality.tolist(), strict=True)
        )
        assert len(chunks) > 3
        assert [one.tag_complete for one in chunks] == [False] * (len(chunks) - 1) + [True]
        assert (chunks[0].path, chunks[0].unit, chunks[1].path) == (f"{DEVICE}/power", "kW", "")

        newest = await columns(running.history.ReadSamples(ask(selection=whole(power), limit=505)))
        assert newest[0].tolist() == times[-505:].tolist()
        good = await columns(running.history.ReadSamples(ask(selection=whole(power), good_only=True)))
        assert good[0].tolist() == times[quality == 0].tolist()
        empty = history_pb2.Selection(tag_ids=[power], start_us=T0_US - SECOND_US, end_us=T0_US)
        (nothing,) = [one async for one in running.history.ReadSamples(ask(selection=empty))]
        assert (nothing.tag_complete, nothing.time_us) == (True, b"")


async def test_windows_are_given_as_asked_or_chosen(history: str, store: HistorianStore) -> None:
    power = register(history)["power"]
    store.write([window_batch(power, T0_US + n * SECOND_US, 10, value=float(n)) for n in range(600)])
    store.write([window_batch(power, T0_US + n * 60 * SECOND_US, 600, window_s=60, value=float(n)) for n in range(20)])
    store.write([window_batch(power, T0_US + 20 * 60 * SECOND_US, 5, window_s=60, good=0)])
    async with reading(history, {"power": power}) as running:
        ask = history_pb2.ReadAggregatesRequest
        minutes = [one async for one in running.history.ReadAggregates(ask(selection=whole(power), window_s=60))]
        starts = np.frombuffer(b"".join(one.start_us for one in minutes), "<i8")
        means = np.frombuffer(b"".join(one.mean for one in minutes), "<f8")
        assert starts.tolist() == [T0_US + n * 60 * SECOND_US for n in range(21)]
        assert means[:20].tolist() == [float(n) for n in range(20)]
        assert np.isnan(means[20])
        chosen = [one async for one in running.history.ReadAggregates(ask(selection=whole(power, seconds=600)))]
        assert chosen[0].window_s == 1
        assert sum(len(one.start_us) for one in chosen) == 600 * 8
        hours = [one async for one in running.history.ReadAggregates(ask(selection=whole(power), window_s=3600))]
        assert np.frombuffer(hours[0].count, "<i8").tolist() == [20 * 600 + 5]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(aiter(running.history.ReadAggregates(ask(selection=whole(power), window_s=7))))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "1, 60, 3600, 86400" in str(caught.value.details())


async def test_a_chart_keeps_extremes_from_samples_and_from_windows(history: str, store: HistorianStore) -> None:
    power = register(history)["power"]
    times = T0_US + np.arange(6000) * 100_000
    values = np.sin(np.arange(6000) / 50)
    values[1234], values[4321] = 9.0, -9.0
    write(store, power, times, values)
    store.write([window_batch(power, T0_US + n * SECOND_US, 10, value=float(n)) for n in range(600)])
    async with reading(history, {"power": power}) as running:
        ask = history_pb2.ReadChartRequest
        (fine,) = (await running.history.ReadChart(ask(selection=whole(power, seconds=600), pixels=1500))).series
        assert (fine.source, len(fine.value)) == ("samples", 6000 * 8)
        (coarse,) = (await running.history.ReadChart(ask(selection=whole(power, seconds=600), pixels=500))).series
        assert (coarse.source, coarse.window_s, len(coarse.value)) == ("windows", 1, 600 * 8)
        # No windows of the time: the samples, fewer of them, with both extremes.
        async with await psycopg.AsyncConnection.connect(history, autocommit=True) as connection:
            await connection.execute("DELETE FROM aggregates")
        (reduced,) = (await running.history.ReadChart(ask(selection=whole(power, seconds=600), pixels=500))).series
        value = np.frombuffer(reduced.value, "<f8")
        assert reduced.source == "samples"
        assert len(value) <= 4 * 500
        assert {9.0, -9.0} <= set(value.tolist())


async def test_events_anomalies_and_rejects_come_in_pages(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    ids = [uuid4() for _ in range(5)]
    store.write(
        [
            record("DeviceEvent", **event_fields(event_id=one, device_id=77, time_us=T0_US + n, text=f"event {n}"))
            for n, one in enumerate(ids)
        ]
        + [record("DeviceEvent", **event_fields(kind="GAP", device_id=0, time_us=T0_US + 9, text="the gateway's"))]
        + [record("DeviceEvent", **event_fields(device_id=78, text="another device's"))]
    )
    sql.execute(
        """INSERT INTO rejects (identity, reason, detail, rejected_at, source_topic, source_partition, source_offset, samples, positions,
                                tag_ids, times_us, "values", qualities)
           SELECT n::text, 'OUT_OF_RANGE', 'too much', to_timestamp(%s), 't', 0, n, 2, '{4,5}', ARRAY[%s, %s],
                  ARRAY[%s::bigint, %s], '{500,600}', '{0,0}' FROM generate_series(1, 4) n""",
        (T0_US / 1e6, power, power, T0_US, T0_US + 1),
    )
    sql.execute(
        """INSERT INTO anomalies SELECT gen_random_uuid(), 77, phase, 1, to_timestamp(%s) + n * interval '1 minute',
                  CASE WHEN phase = 'CLOSE' THEN to_timestamp(%s) + n * interval '2 minutes' END, 0.9, 0.95, 0.5, '[]', 'gaussian', 1
           FROM (VALUES (0, 'CLOSE'), (1, 'CLOSE'), (2, 'OPEN')) v(n, phase)""",
        (T0_US / 1e6, T0_US / 1e6),
    )
    async with reading(history, {"power": power}) as running:
        token, texts = "", []
        while True:
            page = await running.history.ListEvents(
                history_pb2.ListEventsRequest(
                    prefix=DEVICE, start_us=T0_US, end_us=T0_US + SECOND_US, page_size=2, page_token=token
                )
            )
            texts += [one.text for one in page.events]
            if not (token := page.next_page_token):
                break
        assert texts == ["the gateway's", "event 4", "event 3", "event 2", "event 1", "event 0"]
        asked = history_pb2.ListEventsRequest(start_us=T0_US, end_us=T0_US + SECOND_US, kinds=["GAP"])
        assert [one.text for one in (await running.history.ListEvents(asked)).events] == ["the gateway's"]

        anomalies = history_pb2.ListAnomaliesRequest(prefix=DEVICE, page_size=2)
        page = await running.history.ListAnomalies(anomalies)
        assert [one.start_us - T0_US for one in page.anomalies] == [120 * SECOND_US, 60 * SECOND_US]
        rest = history_pb2.ListAnomaliesRequest(prefix=DEVICE, page_size=2, page_token=page.next_page_token)
        assert [one.start_us for one in (await running.history.ListAnomalies(rest)).anomalies] == [T0_US]
        is_open = await running.history.ListAnomalies(history_pb2.ListAnomaliesRequest(open_only=True))
        assert [one.phase for one in is_open.anomalies] == [state_pb2.ANOMALY_PHASE_OPEN]

        rejects, token = [], ""
        while True:
            page = await running.history.ListRejects(
                history_pb2.ListRejectsRequest(prefix=DEVICE, start_us=1, page_size=3, page_token=token)
            )
            rejects += [(one.reason, one.tag_id, one.time_us, one.value) for one in page.rejects]
            if not (token := page.next_page_token):
                break
        assert sorted(rejects) == [
            ("OUT_OF_RANGE", power, T0_US + n, 500.0 + 100 * n) for n in (0, 1) for _ in range(4)
        ]
        counts = await running.history.CountRejects(history_pb2.CountRejectsRequest(start_us=1))
        assert [(one.reason, one.device_path, one.count) for one in counts.counts] == [("OUT_OF_RANGE", DEVICE, 8)]


async def test_a_database_that_comes_back_is_used_again_and_a_cancelled_call_stops_its_statement(
    history: str, store: HistorianStore, sql: Sql
) -> None:
    power = register(history)["power"]
    write(store, power, T0_US + np.arange(10) * SECOND_US, np.arange(10.0))
    ask = history_pb2.ReadSamplesRequest(selection=whole(power))
    async with reading(history, {"power": power}) as running:
        assert len((await columns(running.history.ReadSamples(ask)))[0]) == 10
        sql.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace-serving'"
        )
        assert len((await columns(running.history.ReadSamples(ask)))[0]) == 10
        # A lock keeps the statement waiting in the server; the caller's deadline takes it away.
        with psycopg.connect(history) as locking:
            locking.execute("LOCK TABLE device_events IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await running.history.ListEvents(history_pb2.ListEventsRequest(), timeout=0.5)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            active = (
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'millrace-serving' AND state = 'active'"
            )
            deadline = time.monotonic() + 5
            while sql.execute(active).fetchone() != (0,):
                assert time.monotonic() < deadline, "the statement goes on"
                await asyncio.sleep(0.02)  # the server is on this loop, and its cancellation needs a turn
        health = await running.line.GetLineHealth(line_pb2.GetLineHealthRequest())
        stages = {one.name: one for one in health.stages}
        assert stages["database"].health == line_pb2.HEALTH_OK


async def test_a_history_says_what_its_tags_were_then(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    write(store, power, T0_US + np.arange(20_000) * 100_000, np.ones(20_000))
    sql.execute(
        "UPDATE tag_periods SET unit = 'W', path = 'acme/old/power', limit_high = NULL, valid_to = to_time(%s)",
        (T0_US + SECOND_US,),
    )
    sql.execute(
        """INSERT INTO tag_periods
           SELECT tag_id, to_time(%s), 'infinity', 'acme/new/power', name, device_id, 'kW', eu_low, eu_high, limit_low, 200,
                  gateway_id, lane
           FROM tag_periods""",
        (T0_US + SECOND_US,),
    )
    async with reading(history, {"power": power}) as stubs:
        request = history_pb2.ReadSamplesRequest(selection=whole(power))
        chunks = [chunk async for chunk in stubs.history.ReadSamples(request, timeout=60)]
        windows = [
            w
            async for w in stubs.history.ReadAggregates(
                history_pb2.ReadAggregatesRequest(selection=whole(power)), timeout=60
            )
        ]
    assert len(chunks) > 1
    first, *others = chunks
    found = [
        (one.start_us, one.path, one.unit, one.limit_high if one.HasField("limit_high") else None)
        for one in first.periods
    ]
    assert found == [(T0_US, "acme/old/power", "W", None), (T0_US + SECOND_US, "acme/new/power", "kW", 200.0)]
    assert [len(chunk.periods) for chunk in others] == [0] * len(others)
    assert [one.unit for one in windows[0].periods] == ["W", "kW"]
