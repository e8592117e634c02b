"""Answers of the plant's work through the server, on the simulated week: the oracles' rows, for who may read the places."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import httpx
import numpy as np
import psycopg
import pytest

from base.settings import PostgresSettings
from millrace_client import AsyncClient, Connection, InvalidRequestError, NotFoundError
from registry import edit
from schemas.proto.millrace.v1 import history_pb2 as pb
from schemas.proto.millrace.v1 import history_pb2_grpc
from serving.config import HttpSettings, LimitSettings
from serving.tokens import hash_token
from simulator.packml import State
from simulator.week import LINE, Week, plan
from tests.integration.week import oracle_values as values
from tests.integration.week.oracle_work import HOUR_US, Oracle
from tests.unit.served import Served, served

MILL = f"{LINE}/milling-b/mill-03"
CHARTED = f"{LINE}/milling-a/mill-02"


def when(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-6)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("access") / "tokens.toml"
    path.write_text(
        f'[principals.all]\nsha256 = "{hash_token("all")}"\nallow = ["read"]\n'
        f'[principals.cell]\nsha256 = "{hash_token("cell")}"\nallow = ["read@{LINE}/milling-b"]\n'
        f'[principals.north]\nsha256 = "{hash_token("north")}"\nallow = ["read@acme/north"]\n'
    )
    return path


@pytest.fixture
async def client(running: Served) -> AsyncIterator[AsyncClient]:
    """A client that may read everything, and has patience."""
    async with AsyncClient(Connection(running.address, token="all"), deadline_s=60) as made:
        yield made


@pytest.fixture
async def running(week_dsn: str, tokens: Path) -> AsyncIterator[Served]:
    """A server on the week's database."""
    async with served(
        postgres=PostgresSettings(dsn=week_dsn),
        tokens=str(tokens),
        http=HttpSettings(listen="127.0.0.1:0"),
        limits=LimitSettings(overload_lag_ms=60_000),
    ) as running:
        with psycopg.connect(week_dsn) as connection:
            running.know(edit.definitions(connection)[0])
        yield running


async def test_downtime_reliability_and_production(client: AsyncClient, week: Week) -> None:
    oracle = Oracle(week, LINE, week.start_us, week.end_us)
    span: dict[str, Any] = {"start": when(week.start_us), "end": when(week.end_us)}
    for depth in (None, 1):
        causes = await client.downtime_pareto(LINE, **span, depth=depth or 0)
        assert {one.reason or None: (one.stops, one.downtime_s) for one in causes} == {
            reason: (stops, close(seconds)) for reason, (stops, seconds) in oracle.downtime(depth).items()
        }
        assert [one.downtime_s for one in causes] == sorted((one.downtime_s for one in causes), reverse=True)
        assert (sum(one.share for one in causes), causes[-1].cumulative) == (close(1.0), close(1.0))
    for reasons, failed in (
        ([], lambda one: one.state in (State.ABORTING, State.ABORTED)),
        (["mechanical"], lambda one: (one.reason or "").startswith("mechanical/")),
    ):
        machines = await client.reliability(LINE, **span, failure_reasons=reasons)
        expected = oracle.reliability(failed)
        assert {one.path for one in machines} == expected.keys()
        for one in machines:
            for name, value in expected[one.path].items():
                assert getattr(one, name) == (None if value is None else close(value)), (one.path, name)
    orders = await client.production(LINE, **span, counted_class="cnc_mill")
    good = oracle.good("device", "order")
    assert {one.job_order for one in orders} == {one.job_order for one in plan.ORDERS}
    for order in orders:
        mills = [n for (path, *_, name, _), n in good.items() if "/mill-" in path and name == order.job_order]
        jobs = [job for job in week.jobs if job.job_order == order.job_order]
        assert order.good == sum(mills)
        assert order.started_us == min(job.start_us for job in jobs)
        assert order.ended_us == (max(job.end_us or 0 for job in jobs) if all(job.end_us for job in jobs) else None)
        assert order.ahead == close(order.good - order.expected)


async def test_genealogy_values_of_a_lot_and_lots_of_an_anomaly(client: AsyncClient, week: Week) -> None:
    for lot in ("PAL-003", "LOT-010", "BAR-01-01"):
        both = await client.genealogy(lot)
        for direction in ("back", "forward"):
            expected = values.ancestors(week, lot, direction)
            assert {one.lot: one.depth for one in await client.genealogy(lot, direction=direction)} == expected
            assert {one.lot for one in both if one.direction == direction} == expected.keys()
        assert all((one.trail[0], one.trail[-1], len(one.trail)) == (lot, one.lot, one.depth + 1) for one in both)
    ranges = {"power": 0, "spindle_temperature": 70.0}
    found = [one for one in await client.lot_values("PAL-003") if one.name in ranges and "/mill-" in one.device_path]
    made = {"PAL-003", *values.ancestors(week, "PAL-003", "back")}
    actuals = [one for one in week.actuals if one.use == "PRODUCED" and one.lot in made and "/mill-" in one.device]
    assert len(found) == len(ranges) * len(actuals) > 0
    for one in found:
        stats = values.weighted(week.samples[one.device_path][one.name], one.start_us, one.end_us, -1e9, 1e9)
        assert (one.mean, one.min, one.max) == tuple(close(stats[name]) for name in ("mean", "min", "max"))
    for episode in week.episodes:
        there = {
            (one.lot, one.use)
            for one in week.actuals
            if one.device == episode.device and one.start_us < episode.end_us and one.end_us > episode.start_us
        }
        descendants = {lot for one, use in there if use == "PRODUCED" for lot in values.ancestors(week, one, "forward")}
        lots = await client.anomaly_lots(str(episode.episode))
        assert {(one.lot, one.use) for one in lots if one.depth == 0} == there
        assert {one.lot for one in lots if one.use == "DESCENDANT"} == descendants - {lot for lot, _ in there}
    with pytest.raises(NotFoundError, match="there is no lot 'NONE'"):
        await client.genealogy("NONE")
    with pytest.raises(InvalidRequestError, match="there are back, forward"):
        await client.genealogy("PAL-003", direction="sideways")


async def test_a_control_chart_and_a_batch(client: AsyncClient, week: Week) -> None:
    tag = "coolant_pressure"
    baseline = (week.start_us + 6 * HOUR_US, week.start_us + 50 * HOUR_US)
    span = (week.start_us + 50 * HOUR_US, week.start_us + 72 * HOUR_US)
    chart = await client.control_chart(
        f"{CHARTED}/{tag}",
        *map(when, span),
        packml_state="EXECUTE",
        baseline=(when(baseline[0]), when(baseline[1])),
        lower_spec=35.0,
        upper_spec=41.0,
    )
    limits = values.limits(values.subgroups(week, CHARTED, tag, *baseline, 5, State.EXECUTE), 35.0, 41.0)
    for name, value in limits.items():
        assert getattr(chart.limits, name) == close(value), name
    assert (chart.limits.lower_spec, chart.limits.upper_spec) == (35.0, 41.0)
    groups = values.subgroups(week, CHARTED, tag, *span, 5, State.EXECUTE)
    means = [float(group.mean()) for group in groups]
    assert [one.mean for one in chart.points] == [close(mean) for mean in means]
    assert [one.range for one in chart.points] == [close(float(np.ptp(group))) for group in groups]
    assert [list(one.rules) for one in chart.points] == values.rules(means, limits["mean"], limits["ucl"])
    with pytest.raises(InvalidRequestError, match="subgroups have 2 to 10 samples"):
        await client.control_chart(f"{CHARTED}/{tag}", n=11)
    golden, *others = week.batches
    for batch in others:
        found = {(one.phase, one.name): one for one in await client.batch_deviation(batch.batch)}
        assert {one.golden_batch for one in found.values()} == {golden.batch}
        for phase, expected in values.deviation(week, batch, golden, "spindle_temperature", 20).items():
            one = found[phase, "spindle_temperature"]
            assert {name: getattr(one, name) for name in expected} == {
                name: pytest.approx(value, rel=1e-6, abs=1e-6) for name, value in expected.items()
            }


async def test_the_same_over_http(running: Served, week: Week) -> None:
    assert running.server.http is not None
    base = f"http://127.0.0.1:{running.server.http.port}/api/v1"
    async with httpx.AsyncClient(headers={"authorization": "Bearer all"}, timeout=60) as http:

        async def get(path: str, /, **query: Any) -> Any:
            answer = await http.get(f"{base}/{path}", params=query)
            assert answer.status_code == 200, answer.text
            return answer.json()

        span = {"prefix": LINE, "start_us": week.start_us, "end_us": week.end_us}
        assert len((await get("downtime-pareto", **span, depth=1))["causes"]) > 2
        assert len((await get("reliability", **span))["machines"]) == 6
        assert len((await get("production", **span))["orders"]) == len(plan.ORDERS)
        assert (await get("work/lots/PAL-003/genealogy", direction="back"))["relations"]
        assert (await get("work/lots/PAL-003/values"))["values"]
        assert (await get(f"anomalies/{week.episodes[0].episode}/lots"))["lots"]
        batch = week.batches[1].batch
        assert (await get(f"work/batches/{batch}/deviation", points=5))["deviations"]
        charted = {"path": f"{CHARTED}/coolant_pressure"} | {name: span[name] for name in ("start_us", "end_us")}
        assert (await get("control-chart", **charted, n=10))["limits"]["subgroups"]


async def test_who_may_read_a_part_gets_no_more_of_any_answer(running: Served, week: Week) -> None:
    span: dict[str, Any] = {"start_us": week.start_us, "end_us": week.end_us}
    lot = next(one.lot for one in week.actuals if "milling-a" in one.device and one.use == "PRODUCED")
    foreign = next(one for one in week.episodes if "milling-a" in one.device)
    async with grpc.aio.insecure_channel(running.address) as channel:
        stub = history_pb2_grpc.HistoryServiceStub(channel)  # type: ignore[no-untyped-call]
        asked: list[tuple[Any, Any]] = [
            (stub.ReadDowntimePareto, pb.ReadDowntimeParetoRequest(prefix=LINE, **span)),
            (stub.ReadReliability, pb.ReadReliabilityRequest(prefix=LINE, **span)),
            (stub.ReadProduction, pb.ReadProductionRequest(prefix=LINE, **span)),
            (stub.ReadControlChart, pb.ReadControlChartRequest(path=f"{CHARTED}/coolant_pressure", **span)),
            (stub.ReadAnomalyLots, pb.ReadAnomalyLotsRequest(episode_id=str(foreign.episode))),
        ]
        refused = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)
        for name in ("cell", "north"):
            for call, request in asked:
                with pytest.raises(grpc.aio.AioRpcError) as error:
                    await call(request, metadata=[("authorization", f"Bearer {name}")])
                assert error.value.code() in refused, (name, request)
        nobody = [("authorization", "Bearer north")]
        for call, request in (
            (stub.ReadGenealogy, pb.ReadGenealogyRequest(lot=lot)),
            (stub.ReadLotValues, pb.ReadLotValuesRequest(lot=lot)),
            (stub.ReadBatchDeviation, pb.ReadBatchDeviationRequest(batch=week.batches[1].batch)),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await call(request, metadata=nobody)
            assert error.value.code() is grpc.StatusCode.NOT_FOUND
        cell = [("authorization", "Bearer cell")]
        found = await stub.ReadReliability(pb.ReadReliabilityRequest(prefix=f"{LINE}/milling-b", **span), metadata=cell)
        assert {one.path for one in found.machines} == {path for path in plan.DEVICES if "milling-b" in path}
        seen = {one.lot for one in week.actuals if "milling-b" in one.device}
        for one in (await stub.ReadGenealogy(pb.ReadGenealogyRequest(lot=min(seen)), metadata=cell)).relations:
            assert set(one.trail) <= seen
        for value in (await stub.ReadLotValues(pb.ReadLotValuesRequest(lot=min(seen)), metadata=cell)).values:
            assert "milling-b" in value.device_path
