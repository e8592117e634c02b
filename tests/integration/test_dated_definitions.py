"""A query for last March uses last March's unit, limits, names and place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from historian.partitions import PartitionCache
from historian.repair import repair
from historian.rollups import roll_up
from historian.store import HistorianStore
from registry.edit import move
from registry.load import load_plant
from registry.plant_file import parse_plant
from schemas.frame import Stream
from tests.integration.fix_history import history, sql, store, variant
from tests.integration.history import SECOND_US, T0_US, make_frame, plant, register, tag, validated

__all__ = ["history", "sql", "store", "variant"]

Sql = psycopg.Connection[Any]
T0 = datetime.fromtimestamp(T0_US / 1e6, UTC)
CELL = "acme/north/forming/line-1"
HOUR_US = 3600 * SECOND_US


def redefine(sql: Sql, at: datetime, **tags: dict[str, Any]) -> None:
    """Load the plant with other definitions, as if that had been done at `at`: a test cannot wait for March."""
    load_plant(sql, parse_plant(plant(**tags)))
    changed = sql.execute("SELECT max(valid_from) FROM tag_periods WHERE valid_from > '-infinity'").fetchone()
    assert changed is not None
    sql.execute("UPDATE tag_periods SET valid_to = %s WHERE valid_to = %s", (at, changed[0]))
    sql.execute("UPDATE tag_periods SET valid_from = %s WHERE valid_from = %s", (at, changed[0]))


def backfill(store: HistorianStore, tag_id: int, times_us: list[int], values: list[float], sequence: int = 0) -> None:
    store.write(
        [validated(make_frame([tag_id] * len(times_us), times_us, values, stream=Stream.BACKFILL, sequence=sequence))]
    )


def test_a_sample_has_the_unit_and_the_limits_of_its_time(history: str, store: HistorianStore, sql: Sql) -> None:
    force = register(history, force=tag(unit="N", limits=[0, 90_000], eu=[0, 80_000]))["force"]
    redefine(sql, T0 + timedelta(minutes=5), force=tag(unit="kN", limits=[0, 90], eu=[0, 80]))
    backfill(store, force, [T0_US, T0_US + 600 * SECOND_US], [50_000.0, 50.0])
    query = "SELECT value, unit, eu_low, eu_high, limit_low, limit_high FROM telemetry WHERE time >= %s ORDER BY time"
    assert sql.execute(query, (T0,)).fetchall() == [
        (50_000.0, "N", 0.0, 80_000.0, 0.0, 90_000.0),
        (50.0, "kN", 0.0, 80.0, 0.0, 90.0),
    ]


def test_the_first_definition_holds_for_all_time_before_it(history: str, store: HistorianStore, sql: Sql) -> None:
    """A machine's backlog, or the file of an older logger, is older than its registration."""
    power = register(history)["power"]
    backfill(store, power, [T0_US - 30 * 24 * HOUR_US], [1.0])
    assert sql.execute("SELECT path, unit FROM telemetry").fetchall() == [(f"{CELL}/cell-1/press-01/power", "kW")]


def test_a_change_that_does_not_show_begins_no_period(history: str, sql: Sql) -> None:
    register(history, power=tag())
    load_plant(sql, parse_plant(plant(power=tag(deadband=0.5))))
    assert sql.execute("SELECT count(*) FROM tag_history").fetchone() == (2,)
    assert sql.execute("SELECT valid_from::text, valid_to::text FROM tag_periods").fetchall() == [
        ("-infinity", "infinity")
    ]
    load_plant(sql, parse_plant(plant(power=tag(deadband=0.5, limits=[-10, 300]))))
    periods = sql.execute("SELECT limit_high FROM tag_periods ORDER BY valid_from")
    assert [row[0] for row in periods.fetchall()] == [200.0, 300.0]
    held = """SELECT count(*) FROM tag_periods a JOIN tag_periods b ON a.tag_id = b.tag_id AND a.valid_to = b.valid_from
              JOIN registry_changes c ON c.changed_at = a.valid_to"""
    assert sql.execute(held).fetchone() == (1,)


def test_windows_have_the_unit_of_their_start_and_none_where_it_changed(
    history: str, store: HistorianStore, sql: Sql, variant: str
) -> None:
    force = register(history, force=tag(unit="N", limits=[0, 90_000]))["force"]
    change = T0 + timedelta(hours=1, seconds=90)
    redefine(sql, change, force=tag(unit="kN", limits=[0, 90], eu=[0, 80]))
    backfill(store, force, [T0_US], [50_000.0])
    seconds = [3600 + after for after in (30, 70, 100, 130)]
    backfill(
        store, force, [T0_US + second * SECOND_US for second in seconds], [50_000.0, 50_000.0, 50.0, 50.0], sequence=1
    )
    backfill(store, force, [T0_US + 2 * HOUR_US], [50.0], sequence=2)
    repair(sql, PartitionCache(), quiet_s=0.0)
    found = sql.execute("SELECT start, unit FROM aggregate WHERE window_s = 60 ORDER BY start").fetchall()
    assert [(int((start - T0).total_seconds()), unit) for start, unit in found] == [
        (0, "N"), (3600, "N"), (3660, None), (3720, "kN"), (7200, "kN"),
    ]  # fmt: skip
    roll_up(sql, T0 + timedelta(days=2), plain=variant == "plain")
    hours = sql.execute("SELECT unit FROM aggregate_1h ORDER BY start").fetchall()
    assert [unit for (unit,) in hours] == ["N", None, "kN"]
    assert sql.execute("SELECT unit FROM aggregate_1d").fetchall() == [(None,)]


def test_a_change_of_limits_within_a_window_leaves_its_unit(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history, power=tag())["power"]
    redefine(sql, T0 + timedelta(seconds=30), power=tag(limits=[-10, 300]))
    backfill(store, power, [T0_US, T0_US + 40 * SECOND_US], [1.0, 2.0])
    repair(sql, PartitionCache(), quiet_s=0.0)
    assert sql.execute("SELECT unit FROM aggregate WHERE window_s = 60").fetchall() == [("kW",)]


def test_windows_and_refusals_have_the_path_of_their_time(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    move(sql, f"{CELL}/cell-1/press-01", f"{CELL}/cell-2")
    backfill(store, power, [T0_US], [1.0])
    repair(sql, PartitionCache(), quiet_s=0.0)
    old = f"{CELL}/cell-1/press-01/power"
    assert sql.execute("SELECT DISTINCT path FROM aggregate").fetchall() == [(old,)]
    assert sql.execute("SELECT path FROM telemetry").fetchall() == [(old,)]
    sql.execute(
        """INSERT INTO rejects (identity, rejected_at, reason, detail, tag_ids, times_us, "values", qualities, positions,
                                gateway_id, epoch, lane, stream, sequence, source_topic, source_partition, source_offset, samples)
           VALUES ('x', now(), 'OUT_OF_RANGE', '', ARRAY[%(tag)s, %(tag)s, -1],
                   ARRAY[%(at)s, 9223372036854775807, %(at)s]::bigint[], ARRAY[1.0, 2.0, 3.0], ARRAY[0, 0, 0], ARRAY[0, 1, 2],
                   'gw', gen_random_uuid(), 0, 0, 0, 't', 0, 0, 3)""",
        {"tag": power, "at": T0_US},
    )
    found = sql.execute("SELECT path FROM rejected ORDER BY position").fetchall()
    assert found == [(old,), (f"{CELL}/cell-2/press-01/power",), (None,)]


@pytest.mark.parametrize(
    "query",
    [
        "SELECT time, value, unit FROM telemetry WHERE path = %(path)s AND time >= %(from)s AND time < %(to)s",
        "SELECT time, value, unit FROM telemetry WHERE tag_id = %(tag)s AND time >= %(from)s AND time < %(to)s",
        "SELECT start, mean, unit FROM aggregate WHERE path = %(path)s AND window_s = 60 AND start >= %(from)s AND start < %(to)s",
        "SELECT start, mean, unit FROM aggregate_1h WHERE path = %(path)s AND start >= %(from)s AND start < %(to)s",
    ],
)
def test_dated_reads_scan_neither_samples_nor_definitions(
    history: str, store: HistorianStore, sql: Sql, variant: str, query: str
) -> None:
    if variant != "plain":
        pytest.skip("its chunks are compressed: it scans what a segment holds")
    ids = register(history, **{f"t{n:03}": tag() for n in range(300)})
    for minute in range(20):
        tag_ids = [tag_id for tag_id in ids.values() for _ in range(20)]
        times = [T0_US + (minute * 60 + k * 3) * SECOND_US for _ in ids for k in range(20)]
        store.write([validated(make_frame(tag_ids, times, [1.0] * len(times), sequence=minute))])
    sql.execute(
        "INSERT INTO dirty_ranges (tag_id, from_time, to_time, reason) SELECT tag_id, %s, %s, 'LATE' FROM tags",
        (T0, T0 + timedelta(minutes=20)),
    )
    repair(sql, PartitionCache(), quiet_s=0.0)
    roll_up(sql, T0 + timedelta(days=2), plain=variant == "plain")
    sql.execute("ANALYZE")
    asked = {"path": f"{CELL}/cell-1/press-01/t007", "tag": ids["t007"], "from": T0, "to": T0 + timedelta(minutes=20)}
    plan = "\n".join(row[0] for row in sql.execute(f"EXPLAIN {query}".encode(), asked).fetchall())
    assert "Seq Scan on samples" not in plan, plan
    assert "Seq Scan on aggregates" not in plan, plan
    assert "Seq Scan on tag_periods" not in plan, plan
    assert "Seq Scan on rollup_1h" not in plan, plan
