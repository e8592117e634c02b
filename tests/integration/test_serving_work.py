"""The plant's work through the gRPC server, from a real database: what is entered, by whom, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import httpx
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from base.settings import PostgresSettings
from connectors.postgres.database import StoreUnavailable
from connectors.postgres.pool import PoolSettings
from millrace_client import (
    ConflictError,
    DowntimeRange,
    InvalidRequestError,
    JobOrderStatus,
    MaterialUse,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from schemas.proto.millrace.v1 import work_pb2, work_pb2_grpc
from serving.config import HttpSettings
from serving.tokens import hash_token
from tests.integration.fix_history import plain_history
from tests.integration.history import register, tag
from tests.unit.served import Served, served

__all__ = ["plain_history"]

PRESS = "acme/north/forming/line-1/cell-1/press-01"
T0 = datetime(2026, 9, 21, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def plant(plain_history: str) -> str:
    """A press that stood aborted for two hours, products, reasons, a recipe, shifts in Berlin."""
    state = tag(tag_class="slow", data_type="INTEGER", eu=[0, 17], limits=[0, 20], unit="1", period_ms=1000)
    tag_id = register(plain_history, packml_state=state)["packml_state"]
    with psycopg.connect(plain_history, autocommit=True) as sql:
        sql.execute(
            "SELECT ensure_partition('samples', t) FROM generate_series(%s::timestamptz, %s, interval '1 hour') AS t",
            (T0, T0 + 3 * HOUR),
        )
        sql.execute(
            """INSERT INTO samples (time, value, tag_id, quality, verdict)
               SELECT t, CASE WHEN t < %(end)s THEN 9 ELSE 6 END, %(tag)s, 0, 0
               FROM generate_series(%(start)s::timestamptz, %(end)s, interval '10 minutes') AS t""",
            {"start": T0, "end": T0 + 2 * HOUR, "tag": tag_id},
        )
        for statement in (
            "INSERT INTO material_definitions (material, description) VALUES ('cap', 'Cap'), ('lid', ''), ('coil', '')",
            "INSERT INTO downtime_reasons (reason, planned) VALUES ('fault', false), ('jam', false), ('setup', true)",
            "INSERT INTO packml_reasons (packml_state, reason) VALUES ('ABORTED', 'fault')",
            "INSERT INTO scrap_reasons (reason, description) VALUES ('crack', 'Cracked')",
            "INSERT INTO recipes (recipe, version, material) VALUES ('brew', '2', 'cap')",
            "INSERT INTO recipe_phases (recipe, version, phase, ordinal, nominal_s) VALUES ('brew', '2', 'heat', 1, 600)",
            "INSERT INTO shift_patterns (name, time_zone) VALUES ('p', 'Europe/Berlin')",
            """INSERT INTO shift_pattern_shifts (pattern, shift, weekdays, starts, ends)
               VALUES ('p', 'day', '{1,2,3,4,5,6,7}', '06:00', '18:00'), ('p', 'night', '{1,2,3,4,5,6,7}', '18:00', '06:00')""",
            "INSERT INTO work_calendars (scope, valid_from, pattern) VALUES ('acme/north', '2026-01-01', 'p')",
        ):
            sql.execute(statement)
    return plain_history


@asynccontextmanager
async def planning(dsn: str, **settings: Any) -> AsyncIterator[Served]:
    """A server on that database; its client is called anna."""
    async with served(name="anna", postgres=PostgresSettings(dsn=dsn), **settings) as running:
        yield running


async def test_an_order_from_plan_to_completion(plant: str) -> None:
    async with planning(plant) as running:
        client = running.client
        put = client.put_job_order
        await put("J1", "cap", 100, "acme/north", T0, T0 + 8 * HOUR, priority=3, why="week 39")
        await put("J2", "lid", 50, "acme/north/forming", T0 + HOUR, T0 + 8 * HOUR, status="RELEASED")
        with pytest.raises(
            NotFoundError, match=r'\(material\)=\(lamp\) is not present in table "material_definitions"'
        ):
            await put("J3", "lamp", 100, "acme/north", T0, T0 + HOUR)
        with pytest.raises(InvalidRequestError):
            await put("J3", "cap", float("nan"), "acme/north", T0, T0 + HOUR)
        job = await client.start_job("J1", PRESS, T0)
        with pytest.raises(PreconditionError, match="works on job order J1 from 2026-09-21 12:00"):
            await client.start_job("J2", PRESS, T0 + HOUR)
        running_now = (await client.job_orders(statuses="RUNNING")).items
        assert [(one.job_order, one.responses[0].end_us, one.responses[0].device_path) for one in running_now] == [
            ("J1", None, PRESS)
        ]
        await client.complete_job(job, T0 + HOUR, why="done early")
        await put("J1", "cap", 120, "acme/north", T0, T0 + 8 * HOUR, why="20 more")
        order = (await client.job_orders(job_order="J1")).items[0]
        assert (order.status, order.quantity, order.priority) == (JobOrderStatus.COMPLETED, 120, 0)
        assert (order.entered_by, order.why) == ("local:anna", "20 more")
        assert order.responses[0].end_us == us(T0 + HOUR)
        changes = (await client.work_changes(table="job_orders")).items
        assert [(one.who, one.why) for one in changes] == [
            ("local:anna", "20 more"),
            ("local:anna", "done early"),
            ("local:anna", ""),
            ("local:anna", ""),
            ("local:anna", "week 39"),
        ]
        assert '"quantity": 100' in changes[0].before
        assert '"quantity": 120' in changes[0].after
        names = []
        page = await client.job_orders(page_size=1)
        while True:
            names += [one.job_order for one in page.items]
            if not page.next_page_token:
                break
            page = await client.job_orders(page_size=1, page_token=page.next_page_token)
        assert names == ["J2", "J1"], "latest planned start first"
        assert [one.material for one in (await client.materials()).items] == ["cap", "coil", "lid"]


def us(time: datetime) -> int:
    return int(time.timestamp() * 1e6)


async def test_a_stop_is_explained_split_merged_and_taken_back(plant: str) -> None:
    middle = T0 + HOUR
    async with planning(plant) as running:
        client = running.client

        async def stops() -> list[tuple[int, int, str, bool, str]]:
            found = (await client.downtimes("acme/north", T0, T0 + 3 * HOUR)).items
            assert {one.packml_state for one in found} == {"ABORTED"}
            return [
                (
                    (one.start_us - us(T0)) // 60_000_000,
                    (one.end_us - us(T0)) // 60_000_000,
                    one.reason,
                    one.planned,
                    one.entered_by,
                )
                for one in reversed(found)
            ]

        assert await stops() == [(0, 120, "fault", False, "")]
        halves = [
            DowntimeRange(start_us=us(T0), end_us=us(middle), reason="jam"),
            DowntimeRange(start_us=us(middle), end_us=us(T0 + 2 * HOUR), reason="setup"),
        ]
        made = await client.enter_downtime(PRESS, halves, why="seen")
        assert len(set(made)) == 2
        assert await stops() == [(0, 60, "jam", False, "local:anna"), (60, 120, "setup", True, "local:anna")]
        with pytest.raises(NotFoundError, match="unheard"):
            await client.enter_downtime(PRESS, [halves[1], replace(halves[0], reason="unheard")])
        await client.enter_downtime(PRESS, [DowntimeRange(start_us=us(T0), reason="jam")])
        assert await stops() == [(0, 120, "jam", False, "local:anna")], "until the machine executes"
        await client.enter_downtime(PRESS, [DowntimeRange(start_us=us(T0), end_us=us(middle))])
        assert await stops() == [(0, 60, "fault", False, ""), (60, 120, "jam", False, "local:anna")]
        with pytest.raises(NotFoundError, match="there is no device acme/north/nothing"):
            await client.enter_downtime("acme/north/nothing", halves)
        with pytest.raises(InvalidRequestError, match="ranges is empty"):
            await client.enter_downtime(PRESS, [])
        reasons = await client.reasons()
        assert [(one.reason, one.planned) for one in reasons.downtime] == [
            ("fault", False),
            ("jam", False),
            ("setup", True),
        ]
        assert [(one.reason, one.description) for one in reasons.scrap] == [("crack", "Cracked")]


async def test_lots_scrap_and_a_batch(plant: str) -> None:
    async with planning(plant) as running:
        client = running.client
        await client.put_job_order("J1", "cap", 100, "acme/north", T0, T0 + HOUR)
        await client.start_job("J1", PRESS, T0)
        await client.record_material("C7", PRESS, "CONSUMED", 12.5, start=T0, end=T0 + HOUR, material="coil")
        await client.record_material("L1", PRESS, "PRODUCED", start=T0, material="cap")
        with pytest.raises(NotFoundError, match="L9"):
            await client.record_material("L9", PRESS, "PRODUCED", start=T0)
        with pytest.raises(InvalidRequestError, match="say CONSUMED or PRODUCED"):
            await client.record_material("L1", PRESS, "")
        lots = {one.lot: one for one in (await client.material_lots(scope="acme/north/forming")).items}
        assert lots.keys() == {"C7", "L1"}
        used = lots["C7"].actuals[0]
        assert (used.use, used.quantity, used.job_order, used.end_us) == (
            MaterialUse.CONSUMED,
            12.5,
            "J1",
            us(T0 + HOUR),
        )
        assert (lots["L1"].actuals[0].quantity, lots["L1"].actuals[0].end_us) == (None, None)
        assert (await client.material_lots(scope="acme/south")).items == ()

        await client.record_scrap(PRESS, 3, "crack", T0 + HOUR)
        assert [
            (one.quantity, one.reason, one.job_order) for one in (await client.scrap("acme", T0, T0 + 2 * HOUR)).items
        ] == [(3, "crack", "J1")]
        await client.start_batch("B1", "brew", "2", PRESS, T0, lot="L1")
        with pytest.raises(ConflictError, match="B1"):
            await client.start_batch("B1", "brew", "2", PRESS, T0)
        assert await client.enter_batch_phase("B1", "heat", PRESS, T0) == us(T0)
        await client.complete_batch("B1", T0 + HOUR, golden=True)
        batch = (await client.batches(recipe="brew")).items[0]
        assert (batch.golden, batch.lot, batch.material, batch.end_us) == (True, "L1", "cap", us(T0 + HOUR))
        assert [(one.phase, one.nominal_s, one.end_us) for one in batch.phases] == [("heat", 600, us(T0 + HOUR))]
        with pytest.raises(NotFoundError, match="no batch B2"):
            await client.complete_batch("B2")


async def test_shifts_across_the_change_of_the_clock_and_bounds_of_ranges(plant: str) -> None:
    async with planning(plant) as running:
        start = datetime(2026, 10, 24, 12, tzinfo=UTC)
        shifts = await running.client.shifts(PRESS, start, start + timedelta(hours=20))
        lengths = [(one.shift, one.day, (one.end_us - one.start_us) // 3_600_000_000) for one in shifts]
        assert lengths == [("day", "2026-10-24", 12), ("night", "2026-10-24", 13), ("day", "2026-10-25", 12)]
        with pytest.raises(InvalidRequestError, match="more than 366"):
            await running.client.shifts(PRESS, start - timedelta(days=400), start)
        with pytest.raises(InvalidRequestError, match="scope is empty"):
            await running.client.downtimes("")
        with pytest.raises(InvalidRequestError, match="page_token"):
            await running.client.scrap(page_token="W10=")


async def test_who_may_only_read_enters_nothing(plant: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        f'[principals.rita]\nsha256 = "{hash_token("r")}"\nallow = ["read", "command", "approve"]\n'
        f'[principals.paul]\nsha256 = "{hash_token("p")}"\nallow = ["read", "plan"]\n'
    )
    async with planning(plant, tokens=str(tokens)) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = work_pb2_grpc.WorkServiceStub(channel)  # type: ignore[no-untyped-call]
        rita, paul = ([("authorization", f"Bearer {token}")] for token in "rp")
        scrap = work_pb2.RecordScrapRequest(device_path=PRESS, quantity=1, reason="crack")
        with pytest.raises(grpc.aio.AioRpcError, match="rita may not plan") as refused:
            await stub.RecordScrap(scrap, metadata=rita)
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert not (await stub.ListScrap(work_pb2.ListScrapRequest(), metadata=rita)).scrap
        await stub.RecordScrap(scrap, metadata=paul)
        found = (await stub.ListScrap(work_pb2.ListScrapRequest(), metadata=rita)).scrap
        assert [one.entered_by for one in found] == ["paul"]


async def test_a_grant_for_a_part_of_the_plant_reaches_no_further(plant: str, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(
        f'[principals.here]\nsha256 = "{hash_token("h")}"\nallow = ["read@acme/north/forming", "plan@acme/north/forming"]\n'
        f'[principals.there]\nsha256 = "{hash_token("t")}"\nallow = ["read@acme/south", "plan@acme/south"]\n'
    )
    async with planning(plant, tokens=str(tokens)) as running, grpc.aio.insecure_channel(running.address) as channel:
        stub = work_pb2_grpc.WorkServiceStub(channel)  # type: ignore[no-untyped-call]
        here, there = ({"metadata": [("authorization", f"Bearer {token}")]} for token in "ht")
        order = work_pb2.PutJobOrderRequest(
            job_order="J1",
            material="cap",
            quantity=1,
            scope="acme/north/forming",
            planned_start_us=us(T0),
            planned_end_us=us(T0 + HOUR),
        )
        await stub.PutJobOrder(order, **here)
        job = await stub.StartJob(work_pb2.StartJobRequest(job_order="J1", device_path=PRESS, start_us=us(T0)), **here)
        lot = work_pb2.RecordMaterialRequest(lot="L1", material="cap", device_path=PRESS, use="MATERIAL_USE_PRODUCED")
        await stub.RecordMaterial(lot, **here)
        scrap = work_pb2.RecordScrapRequest(device_path=PRESS, quantity=1, reason="crack")
        await stub.RecordScrap(scrap, **here)
        batch = work_pb2.StartBatchRequest(batch="B1", recipe="brew", version="2", device_path=PRESS, start_us=us(T0))
        await stub.StartBatch(batch, **here)
        of_north: dict[str, Any] = {"scope": "acme/north", "start_us": us(T0), "end_us": us(T0 + 3 * HOUR)}
        lists: list[tuple[Any, Any, str]] = [
            (stub.ListJobOrders, work_pb2.ListJobOrdersRequest(), "job_orders"),
            (stub.ListMaterialLots, work_pb2.ListMaterialLotsRequest(), "lots"),
            (stub.ListDowntimes, work_pb2.ListDowntimesRequest(**of_north), "downtimes"),
            (stub.ListScrap, work_pb2.ListScrapRequest(), "scrap"),
            (stub.ListBatches, work_pb2.ListBatchesRequest(), "batches"),
            (stub.ListReasons, work_pb2.ListReasonsRequest(), "downtime"),
        ]
        counts = [
            [len(getattr(await call(asked, **who), name)) for call, asked, name in lists] for who in (here, there)
        ]
        assert counts == [[1, 1, 1, 1, 1, 3], [0, 0, 0, 0, 0, 3]]
        order.scope = "acme/south"
        for call, asked in (
            (stub.PutJobOrder, order),
            (stub.CompleteJob, work_pb2.CompleteJobRequest(job_response_id=job.job_response_id)),
            (stub.CompleteBatch, work_pb2.CompleteBatchRequest(batch="B1")),
            (stub.RecordScrap, scrap),
            (stub.RecordMaterial, lot),
            (stub.ListWorkChanges, work_pb2.ListWorkChangesRequest()),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call(asked, **there)
            assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED, asked
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await stub.ListShifts(work_pb2.ListShiftsRequest(scope=PRESS), **there)
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        assert len((await stub.ListShifts(work_pb2.ListShiftsRequest(scope=PRESS), **here)).shifts) >= 2


async def test_the_writing_connection_may_do_what_the_planner_may_and_no_more(plant: str) -> None:
    async with planning(plant) as running:
        await running.client.record_scrap(PRESS, 1, "crack")
        ((role,),) = await running.server.planning.fetch("SELECT current_user::text")
        assert role == "millrace_planner"
        with pytest.raises(StoreUnavailable, match="permission denied"):
            await running.server.planning.fetch("UPDATE devices SET lane = 0 RETURNING 1")


async def test_without_the_database_work_is_unavailable_and_the_rest_goes_on() -> None:
    nowhere = make_conninfo(host="127.0.0.1", port=1, dbname="none")
    async with planning(nowhere, history=PoolSettings(connect_s=1)) as running:
        client = running.client
        with pytest.raises(UnavailableError):
            await client.record_scrap(PRESS, 1, "crack", deadline_s=2)
        with pytest.raises(UnavailableError):
            await client.reasons(deadline_s=2)
        assert len([one async for one in client.devices()]) == 3


async def test_a_connection_that_the_server_closed_is_not_used_and_nothing_is_entered_twice(plant: str) -> None:
    async with planning(plant) as running:
        await running.client.record_scrap(PRESS, 1, "crack")
        with psycopg.connect(plant, autocommit=True) as sql:
            sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace-serving-work'"
            )
        await running.client.record_scrap(PRESS, 2, "crack")
        assert sorted(one.quantity for one in (await running.client.scrap()).items) == [1, 2]


async def test_the_same_over_http(plant: str) -> None:
    async with planning(plant, http=HttpSettings(listen="127.0.0.1:0")) as running:
        assert running.server.http is not None
        base = f"http://127.0.0.1:{running.server.http.port}"
        async with httpx.AsyncClient(base_url=f"{base}/api/v1/work", timeout=30) as web:
            order = {
                "material": "cap", "quantity": 10, "scope": "acme/north", "planned_start_us": us(T0), "planned_end_us": us(T0 + HOUR),
                "status": "RELEASED", "why": "by hand",
            }  # fmt: skip
            assert (await web.put("/job-orders/J1", json=order)).status_code == 200
            started = await web.post("/jobs", json={"job_order": "J1", "device_path": PRESS, "start_us": us(T0)})
            assert started.status_code == 201
            again = await web.post("/jobs", json={"job_order": "J1", "device_path": PRESS, "start_us": us(T0)})
            assert (again.status_code, again.json()["code"]) == (409, "FAILED_PRECONDITION")
            job = started.json()["job_response_id"]
            assert (await web.post(f"/jobs/{job}/complete", json={"end_us": us(T0 + HOUR)})).status_code == 200
            found = (await web.get("/job-orders", params={"statuses": "COMPLETED"})).json()["job_orders"]
            assert [(one["job_order"], one["status"], one["responses"][0]["end_us"]) for one in found] == [
                ("J1", "COMPLETED", us(T0 + HOUR))
            ]
            ranges = [{"start_us": us(T0), "end_us": us(T0 + HOUR), "reason": "jam"}]
            said = await web.post("/downtimes", json={"device_path": PRESS, "ranges": ranges})
            assert said.status_code == 201, said.text
            assert len(said.json()["entry_ids"]) == 1
            stops = await web.get(
                "/downtimes", params={"scope": PRESS, "start_us": us(T0), "end_us": us(T0 + 3 * HOUR)}
            )
            assert [one["reason"] for one in stops.json()["downtimes"]] == ["fault", "jam"]
            assert (await web.get("/shifts")).status_code == 400


async def test_an_entry_that_is_sent_twice_is_one(plant: str) -> None:
    async with planning(plant) as running:
        client = running.client
        ids = [str(UUID(int=number)) for number in range(1, 10)]
        middle = us(T0 + HOUR)
        halves = [DowntimeRange(start_us=us(T0), end_us=middle, reason="jam")]

        async def enter() -> list[Any]:
            await client.put_job_order("J1", "cap", 100, "acme/north", T0, T0 + 8 * HOUR, request_id=ids[0])
            made: list[Any] = [await client.start_job("J1", PRESS, T0, request_id=ids[1])]
            await client.complete_job(made[0], T0 + HOUR, request_id=ids[2])
            made.append(await client.enter_downtime(PRESS, halves, request_id=ids[3]))
            made.append(
                await client.record_material("L1", PRESS, "PRODUCED", start=T0, material="cap", request_id=ids[4])
            )
            made.append(await client.record_scrap(PRESS, 3, "crack", request_id=ids[5]))
            await client.start_batch("B1", "brew", "2", PRESS, T0, request_id=ids[6])
            await client.enter_batch_phase("B1", "heat", PRESS, request_id=ids[7])
            await client.complete_batch("B1", golden=True, request_id=ids[8])
            return made

        first = await enter()
        changes = (await client.work_changes()).items
        assert await enter() == first
        assert (await client.work_changes()).items == changes
        with pytest.raises(ConflictError, match="was used for another entry; make a new one for each"):
            await client.record_scrap(PRESS, 4, "crack", request_id=ids[5])
        with pytest.raises(InvalidRequestError, match="request_id is no UUID"):
            await client.record_scrap(PRESS, 4, "crack", request_id="again")
        at_once = await asyncio.gather(
            *(client.record_scrap(PRESS, 5, "crack", T0, request_id=str(UUID(int=99))) for _ in range(8))
        )
        assert len(set(at_once)) == 1
        assert [one.quantity for one in (await client.scrap()).items].count(5) == 1
        refused = str(UUID(int=77))
        with pytest.raises(NotFoundError):
            await client.record_scrap(PRESS, 6, "dent", request_id=refused)
        await running.server.planning.fetch("INSERT INTO scrap_reasons (reason) VALUES ('dent') RETURNING 1")
        assert await client.record_scrap(PRESS, 6, "dent", request_id=refused), "what was refused was not entered"
    with psycopg.connect(plant, autocommit=True) as sql:
        sql.execute("UPDATE work_requests SET requested_at = now() - interval '8 days'")
    async with planning(plant) as running:
        await running.client.record_scrap(PRESS, 7, "crack")
    with psycopg.connect(plant) as sql:
        assert sql.execute("SELECT count(*) FROM work_requests").fetchone() == (1,), "an id is kept for seven days"
