"""Every query of docs/sql.md about machines that work: as it is written, at the end of the simulated week, against the oracles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from simulator.packml import State
from simulator.week import LINE, Week, plan
from tests.docs.blocks import all_blocks
from tests.integration.documented_queries import of_week
from tests.integration.fix_week import Sql, asked, rows
from tests.integration.week import oracle_values
from tests.integration.week.oracle_work import HOUR_US, Oracle

__all__ = ["asked"]

Rows = list[tuple[Any, ...]]
QUERIES = [block.text for block in all_blocks("sql") if not block.words and of_week(block.text)]
ORACLES: dict[str, Callable[[Week], Rows]] = {}
"""What each query has to give, by words that only it has; in the order of its columns, rows in any order."""
DAY_US = 24 * HOUR_US
MILL_1, MILL_2, MILL_3 = f"{LINE}/milling-a/mill-01", f"{LINE}/milling-a/mill-02", f"{LINE}/milling-b/mill-03"


def answers(words: str) -> Callable[[Callable[[Week], Rows]], Callable[[Week], Rows]]:
    def keep(oracle: Callable[[Week], Rows]) -> Callable[[Week], Rows]:
        ORACLES[words] = oracle
        return oracle

    return keep


def when(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def of(week: Week, days: int = 7, until: int = 0, scope: str = LINE) -> Oracle:
    return Oracle(week, scope, week.end_us - days * DAY_US, week.end_us - until * DAY_US)


def figures(found: dict[tuple[Any, ...], dict[str, Any]], keys: tuple[int, ...], *names: str) -> Rows:
    return [(*(key[k] for k in keys), *(row[name] for name in names)) for key, row in found.items()]


@answers("availability, effectiveness, quality, oee, teep")
def _(week: Week) -> Rows:
    return figures(of(week).oee("device"), (0,), "availability", "effectiveness", "quality", "oee", "teep")


@answers("'{line,shift}'")
def _(week: Week) -> Rows:
    found = {key: row | {"h": row["pbt_s"] / 3600} for key, row in of(week).oee("line", "shift").items() if key[2]}
    return figures(found, (1, 2), "h", "pq", "gq", "oee")


@answers("'{day}'")
def _(week: Week) -> Rows:
    found = {key: row for key, row in of(week).oee("day").items() if key[1]}
    return figures(found, (1,), "availability", "effectiveness", "quality", "oee")


@answers(
    "effectiveness, quality, oee\nFROM oee_between('acme/south/machining/line-1', now() - interval '7 days', now(), '{product}')"
)
def _(week: Week) -> Rows:
    found = {key: row for key, row in of(week).oee("product").items() if key[5]}
    return figures(found, (5,), "pq", "gq", "effectiveness", "quality", "oee")


@answers("'{device,order}'")
def _(week: Week) -> Rows:
    found = {key: row for key, row in of(week).oee("device", "order").items() if key[4]}
    return figures(found, (4, 0), "pq", "gq", "oee")


@answers("'{hour}'")
def _(week: Week) -> Rows:
    found = of(week, 3, 2, MILL_1).oee("hour")
    return [(when(key[3]), row["pbt_s"], row["availability"], row["oee"]) for key, row in found.items()]


@answers("ORDER BY unplanned_pq DESC")
def _(week: Week) -> Rows:
    return figures(of(week).oee("device"), (0,), "unplanned_apt_s", "unplanned_pq", "unplanned_gq")


@answers("FROM oee_losses")
def _(week: Week) -> Rows:
    machines = of(week).oee("device").values()
    pbt_s = sum(row["pbt_s"] for row in machines)
    lost = [("availability", reason or "no reason given", s) for reason, (_, s) in of(week).downtime().items()]
    lost.append(("performance", "", sum(row["performance_loss_s"] for row in machines)))
    lost.append(("quality", "", sum(row["quality_loss_s"] for row in machines)))
    lost.append(("effective", "", sum(row["oee"] * row["pbt_s"] for row in machines)))
    return [(category, reason, s / 3600, s / pbt_s) for category, reason, s in lost]


@answers("downtime_s / 3600 AS downtime_h")
def _(week: Week) -> Rows:
    found = sorted(of(week).downtime().items(), key=lambda item: -item[1][1])
    total = sum(seconds for _, (_, seconds) in found)
    sums = np.cumsum([seconds for _, (_, seconds) in found])
    return [(reason, n, s / 3600, s / total, float(sums[i]) / total) for i, (reason, (n, s)) in enumerate(found)]


@answers("AS category")
def _(week: Week) -> Rows:
    return [(reason, stops, seconds / 60) for reason, (stops, seconds) in of(week).downtime(1).items()]


@answers("AS length, packml_state, reason, entered_by")
def _(week: Week) -> Rows:
    oracle = of(week)
    longest: list[tuple[Any, ...]] = []
    for path, slices in oracle.slices.items():
        merged: list[list[Any]] = []
        for one in slices:
            if not one.scheduled or one.state is State.EXECUTE or one.planned_stop:
                continue
            said = any(w.device == path and w.start_us <= one.start_us < w.end_us for w in week.words)
            entry = max(
                (n for n, w in enumerate(week.words) if w.device == path and w.start_us <= one.start_us < w.end_us),
                default=None,
            )
            label = (one.state.name, one.reason, "import" if said else None, entry)
            if merged and merged[-1][1] == one.start_us and merged[-1][2] == label:
                merged[-1][1] = one.end_us
            else:
                merged.append([one.start_us, one.end_us, label])
        longest += [
            (path, when(a), timedelta(microseconds=b - a), state, reason, who)
            for a, b, (state, reason, who, _) in merged
        ]
    return sorted(longest, key=lambda row: (-row[2], row[1]))[:10]


@answers("AS unexplained")
def _(week: Week) -> Rows:
    found: dict[str, float] = defaultdict(float)
    for path, slices in of(week).slices.items():
        for one in slices:
            if one.scheduled and one.state is not State.EXECUTE and one.reason is None:
                found[path] += one.end_us - one.start_us
    return [(path, timedelta(microseconds=length)) for path, length in found.items()]


def reliability(week: Week, failed: Callable[[Any], bool]) -> Rows:
    return [
        (path, row["failures"], row["mtbf_s"] and row["mtbf_s"] / 3600, row["mttr_s"] and row["mttr_s"] / 60)
        for path, row in of(week).reliability(failed).items()
    ]


@answers("ORDER BY mtbf_h")
def _(week: Week) -> Rows:
    return reliability(week, lambda one: one.state in (State.ABORTING, State.ABORTED))


@answers("'{mechanical,electrical}'")
def _(week: Week) -> Rows:
    return reliability(week, lambda one: (one.reason or "").split("/")[0] in ("mechanical", "electrical"))


@answers("GROUP BY d.path, i.packml_state")
def _(week: Week) -> Rows:
    found: dict[tuple[str, str], int] = defaultdict(int)
    for path, slices in of(week).slices.items():
        for one in slices:
            found[path, one.state.name] += one.end_us - one.start_us
    return [(*key, timedelta(microseconds=length)) for key, length in found.items()]


@answers("FROM cycle_time_distribution")
def _(week: Week) -> Rows:
    oracle, found = of(week), defaultdict(list)
    for path in oracle.states:
        for at_us, seconds in oracle.cycle_times(path):
            found[path, oracle.product_at(path, at_us)].append(seconds)
    made: Rows = []
    for (path, product), times in found.items():
        ideal = plan.ideal_s(path, product or "")
        median, p95 = (float(one) for one in np.percentile(times, [50, 95]))
        made.append((path, product, ideal, len(times), median, p95, sum(one > 1.5 * ideal for one in times)))
    return made


@answers("AS from_s")
def _(week: Week) -> Rows:
    found: dict[float, float] = defaultdict(float)
    for _, seconds in of(week).cycle_times(MILL_3):
        found[float(seconds // 2 * 2)] += 1.0
    return list(found.items())


@answers("FROM scrap_by_reason")
def _(week: Week) -> Rows:
    found = sorted(of(week).scrap().items(), key=lambda item: -item[1])
    total, sums = sum(n for _, n in found), np.cumsum([n for _, n in found])
    return [(reason, n, n / total, int(sums[i]) / total) for i, (reason, n) in enumerate(found)]


@answers("1 - quality AS share")
def _(week: Week) -> Rows:
    found = {
        key: row
        | {"scrap": row["pq"] + row["unplanned_pq"] - row["gq"] - row["unplanned_gq"], "share": 1 - row["quality"]}
        for key, row in of(week).oee("device").items()
    }
    return figures(found, (0,), "scrap", "share")


@answers("FROM production_against_plan")
def _(week: Week) -> Rows:
    good = Oracle(week, LINE, week.start_us, week.end_us).good("device", "order")
    of_job = {job.job_response: job.job_order for job in week.jobs}
    made: Rows = []
    for order in plan.ORDERS:
        jobs = [job for job in week.jobs if job.job_order == order.job_order]
        pieces = sum(n for key, n in good.items() if key[4] == order.job_order and "/mill-" in key[0])
        declared = sum(
            a.quantity
            for a in week.actuals
            if a.lot[:3] == "LOT" and a.use == "PRODUCED" and of_job[a.job_response] == order.job_order
        )
        share = (week.end_us - week.start_us - order.after_h * HOUR_US) / ((order.until_h - order.after_h) * HOUR_US)
        expected = order.quantity * min(share, 1.0)
        ended = None if any(job.end_us is None for job in jobs) else when(max(job.end_us or 0 for job in jobs))
        made.append(
            (
                order.job_order,
                order.material,
                order.quantity,
                pieces,
                declared,
                expected,
                pieces - expected,
                when(min(j.start_us for j in jobs)),
                ended,
            )
        )
    return made


@answers("CROSS JOIN LATERAL running_job")
def _(week: Week) -> Rows:
    return [(job.device, job.job_order, job.material, when(job.start_us)) for job in week.jobs if job.end_us is None]


@answers("FROM shifts_between('acme/south")
def _(week: Week) -> Rows:
    from_us = week.end_us - 7 * DAY_US
    own = [shift for shift in week.shifts if shift.scope == LINE and shift.end_us > from_us]
    return [
        (one.day, one.name, when(one.start_us), when(one.end_us), timedelta(microseconds=one.end_us - one.start_us))
        for one in own
    ]


@answers("SELECT path, energy, unit, good_pieces, energy_per_piece")
def _(week: Week) -> Rows:
    oracle = of(week, 6, 1)
    good = oracle.good("device")
    return [(key[0], used, "kW.h", good[key], used / good[key]) for key, used in oracle.energy("device").items()]


@answers("now() - interval '1 day', '{product}'")
def _(week: Week) -> Rows:
    oracle = of(week, 6, 1)
    good = oracle.good("product")
    return [(key[5], used, good[key], used / good[key]) for key, used in oracle.energy("product").items() if key[5]]


@answers("'{state}'")
def _(week: Week) -> Rows:
    oracle = of(week, 6, 1)
    hours: dict[str, float] = defaultdict(float)
    for slices in oracle.slices.values():
        for one in slices:
            hours[one.state.name] += one.seconds / 3600
    return [(key[-1], used, hours[key[-1]]) for key, used in oracle.energy("state").items()]


def lots(week: Week, lot: str, way: str) -> Rows:
    material = {row["lot"]: row["material"] for row in week.entries["material_lots"]}
    return [(depth, one, material[one]) for one, depth in oracle_values.ancestors(week, lot, way).items()]


@answers("lot_genealogy('PAL-003', 'back')")
def _(week: Week) -> Rows:
    return lots(week, "PAL-003", "back")


@answers("lot_genealogy('BAR-01-01', 'forward')")
def _(week: Week) -> Rows:
    return lots(week, "BAR-01-01", "forward")


@answers("FROM lot_process_values")
def _(week: Week) -> Rows:
    eu = {
        "power": (0, 45),
        "spindle_temperature": (10, 70),
        "coolant_pressure": (0, 60),
        "joint_torque": (0, 400),
        "motor_temperature": (10, 90),
    }
    unit = {
        "power": "kW",
        "spindle_temperature": "Cel",
        "coolant_pressure": "bar",
        "joint_torque": "N.m",
        "motor_temperature": "Cel",
    }
    made: Rows = []
    for one in week.actuals:
        if one.use == "PRODUCED" and one.lot in {"PAL-003", *oracle_values.ancestors(week, "PAL-003", "back")}:
            for tag in eu.keys() & week.samples[one.device].keys():
                low, high = (0, 12) if tag == "power" and "robot" in one.device else eu[tag]
                stats = oracle_values.weighted(week.samples[one.device][tag], one.start_us, one.end_us, low, high)
                made.append(
                    (
                        one.lot,
                        one.device,
                        tag,
                        stats["mean"],
                        stats["min"],
                        stats["max"],
                        unit[tag],
                        stats["below_s"] + stats["above_s"],
                    )
                )
    return made


@answers("anomaly_lots(a.episode_id)")
def _(week: Week) -> Rows:
    material = {row["lot"]: row["material"] for row in week.entries["material_lots"]}
    made: Rows = []
    for episode in week.episodes:
        found = {
            a.lot: a.use
            for a in week.actuals
            if a.device == episode.device and a.start_us < episode.end_us and a.end_us > episode.start_us
        }
        for lot in [lot for lot, use in found.items() if use == "PRODUCED"]:
            found = dict.fromkeys(oracle_values.ancestors(week, lot, "forward"), "DESCENDANT") | found
        made += [(when(episode.start_us), episode.device, lot, material[lot], use) for lot, use in found.items()]
    return made


@answers("FROM batch_deviation('B-3')")
def _(week: Week) -> Rows:
    units = {"power": "kW", "spindle_temperature": "Cel", "coolant_pressure": "bar"}
    made: Rows = []
    for tag, unit in units.items():
        for phase, row in oracle_values.deviation(week, week.batches[2], week.batches[0], tag, 20).items():
            made.append(
                (
                    "B-1",
                    phase,
                    tag,
                    row["duration_s"],
                    row["golden_duration_s"],
                    row["mean_deviation"],
                    row["max_deviation"],
                    unit,
                )
            )
    return made


@answers("FROM batch_profile('B-3'")
def _(week: Week) -> Rows:
    ours, golden = (oracle_values.profile(week, week.batches[n], "spindle_temperature", 10) for n in (2, 0))
    return [(phase, n + 1, float(ours[phase][n]), float(golden[phase][n])) for phase in ours for n in range(10)]


@answers("FROM time_weighted_stats")
def _(week: Week) -> Rows:
    row = oracle_values.weighted(week.samples[MILL_2]["spindle_temperature"], week.end_us - DAY_US, week.end_us, 20, 46)
    return [tuple(row[name] for name in ("mean", "stddev", "min", "max", "good_s", "below_s", "in_range_s", "above_s"))]


def grid(week: Week, tag: str, method: str) -> Rows:
    found = oracle_values.grid(
        week.samples[MILL_2][tag], week.end_us - DAY_US, week.end_us - DAY_US // 2, 600_000_000, method
    )
    return [(when(at_us), value) for at_us, value in found]


@answers("now() - interval '12 hours', '10 minutes')")
def _(week: Week) -> Rows:
    return grid(week, "spindle_temperature", "step")


@answers("'10 minutes', 'linear')")
def _(week: Week) -> Rows:
    return grid(week, "energy", "linear")


@answers("FROM values_at")
def _(week: Week) -> Rows:
    units = {"power": "kW", "energy": "kW.h", "spindle_temperature": "Cel", "coolant_pressure": "bar"}
    moment_us = week.end_us - 2 * DAY_US
    made: Rows = []
    for tag, series in week.samples[MILL_1].items():
        at_us, value = oracle_values.at(series, moment_us)
        made.append((tag, value, units.get(tag, "1"), "good", timedelta(microseconds=moment_us - at_us)))
    return made


def charted(week: Week, first: int, last: int) -> list[Any]:
    low, high = week.end_us - first * DAY_US, week.end_us - last * DAY_US
    return oracle_values.subgroups(week, MILL_2, "coolant_pressure", low, high, 5, State.EXECUTE)


@answers("FROM spc_limits")
def _(week: Week) -> Rows:
    row = oracle_values.limits(charted(week, 6, 5), 35.0, 41.0)
    return [tuple(row[name] for name in ("subgroups", "mean", "lcl", "ucl", "range_mean", "range_ucl", "cp", "cpk"))]


@answers("FROM spc_points")
def _(week: Week) -> Rows:
    base = oracle_values.limits(charted(week, 6, 5), 35.0, 41.0)
    means = [float(group.mean()) for group in charted(week, 5, 3)]
    rules = oracle_values.rules(means, base["mean"], base["ucl"])
    return [
        (n + 1, mean, base["lcl"], base["ucl"], rule)
        for n, (mean, rule) in enumerate(zip(means, rules, strict=True))
        if rule
    ]


LEFT_OUT = {"trail", "start_time"}
"""Columns that an oracle leaves out where it says less than the query: the way to a lot, the start of a subgroup."""


def test_every_question_has_one_oracle_and_every_oracle_its_question() -> None:
    for words in ORACLES:
        assert sum(words in query for query in QUERIES) == 1, words
    for query in QUERIES:
        assert sum(words in query for words in ORACLES) == 1, query
    assert len({block.text for block in all_blocks("sql") if not block.words and block.path.name == "sql.md"}) >= 40


@pytest.mark.parametrize("words", ORACLES)
def test_the_query_gives_the_oracles_rows(asked: Sql, week: Week, words: str) -> None:
    (query,) = [query for query in QUERIES if words in query]
    expected = ORACLES[words](week)
    found = rows(asked, query)
    width = len(expected[0])
    values = [tuple(v for k, v in row.items() if len(row) == width or k not in LEFT_OUT) for row in found]
    assert len(values) == len(expected)
    for one, other in zip(sorted(values, key=order), sorted(expected, key=order), strict=True):
        assert one == tuple(close(value) for value in other)


def order(row: tuple[Any, ...]) -> list[str]:
    """Rows are paired by what is not computed with rounding."""
    return [str(round(value, 3)) if isinstance(value, float) else str(value) for value in map(plain, row)]


def plain(value: Any) -> Any:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-6, abs=1e-6) if isinstance(value, float) else value
