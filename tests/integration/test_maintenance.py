"""Partitions, retention and the service around them."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from prometheus_client import CollectorRegistry

from base.settings import StorageSettings
from historian import maintenance, partitions
from historian.maintenance import Maintenance, Task, run_tasks
from historian.maintenance_metrics import MaintenanceMetrics
from historian.repair import repair
from historian.store import HistorianStore
from schemas.frame import Stream
from tests.integration.fix_history import history, sql, store, variant
from tests.integration.history import SECOND_US, T0_US, make_frame, register, tag, validated, window_batch
from tests.integration.polling import eventually

__all__ = ["history", "sql", "store", "variant"]

Sql = psycopg.Connection[Any]
T0 = datetime.fromtimestamp(T0_US / 1e6, UTC)
HOUR_US = 3600 * SECOND_US
ROOT = Path(__file__).parents[2]


def only_plain(variant: str) -> None:
    if variant != "plain":
        pytest.skip("TimescaleDB makes, compresses and indexes its own chunks")


def write_hours(store: HistorianStore, hours: int, tag_id: int = 1) -> None:
    for n in range(hours):
        times = [T0_US + n * HOUR_US + k * SECOND_US for k in range(50)]
        store.write([validated(make_frame([tag_id] * 50, times, [1.0] * 50, sequence=n))])


def test_partitions_are_made_when_written_to_and_ahead_of_time(store: HistorianStore, sql: Sql, variant: str) -> None:
    only_plain(variant)
    write_hours(store, 2)
    bounds = "SELECT from_time FROM partitions WHERE table_name = 'samples' ORDER BY 1"
    assert [row[0] for row in sql.execute(bounds)] == [T0, T0 + timedelta(hours=1)]
    partitions.make_ahead(sql, T0 + timedelta(minutes=70), 2)
    assert [row[0] for row in sql.execute(bounds)] == [T0 + timedelta(hours=n) for n in range(4)]
    assert len(sql.execute("SELECT FROM partitions WHERE table_name = 'aggregates'").fetchall()) == 3


def test_a_closed_partition_reads_one_tag_from_its_index_alone(store: HistorianStore, sql: Sql, variant: str) -> None:
    only_plain(variant)
    write_hours(store, 2)
    indexes = "SELECT tablename, count(*) FROM pg_indexes WHERE tablename LIKE 'samples_p%%' GROUP BY 1 ORDER BY 1"
    assert [row[1] for row in sql.execute(indexes)] == [2, 2], (
        "the hot partition has a BRIN on time and a btree on the tag"
    )
    closed = partitions.close_ended(sql, T0 + timedelta(minutes=66))
    assert len(closed) == 1
    assert [row[1] for row in sql.execute(indexes)] == [2, 2], "the covering index has taken the place of the hot one"
    assert partitions.close_ended(sql, T0 + timedelta(minutes=66)) == []
    sql.execute("SET enable_seqscan = off")
    sql.execute("SET enable_bitmapscan = off")
    plan = sql.execute(
        "EXPLAIN SELECT time, value, quality FROM samples WHERE tag_id = 1 AND time >= %s AND time < %s",
        (T0, T0 + timedelta(minutes=10)),
    ).fetchall()
    assert any("Index Only Scan" in row[0] for row in plan), plan
    # What comes late goes there all the same.
    store.write([validated(make_frame([1], [T0_US + 5], [1.0], sequence=70))])
    assert sql.execute("SELECT count(*) FROM samples WHERE time < %s", (T0 + timedelta(hours=1),)).fetchone() == (51,)


def test_partitions_of_a_dense_plant_are_short_and_indexed_behind_the_rows(
    store: HistorianStore, sql: Sql, history: str, variant: str
) -> None:
    only_plain(variant)
    register(history, **{f"t{n}": tag(period_ms=1) for n in range(500)})
    times = [T0_US + k * SECOND_US for k in range(120)]
    store.write([validated(make_frame([2, 1] * 60, times, [1.0] * 120))])
    bounds = "SELECT to_time - from_time, dense FROM partitions WHERE table_name = 'samples' ORDER BY from_time"
    assert sql.execute(bounds).fetchall() == [(timedelta(minutes=1), True)] * 2
    indexes = "SELECT count(*) FROM pg_indexes WHERE tablename LIKE 'samples_p%%'"
    assert sql.execute(indexes).fetchone() == (0,)
    assert len(partitions.close_ended(sql, T0 + timedelta(seconds=91))) == 1
    assert sql.execute(indexes).fetchone() == (1,)
    stored = sql.execute("SELECT tag_id FROM samples WHERE time < %s ORDER BY ctid", (T0 + timedelta(minutes=1),))
    assert [row[0] for row in stored] == [1] * 30 + [2] * 30


def test_the_fullest_partitions_get_an_index_that_costs_next_to_nothing(
    store: HistorianStore, sql: Sql, history: str, variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_plain(variant)
    monkeypatch.setattr(partitions, "_LIGHT_FROM_BYTES_PER_S", 1_000)
    register(history, **{f"t{n}": tag(period_ms=1) for n in range(500)})
    for second in range(60):
        times = [T0_US + second * SECOND_US + k for k in range(500)]
        store.write([validated(make_frame([*range(1, 501)], times, [1.0] * 500, sequence=second))])
    partitions.close_ended(sql, T0 + timedelta(seconds=91))
    definitions = sql.execute("SELECT indexdef FROM pg_indexes WHERE tablename LIKE 'samples_p%%'").fetchall()
    assert [row[0].partition(" USING ")[2] for row in definitions] == [
        "brin (tag_id, \"time\") WITH (pages_per_range='8')"
    ]
    sql.execute("SET enable_seqscan = off")
    query = "SELECT count(*) FROM samples WHERE tag_id = 7 AND time >= %s AND time < %s"
    between = (T0 + timedelta(seconds=20), T0 + timedelta(seconds=30))
    assert sql.execute(query, between).fetchone() == (10,)
    assert any("Bitmap Index Scan" in row[0] for row in sql.execute("EXPLAIN " + query, between).fetchall())
    # What comes late goes there all the same.
    store.write([validated(make_frame([7], [T0_US + 25 * SECOND_US + 999], [1.0], sequence=900))])
    assert sql.execute(query, between).fetchone() == (11,)


def test_one_tag_is_read_from_a_hot_partition_without_a_scan(
    store: HistorianStore, sql: Sql, history: str, variant: str
) -> None:
    only_plain(variant)
    write_hours(store, 1)
    sql.execute("SET enable_seqscan = off")  # fifty rows are read faster by a scan
    plan = sql.execute("EXPLAIN SELECT value FROM samples WHERE tag_id = 1 AND time >= %s", (T0,)).fetchall()
    assert any("_hot" in row[0] for row in plan), plan
    sql.execute("RESET enable_seqscan")
    # A dense plant, now: maintenance makes its partitions ahead.
    register(history, **{f"t{n}": tag(period_ms=1) for n in range(500)})
    now = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(hours=1)
    partitions.make_ahead(sql, now, 1)
    now_us = int(now.timestamp() * 1e6)
    for half_second in range(20):
        times = [now_us + half_second * SECOND_US // 2 + k for k in range(60) for _ in range(500)]
        store.write([validated(make_frame([*range(1, 501)] * 60, times, [1.0] * 30_000, sequence=100 + half_second))])
    assert partitions.summarise(sql) > 100
    assert partitions.summarise(sql) == 0, "nothing came since"
    query = "SELECT value FROM samples WHERE tag_id = 77 AND time >= %s AND time < %s"
    between = (now, now + timedelta(seconds=10))
    plan = sql.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {query}".encode(), between).fetchall()
    assert any("Bitmap Index Scan on samples_p" in row[0] and "_hot" in row[0] for row in plan), plan
    removed = next(int(row[0].split(":")[1]) for row in plan if "Rows Removed by Index Recheck" in row[0])
    # A range has some 630 rows. One that two batches share does not hold every tag between its first and its last.
    assert removed < 20 * 750, "one range of each batch is looked at, of 600,000 rows in twenty"
    assert len(sql.execute(query.encode(), between).fetchall()) == 1200
    known = "SELECT reltuples FROM pg_class WHERE oid = (SELECT min(tableoid) FROM samples WHERE time >= %s)"
    told = sql.execute(known, (now,)).fetchone()
    assert told == (pytest.approx(600_000, rel=0.01),), "the planner has statistics"
    store.write([validated(make_frame([77] * 600, [now_us + k for k in range(600)], [1.0] * 600, sequence=200))])
    partitions.summarise(sql)
    assert sql.execute(known, (now,)).fetchone() == told, "and no new ones for a few rows"


def test_a_partition_that_grows_is_not_closed(store: HistorianStore, sql: Sql, variant: str) -> None:
    """A backlog: its time has long passed, and its rows are still coming."""
    only_plain(variant)
    write_hours(store, 1)
    sizes: dict[str, int] = {}
    later = T0 + timedelta(hours=2)
    assert partitions.close_ended(sql, later, sizes) == []
    store.write([validated(make_frame([1] * 3000, [T0_US + k for k in range(3000)], [1.0] * 3000, sequence=50))])
    assert partitions.close_ended(sql, later, sizes) == []
    assert partitions.waiting(sql, later)[0] == 1
    assert len(partitions.close_ended(sql, later, sizes)) == 1
    assert partitions.waiting(sql, later) == (0, 0.0)


def test_maintenance_killed_while_it_closes_loses_and_doubles_nothing(
    store: HistorianStore, sql: Sql, history: str, variant: str
) -> None:
    """At each step: its connection ends when the server has begun the statement."""
    only_plain(variant)
    write_hours(store, 1)
    seen = "SELECT count(*), sum(value), count(DISTINCT time) FROM samples"
    expected = sql.execute(seen).fetchone()
    for step in (
        "DROP INDEX IF EXISTS",
        "CREATE INDEX CONCURRENTLY",
        "DROP INDEX CONCURRENTLY",
        "VACUUM",
        "UPDATE partitions",
    ):
        with psycopg.connect(history, autocommit=True) as doomed:
            killing = _Killing(doomed, sql, step)
            with pytest.raises(psycopg.OperationalError):
                partitions.close_ended(killing, T0 + timedelta(hours=2))  # type: ignore[arg-type]
        assert sql.execute(seen).fetchone() == expected
        assert sql.execute("SELECT count(*) FROM partitions WHERE closed_at IS NULL").fetchone() == (1,)
    assert len(partitions.close_ended(sql, T0 + timedelta(hours=2))) == 1
    assert sql.execute(seen).fetchone() == expected
    valid = "SELECT count(*), bool_and(indisvalid) FROM pg_index WHERE indrelid::regclass::text LIKE 'samples_p%%'"
    assert sql.execute(valid).fetchone() == (2, True)


class _Killing:
    """A connection that dies right after the statement with these words; the server has carried it out, the caller hears nothing."""

    def __init__(self, connection: Sql, killer: Sql, words: str) -> None:
        self._connection, self._killer, self._words = connection, killer, words

    def execute(self, query: Any, *parameters: Any) -> Any:
        text = query if isinstance(query, str) else query.as_string(self._connection)
        if text.startswith("UPDATE") and self._words in text:  # once it is done, so is the closing
            self._kill()
        result = self._connection.execute(query, *parameters)
        if self._words in text:
            self._kill()
        return result

    def _kill(self) -> None:
        self._killer.execute("SELECT pg_terminate_backend(%s, 5000)", (self._connection.info.backend_pid,))


def test_windows_of_a_dense_partition_are_repaired_when_it_is_closed(
    store: HistorianStore, sql: Sql, history: str, variant: str
) -> None:
    only_plain(variant)
    tag_id = register(history, **{f"t{n}": tag(period_ms=1) for n in range(500)})["t7"]
    store.write([validated(make_frame([tag_id], [T0_US + SECOND_US], [1.0], stream=Stream.BACKFILL))])
    assert repair(sql, partitions.PartitionCache(), quiet_s=0.0).ranges == 0
    partitions.close_ended(sql, T0 + timedelta(seconds=91))
    assert repair(sql, partitions.PartitionCache(), quiet_s=0.0).ranges == 1
    assert sql.execute("SELECT DISTINCT tag_id FROM aggregates").fetchall() == [(tag_id,)]


def test_an_interrupted_index_build_is_done_again(store: HistorianStore, sql: Sql, variant: str) -> None:
    only_plain(variant)
    write_hours(store, 1)
    name = sql.execute("SELECT partition_name FROM partitions").fetchone()
    assert name is not None
    sql.execute(f"CREATE INDEX {name[0]}_tag_time ON {name[0]} (verdict)")
    assert partitions.close_ended(sql, T0 + timedelta(hours=2)) == [name[0]]
    definition = sql.execute(
        "SELECT indexdef FROM pg_indexes WHERE indexname = %s", (f"{name[0]}_tag_time",)
    ).fetchone()
    assert definition is not None
    assert '(tag_id, "time") INCLUDE (value, quality)' in definition[0]


def test_partitions_of_another_length_fit_beside_the_old(store: HistorianStore, sql: Sql, variant: str) -> None:
    only_plain(variant)
    write_hours(store, 1)
    sql.execute("UPDATE storage_settings SET samples_partition = '6 hours'")
    for hours in (-1, 2, 1, 9):
        at = T0 + timedelta(hours=hours)
        row = sql.execute("SELECT from_time, to_time FROM ensure_partition('samples', %s)", (at,)).fetchone()
        assert row is not None
        assert row[0] <= at < row[1]
    bounds = sql.execute("SELECT from_time, to_time FROM partitions ORDER BY 1").fetchall()
    assert all(one[1] <= after[0] for one, after in itertools.pairwise(bounds))


def test_retention_drops_what_is_old_and_writers_go_on(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    write_hours(store, 3, power)
    store.write([window_batch(power, T0_US + n * 86_400 * SECOND_US, 5, window_s=w) for n in range(3) for w in (1, 60)])
    now = T0 + timedelta(days=2, hours=12)
    for resolution, keep in (("samples", "2 days"), ("fine_windows", "1 day"), ("records", "2 days")):
        sql.execute("SELECT set_storage_policy(%s, keep => %s)", (resolution, keep))
    service = Maintenance(sql, StorageSettings(), now=lambda: now)
    service.drop_old()
    assert sql.execute("SELECT count(*) FROM samples").fetchone() == (150,), "their windows are not there"
    sql.execute("UPDATE dirty_ranges SET marked_at = marked_at - interval '1 hour'")
    service.repair()
    service.roll_up()
    service.drop_old()
    assert sql.execute("SELECT count(*) FROM samples").fetchone() == (0,)
    assert sql.execute("SELECT window_s, count(*), sum(count) FROM aggregates GROUP BY 1 ORDER BY 1").fetchall() == [
        (1, 1, 5),
        (60, 5, 160),
    ]
    assert sql.execute("SELECT count(*) FROM ledger_minute").fetchone() == (0,)
    assert sql.execute("SELECT frames FROM ledger").fetchone() == (3,), "the ledger remembers what it has seen"
    # The store still believes in a partition that is gone.
    result = store.write([validated(make_frame([1], [T0_US + 7], [1.0], sequence=90))])
    assert (result.stored, result.poisoned) == (1, [])


def test_a_missing_partition_is_made_and_costs_nobody_anything(store: HistorianStore, sql: Sql, variant: str) -> None:
    only_plain(variant)
    write_hours(store, 1)
    partitions.drop_older(sql, "samples", T0 + timedelta(hours=2))
    result = store.write([validated(make_frame([1], [T0_US + n], [1.0], sequence=80 + n)) for n in range(4)])
    assert (result.frames, result.poisoned) == (4, [])


def test_tasks_run_at_their_period_until_stopped() -> None:
    now, stop, ran = [0.0], threading.Event(), []

    def run(name: str) -> None:
        ran.append((name, now[0]))
        now[0] += 0.4
        if now[0] > 5:
            stop.set()

    tasks = (
        Task(name="fast", period_s=0, run=lambda: run("fast")),
        Task(name="slow", period_s=2, run=lambda: run("slow")),
    )
    run_tasks(tasks, stop, clock=lambda: now[0])
    slow = [at for name, at in ran if name == "slow"]
    assert len(slow) >= 2
    assert all(later - earlier >= 2.4 for earlier, later in itertools.pairwise(slow))


def test_the_service_repairs_and_stops_on_sigterm(
    history: str, store: HistorianStore, sql: Sql, tmp_path: Path
) -> None:
    power = register(history)["power"]
    now_us = int(datetime.now(UTC).timestamp() * 1e6) - 3600 * SECOND_US
    config = tmp_path / "platform.toml"
    config.write_text(f'sites = []\n[kafka]\nbootstrap_servers = ""\n[postgres]\ndsn = "{history}"\n')
    command = [sys.executable, "-m", "historian.maintenance", "--config", str(config)]
    logs = [tmp_path / f"{n}.log" for n in range(2)]
    processes = []
    for path in logs:
        with path.open("w") as file:
            processes.append(subprocess.Popen(command, cwd=ROOT, stderr=file))
    try:
        eventually(lambda: sorted(_role(path) for path in logs) == ["runs", "spare"], timeout_s=60)
        store.write([validated(make_frame([power], [now_us], [7.0], stream=Stream.BACKFILL))])
        sql.execute("UPDATE dirty_ranges SET marked_at = marked_at - interval '1 hour'")
        eventually(
            lambda: sql.execute("SELECT count(*) FROM aggregates WHERE repaired").fetchone() == (2,), timeout_s=30
        )
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(timeout=30) for process in processes]
    assert codes == [0, 0]
    assert all("maintenance stopped" in path.read_text() for path in logs)


def _role(log: Path) -> str:
    text = log.read_text()
    return "runs" if "maintenance runs" in text else "spare" if "waiting as a spare" in text else ""


def test_an_outage_is_waited_out(history: str, sql: Sql, caplog: pytest.LogCaptureFixture) -> None:
    stop, log = threading.Event(), caplog.at_level("INFO")
    with log:
        metrics = MaintenanceMetrics(CollectorRegistry())
        thread = threading.Thread(target=maintenance.serve, args=(history, StorageSettings(), stop, metrics))
        thread.start()
        try:
            eventually(lambda: caplog.text.count("maintenance runs") == 1, timeout_s=30)
            sql.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace-maintenance'"
            )
            eventually(lambda: caplog.text.count("maintenance runs") == 2, timeout_s=30)
            assert "waits for the database" in caplog.text
        finally:
            stop.set()
            thread.join(30)
