"""The plant's work: orders, stops, lots, scrap, batches, and entries that are sent twice."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from client_conformance.plant import LINE, PRESSES, START_US, Plant
from millrace_client import (
    ConflictError,
    DowntimeRange,
    InvalidRequestError,
    JobOrderStatus,
    MaterialUse,
    NotFoundError,
    PreconditionError,
    uuid7,
)

_HOUR_US = 3_600_000_000
_PRESS = PRESSES[1]


def _at(hours: float) -> int:
    return START_US + int(hours * _HOUR_US)


class WorkCases:
    """The model of work. `Plant.know_work` says what there is before."""

    async def test_an_order_from_plan_to_completion(self, plant: Plant) -> None:
        plant.know_work()
        client = plant.client("anna")
        await client.put_job_order("J1", "cap", 100, LINE, _at(0), _at(8), priority=3, why="week 39")
        await client.put_job_order("J2", "cap", 50, PRESSES[0], _at(1), _at(8), status="RELEASED")
        with pytest.raises(NotFoundError):
            await client.put_job_order("J3", "lamp", 1, LINE, _at(0), _at(1))
        with pytest.raises(InvalidRequestError):
            await client.put_job_order("J3", "cap", 1, LINE, _at(1), _at(0))
        job = await client.start_job("J1", _PRESS, _at(0))
        with pytest.raises(PreconditionError, match="works on job order J1"):
            await client.start_job("J2", _PRESS, _at(1))
        with pytest.raises(NotFoundError):
            await client.start_job("J9", _PRESS, _at(1))
        with pytest.raises(NotFoundError):
            await client.start_job("J2", f"{LINE}/press99", _at(1))
        [running] = (await client.job_orders(statuses="RUNNING")).items
        [response] = running.responses
        assert (running.job_order, response.job_response_id, response.end_us) == ("J1", job, None)
        assert (response.device_path, response.start_us, response.entered_by) == (_PRESS, _at(0), "local:anna")
        await client.complete_job(job, _at(1), why="done early")
        await client.put_job_order("J1", "cap", 120, LINE, _at(0), _at(8), why="20 more")
        [order] = (await client.job_orders(job_order="J1")).items
        assert (order.status, order.quantity, order.priority) == (JobOrderStatus.COMPLETED, 120, 0)
        assert (order.unit, order.entered_by, order.why) == ("1", "local:anna", "20 more")
        assert order.responses[0].end_us == _at(1)
        first = await client.job_orders(page_size=1)
        rest = await client.job_orders(page_size=1, page_token=first.next_page_token)
        assert [one.job_order for one in (*first.items, *rest.items)] == ["J2", "J1"]
        assert [one.job_order for one in (await client.job_orders(PRESSES[2])).items] == ["J1"]
        changes = (await client.work_changes(table="job_orders")).items
        assert [one.why for one in changes] == ["20 more", "done early", "", "", "week 39"]
        assert {one.who for one in changes} == {"local:anna"}
        assert [one.material for one in (await client.materials()).items] == ["cap", "coil"]

    async def test_of_what_is_said_about_a_stop_the_last_word_holds(self, plant: Plant) -> None:
        plant.know_work()
        client = plant.client("anna")

        async def stops() -> list[tuple[float, float, str, bool]]:
            found = (await client.downtimes(LINE, _at(0), _at(4))).items
            assert {(one.device_path, one.entered_by) for one in found} <= {(_PRESS, "local:anna")}
            times = [((one.start_us - START_US) / _HOUR_US, (one.end_us - START_US) / _HOUR_US) for one in found]
            return sorted((*time, one.reason, one.planned) for time, one in zip(times, found, strict=True))

        halves = [
            DowntimeRange(start_us=_at(0), end_us=_at(1), reason="jam"),
            DowntimeRange(start_us=_at(1), end_us=_at(2), reason="setup"),
        ]
        assert len(set(await client.enter_downtime(_PRESS, halves))) == 2
        assert await stops() == [(0, 1, "jam", False), (1, 2, "setup", True)]
        await client.enter_downtime(_PRESS, [DowntimeRange(start_us=_at(0.5), end_us=_at(2), reason="jam")])
        assert [one for one in await stops() if one[2] == "setup"] == []
        await client.enter_downtime(_PRESS, [DowntimeRange(start_us=_at(0), end_us=_at(1.5))])
        assert await stops() == [(1.5, 2, "jam", False)], "taken back"
        for wrong, error in (
            ([replace(halves[0], reason="unheard")], NotFoundError),
            ([], InvalidRequestError),
        ):
            with pytest.raises(error):
                await client.enter_downtime(_PRESS, wrong)
        assert await stops() == [(1.5, 2, "jam", False)]
        reasons = await client.reasons()
        assert [(one.reason, one.planned) for one in reasons.downtime] == [("jam", False), ("setup", True)]
        assert [one.reason for one in reasons.scrap] == ["crack"]

    async def test_lots_scrap_and_a_batch(self, plant: Plant) -> None:
        plant.know_work()
        client = plant.client("anna")
        await client.put_job_order("J1", "cap", 100, LINE, _at(0), _at(8))
        await client.start_job("J1", _PRESS, _at(0))
        await client.record_material("C7", _PRESS, "CONSUMED", 12.5, start=_at(0), end=_at(1), material="coil")
        await client.record_material("L1", _PRESS, "PRODUCED", start=_at(0), material="cap")
        with pytest.raises(NotFoundError, match="L9"):
            await client.record_material("L9", _PRESS, "PRODUCED", start=_at(0))
        with pytest.raises(InvalidRequestError, match="say CONSUMED or PRODUCED"):
            await client.record_material("L1", _PRESS, "")
        lots = {one.lot: one for one in (await client.material_lots(LINE)).items}
        assert {name: one.material for name, one in lots.items()} == {"C7": "coil", "L1": "cap"}
        [used] = lots["C7"].actuals
        assert (used.use, used.quantity, used.job_order, used.end_us) == (MaterialUse.CONSUMED, 12.5, "J1", _at(1))
        assert (lots["L1"].actuals[0].quantity, lots["L1"].actuals[0].end_us) == (None, None)
        assert (await client.material_lots(PRESSES[0])).items == ()
        await client.record_scrap(_PRESS, 3, "crack", _at(1))
        with pytest.raises(NotFoundError):
            await client.record_scrap(_PRESS, 3, "dent", _at(1))
        [scrap] = (await client.scrap(LINE, _at(0), _at(2))).items
        assert (scrap.quantity, scrap.reason, scrap.job_order, scrap.time_us) == (3, "crack", "J1", _at(1))
        assert (await client.scrap(LINE, _at(2), _at(3))).items == ()
        await client.start_batch("B1", "brew", "2", _PRESS, _at(0), lot="L1")
        with pytest.raises(ConflictError, match="B1"):
            await client.start_batch("B1", "brew", "2", _PRESS, _at(0))
        assert await client.enter_batch_phase("B1", "heat", _PRESS, _at(0)) == _at(0)
        await client.complete_batch("B1", _at(1), golden=True)
        [batch] = (await client.batches(recipe="brew")).items
        assert (batch.golden, batch.lot, batch.material, batch.end_us) == (True, "L1", "cap", _at(1))
        assert [(one.phase, one.nominal_s, one.end_us) for one in batch.phases] == [("heat", 600, _at(1))]
        with pytest.raises(NotFoundError, match="B2"):
            await client.complete_batch("B2")

    async def test_an_entry_that_is_sent_twice_is_one(self, plant: Plant) -> None:
        plant.know_work()
        client = plant.client("anna")
        mine: dict[str, Any] = {"request_id": str(uuid7())}
        first = await client.record_scrap(_PRESS, 3, "crack", **mine)
        assert await client.record_scrap(_PRESS, 3, "crack", **mine) == first
        assert await client.record_scrap(_PRESS, 3, "crack") != first
        assert len((await client.scrap()).items) == 2
        with pytest.raises(ConflictError, match="make a new one for each"):
            await client.record_scrap(_PRESS, 4, "crack", **mine)
        with pytest.raises(InvalidRequestError, match="request_id is no UUID"):
            await client.record_scrap(_PRESS, 4, "crack", request_id="mine")
