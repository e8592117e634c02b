"""The historian's store against a real database: exact under duplicates, disorder, zombies, outages and bad data."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import numpy as np
import psycopg
import pytest

from historian.store import HistorianStore, StoreUnavailable
from schemas import checksum, frame, topics
from schemas.frame import Frame, Stream
from schemas.verdicts import LATE_FLAG, RecordReject, Verdict
from stages.outputs import Output
from tests.golden import calculation
from tests.golden import support as golden
from tests.integration.fix_history import history, sql, store, variant
from tests.integration.history import (
    EPOCH,
    SECOND_US,
    T0_US,
    Record,
    event_fields,
    make_frame,
    random_frames,
    record,
    register,
    tag,
    validated,
    window_batch,
)

__all__ = ["history", "sql", "store", "variant"]

Sql = psycopg.Connection[Any]


def contents(sql: Sql) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that must not depend on order or repetition."""
    return {
        "samples": sql.execute(
            "SELECT time, tag_id, float8send(value), quality, verdict, count(*) FROM samples GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5"
        ).fetchall(),
        "ledger": sql.execute(
            """SELECT gateway_id, epoch, lane, stream, sequences::text, frames, stored, rejected, suppressed, late, stored_checksum,
                      rejected_checksum, suppressed_checksum, verdict_counts, newest_time FROM ledger ORDER BY 1, 2, 3, 4"""
        ).fetchall(),
        "minutes": sql.execute("SELECT * FROM ledger_minute ORDER BY 1, 2, 3").fetchall(),
        "dirty": sql.execute(
            # As minutes: how they are cut into ranges depends on the batches.
            "SELECT DISTINCT tag_id, generate_series(from_time, to_time, '1 minute') FROM dirty_ranges ORDER BY 1, 2"
        ).fetchall(),
    }


def test_samples_land_with_value_bits_quality_and_verdict(store: HistorianStore, sql: Sql) -> None:
    values = [1.5, -0.0, np.pi, 5e-324]
    times = [T0_US + 1, T0_US + 2, T0_US + 3, T0_US + 4]
    result = store.write(
        [validated(make_frame([7, 8, 7, 9], times, values, quality=[0, 0x4000, 0x8031, 0xFFFF], verdict=[0, 1, 2, 3]))]
    )
    assert (result.frames, result.stored, result.rejected, result.suppressed, result.poisoned) == (1, 4, 0, 0, [])
    rows = sql.execute(
        """SELECT (extract(epoch FROM time) * 1000000)::bigint, tag_id, float8send(value), quality::integer & 65535, verdict
           FROM samples ORDER BY 1"""
    ).fetchall()
    expected_bits = [np.array([value], dtype=">f8").tobytes() for value in values]
    assert rows == [
        (t, i, b, q, v)
        for t, i, b, q, v in zip(
            times, [7, 8, 7, 9], expected_bits, [0, 0x4000, 0x8031, 0xFFFF], [0, 1, 2, 3], strict=True
        )
    ]


def test_rejected_samples_are_counted_and_not_stored(store: HistorianStore, sql: Sql) -> None:
    item = make_frame(
        [1, 1, 1],
        [T0_US, T0_US + 1, T0_US + 2],
        [1.0, np.nan, 500.0],
        verdict=[0, Verdict.NOT_FINITE, Verdict.OUT_OF_RANGE],
    )
    result = store.write([validated(item)])
    assert (result.stored, result.rejected) == (1, 2)
    row = sql.execute(
        "SELECT stored, rejected, wrap64(stored_checksum::numeric + rejected_checksum), verdict_counts FROM ledger"
    ).fetchone()
    assert row is not None
    assert row[:3] == (1, 2, item.checksum)
    assert (row[3][0], row[3][Verdict.NOT_FINITE], row[3][Verdict.OUT_OF_RANGE], sum(row[3])) == (1, 1, 1, 3)


@pytest.mark.parametrize("seed", range(6))
def test_any_permutation_and_duplication_gives_the_same(
    history: str, store: HistorianStore, sql: Sql, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frames = random_frames(rng, 30) + random_frames(rng, 10, lane=1)
    store.write([validated(item) for item in frames])
    expected = contents(sql)
    sql.execute("TRUNCATE samples, ledger, ledger_minute, dirty_ranges")
    again = [frames[i] for i in rng.permutation(len(frames))]
    again += [frames[i] for i in rng.integers(0, len(frames), 25)]
    other = HistorianStore(history)
    while again:
        size = int(rng.integers(1, 12))
        (store if rng.random() < 0.5 else other).write([validated(item) for item in again[:size]])
        again = again[size:]
    other.close()
    assert contents(sql) == expected


def test_minute_checksums_equal_what_sql_recomputes(store: HistorianStore, sql: Sql) -> None:
    store.write([validated(item) for item in random_frames(np.random.default_rng(11), 40)])
    ledger = sql.execute(
        "SELECT minute, sum(stored), wrap64(sum(stored_checksum)) FROM ledger_minute WHERE stored > 0 GROUP BY 1 ORDER BY 1"
    ).fetchall()
    recomputed = sql.execute(
        """SELECT date_bin('1 minute', time, timestamptz '2000-01-01 00:00Z'), count(*),
                  wrap64(sum(sample_hash(tag_id, time, value, quality)))
           FROM samples GROUP BY 1 ORDER BY 1"""
    ).fetchall()
    assert ledger == recomputed
    assert len(ledger) > 2


def test_ledger_checksums_add_up_to_what_the_gateway_sent(store: HistorianStore, sql: Sql) -> None:
    frames = random_frames(np.random.default_rng(12), 25)
    store.write([validated(item) for item in frames])
    row = sql.execute(
        """SELECT wrap64(sum(stored_checksum) + sum(rejected_checksum) + sum(suppressed_checksum)),
                  sum(stored + rejected + suppressed) FROM ledger"""
    )
    assert row.fetchone() == (
        checksum.to_signed(sum(item.checksum for item in frames)),
        sum(item.samples for item in frames),
    )


@pytest.mark.parametrize("killed_at", [None, 3])
def test_calculated_samples_are_stored_once_as_the_oracle_has_them(
    store: HistorianStore, sql: Sql, killed_at: int | None
) -> None:
    tags = [golden.tag(1), golden.tag(2, limit_low=-1.0), golden.tag(9, expression="tag.tag1 / tag.tag2")]
    driver, rng = golden.Driver(tags), np.random.default_rng(5)
    for number in range(12):
        rows = [(int(rng.integers(1, 3)), number + at / 8, float(rng.integers(-2, 4))) for at in range(6)]
        given = golden.make_frame(rows, number, stream=Stream.BACKFILL if number % 4 == 3 else Stream.LIVE)
        if number == killed_at:
            before = driver.checkpoint()
            driver.frame(given)
            driver.crash(before)
        driver.frame(given)
    store.write([Record("telemetry.validated", 0, n, one.key, one.value) for n, one in enumerate(validated_of(driver))])
    frames = {(one.key, one.sequence): one for one in golden.validated_frames(driver.outputs)}
    expected = calculation.oracle(list(frames.values()), (1, 2), lambda of: of[1] / of[2] if of[2] else np.nan)
    stored = sql.execute(
        """SELECT (extract(epoch FROM time) * 1000000)::bigint, value, quality::integer & 65535 FROM samples
           WHERE tag_id = 9 AND verdict = 5 ORDER BY time, value, quality"""
    ).fetchall()
    assert [(us, repr(value), code) for us, value, code in stored] == sorted(
        (us, repr(value), code) for us, value, code in expected
    )
    assert len(stored) > 20
    row = sql.execute(
        """SELECT sum(calculated), sum(stored + rejected + suppressed - calculated),
                  wrap64(sum(stored_checksum) + sum(rejected_checksum) + sum(suppressed_checksum) - sum(calculated_checksum)),
                  sum(verdict_counts[6]), sum(stored) FROM ledger"""
    ).fetchone()
    assert row is not None
    sent = checksum.to_signed(sum(one.checksum for one in frames.values()))
    assert row[:4] == (len(stored), 12 * 6, sent, len(stored))
    assert sql.execute("SELECT count(*) FROM samples").fetchone() == row[4:]


def validated_of(driver: golden.Driver) -> list[Output]:
    return [one for one in driver.outputs if one.topic == topics.VALIDATED.name]


def test_sample_hash_in_sql_is_bit_for_bit_the_gateways(sql: Sql) -> None:
    rng = np.random.default_rng(13)
    n = 2_000
    tag_id = rng.integers(0, 1 << 31, n).astype(np.int32)
    time_us = rng.integers(-(1 << 62), 1 << 62, n)
    bits = rng.integers(0, 1 << 64, n, dtype=np.uint64)
    value = bits.view(np.float64)
    value = np.where(np.isnan(value), -0.0, value)  # NaN payloads do not survive every driver; NaN is never stored
    quality = rng.integers(0, 1 << 16, n).astype(np.uint16)
    expected = checksum.sample_hashes(tag_id, time_us, value, quality).view(np.int64).tolist()
    rows = sql.execute(
        """SELECT sample_hash(t, u, v, q)
           FROM unnest(%s::integer[], %s::bigint[], %s::float8[], %s::integer[]) WITH ORDINALITY AS x(t, u, v, q, n)
           ORDER BY n""",
        (tag_id.tolist(), time_us.tolist(), value.tolist(), quality.tolist()),
    ).fetchall()
    assert [row[0] for row in rows] == expected


def test_missing_frames_are_holes_in_the_ledger(store: HistorianStore, sql: Sql) -> None:
    store.write([validated(make_frame([1], [T0_US], [1.0], sequence=n)) for n in (0, 1, 2, 5, 9)])
    assert sql.execute("SELECT sequences::text, frames FROM ledger").fetchone() == ("{[0,3),[5,6),[9,10)}", 5)
    assert sql.execute("SELECT missing_frames FROM lane").fetchone() == (5,)


def test_two_writers_of_the_same_frames_store_each_once(history: str, sql: Sql) -> None:
    frames = random_frames(np.random.default_rng(14), 60) + random_frames(np.random.default_rng(15), 60, lane=1)
    messages = [validated(item) for item in frames]
    failures: list[BaseException] = []
    barrier = threading.Barrier(3)

    def writer(order: np.ndarray[Any, Any]) -> None:
        store = HistorianStore(history)
        try:
            barrier.wait()
            for start in range(0, len(order), 10):
                store.write([messages[i] for i in order[start : start + 10]])
        except BaseException as error:  # noqa: BLE001
            failures.append(error)
        finally:
            store.close()

    rng = np.random.default_rng(16)
    threads = [threading.Thread(target=writer, args=(rng.permutation(len(messages)),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    assert sql.execute("SELECT sum(frames), sum(stored + rejected) FROM ledger").fetchone() == (
        120,
        sum(item.samples for item in frames),
    )
    assert (
        sql.execute("SELECT count(*) FROM samples").fetchone()
        == sql.execute("SELECT sum(stored) FROM ledger").fetchone()
    )


def test_a_lost_connection_is_unavailable_and_the_next_write_works(store: HistorianStore, sql: Sql) -> None:
    first, second = (validated(make_frame([1], [T0_US + n], [1.0], sequence=n)) for n in range(2))
    store.write([first])
    sql.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'millrace-historian'")
    with pytest.raises(StoreUnavailable):
        store.write([first, second])
    result = store.write([first, second])
    assert (result.frames, result.duplicate_frames) == (1, 1)
    assert sql.execute("SELECT count(*) FROM samples").fetchone() == (2,)


def test_no_server_and_no_schema_are_unavailable(make_database: Any) -> None:
    message = validated(make_frame([1], [T0_US], [1.0]))
    with pytest.raises(StoreUnavailable, match="not available"):
        HistorianStore("host=127.0.0.1 port=1 dbname=none").write([message])
    empty = HistorianStore(make_database())
    with pytest.raises(StoreUnavailable):
        empty.write([message])
    empty.close()


def test_bad_records_are_named_and_cost_the_others_nothing(store: HistorianStore, sql: Sql) -> None:
    good = [validated(make_frame([1], [T0_US + n], [1.0], sequence=n)) for n in range(5)]
    judged = make_frame([1], [T0_US], [1.0], sequence=50)
    bad = [
        Record("telemetry.validated", 1, 7, b"", b"no message"),
        Record("telemetry.validated", 1, 8, b"", b"\xc3\x01" + bytes(20)),
        Record("telemetry.validated", 1, 9, b"", good[0].value[:-3]),
        validated(make_frame([1], [-5], [1.0], sequence=51)),  # accepted, but no time a table can hold
        validated(make_frame([1], [T0_US], [1.0], sequence=1)),  # identity of another frame
    ]
    unjudged = make_frame([1], [T0_US], [1.0], sequence=52)
    import dataclasses

    bad.append(validated(dataclasses.replace(unjudged, verdict=None)))
    result = store.write([*good[:3], *bad, *good[3:], validated(judged)])
    assert [item.message for item in result.poisoned] == bad
    assert [item.reason for item in result.poisoned] == [
        RecordReject.UNDECODABLE, RecordReject.UNKNOWN_SCHEMA, RecordReject.UNDECODABLE, RecordReject.UNDECODABLE,
        RecordReject.IDENTITY_CONFLICT, RecordReject.UNDECODABLE,
    ]  # fmt: skip
    assert result.frames == 6
    assert sql.execute("SELECT frames FROM ledger").fetchone() == (6,)


def test_a_record_the_database_refuses_is_isolated(store: HistorianStore, sql: Sql) -> None:
    sql.execute("ALTER TABLE device_events ADD CONSTRAINT no_boom CHECK (text <> 'boom')")
    events = [event(text="fine"), event(text="boom"), event(text="fine too")]
    frames = [validated(make_frame([1], [T0_US + n], [1.0], sequence=n)) for n in range(7)]
    result = store.write([*frames[:4], *events, *frames[4:]])
    assert [item.message for item in result.poisoned] == [events[1]]
    assert result.poisoned[0].reason is RecordReject.PROCESSING_FAILED
    assert "no_boom" in result.poisoned[0].detail
    assert (result.frames, result.records) == (7, {"DeviceEvent": 2})
    assert sql.execute("SELECT count(*) FROM device_events").fetchone() == (2,)
    assert sql.execute("SELECT count(*) FROM samples").fetchone() == (7,)


# --- historise policy ---------------------------------------------------------------------------------------------------------------------


def test_historise_none_and_repeats_are_suppressed_and_counted(history: str, store: HistorianStore, sql: Sql) -> None:
    ids = register(history, power=tag(), state=tag(historise="ON_CHANGE"), watchdog=tag(historise="NONE"))
    frames = []
    for n in range(10):
        t = T0_US + n * SECOND_US
        frames.append(
            make_frame(
                [ids["power"], ids["state"], ids["watchdog"]], [t, t, t], [5.0, float(n // 4), float(n)], sequence=n
            )
        )
    results = [store.write([validated(item)]) for item in frames]
    assert sum(result.stored for result in results) == 10 + 3  # all of power, three states
    assert sum(result.suppressed for result in results) == 7 + 10
    assert sql.execute("SELECT value FROM samples WHERE tag_id = %s ORDER BY time", (ids["state"],)).fetchall() == [
        (0.0,),
        (1.0,),
        (2.0,),
    ]
    row = sql.execute(
        "SELECT stored, suppressed, wrap64(stored_checksum::numeric + suppressed_checksum) FROM ledger"
    ).fetchone()
    assert row == (13, 17, checksum.to_signed(sum(item.checksum for item in frames)))


def test_backfill_and_late_samples_of_on_change_tags_are_always_stored(history: str, store: HistorianStore) -> None:
    state = register(history, state=tag(historise="ON_CHANGE"))["state"]
    times = [T0_US + n for n in range(4)]
    assert store.write([validated(make_frame([state] * 4, times, [1.0] * 4))]).suppressed == 3
    assert store.write([validated(make_frame([state] * 4, times, [1.0] * 4, stream=Stream.BACKFILL))]).suppressed == 0
    assert (
        store.write([validated(make_frame([state] * 4, times, [1.0] * 4, sequence=1, verdict=LATE_FLAG))]).suppressed
        == 0
    )


def test_repeats_are_stored_once_in_ten_minutes(history: str, store: HistorianStore, sql: Sql) -> None:
    state = register(history, state=tag(historise="ON_CHANGE"))["state"]
    for n in range(31):
        store.write([validated(make_frame([state], [T0_US + n * 60 * SECOND_US], [1.0], sequence=n))])
    gaps = sql.execute(
        "SELECT max(gap) FROM (SELECT time - lag(time) OVER (ORDER BY time) AS gap FROM samples) g"
    ).fetchone()
    assert gaps is not None
    assert gaps[0].total_seconds() == 600


# --- dirty ranges -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "verdict", "reason"),
    [
        (Stream.LIVE, 0, None),
        (Stream.LIVE, LATE_FLAG, "LATE"),
        (Stream.BACKFILL, 0, "BACKFILL"),
        (Stream.REPLAY, 0, "REPLAY"),
        (Stream.BACKFILL, 18, None),
    ],
)
def test_what_the_stream_did_not_fold_is_marked_dirty(
    store: HistorianStore, sql: Sql, stream: Stream, verdict: int, reason: str | None
) -> None:
    times = [T0_US + 10, T0_US + 59 * SECOND_US, T0_US + 61 * SECOND_US, T0_US + 600 * SECOND_US]
    store.write([validated(make_frame([1, 1, 1, 1], times, [1.0] * 4, stream=stream, verdict=verdict))])
    rows = sql.execute(
        "SELECT tag_id, extract(epoch FROM to_time - from_time)::integer, reason FROM dirty_ranges ORDER BY from_time"
    ).fetchall()
    assert rows == ([] if reason is None else [(1, 120, reason), (1, 60, reason)])


# --- windows ------------------------------------------------------------------------------------------------------------------------------


def test_the_window_with_more_samples_wins_in_any_order(store: HistorianStore, sql: Sql) -> None:
    for count in (3, 9, 5):
        store.write([window_batch(1, T0_US, count, value=float(count))])
    assert sql.execute("SELECT count, good, mean FROM aggregates").fetchall() == [(9, 9, 9.0)]


@pytest.mark.parametrize("count", [5, 9, 12])
def test_windows_of_two_states_of_the_stream_are_repaired(store: HistorianStore, sql: Sql, count: int) -> None:
    """Whichever has more samples: each may have folded some that the other missed."""
    store.write([window_batch(1, T0_US, 9, lineage=1)])
    result = store.write([window_batch(1, T0_US, count, lineage=2)])
    assert result.windows_contested == 1
    assert sql.execute("SELECT count FROM aggregates").fetchall() == [(max(count, 9),)]
    assert sql.execute("SELECT tag_id, reason FROM dirty_ranges").fetchall() == [(1, "CONTESTED")]


def test_a_state_that_says_its_windows_again_makes_none_dirty(store: HistorianStore, sql: Sql) -> None:
    """A job goes on from its checkpoint: thousands of windows come a second time, with as many samples as then."""
    for _ in range(2):
        for count in (3, 5, 9):
            store.write([window_batch(1, T0_US, count), window_batch(2, T0_US, count)])
    assert sql.execute("SELECT count FROM aggregates").fetchall() == [(9,), (9,)]
    assert sql.execute("SELECT count(*) FROM dirty_ranges").fetchone() == (0,)


@pytest.mark.parametrize(("count", "dirty"), [(5, 1), (9, 0), (12, 0)])
def test_of_windows_without_lineage_those_with_fewer_samples_are_repaired(
    store: HistorianStore, sql: Sql, count: int, dirty: int
) -> None:
    """Those of a job before lineages."""
    store.write([window_batch(1, T0_US, 9, lineage=0)])
    store.write([window_batch(1, T0_US, count, lineage=0)])
    assert sql.execute("SELECT count(*) FROM dirty_ranges").fetchone() == (dirty,)


def test_windows_of_one_batch_are_judged_like_those_of_several(store: HistorianStore, sql: Sql) -> None:
    result = store.write(
        [window_batch(1, T0_US, count, value=float(count), lineage=count % 2) for count in (4, 9, 6)]
        + [window_batch(2, T0_US, count) for count in (5, 4)]
    )
    assert (result.windows, result.windows_contested) == (5, 1)
    assert sql.execute("SELECT tag_id, count FROM aggregates ORDER BY 1").fetchall() == [(1, 9), (2, 5)]
    assert sql.execute("SELECT tag_id FROM dirty_ranges").fetchall() == [(1,)]


def test_a_growing_window_is_not_dirty(store: HistorianStore, sql: Sql) -> None:
    store.write([window_batch(1, T0_US, 3)])
    store.write([window_batch(1, T0_US, 5), window_batch(1, T0_US, 6)])
    store.write([window_batch(1, T0_US, 6)])
    assert sql.execute("SELECT count(*) FROM dirty_ranges").fetchone() == (0,)


@pytest.mark.parametrize(("count", "stored"), [(2, (3, True)), (8, (8, False))])
def test_a_window_that_meets_a_repaired_one_is_repaired_again(
    store: HistorianStore, sql: Sql, count: int, stored: tuple[int, bool]
) -> None:
    store.write([window_batch(1, T0_US, 3)])
    sql.execute("UPDATE aggregates SET repaired = true, lineage = NULL")
    store.write([window_batch(1, T0_US, count)])
    assert sql.execute("SELECT count, repaired FROM aggregates").fetchone() == stored
    assert sql.execute("SELECT reason FROM dirty_ranges").fetchall() == [("CONTESTED",)]


def test_a_window_without_good_samples_has_no_statistics(store: HistorianStore, sql: Sql) -> None:
    store.write([window_batch(1, T0_US, 3, good=0)])
    assert sql.execute("SELECT count, good, mean, min, min_time, last FROM aggregates").fetchone() == (
        3,
        0,
        None,
        None,
        None,
        None,
    )


# --- other records ------------------------------------------------------------------------------------------------------------------------


def event(**changes: Any) -> Record:
    return record("DeviceEvent", **event_fields(**changes))


def rejected(item: Frame | None, **changes: Any) -> Record:
    fields: dict[str, Any] = {
        "reason": "OUT_OF_RANGE", "detail": "500 kW > 200 kW", "rejected_time_us": T0_US, "source_topic": "telemetry.frames.north",
        "source_partition": 2, "source_offset": 40, "samples": 0, "gateway_id": None, "epoch": None, "lane": None, "stream": None,
        "sequence": None, "position": None, "tag_id": None, "time_us": None, "value": None, "quality": None, "original": None,
    }  # fmt: skip
    if item is not None:
        fields |= {
            "gateway_id": item.gateway_id, "epoch": item.epoch, "lane": item.lane, "stream": item.stream.name, "sequence": item.sequence,
            "samples": 2, "position": np.array([0, 2], dtype=np.int32), "tag_id": np.array([1, 77], dtype=np.int32),
            "time_us": np.array([T0_US, -(1 << 62)]), "value": np.array([np.nan, 500.0]), "quality": np.array([0, 0xFFFF], dtype=np.uint16),
        }  # fmt: skip
    return record("Rejected", **{**fields, **changes})


def test_frames_of_a_bundle_are_stored_each_for_itself(store: HistorianStore, sql: Sql) -> None:
    made = [make_frame([1, 2], [T0_US + n, T0_US + n + 1], [1.0, 2.0], sequence=n) for n in range(4)]
    values = [validated(each).value for each in made]
    torn = values[2][:-3]
    record = Record("telemetry.validated", 3, 41, b"gw/0", frame.bundle("gw", 0, [*values[:2], torn, values[3]]))
    result = store.write([record, validated(made[0])])
    assert (result.frames, result.stored, result.duplicate_frames) == (3, 6, 1)
    (poisoned,) = result.poisoned
    assert (poisoned.reason, poisoned.message.offset, poisoned.message.value) == ("UNDECODABLE", 41, torn)
    assert sql.execute("SELECT sequences::text FROM ledger").fetchone() == ("{[0,2),[3,4)}",)
    (lost,) = store.write([record._replace(value=record.value[:-1])]).poisoned
    assert lost.reason == "UNDECODABLE"


def test_rejects_are_kept_once_by_identity(store: HistorianStore, sql: Sql) -> None:
    item = make_frame([1], [T0_US], [1.0], sequence=3)
    samples, whole = rejected(item), rejected(None, reason="UNDECODABLE", original=b"\x00junk", detail="a\x00b")
    for _ in range(2):
        store.write(
            [samples, whole, rejected(item, reason="STUCK"), rejected(None, reason="UNDECODABLE", source_offset=41)]
        )
    assert sql.execute("SELECT reason, count(*) FROM rejects GROUP BY 1 ORDER BY 1").fetchall() == [
        ("OUT_OF_RANGE", 1),
        ("STUCK", 1),
        ("UNDECODABLE", 2),
    ]
    rows = sql.execute(
        "SELECT tag_id, value, quality_code, position, isfinite(time) FROM rejected WHERE reason = 'OUT_OF_RANGE' ORDER BY position"
    ).fetchall()
    assert rows[1] == (77, 500.0, 0xFFFF, 2, False)
    assert (rows[0][0], np.isnan(rows[0][1]), rows[0][4]) == (1, True, True)
    assert sql.execute("SELECT original, detail FROM rejected WHERE original IS NOT NULL").fetchall() == [
        (b"\x00junk", "a\ufffdb")
    ]


def test_latest_keeps_the_newest_report_of_a_lane(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]

    def latest(closed_us: int, value: float) -> Record:
        return record(
            "LatestBatch", gateway_id="gw", lane=0, closed_time_us=closed_us, tag_id=np.array([power], dtype=np.int32),
            time_us=np.array([closed_us - 5]), value=np.array([value]), quality=np.array([0x4090], dtype=np.uint16),
        )  # fmt: skip

    store.write([latest(T0_US + 2, 2.0), latest(T0_US + 1, 1.0)])
    store.write([latest(T0_US, 0.0)])
    row = sql.execute(
        "SELECT path, value, unit, quality, quality_code, (extract(epoch FROM time) * 1000000)::bigint FROM latest"
    ).fetchone()
    assert row == ("acme/north/forming/line-1/cell-1/press-01/power", 2.0, "kW", "uncertain", 0x4090, T0_US - 3)


def test_anomalies_stand_at_their_highest_revision(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    device = sql.execute("SELECT device_id FROM devices").fetchone()
    assert device is not None
    episode = uuid4()

    def anomaly(revision: int, phase: str, end_us: int | None = None) -> Record:
        contributors = [
            {"tag_id": power, "score": 0.9, "value": float("nan"), "expected_low": 1.0, "expected_high": None}
        ]
        return record(
            "Anomaly", episode_id=episode, device_id=device[0], phase=phase, revision=revision, start_us=T0_US, end_us=end_us, score=0.9,
            peak_score=0.95, threshold=0.8, contributors=contributors, detector="default", detector_version=1,
        )  # fmt: skip

    store.write([anomaly(3, "CLOSE", T0_US + 9), anomaly(1, "OPEN")])
    store.write([anomaly(2, "UPDATE"), anomaly(3, "CLOSE", T0_US + 9)])
    rows = sql.execute(
        "SELECT phase, revision, end_time IS NOT NULL, device_path, contributors FROM anomaly"
    ).fetchall()
    assert rows == [
        (
            "CLOSE",
            3,
            True,
            "acme/north/forming/line-1/cell-1/press-01",
            ["acme/north/forming/line-1/cell-1/press-01/power"],
        )
    ]


def test_an_episode_has_its_newest_label_that_stands(history: str, store: HistorianStore, sql: Sql) -> None:
    register(history)
    (device,) = sql.execute("SELECT device_id FROM devices").fetchone() or (0,)
    episode, first, second = uuid4(), uuid4(), uuid4()
    pattern = [{"tag_id": 1, "statistic": "level", "direction": 1}]

    def label(label_id: UUID, time_us: int, verdict: str, withdrawn_us: int | None = None) -> Record:
        return record(
            "AnomalyLabel", label_id=label_id, episode_id=episode, device_id=device, verdict=verdict, by="ann", time_us=time_us,
            reason="warm-up", detector="default", peak_score=0.95, pattern=pattern, withdrawn_us=withdrawn_us,
            withdrawn_by="ben" if withdrawn_us else "",
        )  # fmt: skip

    def shown() -> Any:
        return sql.execute("SELECT label, labelled_by, label_reason FROM anomaly").fetchall()

    opened = record(
        "Anomaly", episode_id=episode, device_id=device, phase="OPEN", revision=1, start_us=T0_US, score=0.9, peak_score=0.95,
        threshold=0.8, contributors=[], detector="default", detector_version=1,
    )  # fmt: skip
    store.write([opened])
    assert shown() == [(None, None, None)]
    store.write([label(first, T0_US + 1, "NOT_A_FAULT")])
    assert shown() == [("NOT_A_FAULT", "ann", "warm-up")]
    # In any order, and again.
    store.write([label(first, T0_US + 1, "NOT_A_FAULT", T0_US + 5), label(second, T0_US + 9, "FAULT")])
    store.write([label(first, T0_US + 1, "NOT_A_FAULT"), label(second, T0_US + 9, "FAULT")])
    assert shown() == [("FAULT", "ann", "warm-up")]
    store.write([label(second, T0_US + 9, "FAULT", T0_US + 10)])
    assert shown() == [(None, None, None)]
    rows = sql.execute(
        "SELECT device_path, verdict, withdrawn_by, pattern -> 0 ->> 'statistic' FROM anomaly_label ORDER BY labelled_at"
    ).fetchall()
    path = "acme/north/forming/line-1/cell-1/press-01"
    assert rows == [(path, "NOT_A_FAULT", "ben", "level"), (path, "FAULT", "ben", "level")]


def test_a_forecast_says_limit_moment_and_interval_in_columns(history: str, store: HistorianStore, sql: Sql) -> None:
    register(history)
    (device,) = sql.execute("SELECT device_id FROM devices").fetchone() or (0,)
    forecast = {
        "tag_id": 1, "score": 0.9, "value": 71.0, "expected_low": None, "expected_high": 80.0, "statistic": "forecast", "limit": 80.0,
        "limit_us": T0_US + 2_000_000, "earliest_us": T0_US + 1_000_000, "latest_us": None, "as_of_us": T0_US,
    }  # fmt: skip
    level = {
        "tag_id": 1,
        "score": 0.9,
        "value": 71.0,
        "expected_low": None,
        "expected_high": 80.0,
        "statistic": "level",
    }
    for detector, one in (("forecast", forecast), ("default", level)):
        store.write([
            record(
                "Anomaly", episode_id=uuid4(), device_id=device, phase="OPEN", revision=1, start_us=T0_US, end_us=None, score=0.9,
                peak_score=0.9, threshold=0.5, contributors=[one], detector=detector, detector_version=1,
            )
        ])  # fmt: skip
    rows = sql.execute(
        "SELECT detector, statistic, forecast_limit, forecast_time - start_time, forecast_earliest - start_time, forecast_latest "
        "FROM anomaly ORDER BY detector"
    ).fetchall()
    second = timedelta(seconds=1)
    assert rows == [
        ("default", "level", None, None, None, None),
        ("forecast", "forecast", 80.0, 2 * second, second, None),
    ]


def test_commands_keep_every_transition(store: HistorianStore, sql: Sql) -> None:
    command = uuid4()

    def state(version: int, name: str) -> Record:
        return record(
            "CommandState", command_id=command, version=version, state=name, device_id=3, gateway_id="gw", site="north", name="write",
            parameters={"speed_setpoint": 3.5}, submitted_by="ada", submitted_us=T0_US, expires_us=T0_US + 9, updated_us=T0_US + version,
            attempt=1, detail="", readback={}, late_acks=0, duplicate_acks=0,
        )  # fmt: skip

    store.write([state(3, "SUCCEEDED"), state(1, "ACCEPTED"), state(1, "ACCEPTED")])
    store.write([state(2, "DELIVERED"), state(3, "SUCCEEDED")])
    assert sql.execute("SELECT version, state FROM commands ORDER BY 1").fetchall() == [
        (1, "ACCEPTED"),
        (2, "DELIVERED"),
        (3, "SUCCEEDED"),
    ]
    assert sql.execute("SELECT state, parameters FROM command").fetchall() == [("SUCCEEDED", {"speed_setpoint": 3.5})]


def test_events_once_and_health_as_newest_counters(store: HistorianStore, sql: Sql) -> None:
    def health(time_us: int, produced: int, sequence: int) -> Record:
        lane = {
            "lane": 1, "epoch": EPOCH, "stream": "LIVE", "next_sequence": sequence, "produced_samples": produced, "produced_checksum": -5,
            "delivered_sequence": sequence, "buffered_samples": 0, "dropped_samples": 0,
        }  # fmt: skip
        return event(
            kind="GATEWAY_HEALTH", device_id=0, time_us=time_us, attributes={"deadbanded": str(produced)}, lanes=[lane]
        )

    gap = {
        "lane": 1, "epoch": EPOCH, "stream": "LIVE", "first_sequence": 4, "last_sequence": 6, "samples": 30, "from_us": T0_US,
        "to_us": T0_US + 1,
        "cause": "buffer full",
    }  # fmt: skip
    birth, lost = event(), event(kind="GAP", gap=gap)
    store.write([birth, birth, lost, health(T0_US + 2, 200, 20), health(T0_US + 1, 100, 10)])
    store.write([birth, health(T0_US, 50, 5)])
    assert sql.execute("SELECT kind, gap ->> 'samples' FROM device_events ORDER BY 1").fetchall() == [
        ("BIRTH", None),
        ("GAP", "30"),
    ]
    assert sql.execute("SELECT next_sequence, produced_samples, produced_checksum FROM gateway_health").fetchall() == [
        (20, 200, -5)
    ]
    assert sql.execute("SELECT attributes FROM gateway_status").fetchall() == [({"deadbanded": "200"},)]


def test_lane_progress_keeps_the_newest_count(store: HistorianStore, sql: Sql) -> None:
    def progress(time_us: int, frames: int) -> Record:
        held = [
            {"epoch": EPOCH, "stream": "LIVE", "sequence": 8, "samples": 12},
            {"epoch": EPOCH, "stream": "LIVE", "sequence": 9, "samples": 3},
        ]
        return record(
            "LaneProgress", gateway_id="gw", lane=0, time_us=time_us, frames=frames, samples=frames * 10, duplicate_frames=2,
            duplicate_samples=20, identity_conflicts=1, held=held,
        )  # fmt: skip

    store.write([progress(T0_US + 1, 7), progress(T0_US, 6)])
    store.write([progress(T0_US, 6)])
    assert sql.execute(
        "SELECT frames, duplicate_samples, held_samples, held -> 1 ->> 'sequence' FROM lane_progress"
    ).fetchall() == [(7, 20, 15, "9")]


def test_the_writers_role_is_enough_and_the_readers_writes_nothing(history: str, sql: Sql) -> None:
    register(history, power=tag(), state=tag(historise="ON_CHANGE"))
    messages = [validated(item) for item in random_frames(np.random.default_rng(3), 6)]
    messages += [
        window_batch(1, T0_US, 3, window_s=60),
        window_batch(1, T0_US, 2, window_s=60),
        event(),
        rejected(None),
    ]
    name = f"writer_{uuid4().hex[:8]}"
    sql.execute(f"CREATE ROLE {name} LOGIN IN ROLE millrace_writer")
    try:
        writer = HistorianStore(psycopg.conninfo.make_conninfo(history, options=f"-c role={name}"))
        assert writer.write(messages).poisoned == []
        writer.close()
        with psycopg.connect(history, options="-c role=millrace_reader", autocommit=True) as reader:
            for view in (
                "telemetry",
                "latest",
                "aggregate",
                "aggregate_1h",
                "aggregate_1d",
                "rejected",
                "anomaly",
                "command",
                "oee",
                "lane",
            ):
                reader.execute(f"SELECT * FROM {view} LIMIT 1")
            for statement in (
                "DELETE FROM samples",
                "INSERT INTO verdicts VALUES (99, 'x', true, 'x')",
                "SELECT * FROM on_change_state",
            ):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    reader.execute(statement)
    finally:
        sql.execute(f"DROP OWNED BY {name}")
        sql.execute(f"DROP ROLE {name}")


def test_an_event_about_a_gateway_or_a_device_of_another_site_is_refused_and_named(
    history: str, store: HistorianStore, sql: Sql
) -> None:
    register(history, power=tag())
    (device_id,) = sql.execute("SELECT device_id FROM devices").fetchone() or (0,)
    own = [
        event(gateway_id="gw", device_id=device_id)._replace(topic="device.events.north"),
        event(gateway_id="gw-new", device_id=0)._replace(topic="device.events.south"),
    ]
    foreign = [
        event(gateway_id="gw", device_id=0),
        event(gateway_id="gw", device_id=0, kind="GATEWAY_HEALTH"),
        event(gateway_id="gw-south", device_id=device_id),
    ]
    foreign = [one._replace(topic="device.events.south", offset=n) for n, one in enumerate(foreign)]
    result = store.write([foreign[0], own[0], foreign[1], own[1], foreign[2]])
    assert [one.message for one in result.poisoned] == foreign
    assert {one.reason for one in result.poisoned} == {RecordReject.FOREIGN_SITE}
    assert result.poisoned[0].detail == "gateway gw is of site north, and the record came on a topic of site south"
    assert result.records == {"DeviceEvent": 2}
    assert sql.execute("SELECT count(*) FROM device_events").fetchone() == (2,)
    assert sql.execute("SELECT count(*) FROM gateway_status").fetchone() == (0,)
