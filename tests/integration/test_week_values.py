"""Statistics, grids, control charts, genealogy and batches of the simulated week: every row against an oracle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from simulator.packml import State
from simulator.week import LINE, Week
from simulator.week.model import MINUTE_US
from tests.integration.fix_week import Sql, asked, rows
from tests.integration.week import oracle_values as oracle

__all__ = ["asked"]

HOUR_US = 60 * MINUTE_US
MILLS = {
    name: f"{LINE}/milling-{'a' if name in ('mill-01', 'mill-02') else 'b'}/{name}"
    for name in ("mill-01", "mill-02", "mill-03", "mill-04")
}


def when(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def us(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def close(value: Any) -> Any:
    return pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value


@pytest.mark.parametrize(
    ("device", "tag", "from_h", "hours", "low", "high"),
    [
        ("mill-04", "power", 30.0, 8.0, 2.0, 17.9),  # with forty minutes of bad quality
        ("mill-01", "spindle_temperature", 7.123456, 20.0, 30.0, 46.0),
        ("mill-01", "cycle_count", 100.0, 1.5, 40_100.0, 41_000.0),
        ("mill-03", "coolant_pressure", -2.0, 5.0, 37.0, 39.0),  # begins before there is anything
    ],
)  # fmt: skip
def test_time_weighted_statistics(
    asked: Sql, week: Week, device: str, tag: str, from_h: float, hours: float, low: float, high: float
) -> None:
    low_us = week.start_us + round(from_h * HOUR_US)
    high_us = low_us + round(hours * HOUR_US)
    (found,) = rows(
        asked,
        "SELECT * FROM time_weighted_stats(tag_id_of(%s), %s, %s, %s, %s)",
        f"{MILLS[device]}/{tag}",
        when(low_us),
        when(high_us),
        low,
        high,
    )
    expected = oracle.weighted(week.samples[MILLS[device]][tag], low_us, high_us, low, high)
    assert found == {name: close(float(value)) for name, value in expected.items()}
    (mean,) = rows(
        asked, "SELECT time_weighted_mean(%s, %s, %s) AS mean", f"{MILLS[device]}/{tag}", when(low_us), when(high_us)
    )
    assert mean["mean"] == close(expected["mean"])


def test_the_range_of_a_tag_is_its_eu_range_unless_it_is_given(asked: Sql, week: Week) -> None:
    path, span = f"{MILLS['mill-02']}/spindle_temperature", (when(week.start_us), when(week.end_us))
    (found,) = rows(asked, "SELECT * FROM time_weighted_stats(tag_id_of(%s), %s, %s)", path, *span)
    expected = oracle.weighted(
        week.samples[MILLS["mill-02"]]["spindle_temperature"], week.start_us, week.end_us, 10.0, 70.0
    )
    assert found == {name: close(float(value)) for name, value in expected.items()}


@pytest.mark.parametrize("method", ["step", "linear"])
def test_series_on_a_grid(asked: Sql, week: Week, method: str) -> None:
    for device, tag, from_us, every_us in (
        ("mill-04", "power", week.start_us + 32 * HOUR_US + 17_000_000, 37_000_000),
        ("mill-02", "energy", week.start_us + 5 * HOUR_US, 60_000_000),
    ):
        to_us = from_us + 3 * HOUR_US
        found = rows(
            asked,
            "SELECT * FROM gap_filled(tag_id_of(%s), %s, %s, %s, %s)",
            f"{MILLS[device]}/{tag}",
            when(from_us),
            when(to_us),
            timedelta(microseconds=every_us),
            method,
        )
        expected = oracle.grid(week.samples[MILLS[device]][tag], from_us, to_us, every_us, method)
        assert [(row["time"], row["value"]) for row in found] == [(when(at), close(value)) for at, value in expected]
        if tag == "power":
            assert None in [value for _, value in expected]
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="method is 'spline', not step or linear"):
        rows(asked, "SELECT * FROM gap_filled(1, now() - interval '1 hour', now(), '1 minute', 'spline')")


def test_values_as_of_a_time(asked: Sql, week: Week) -> None:
    moment_us = week.start_us + 77 * HOUR_US + 654_321_000
    found = {
        row["path"]: (row["time"], row["value"], row["age"])
        for row in rows(asked, "SELECT * FROM values_at(%s, %s)", LINE, when(moment_us))
    }
    expected = {}
    for device, series in week.samples.items():
        for tag, one in series.items():
            at_us, value = oracle.at(one, moment_us)
            expected[f"{device}/{tag}"] = (when(at_us), value, timedelta(microseconds=moment_us - at_us))
    assert found == expected
    (sample,) = rows(
        asked,
        "SELECT * FROM value_at(tag_id_of(%s), %s)",
        f"{MILLS['mill-04']}/power",
        when(week.samples[MILLS["mill-04"]]["power"].time_us[2_010].item()),
    )
    assert sample["quality"] == "bad"


@pytest.mark.parametrize(
    ("device", "tag", "n", "state"),
    [("mill-02", "coolant_pressure", 5, State.EXECUTE), ("mill-01", "coolant_pressure", 4, State.EXECUTE), ("mill-04", "power", 5, None)],
)  # fmt: skip
def test_control_charts(asked: Sql, week: Week, device: str, tag: str, n: int, state: State | None) -> None:
    span = (week.start_us + 50 * HOUR_US, week.start_us + 80 * HOUR_US)
    groups = oracle.subgroups(week, MILLS[device], tag, *span, n, state)
    asking = (f"{MILLS[device]}/{tag}", *map(when, span), n, state.name if state else None)
    (limits,) = rows(asked, "SELECT * FROM spc_limits(tag_id_of(%s), %s, %s, %s, %s, 35, 41)", *asking)
    expected = oracle.limits(groups, 35.0, 41.0)
    assert limits == {name: close(value) for name, value in expected.items()} | {"lower_spec": 35.0, "upper_spec": 41.0}
    points = rows(asked, "SELECT * FROM spc_points(tag_id_of(%s), %s, %s, %s, %s)", *asking)
    assert [row["mean"] for row in points] == [close(float(group.mean())) for group in groups]
    assert [row["range"] for row in points] == [close(float(np.ptp(group))) for group in groups]
    assert [row["rules"] for row in points] == oracle.rules(
        [float(group.mean()) for group in groups], expected["mean"], expected["ucl"]
    )
    assert [row["range_out"] for row in points] == [float(np.ptp(group)) > expected["range_ucl"] for group in groups]


def test_a_baseline_shows_the_pump_that_gets_weaker(asked: Sql, week: Week) -> None:
    device, tag = MILLS["mill-02"], "coolant_pressure"
    baseline, span = (
        (week.start_us + 6 * HOUR_US, week.start_us + 50 * HOUR_US),
        (week.start_us + 50 * HOUR_US, week.start_us + 72 * HOUR_US),
    )
    before = oracle.limits(oracle.subgroups(week, device, tag, *baseline, 5, State.EXECUTE), 0.0, 60.0)
    groups = oracle.subgroups(week, device, tag, *span, 5, State.EXECUTE)
    points = rows(
        asked,
        "SELECT * FROM spc_points(tag_id_of(%s), %s, %s, 5, 'EXECUTE', %s, %s)",
        f"{device}/{tag}",
        *map(when, (*span, *baseline)),
    )
    expected = oracle.rules([float(group.mean()) for group in groups], before["mean"], before["ucl"])
    assert [row["rules"] for row in points] == expected
    for rule in (1, 2, 3, 4):
        assert any(rule in found for found in expected)


def test_genealogy_in_both_directions(asked: Sql, week: Week) -> None:
    for lot in ("PAL-003", "LOT-010", "BAR-01-01"):
        for way in ("back", "forward"):
            found = rows(asked, "SELECT * FROM lot_genealogy(%s, %s)", lot, way)
            assert {row["lot_found"]: row["depth"] for row in found} == oracle.ancestors(week, lot, way)
            assert {row["direction"] for row in found} <= {way}
            assert all(
                row["trail"][0] == lot
                and row["trail"][-1] == row["lot_found"]
                and len(row["trail"]) == row["depth"] + 1
                for row in found
            )
    both = rows(asked, "SELECT * FROM lot_genealogy('LOT-010')")
    assert {row["direction"] for row in both} == {"back", "forward"}


def test_which_process_values_saw_a_lot(asked: Sql, week: Week) -> None:
    lot = "PAL-003"
    found = {
        (row["lot_made"], row["device_path"], row["name"]): row
        for row in rows(asked, "SELECT * FROM lot_process_values(%s)", lot)
    }
    ranges = {
        "power": None,
        "spindle_temperature": (10, 70),
        "coolant_pressure": (0, 60),
        "joint_torque": (0, 400),
        "motor_temperature": (10, 90),
    }
    expected = {}
    for made in {lot, *oracle.ancestors(week, lot, "back")}:
        for one in week.actuals:
            if one.lot == made and one.use == "PRODUCED":
                for tag in ranges.keys() & week.samples[one.device].keys():
                    low, high = ranges[tag] or ((0, 12) if "robot" in one.device else (0, 45))
                    expected[made, one.device, tag] = oracle.weighted(
                        week.samples[one.device][tag], one.start_us, one.end_us, low, high
                    )
    assert found.keys() == expected.keys()
    for key, stats in expected.items():
        assert {name: found[key][name] for name in ("mean", "min", "max")} == {
            name: close(stats[name]) for name in ("mean", "min", "max")
        }
        assert found[key]["out_of_range_s"] == close(stats["below_s"] + stats["above_s"])


def test_which_lots_saw_an_anomaly(asked: Sql, week: Week) -> None:
    assert len(week.episodes) == 3
    for episode in week.episodes:
        touched = {
            (one.lot, one.use)
            for one in week.actuals
            if one.device == episode.device and one.start_us < episode.end_us and one.end_us > episode.start_us
        }
        expected = {lot: (use, 0) for lot, use in touched}
        for lot, use in touched:
            if use == "PRODUCED":
                expected |= {
                    one: ("DESCENDANT", depth)
                    for one, depth in oracle.ancestors(week, lot, "forward").items()
                    if one not in expected
                }
        found = rows(asked, "SELECT * FROM anomaly_lots(%s::uuid)", episode.episode)
        assert {row["lot"]: (row["use"], row["depth"]) for row in found} == expected
        assert expected


def test_batches_against_the_golden_one(asked: Sql, week: Week) -> None:
    golden, *others = week.batches
    worst: dict[str, float] = {}
    for batch in others:
        found = {
            (row["phase"], row["name"]): row for row in rows(asked, "SELECT * FROM batch_deviation(%s)", batch.batch)
        }
        assert {row["golden_batch"] for row in found.values()} == {golden.batch}
        for tag in ("power", "spindle_temperature", "coolant_pressure"):
            for phase, expected in oracle.deviation(week, batch, golden, tag, 20).items():
                assert {name: found[phase, tag][name] for name in expected} == {
                    name: pytest.approx(value, rel=1e-6, abs=1e-6) for name, value in expected.items()
                }
        worst[batch.batch] = found["load", "spindle_temperature"]["max_deviation"]
    assert max(worst, key=lambda name: worst[name]) == "B-3"  # the one that ran too hot
    profile = rows(asked, "SELECT * FROM batch_profile('B-2', 'spindle_temperature', 10)")
    assert [row["value"] for row in profile if row["phase"] == "load"] == pytest.approx(
        oracle.profile(week, week.batches[1], "spindle_temperature", 10)["load"], rel=1e-6
    )


def test_one_tag_is_read_by_its_index_whatever_the_question(asked: Sql, week: Week, week_dsn: str) -> None:
    """Closed partitions have an index on tag and time: no answer reads one of them as a whole."""
    with psycopg.connect(week_dsn, autocommit=True) as owner:
        if _rows_scanned(owner) is None:
            pytest.skip("TimescaleDB keeps closed chunks compressed, one tag in a segment")
        span = f"'{when(week.start_us + 30 * HOUR_US)}', '{when(week.start_us + 54 * HOUR_US)}'"
        tag = f"tag_id_of('{MILLS['mill-02']}/coolant_pressure')"
        for query in (
            f"SELECT * FROM time_weighted_stats({tag}, {span})", f"SELECT * FROM gap_filled({tag}, {span}, '1 minute')",
            f"SELECT * FROM spc_points({tag}, {span}, 5, 'EXECUTE')", f"SELECT * FROM oee_between('{LINE}', {span})",
            f"SELECT * FROM energy_between('{LINE}', {span}, '{{device,state}}')",
            f"SELECT * FROM cycle_times(device_id_of('{MILLS['mill-02']}'), {span})",
            f"SELECT * FROM downtime_pareto('{LINE}', {span})",
        ):  # fmt: skip
            before = _rows_scanned(owner)
            owner.execute(query.encode())
            assert _rows_scanned(owner) == before, query


def _rows_scanned(connection: psycopg.Connection[Any]) -> int | None:
    """Rows of native partitions of samples that sequential scans have read, of this session too; None without partitions."""
    connection.execute("SELECT pg_stat_force_next_flush()")
    row = connection.execute(
        "SELECT sum(seq_tup_read) FROM pg_stat_all_tables WHERE relname LIKE 'samples_p%'"
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])
