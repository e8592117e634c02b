"""The repair: what the stream could not fold is recomputed from samples, and nothing is lost to a race with the stream."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from historian import repair as repairing
from historian.partitions import PartitionCache
from historian.rollups import roll_up, thin_marks
from historian.store import HistorianStore
from schemas.frame import Stream
from tests.integration.fix_history import history, sql, store, variant
from tests.integration.history import SECOND_US, T0_US, make_frame, register, tag, validated, window_batch, window_of

__all__ = ["history", "sql", "store", "variant"]

Sql = psycopg.Connection[Any]
T0 = datetime.fromtimestamp(T0_US / 1e6, UTC)


def repair(sql: Sql, *, quiet_s: float = 0.0) -> repairing.RepairResult:
    return repairing.repair(sql, PartitionCache(), quiet_s=quiet_s)


def backfill(
    store: HistorianStore, tag_id: int, times_us: list[int], values: list[float], *, sequence: int = 0
) -> None:
    store.write(
        [validated(make_frame([tag_id] * len(times_us), times_us, values, stream=Stream.BACKFILL, sequence=sequence))]
    )


def rows(sql: Sql, window_s: int) -> list[tuple[Any, ...]]:
    return sql.execute(
        """SELECT tag_id, (extract(epoch FROM start) * 1000000)::bigint, count, good, mean, m2, min, max, first, last, repaired
           FROM aggregates WHERE window_s = %s ORDER BY 1, 2""",
        (window_s,),
    ).fetchall()


def test_backfill_is_recomputed_at_every_window_length(history: str, store: HistorianStore, sql: Sql) -> None:
    ids = register(history, power=tag(), energy=tag(tag_class="slow", period_ms=10_000))
    power, energy = ids["power"], ids["energy"]
    times = [T0_US, T0_US + 200_000, T0_US + 400_000, T0_US + 61 * SECOND_US]
    backfill(store, power, times, [1.0, 3.0, 2.0, 10.0])
    backfill(store, energy, [T0_US + 5, T0_US + 299 * SECOND_US], [5.0, 6.0], sequence=1)
    result = repair(sql)
    assert result.windows == 2 + 2 + 1
    assert rows(sql, 1) == [
        (power, T0_US, 3, 3, 2.0, 2.0, 1.0, 3.0, 1.0, 2.0, True),
        (power, T0_US + 61 * SECOND_US, 1, 1, 10.0, 0.0, 10.0, 10.0, 10.0, 10.0, True),
    ]
    assert [row[:4] for row in rows(sql, 60)] == [(power, T0_US, 3, 3), (power, T0_US + 60 * SECOND_US, 1, 1)]
    assert [row[:6] for row in rows(sql, 300)] == [(energy, T0_US, 2, 2, 5.5, 0.5)]
    assert sql.execute("SELECT count(*) FROM dirty_ranges").fetchone() == (0,)
    assert repair(sql).ranges == 0


def test_a_repair_tops_up_what_the_stream_folded(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    live = [T0_US + n * 100_000 for n in range(5)]
    store.write([validated(make_frame([power] * 5, live, [1.0] * 5)), window_batch(power, T0_US, 5)])
    backfill(store, power, [T0_US + 50_000], [7.0])
    repair(sql)
    assert [row[2:5] for row in rows(sql, 1)] == [(6, 6, 2.0)]
    # The stream says the same once more, as it does after a restart: it loses, and a second repair changes nothing.
    store.write([window_batch(power, T0_US, 5)])
    assert repair(sql).ranges == 1
    assert [row[2:5] for row in rows(sql, 1)] == [(6, 6, 2.0)]


def test_a_stream_window_that_comes_after_its_repair_is_completed(
    history: str, store: HistorianStore, sql: Sql
) -> None:
    power = register(history)["power"]
    backfill(store, power, [T0_US + 50_000], [7.0])
    repair(sql)
    live = [T0_US + n * 100_000 for n in range(5)]
    store.write([validated(make_frame([power] * 5, live, [1.0] * 5)), window_batch(power, T0_US, 5)])
    repair(sql)
    assert [row[2:5] for row in rows(sql, 1)] == [(6, 6, 2.0)]


@pytest.mark.parametrize(("late", "live"), [(7.0, [1.0]), (1.0, [1.0]), (5.0, [2.0, 4.0, 9.0])])
def test_a_stream_window_with_as_many_samples_as_its_repair_has_others(
    history: str, store: HistorianStore, sql: Sql, late: float, live: list[float]
) -> None:
    """The repair was early: it had the late sample and not the last one of the stream, which has that and not the late one."""
    power = register(history)["power"]
    times = [T0_US + (n + 1) * 100_000 for n in range(len(live))]
    backfill(store, power, [T0_US + 150_000], [late])
    if live[1:]:
        store.write([validated(make_frame([power] * (len(live) - 1), times[:-1], live[:-1]))])
    repair(sql)
    last = make_frame([power], times[-1:], live[-1:], sequence=1)
    store.write([validated(last), window_of(power, T0_US, times, live)])
    assert repair(sql).ranges == 1
    everything = [*live, late]
    assert [row[2:5] for row in rows(sql, 1)] == [
        (len(everything), len(everything), pytest.approx(np.mean(everything)))
    ]


def test_a_range_waits_until_live_data_has_passed_its_windows(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    device_lane = sql.execute("SELECT lane FROM devices").fetchone()
    assert device_lane is not None
    backfill(store, power, [T0_US + 50_000], [7.0])
    assert repair(sql, quiet_s=3600).ranges == 0
    store.write([validated(make_frame([power], [T0_US + 90 * SECOND_US], [1.0], lane=device_lane[0]))])
    assert repair(sql, quiet_s=3600).ranges == 0
    store.write([validated(make_frame([power], [T0_US + 125 * SECOND_US], [1.0], lane=device_lane[0], sequence=1))])
    assert repair(sql, quiet_s=3600).ranges == 1


def test_bad_quality_is_counted_and_left_out(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    item = make_frame(
        [power] * 3, [T0_US, T0_US + 1, T0_US + 2], [1.0, 100.0, 3.0], quality=[0, 0x8000, 0], stream=Stream.BACKFILL
    )
    store.write([validated(item)])
    backfill(store, power, [T0_US + SECOND_US], [1.0], sequence=1)
    sql.execute("UPDATE samples SET quality = (-32768)::smallint WHERE time >= %s", (T0 + timedelta(seconds=1),))
    repair(sql)
    assert [row[2:8] for row in rows(sql, 1)] == [(3, 2, 2.0, 2.0, 1.0, 3.0), (1, 0, None, None, None, None)]


def test_random_backfill_equals_windows_of_all_samples(history: str, store: HistorianStore, sql: Sql) -> None:
    """Whatever comes in whatever pieces: after the repair SQL's own aggregates over the samples say the same."""
    ids = register(history, a=tag(), b=tag(), c=tag(tag_class="slow", period_ms=1000), d=tag(tag_class="odd"))
    rng = np.random.default_rng(5)
    for sequence in range(12):
        n = 300
        times = T0_US - 1800 * SECOND_US + rng.integers(0, 3 * 3600 * SECOND_US) + rng.integers(0, 900 * SECOND_US, n)
        item = make_frame(
            rng.choice(list(ids.values()), n).tolist(), times.tolist(), rng.normal(50, 10, n).tolist(), sequence=sequence,
            stream=Stream.REPLAY, quality=rng.choice([0, 0, 0x8000], n).tolist(), verdict=rng.choice([0, 0, 0, 18], n).tolist(),
        )  # fmt: skip
        store.write([validated(item)])
        if sequence % 4 == 3:
            repair(sql)
    difference = sql.execute(
        """WITH expected AS (
               SELECT t.tag_id, w.window_s, date_bin(make_interval(secs => w.window_s), s.time, timestamptz '2000-01-01 00:00Z') AS start,
                      count(*) AS count, count(*) FILTER (WHERE g.good) AS good, avg(value) FILTER (WHERE g.good) AS mean,
                      coalesce(var_pop(value) FILTER (WHERE g.good) * count(*) FILTER (WHERE g.good), 0) AS m2,
                      min(value) FILTER (WHERE g.good) AS min, max(value) FILTER (WHERE g.good) AS max,
                      (array_agg(value ORDER BY time) FILTER (WHERE g.good))[1] AS first, max(time) FILTER (WHERE g.good) AS last_time
               FROM samples s JOIN tags t USING (tag_id) CROSS JOIN LATERAL unnest(t.windows_s) AS w(window_s)
               CROSS JOIN LATERAL (SELECT quality_name(s.quality::integer) = 'good' AS good) g
               GROUP BY 1, 2, 3
           )
           SELECT count(*), count(*) FILTER (WHERE a.count = e.count AND a.good = e.good AND a.min IS NOT DISTINCT FROM e.min
                    AND a.max IS NOT DISTINCT FROM e.max AND a.first IS NOT DISTINCT FROM e.first
                    AND a.last_time IS NOT DISTINCT FROM e.last_time
                    AND (e.good = 0 OR abs(a.mean - e.mean) < 1e-9 AND abs(a.m2 - e.m2) < 1e-6))
           FROM expected e FULL JOIN aggregates a USING (tag_id, window_s, start)"""
    ).fetchone()
    assert difference is not None
    assert difference[0] == difference[1] > 1000


def refresh(sql: Sql, variant: str, now: datetime) -> None:
    """Bring hours and days up to date as maintenance does."""
    thin_marks(sql)
    roll_up(sql, now, plain=variant == "plain")


@pytest.mark.parametrize("rolled_up", [False, True])
def test_hours_and_days_follow_the_windows(
    history: str, store: HistorianStore, sql: Sql, variant: str, *, rolled_up: bool
) -> None:
    power = register(history)["power"]
    now = T0 + timedelta(days=3)
    minutes = [T0_US, T0_US + 60 * SECOND_US, T0_US + 3600 * SECOND_US]
    for start, count, value in zip(minutes, (10, 30, 5), (1.0, 5.0, 9.0), strict=True):
        store.write(
            [window_batch(power, start, count, window_s=60, value=value), window_batch(power, start, 1, window_s=1)]
        )
    if rolled_up:
        refresh(sql, variant, now)
    hours = """SELECT count, mean, min, max, first, last, round(stddev::numeric, 6)::float8
               FROM aggregate_1h WHERE tag_id = %s ORDER BY start"""
    # Means are weighted by samples; m2 between windows is 40 * 0.25 * 0.75 * 16.
    expected_stddev = round((120 / 39) ** 0.5, 6)
    assert sql.execute(hours, (power,)).fetchall() == [
        (40, 4.0, 1.0, 5.0, 1.0, 5.0, expected_stddev),
        (5, 9.0, 9.0, 9.0, 9.0, 9.0, 0.0),
    ]
    days = sql.execute("SELECT sum(count), max(max) FROM aggregate_1d WHERE tag_id = %s", (power,)).fetchone()
    assert days == (45, 9.0)
    # A repair of an hour that was rolled up shows at once; with TimescaleDB when it is rolled up again.
    store.write([window_batch(power, T0_US, 20, window_s=60, value=2.0)])
    if variant == "timescaledb" and rolled_up:
        assert sql.execute(hours, (power,)).fetchall()[0][:4] == (40, 4.0, 1.0, 5.0)
        refresh(sql, variant, now)
    assert sql.execute(hours, (power,)).fetchall()[0][:4] == (50, 3.8, 2.0, 5.0)
    if rolled_up:
        refresh(sql, variant, now)
        assert sql.execute(hours, (power,)).fetchall()[0][:4] == (50, 3.8, 2.0, 5.0)


def test_open_hours_are_not_rolled_up_and_marks_stay_few(
    history: str, store: HistorianStore, sql: Sql, variant: str
) -> None:
    plain = variant == "plain"
    power = register(history)["power"]
    for n in range(5):
        store.write([window_batch(power, T0_US + n * 60 * SECOND_US, 1, window_s=60)])
    thin_marks(sql)
    assert sql.execute("SELECT count(*) FROM rollup_stale").fetchone() == (1,)
    assert roll_up(sql, T0 + timedelta(minutes=59), plain=plain) == 0
    assert roll_up(sql, T0 + timedelta(minutes=63), plain=plain) == 1
    if plain:
        assert sql.execute("SELECT count FROM rollup_1h").fetchall() == [(5,)]
    else:
        assert sql.execute("SELECT rolled_up_before('hours')").fetchone() == (T0 + timedelta(hours=1),)
    assert sql.execute("SELECT count(*) FROM rollup_stale").fetchone() == (0,)


def test_windows_gone_by_retention_do_not_take_their_hour_along(
    history: str, store: HistorianStore, sql: Sql, variant: str
) -> None:
    power = register(history)["power"]
    store.write([window_batch(power, T0_US, 50, window_s=60)])
    roll_up(sql, T0 + timedelta(hours=2), plain=variant == "plain")
    sql.execute("DELETE FROM aggregates")
    sql.execute(
        "UPDATE storage_policy SET dropped_before = %s WHERE resolution = 'windows'", (T0 + timedelta(hours=1),)
    )
    store.write([window_batch(power, T0_US + 60 * SECOND_US, 1, window_s=60)])
    roll_up(sql, T0 + timedelta(hours=2), plain=variant == "plain")
    assert sql.execute("SELECT count FROM aggregate_1h").fetchall() == [(50,)]
