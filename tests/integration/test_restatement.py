"""Windows, hours and days follow the samples, however late those come or go, through maintenance's own tasks.

And nothing is dropped before it is rolled up.

What is expected is computed from the samples by SQL that shares nothing with windows and rollups.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest

from base.settings import StorageSettings
from historian import storage, storage_policy
from historian.maintenance import Maintenance
from historian.store import HistorianStore
from schemas.frame import Stream
from tests.integration.fix_history import history, sql, store, variant
from tests.integration.history import SECOND_US, T0_US, make_frame, register, tag, validated

__all__ = ["history", "sql", "store", "variant"]

Sql = psycopg.Connection[Any]
HOUR_US = 3600 * SECOND_US
HALF_HOUR_US = HOUR_US // 2
DAY_US = 24 * HOUR_US
NOW_US = T0_US // DAY_US * DAY_US + 30 * DAY_US + 9 * HOUR_US + 40 * 60 * SECOND_US
NOW = datetime.fromtimestamp(NOW_US / 1e6, UTC)
_STATISTICS = ("count", "good", "min", "min_time", "max", "max_time", "first", "first_time", "last", "last_time")


class Plant:
    """Four tags of three classes, and samples of them in frames of any stream."""

    def __init__(self, dsn: str, store: HistorianStore, sql: Sql) -> None:
        self.ids = register(
            dsn,
            a=tag(),
            b=tag(),
            c=tag(tag_class="slow", period_ms=1000),
            d=tag(tag_class="odd"),
        )
        row = sql.execute("SELECT lane FROM devices").fetchone()
        assert row is not None
        self._lane, self._store, self._sequence = row[0], store, 0
        self._rng = np.random.default_rng(11)

    def send(self, from_us: int, to_us: int, count: int, *, stream: Stream = Stream.BACKFILL) -> None:
        """That many samples at random times of a range, no two at the same one; a frame for each half hour that has some."""
        times = np.sort(self._rng.choice((to_us - from_us) // 1000, count, replace=False)) * 1000 + from_us
        frames = []
        for half_hour in np.unique(times // HALF_HOUR_US):
            inside = times[times // HALF_HOUR_US == half_hour]
            frames.append(
                make_frame(
                    self._rng.choice(list(self.ids.values()), len(inside)).tolist(),
                    inside.tolist(),
                    self._rng.normal(50, 10, len(inside)).tolist(),
                    quality=self._rng.choice([0, 0, 0, 0x8000], len(inside)).tolist(),
                    stream=stream,
                    sequence=self._sequence,
                    lane=self._lane,
                )
            )
            self._sequence += 1
        self._store.write([validated(frame) for frame in frames])

    def goes_on(self) -> None:
        """A live sample of now: what came before is done with in the stream."""
        frame = make_frame(
            [self.ids["a"]],
            [NOW_US + self._sequence],
            [1.0],
            stream=Stream.LIVE,
            sequence=self._sequence,
            lane=self._lane,
        )
        self._sequence += 1
        self._store.write([validated(frame)])


@pytest.fixture
def plant(history: str, store: HistorianStore, sql: Sql) -> Plant:
    """A month of samples, sparse, with some dense hours 20 days ago and today."""
    found = Plant(history, store, sql)
    for day in (30, 27, 21, 19, 12, 6, 4, 2):
        found.send(NOW_US - day * DAY_US, NOW_US - (day - 1) * DAY_US, 12)
    for begin_us in (NOW_US - 20 * DAY_US - 6 * HOUR_US, NOW_US - 8 * HOUR_US):
        found.send(begin_us, begin_us + 4 * HOUR_US, 1500)
    found.goes_on()
    return found


def maintain(sql: Sql, now: datetime = NOW, *, times: int = 3) -> None:
    """What the service does, with its own tasks; nothing else."""
    service = Maintenance(sql, StorageSettings(), now=lambda: now)
    for _ in range(times):
        for task in service.tasks():
            task.run()
        while sql.execute(
            "SELECT FROM rollup_stale WHERE hour <= %s LIMIT 1", (now - timedelta(hours=1, minutes=2),)
        ).fetchone():
            service.roll_up()


def differences(sql: Sql, level: str, until: datetime = NOW - timedelta(hours=2)) -> list[tuple[Any, ...]]:
    """Rows of a level that are not what the samples say, or that one side lacks."""
    step, relation = {
        "windows": ("make_interval(secs => w.window_s)", "aggregates"),
        "hours": ("interval '1 hour'", "aggregates_1h"),
        "days": ("interval '1 day'", "aggregates_1d"),
    }[level]
    shortest = 1 if level == "windows" else 60
    same = " AND ".join(f"x.{name} IS NOT DISTINCT FROM e.{name}" for name in _STATISTICS)
    return sql.execute(
        f"""WITH expected AS (
                SELECT s.tag_id, w.window_s, date_bin({step}, s.time, timestamptz '2000-01-01 00:00Z') AS start,
                       count(*) AS count, count(*) FILTER (WHERE good) AS good, avg(value) FILTER (WHERE good) AS mean,
                       var_pop(value) FILTER (WHERE good) * count(*) FILTER (WHERE good) AS m2,
                       min(value) FILTER (WHERE good) AS min, max(value) FILTER (WHERE good) AS max,
                       (array_agg(time ORDER BY value, time) FILTER (WHERE good))[1] AS min_time,
                       (array_agg(time ORDER BY value DESC, time) FILTER (WHERE good))[1] AS max_time,
                       (array_agg(value ORDER BY time) FILTER (WHERE good))[1] AS first, min(time) FILTER (WHERE good) AS first_time,
                       (array_agg(value ORDER BY time DESC) FILTER (WHERE good))[1] AS last, max(time) FILTER (WHERE good) AS last_time
                FROM (SELECT *, quality >= 0 AS good FROM samples WHERE time < %(until)s) s
                JOIN tags t USING (tag_id) CROSS JOIN LATERAL unnest(t.windows_s) AS w(window_s)
                WHERE w.window_s >= {shortest} GROUP BY 1, 2, 3
            ), found AS (SELECT * FROM {relation} WHERE start < %(until)s)
            SELECT tag_id, window_s, start, x.count, e.count, x.mean, e.mean
            FROM expected e FULL JOIN found x USING (tag_id, window_s, start)
            WHERE ({same} AND (e.good = 0 OR abs(x.mean - e.mean) < 1e-9 AND abs(x.m2 - e.m2) < 1e-6)) IS NOT TRUE""",
        {"until": until},
    ).fetchall()


def right(sql: Sql) -> bool:
    """Whether every level is what the samples say. Fine windows older than a week are not kept, so they are not compared."""
    day = NOW.replace(hour=0, minute=0)
    assert differences(sql, "hours") == []
    assert differences(sql, "days", day) == []
    coarse = [row for row in differences(sql, "windows", NOW - timedelta(hours=2)) if row[1] >= 60]
    assert coarse == []
    return True


def all_compressed(sql: Sql, resolution: str, before: datetime) -> bool:
    row = sql.execute(
        "SELECT count(*), count(*) FILTER (WHERE unsettled) FROM history_chunks() WHERE resolution = %s AND to_time <= %s",
        (resolution, before),
    ).fetchone()
    assert row is not None
    total, unsettled = row
    return bool(total) and not unsettled


@pytest.mark.parametrize("late", [timedelta(hours=6), timedelta(days=20)], ids=["6 hours", "20 days"])
def test_late_data_restates_every_rollup(plant: Plant, sql: Sql, variant: str, late: timedelta) -> None:
    maintain(sql)
    assert right(sql)
    if variant == "timescaledb":
        assert all_compressed(sql, "samples", NOW - timedelta(days=1))
        assert all_compressed(sql, "windows", NOW - timedelta(days=8))
    at_us = NOW_US - round(late.total_seconds()) * SECOND_US
    before = sql.execute("SELECT sum(count) FROM aggregates_1h").fetchone()
    plant.send(at_us - 70 * 60 * SECOND_US, at_us, 200)
    plant.goes_on()
    assert sql.execute("SELECT sum(count) FROM aggregates_1h").fetchone() == before
    maintain(sql)
    assert right(sql)
    assert sql.execute("SELECT count(*) FROM rollup_stale WHERE hour < %s", (NOW - timedelta(hours=2),)).fetchone() == (
        0,
    )
    if variant == "timescaledb":  # what came late to compressed chunks is compressed by now, too
        assert all_compressed(sql, "samples", NOW - timedelta(days=1))
        assert all_compressed(sql, "windows", NOW - timedelta(days=8))


def test_a_correction_and_a_deletion_reach_every_rollup(plant: Plant, sql: Sql) -> None:
    maintain(sql)
    begin_us = NOW_US - 20 * DAY_US - 4 * HOUR_US
    begin_us -= begin_us % HOUR_US
    begin = datetime.fromtimestamp(begin_us / 1e6, UTC)
    a, b, c = (plant.ids[name] for name in "abc")
    hour = timedelta(hours=1)
    # One tag loses a whole hour and another half of one; a third had another value all the time.
    correct = "SELECT correct_samples(%s, %s, %s, %s, 'ada', 'a test', added => %s)"
    sql.execute(correct, (a, begin, begin + hour, "DROP", None))
    sql.execute(correct, (b, begin, begin + hour / 2, "DROP", None))
    sql.execute(correct, (c, begin, begin + 2 * hour, "SCALE", 1000.0))
    plant.goes_on()
    maintain(sql)
    assert right(sql)
    rows = "SELECT count(*) FROM aggregates_1h WHERE tag_id = %s AND start = %s"
    assert sql.execute(rows, (a, begin)).fetchone() == (0,)
    assert sql.execute(rows, (b, begin)).fetchone() == (1,)


def test_samples_stay_until_their_windows_and_rollups_are_there(plant: Plant, sql: Sql) -> None:
    maintain(sql)
    # The stream's windows of two live minutes never came, so nobody marked them.
    lost_us = NOW_US - 25 * DAY_US
    plant.send(lost_us, lost_us + 120 * SECOND_US, 200, stream=Stream.LIVE)
    later = NOW + timedelta(days=10)
    samples = "SELECT count(*) FROM samples WHERE time < %s"
    until = datetime.fromtimestamp(lost_us / 1e6, UTC) + timedelta(minutes=2)
    held = sql.execute(
        "SELECT count(*) FROM samples WHERE time >= %s AND time < %s", (until - timedelta(minutes=2), until)
    ).fetchone()
    service = Maintenance(sql, StorageSettings(), now=lambda: later)
    service.drop_old()
    assert sql.execute("SELECT DISTINCT reason FROM dirty_ranges").fetchall() == [("RETENTION",)]
    assert (
        sql.execute(
            "SELECT count(*) FROM samples WHERE time >= %s AND time < %s", (until - timedelta(minutes=2), until)
        ).fetchone()
        == held
    )
    sql.execute("UPDATE dirty_ranges SET marked_at = marked_at - interval '1 hour'")
    service.repair()
    service.drop_old()
    assert (
        sql.execute(
            "SELECT count(*) FROM samples WHERE time >= %s AND time < %s", (until - timedelta(minutes=2), until)
        ).fetchone()
        == held
    ), "the hour is not rolled up yet"
    maintain(sql, later)
    assert differences(sql, "hours", later) == [] or sql.execute(samples, (until,)).fetchone() == (0,)
    assert sql.execute(samples, (until,)).fetchone() == (0,)
    row = sql.execute(
        "SELECT sum(count) FROM aggregates_1h WHERE start <= %s AND start > %s - interval '1 hour'", (until, until)
    ).fetchone()
    assert held is not None
    assert row is not None
    assert row[0] >= held[0]


def test_rollups_outlive_their_windows_and_late_marks_do_not_take_them_along(
    plant: Plant, sql: Sql, variant: str
) -> None:
    maintain(sql)
    hours = "SELECT tag_id, window_s, start, count, mean, max_time FROM aggregates_1h WHERE start < %s ORDER BY 1, 2, 3"
    day = NOW.replace(hour=0, minute=0) - timedelta(days=8)
    before = sql.execute(hours, (day,)).fetchall()
    days = sql.execute("SELECT sum(count), max(max) FROM aggregates_1d WHERE start < %s", (day,)).fetchone()
    sql.execute(
        "SELECT set_storage_policy('samples', keep => '2 days'), set_storage_policy('windows', keep => '2 days')"
    )
    maintain(sql)
    gone = sql.execute("SELECT count(*) FROM aggregates WHERE start < %s", (day,)).fetchone()
    assert gone == (0,)
    # A mark of an hour whose windows are gone, as a window that comes far too late would leave it.
    sql.execute("INSERT INTO rollup_stale (hour) SELECT DISTINCT start FROM aggregates_1h WHERE start < %s", (day,))
    maintain(sql)
    assert sql.execute(hours, (day,)).fetchall() == before
    assert sql.execute("SELECT sum(count), max(max) FROM aggregates_1d WHERE start < %s", (day,)).fetchone() == days
    assert sql.execute("SELECT count(*) FROM rollup_stale WHERE hour < %s", (day,)).fetchone() == (0,)


def test_each_class_is_kept_as_long_as_its_policy_says(plant: Plant, sql: Sql) -> None:
    maintain(sql)
    sql.execute("SELECT set_storage_policy('samples', 'slow', keep => '3 days')")
    sql.execute("SELECT set_storage_policy('fine_windows', 'odd', keep => '1 day')")
    maintain(sql)
    oldest = dict(
        sql.execute("SELECT t.name, min(s.time) FROM samples s JOIN tags t USING (tag_id) GROUP BY 1").fetchall()
    )
    assert NOW - timedelta(days=3, hours=1) <= oldest["c"]
    assert all(oldest[name] < NOW - timedelta(days=10) for name in "abd")
    fine = dict(
        sql.execute(
            "SELECT t.name, min(a.start) FROM aggregates a JOIN tags t USING (tag_id) WHERE a.window_s < 60 GROUP BY 1"
        ).fetchall()
    )
    assert fine["d"] >= NOW - timedelta(days=1, hours=1)
    assert NOW - timedelta(days=7, hours=1) <= fine["a"] < NOW - timedelta(days=1)
    assert sql.execute("SELECT unset_storage_policy('samples', 'slow')").fetchone() == (True,)
    assert len([policy for policy in storage_policy.read(sql) if policy.resolution == "samples"]) == 1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("set_storage_policy('weeks', keep => '3 days')", "there is no resolution weeks"),
        ("set_storage_policy('samples', 'never seen', keep => '3 days')", "no tag has the class never seen"),
        (
            "set_storage_policy('windows', keep => '3 days')",
            r"windows of class \* would be kept for 3 days, their samples for 31 days",
        ),
        (
            "set_storage_policy('samples', 'slow', keep => 'forever')",
            "windows of class slow would be kept for 366 days, their samples for ever",
        ),
        ("set_storage_policy('hours', keep => '3 days')", "kept_for_ever"),
        ("set_storage_policy('samples', 'slow', compress_after => '3 days')", "compressed_together"),
        ("unset_storage_policy('samples', '*')", r"the policy of \* cannot be taken away"),
    ],
)
def test_a_policy_that_cannot_be_kept_is_refused(history: str, sql: Sql, call: str, message: str) -> None:
    register(history, c=tag(tag_class="slow", period_ms=1000))
    before = storage_policy.read(sql)
    with pytest.raises(psycopg.Error, match=message):
        sql.execute(f"SELECT {call}".encode())
    assert storage_policy.read(sql) == before


def test_sizes_are_measured_by_resolution(plant: Plant, sql: Sql, variant: str) -> None:
    maintain(sql)
    sql.execute("ANALYZE")
    maintain(sql, times=1)
    sizes = dict(sql.execute("SELECT resolution, rows + compressed_rows FROM storage_size").fetchall())
    exact = sql.execute("SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM aggregates)").fetchone()
    assert exact is not None
    assert (sizes["samples"], sizes["windows"]) == pytest.approx(exact, rel=0.05)
    share = sql.execute("SELECT compressed_rows > rows FROM storage_size WHERE resolution = 'samples'").fetchone()
    assert share == (variant == "timescaledb",)


def test_the_command_shows_and_changes_policies(
    history: str, sql: Sql, variant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    register(history, c=tag(tag_class="slow", period_ms=1000))
    Maintenance(sql, StorageSettings()).measure()
    config = tmp_path / "platform.toml"
    config.write_text(f'sites = []\n[kafka]\nbootstrap_servers = ""\n[postgres]\ndsn = "{history}"\n')

    def run(*arguments: str) -> tuple[int, str, str]:
        status = storage.main(["--config", str(config), *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    status, shown, _ = run()
    assert status == 0
    assert shown.startswith("TimescaleDB 2." if variant == "timescaledb" else "plain PostgreSQL 1")
    assert run("set", "samples", "--class", "slow", "--keep", "90 days")[0] == 0
    policies = json.loads(run("--json")[1])["policies"]
    assert ("samples", "slow", 90 * 86_400.0) in {(p["resolution"], p["tag_class"], p["keep_s"]) for p in policies}
    assert run("unset", "samples", "--class", "slow")[0] == 0
    assert run("unset", "samples", "--class", "slow")[::2] == (2, "class slow has no policy of its own for samples\n")
    status, _, said = run("set", "windows", "--keep", "3 days")
    assert (status, "keep windows at least as long as samples" in said) == (2, True)
    assert run("set", "samples", "--keep", "three moons")[0] == 2
