"""Corrections of stored samples against an oracle that keeps a list of values: what reads see, what auditors see, what is counted."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from historian import correct
from historian.partitions import PartitionCache, close_ended
from historian.repair import repair
from historian.rollups import roll_up
from historian.store import HistorianStore
from schemas.frame import Stream
from tests.integration.fix_history import history, sql, store, variant
from tests.integration.history import SECOND_US, T0_US, make_frame, register, tag, validated, window_batch

__all__ = ["history", "sql", "store", "variant"]

Sql = psycopg.Connection[Any]
T0 = datetime.fromtimestamp(T0_US / 1e6, UTC)


def second(number: float) -> datetime:
    return T0 + timedelta(seconds=number)


def write(
    store: HistorianStore, tag_id: int, values: Sequence[float], *, sequence: int = 0, stream: Stream = Stream.BACKFILL
) -> None:
    times = [T0_US + n * SECOND_US for n in range(len(values))]
    store.write([validated(make_frame([tag_id] * len(values), times, list(values), stream=stream, sequence=sequence))])


def apply(sql: Sql, tag_id: int, low: float, high: float, action: str, **how: float) -> Any:
    named = "".join(f", {name} => %({name})s" for name in how)
    query = f"SELECT correct_samples(%(tag)s, %(low)s, %(high)s, %(action)s, 'ada', 'a test'{named})"
    row = sql.execute(
        query.encode(), {"tag": tag_id, "low": second(low), "high": second(high), "action": action, **how}
    ).fetchone()
    assert row is not None
    return row[0]


def follow(sql: Sql, variant: str) -> None:
    """Let repair and rollups come behind."""
    while repair(sql, PartitionCache(), quiet_s=0.0).ranges:
        pass
    roll_up(sql, T0 + timedelta(days=2), plain=variant == "plain")


def stored(sql: Sql) -> list[tuple[float, float]]:
    rows = sql.execute("SELECT extract(epoch FROM time - %s)::float8, value FROM telemetry ORDER BY 1, 2", (T0,))
    return [(float(at), value) for at, value in rows.fetchall()]


def check(sql: Sql, dsn: str, expected: dict[int, float], produced: int) -> None:
    """Reads, windows, hours and the accounting agree with the oracle's values by second."""
    assert stored(sql) == sorted((float(at), value) for at, value in expected.items())
    minutes: dict[int, list[float]] = {}
    for at, value in sorted(expected.items()):
        minutes.setdefault(at // 60, []).append(value)
    rows = sql.execute(
        "SELECT extract(epoch FROM start - %s)::int / 60, count, mean, min, max, first, last FROM aggregate WHERE window_s = 60 ORDER BY 1",
        (T0,),
    ).fetchall()
    assert [row[:2] for row in rows] == [(minute, len(values)) for minute, values in minutes.items()]
    for row, values in zip(rows, minutes.values(), strict=True):
        assert row[2:] == pytest.approx(
            (math.fsum(values) / len(values), min(values), max(values), values[0], values[-1])
        )
    row = sql.execute(
        """SELECT (SELECT sum(stored) FROM ledger), coalesce(sum(superseded), 0), coalesce(sum(corrected), 0) FROM superseded_by_lane"""
    ).fetchone()
    assert row is not None
    kept, superseded, corrected = row
    assert kept == produced, "what was stored once is not counted anew"
    assert kept - superseded + corrected == len(expected)
    differing = sql.execute(
        """SELECT count(*) FROM (
               SELECT minute, sum(stored) AS stored, wrap64(sum(stored_checksum)) AS checksum FROM ledger_minute GROUP BY 1) l
           LEFT JOIN superseded_by_minute c USING (minute)
           LEFT JOIN (SELECT date_trunc('minute', time, 'UTC') AS minute, count(*) AS rows,
                             wrap64(sum(sample_hash(tag_id, time, value, quality))) AS checksum FROM samples GROUP BY 1) s USING (minute)
           WHERE l.stored + coalesce(c.rows, 0) <> coalesce(s.rows, 0)
              OR wrap64(l.checksum::numeric + coalesce(c.checksum, 0)) <> coalesce(s.checksum, 0)"""
    ).fetchone()
    assert differing == (0,)


def test_random_corrections_agree_with_the_oracle(history: str, store: HistorianStore, sql: Sql, variant: str) -> None:
    power = register(history)["power"]
    seconds, draw = 400, random.Random(15)
    values = [float(draw.randrange(100)) for _ in range(seconds)]
    write(store, power, values)
    expected = dict(enumerate(values))
    follow(sql, variant)
    if variant == "plain":
        close_ended(sql, T0 + timedelta(hours=2))
    else:
        sql.execute("SELECT compress_chunk(c, true) FROM show_chunks('samples') c")
    done: list[tuple[Any, dict[int, float]]] = []
    for _ in range(12):
        low = draw.randrange(seconds)
        high = low + draw.choice([1, 5, 60, 150])
        inside = [at for at in expected if low <= at < high]
        action = draw.choice(["VALUE", "SCALE", "DROP"]) if inside else "NONE"
        before = dict(expected)
        if action == "VALUE":
            made = apply(sql, power, low, high, action, value=7.5)
            expected |= dict.fromkeys(inside, 7.5)
        elif action == "SCALE":
            made = apply(sql, power, low, high, action, factor=0.5, added=3.0)
            expected |= {at: expected[at] * 0.5 + 3.0 for at in inside}
        elif action == "DROP":
            made = apply(sql, power, low, high, action)
            expected = {at: value for at, value in expected.items() if at not in inside}
        else:
            continue
        done.append((made, before))
    follow(sql, variant)
    check(sql, history, expected, seconds)
    for made, before in reversed(done[-4:]):
        sql.execute("SELECT restore_samples(%s, 'ada', 'taken back')", (made,))
        expected = before
    follow(sql, variant)
    check(sql, history, expected, seconds)


def test_auditors_see_who_when_why_before_and_after(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    write(store, power, [1.0, 2.0, 3.0])
    made = apply(sql, power, 1, 2, "VALUE", value=20.0)
    path = "acme/north/forming/line-1/cell-1/press-01/power"
    rows = sql.execute(
        "SELECT time, path, before, after, unit, verdict, action, who, why, correction_id FROM superseded"
    )
    assert rows.fetchall() == [(second(1), path, 2.0, 20.0, "kW", "GOOD", "VALUE", "ada", "a test", made)]
    assert sql.execute("SELECT verdict FROM telemetry ORDER BY time").fetchall() == [
        ("GOOD",),
        ("CORRECTED",),
        ("GOOD",),
    ]
    rows = sql.execute("SELECT path, action, value, samples, who, restored_by FROM correction")
    assert rows.fetchall() == [(path, "VALUE", 20.0, 1, "ada", None)]


def test_the_stream_does_not_undo_a_correction(history: str, store: HistorianStore, sql: Sql, variant: str) -> None:
    """A job that starts again says its windows again, with the samples that were taken out since."""
    power = register(history)["power"]
    write(store, power, [1.0] * 60, stream=Stream.LIVE)
    store.write([window_batch(power, T0_US, 60, window_s=60)])
    apply(sql, power, 0, 30, "DROP")
    follow(sql, variant)
    query = "SELECT count FROM aggregate WHERE window_s = 60"
    assert sql.execute(query).fetchall() == [(30,)]
    store.write([window_batch(power, T0_US, 60, window_s=60)])
    follow(sql, variant)
    assert sql.execute(query).fetchall() == [(30,)]


def test_a_replay_supersedes_what_is_stored_at_the_same_time(
    history: str, store: HistorianStore, sql: Sql, variant: str
) -> None:
    power = register(history)["power"]
    write(store, power, [1.0, 2.0, 3.0])
    replay = validated(
        make_frame(
            [power, power], [T0_US + SECOND_US, T0_US + 9 * SECOND_US], [20.0, 90.0], stream=Stream.REPLAY, sequence=5
        )
    )
    store.write([replay])
    store.write([replay])
    follow(sql, variant)
    check(sql, history, {0: 1.0, 1: 20.0, 2: 3.0, 9: 90.0}, 5)
    rows = sql.execute("SELECT before, after, action, who FROM superseded").fetchall()
    assert rows == [(2.0, 20.0, "REPLAY", "replay")]


def test_windows_of_a_tag_that_stores_a_part_stay(history: str, store: HistorianStore, sql: Sql, variant: str) -> None:
    state = register(history, state=tag(historise="ON_CHANGE"))["state"]
    write(store, state, [1.0] * 30 + [2.0] * 30, stream=Stream.LIVE)
    store.write([window_batch(state, T0_US, 60, window_s=60, value=1.5)])
    apply(sql, state, 0, 20, "VALUE", value=3.0)
    follow(sql, variant)
    assert sql.execute("SELECT count, mean FROM aggregate WHERE window_s = 60").fetchall() == [(60, 1.5)]
    assert sql.execute("SELECT windows_follow FROM correction").fetchall() == [(False,)]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("correct_samples(%(tag)s, %(from)s, %(to)s, 'DROP', 'ada', ' ')", "reason"),
        ("correct_samples(%(tag)s, %(from)s, %(to)s, 'VALUE', 'ada', 'x')", "VALUE with a value"),
        ("correct_samples(%(tag)s, %(from)s, %(to)s, 'DROP', 'ada', 'x', value => 1)", "DROP with neither"),
        ("correct_samples(%(tag)s, %(to)s, %(from)s, 'DROP', 'ada', 'x')", "not before"),
        ("correct_samples(%(tag)s, %(from)s, 'infinity', 'DROP', 'ada', 'x')", "not before"),
        ("correct_samples(%(tag)s, %(from)s, %(to)s, 'VALUE', 'ada', 'x', value => 'NaN')", "no values of the tag"),
        ("correct_samples(%(tag)s, %(from)s, %(to)s, 'SCALE', 'ada', 'x', factor => 1e308)", "out of range"),
        ("correct_samples(-1, %(from)s, %(to)s, 'DROP', 'ada', 'x')", "no tag"),
        ("correct_samples(%(tag)s, %(to)s, %(later)s, 'DROP', 'ada', 'x')", "no sample"),
        ("restore_samples(%(unknown)s, 'ada', 'x')", "no correction"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_changed(
    history: str, store: HistorianStore, sql: Sql, asked: str, words: str
) -> None:
    power = register(history)["power"]
    write(store, power, [100.0, 200.0])
    parameters = {"tag": power, "from": T0, "to": second(60), "later": second(120), "unknown": uuid4()}
    with pytest.raises(psycopg.errors.DataError, match=words):
        sql.execute(f"SELECT {asked}".encode(), parameters)
    assert stored(sql) == [(0.0, 100.0), (1.0, 200.0)]
    assert sql.execute("SELECT count(*) FROM corrections").fetchone() == (0,)


def test_a_covered_correction_is_not_taken_back_before_the_one_over_it(
    history: str, store: HistorianStore, sql: Sql
) -> None:
    power = register(history)["power"]
    write(store, power, [1.0, 2.0])
    first = apply(sql, power, 0, 2, "VALUE", value=5.0)
    apply(sql, power, 1, 2, "DROP")
    with pytest.raises(psycopg.errors.DataError, match="later correction"):
        sql.execute("SELECT restore_samples(%s, 'ada', 'x')", (first,))


def test_readers_and_writers_may_not_correct(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    write(store, power, [1.0])
    for role in ("millrace_reader", "millrace_writer"):
        with sql.transaction(force_rollback=True):
            sql.execute(f"SET LOCAL ROLE {role}".encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                apply(sql, power, 0, 1, "DROP")
    with sql.transaction():
        sql.execute("SET LOCAL ROLE millrace_engineer")
        apply(sql, power, 0, 1, "DROP")
    assert stored(sql) == []


def test_the_command_shows_first_and_does_it_with_yes(
    history: str, store: HistorianStore, sql: Sql, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    power = register(history)["power"]
    write(store, power, [1000.0, 2000.0])
    config = tmp_path / "platform.toml"
    config.write_text(f'sites = ["north"]\n[kafka]\nbootstrap_servers = "none:1"\n[postgres]\ndsn = "{history}"\n')
    asked = ["press-01/power", "--from", T0.isoformat(), "--to", second(1).isoformat(), "--scale", "0.001",
             "--why", "it sent W", "--who", "ada", "--config", str(config)]  # fmt: skip
    assert correct.main(asked) == 0
    assert "1000 -> 1" in capsys.readouterr().out
    assert stored(sql) == [(0.0, 1000.0), (1.0, 2000.0)]
    assert correct.main([*asked, "--yes"]) == 0
    done = capsys.readouterr().out.splitlines()[-1].split()[-1]
    assert stored(sql) == [(0.0, 1.0), (1.0, 2000.0)]
    assert correct.main(["--restore", done, "--why", "no", "--who", "bob", "--config", str(config), "--yes"]) == 0
    assert stored(sql) == [(0.0, 1000.0), (1.0, 2000.0)]
    assert correct.main(["nothing", *asked[1:]]) == 1
    assert "no tag with the path" in capsys.readouterr().err
