"""OEE, downtime, reliability, cycle times, scrap, energy and orders of the simulated week: every row against an oracle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from simulator.packml import State
from simulator.week import LINE, Week, plan
from tests.integration.fix_week import Sql, asked, rows
from tests.integration.week.oracle_work import HOUR_US, Oracle

__all__ = ["asked"]

KEYS = ("path", "shift_day", "shift", "start", "job_order", "material")
MILL, ROBOT = f"{LINE}/milling-b/mill-03", f"{LINE}/milling-a/robot-01"


def when(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-6) if isinstance(value, float) else value


def keyed(found: list[dict[str, Any]]) -> dict[tuple[Any, ...], dict[str, Any]]:
    made = {}
    for row in found:
        start = row["start"]
        key = (
            *(row[name] for name in KEYS[:3]),
            start and round(start.timestamp() * 1e6),
            row["job_order"],
            row["material"],
        )
        assert key not in made
        made[key] = row
    return made


@pytest.mark.parametrize(
    ("scope", "by"),
    [
        (LINE, "device"), (LINE, "cell"), ("acme/south", "line"), ("acme", "site"), (LINE, ""), (MILL, "shift"), (LINE, "line,shift"),
        (LINE, "day"), (LINE, "order"), (LINE, "device,order"), (LINE, "product"), (ROBOT, "hour"), (LINE, "device,shift,product"),
    ],
)  # fmt: skip
def test_oee_is_the_oracles_by_every_group(asked: Sql, week: Week, scope: str, by: str) -> None:
    found = keyed(
        rows(
            asked,
            "SELECT * FROM oee_between(%s, %s, %s, %s)",
            LINE if scope == "acme" else scope,
            when(week.start_us),
            when(week.end_us),
            by.split(",") if by else [],
        )
    )
    expected = Oracle(week, LINE if scope in ("acme", "acme/south") else scope, week.start_us, week.end_us).oee(
        *by.split(",")
    )
    # Machines without any history are there too, with no planned busy time.
    assert {
        key for key, row in found.items() if row["pbt_s"] or (row["calendar_s"] and key in expected)
    } == expected.keys()
    for key, row in expected.items():
        for name, value in row.items():
            assert found[key][name] == close(value), (key, name)
        if row["pbt_s"]:
            parts = ("availability_loss_s", "performance_loss_s", "quality_loss_s")
            effective_s = found[key]["oee"] * row["pbt_s"]
            assert sum(found[key][part] for part in parts) + effective_s == close(row["pbt_s"])


def test_oee_of_part_of_a_shift_that_begins_in_the_middle_of_everything(asked: Sql, week: Week) -> None:
    low, high = week.start_us + 40 * HOUR_US + 1_234_000, week.start_us + 53 * HOUR_US + 777_000
    found = keyed(rows(asked, "SELECT * FROM oee_between(%s, %s, %s, '{device,shift}')", LINE, when(low), when(high)))
    expected = Oracle(week, LINE, low, high).oee("device", "shift")
    assert found.keys() == expected.keys()
    for key, row in expected.items():
        assert {name: found[key][name] for name in row} == {name: close(value) for name, value in row.items()}


def test_the_hour_that_autumn_repeats_or_spring_leaves_out_is_in_its_shift(asked: Sql, week: Week) -> None:
    found = rows(
        asked,
        "SELECT shift_day, shift, sum(calendar_s) AS s FROM oee_between(%s, %s, %s, '{device,shift}')"
        " WHERE shift IS NOT NULL GROUP BY 1, 2",
        MILL,
        when(week.start_us),
        when(week.end_us),
    )
    nights = {round(row["s"] / 3600, 6) for row in found if row["shift"] == "night"}
    assert nights in ({8.0, 9.0}, {8.0, 7.0})


def test_time_without_a_shift_has_no_oee(asked: Sql, week: Week) -> None:
    found = rows(
        asked,
        "SELECT pbt_s, availability, oee FROM oee_between(%s, %s, %s)",
        LINE,
        when(week.end_us - 12 * HOUR_US),
        when(week.end_us),
    )
    assert found == [{"pbt_s": 0.0, "availability": None, "oee": None}] * 6


def test_an_unknown_group_is_refused_by_name(asked: Sql) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="cannot group by week: known are site, area"):
        rows(asked, "SELECT * FROM oee_between('acme', now() - interval '1 day', now(), '{week}')")


@pytest.mark.parametrize("depth", [None, 1])
def test_the_pareto_of_downtime(asked: Sql, week: Week, depth: int | None) -> None:
    found = rows(
        asked, "SELECT * FROM downtime_pareto(%s, %s, %s, %s)", LINE, when(week.start_us), when(week.end_us), depth
    )
    expected = Oracle(week, LINE, week.start_us, week.end_us).downtime(depth)
    assert {row["reason"]: (row["stops"], row["downtime_s"]) for row in found} == {
        reason: (stops, close(seconds)) for reason, (stops, seconds) in expected.items()
    }
    assert None in expected
    assert found == sorted(found, key=lambda row: -row["downtime_s"])
    assert found[-1]["cumulative"] == close(1.0)
    assert sum(row["share"] for row in found) == close(1.0)


def test_losses_add_up_to_the_planned_busy_time(asked: Sql, week: Week) -> None:
    found = rows(asked, "SELECT * FROM oee_losses(%s, %s, %s)", LINE, when(week.start_us), when(week.end_us))
    oracle = Oracle(week, LINE, week.start_us, week.end_us)
    machines = oracle.oee("device").values()
    by_reason = {row["reason"]: row["loss_s"] for row in found if row["category"] == "availability"}
    assert by_reason == {
        reason or "no reason given": close(seconds) for reason, (_, seconds) in oracle.downtime().items()
    }
    rest = {row["category"]: row["loss_s"] for row in found if row["category"] != "availability"}
    assert rest == {
        "performance": close(sum(row["performance_loss_s"] for row in machines)),
        "quality": close(sum(row["quality_loss_s"] for row in machines)),
        "effective": close(sum(row["oee"] * row["pbt_s"] for row in machines)),
    }
    assert sum(row["loss_s"] for row in found) == close(sum(row["pbt_s"] for row in machines))
    assert sum(row["share"] for row in found) == close(1.0)


def test_reliability(asked: Sql, week: Week) -> None:
    oracle = Oracle(week, LINE, week.start_us, week.end_us)
    aborted = oracle.reliability(lambda one: one.state in (State.ABORTING, State.ABORTED))
    mechanical = oracle.reliability(lambda one: (one.reason or "").startswith("mechanical/"))
    for reasons, expected in ((None, aborted), (["mechanical"], mechanical)):
        found = rows(
            asked,
            "SELECT * FROM reliability_between(%s, %s, %s, %s)",
            LINE,
            when(week.start_us),
            when(week.end_us),
            reasons,
        )
        assert {row.pop("path"): row for row in found} == {
            path: {k: close(v) for k, v in row.items()} for path, row in expected.items()
        }
        assert sum(row["failures"] for row in expected.values()) > 3


def test_cycle_times_and_their_distribution(asked: Sql, week: Week) -> None:
    oracle = Oracle(week, LINE, week.start_us, week.end_us)
    found = rows(
        asked, "SELECT * FROM cycle_times(device_id_of(%s), %s, %s)", MILL, when(week.start_us), when(week.end_us)
    )
    assert [(row["time"], row["cycle_time_s"], row["cycles"]) for row in found] == [
        (when(at), close(s), 1.0) for at, s in oracle.cycle_times(MILL)
    ]
    spread = rows(
        asked, "SELECT * FROM cycle_time_distribution(%s, %s, %s)", LINE, when(week.start_us), when(week.end_us)
    )
    expected: dict[tuple[str, str | None], list[float]] = {}
    for path in oracle.states:
        for at_us, seconds in oracle.cycle_times(path):
            expected.setdefault((path, oracle.product_at(path, at_us)), []).append(seconds)
    assert {(row["path"], row["material"]) for row in spread} == expected.keys()
    for row in spread:
        times = np.array(expected[row["path"], row["material"]])
        ideal = plan.ideal_s(row["path"], row["material"] or "")
        p05, median, p95 = (float(one) for one in np.percentile(times, [5, 50, 95]))
        assert (row["cycles"], row["slow"], row["ideal_s"]) == (len(times), int((times > 1.5 * ideal).sum()), ideal)
        assert (row["mean_s"], row["p05_s"], row["median_s"], row["p95_s"], row["max_s"]) == (
            close(float(times.mean())),
            close(p05),
            close(median),
            close(p95),
            close(float(times.max())),
        )
    assert sum(row["slow"] for row in spread if row["path"] == MILL) > 50


def test_scrap_by_reason(asked: Sql, week: Week) -> None:
    found = rows(asked, "SELECT * FROM scrap_by_reason(%s, %s, %s)", LINE, when(week.start_us), when(week.end_us))
    expected = Oracle(week, LINE, week.start_us, week.end_us).scrap()
    assert {row["reason"]: row["quantity"] for row in found} == expected
    assert [row["quantity"] for row in found] == sorted(expected.values(), reverse=True)
    assert found[-1]["cumulative"] == close(1.0)


@pytest.mark.parametrize("by", ["device", "line", "device,state", "order", "line,shift"])
def test_energy(asked: Sql, week: Week, by: str) -> None:
    # Not to the end: an hour on there is a reading that ends the last stretch.
    low, high = week.start_us + 20 * HOUR_US + 123_000, week.end_us - 2 * HOUR_US
    found = rows(asked, "SELECT * FROM energy_between(%s, %s, %s, %s)", LINE, when(low), when(high), by.split(","))
    expected = Oracle(week, LINE, low, high).energy(*by.split(","))
    made = {}
    for row in found:
        key = (row["path"], row["shift_day"], row["shift"], None, row["job_order"], row["material"])
        made[(*key, row["packml_state"]) if "state" in by else key] = row["energy"]
        assert row["unit"] == "kW.h"
    assert made == {key: close(value) for key, value in expected.items()}


def test_energy_per_piece(asked: Sql, week: Week) -> None:
    low, high = week.start_us + 20 * HOUR_US, week.end_us - 2 * HOUR_US
    oracle = Oracle(week, LINE, low, high)
    for by in (("device",), ("order",), ("line", "shift")):
        energy, good = oracle.energy(*by), oracle.good(*by)
        found = rows(asked, "SELECT * FROM energy_per_piece(%s, %s, %s, %s)", LINE, when(low), when(high), list(by))
        made = {
            (row["path"], row["shift_day"], row["shift"], None, row["job_order"], row["material"]): row for row in found
        }
        assert made.keys() == energy.keys()
        for key, used in energy.items():
            pieces = good.get(key, 0)
            assert made[key]["good_pieces"] == pieces
            assert made[key]["energy_per_piece"] == (close(used / pieces) if pieces else None)


def test_production_against_plan(asked: Sql, week: Week) -> None:
    found = {
        row["job_order"]: row
        for row in rows(
            asked,
            "SELECT * FROM production_against_plan(%s, %s, %s, 'cnc_mill')",
            LINE,
            when(week.start_us),
            when(week.end_us),
        )
    }
    good = Oracle(week, LINE, week.start_us, week.end_us).good("device", "order")
    responses = {job.job_response: job.job_order for job in week.jobs}
    lots = {row["lot"]: row["material"] for row in week.entries["material_lots"]}
    assert found.keys() == {order.job_order for order in plan.ORDERS}
    assert not rows(
        asked, "SELECT * FROM production_against_plan('acme/north', %s, %s)", when(week.start_us), when(week.end_us)
    )
    for order in plan.ORDERS:
        row = found[order.job_order]
        jobs = [job for job in week.jobs if job.job_order == order.job_order]
        assert row["started"] == when(min(job.start_us for job in jobs))
        assert row["ended"] == (when(max(job.end_us or 0 for job in jobs)) if all(job.end_us for job in jobs) else None)
        mills = sum(
            pieces
            for (path, *_, job_order, _), pieces in good.items()
            if "mill-" in path.rpartition("/")[2] and job_order == order.job_order
        )
        declared = sum(
            one.quantity
            for one in week.actuals
            if one.use == "PRODUCED"
            and responses[one.job_response] == order.job_order
            and lots[one.lot] == order.material
        )
        planned_us = (order.until_h - order.after_h) * HOUR_US
        share = min((week.end_us - week.start_us - order.after_h * HOUR_US) / planned_us, 1.0)
        assert (row["good"], row["declared"], row["expected"]) == (mills, declared, close(order.quantity * share))
        assert row["ahead"] == close(mills - order.quantity * share)
