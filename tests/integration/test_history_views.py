"""Views and functions for people."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg
import pytest

from historian.store import HistorianStore
from registry.edit import move
from tests.integration.fix_history import history, sql, store, variant
from tests.integration.history import SECOND_US, T0_US, make_frame, register, tag, validated

__all__ = ["history", "sql", "store", "variant"]

Sql = psycopg.Connection[Any]
T0 = datetime.fromtimestamp(T0_US / 1e6, UTC)
CELL = "acme/north/forming/line-1"


def test_telemetry_shows_the_path_of_the_time(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    move(sql, f"{CELL}/cell-1/press-01", f"{CELL}/cell-2")
    moved = sql.execute("SELECT valid_from FROM device_paths WHERE valid_to = 'infinity'").fetchone()
    assert moved is not None
    moved_us = int(moved[0].timestamp() * 1e6)
    store.write(
        [
            validated(
                make_frame(
                    [power, power],
                    [moved_us - SECOND_US, moved_us + SECOND_US],
                    [1.0, 2.0],
                    quality=[0, 0x8031],
                    verdict=[0, 1],
                )
            )
        ]
    )
    rows = sql.execute(
        "SELECT path, value, unit, quality, quality_code, verdict, tag_id FROM telemetry ORDER BY time"
    ).fetchall()
    assert rows == [
        (f"{CELL}/cell-1/press-01/power", 1.0, "kW", "good", 0, "GOOD", power),
        (f"{CELL}/cell-2/press-01/power", 2.0, "kW", "bad", 0x8031, "DEGRADED_QUALITY", power),
    ]


def test_time_weighted_mean_weighs_by_how_long_a_value_held(history: str, store: HistorianStore, sql: Sql) -> None:
    power = register(history)["power"]
    # Before the range 2; then 10 from 10 s on; bad from 20 s to 30 s; 4 until the end at 60 s.
    times = [T0_US - 5 * SECOND_US, T0_US + 10 * SECOND_US, T0_US + 20 * SECOND_US, T0_US + 30 * SECOND_US]
    store.write([validated(make_frame([power] * 4, times, [2.0, 10.0, 999.0, 4.0], quality=[0, 0, 0x8000, 0]))])
    query = "SELECT time_weighted_mean(%s, %s, %s)"
    expected = (2 * 10 + 10 * 10 + 4 * 30) / 50
    assert sql.execute(query, (power, T0, T0 + timedelta(minutes=1))).fetchone() == (pytest.approx(expected),)
    assert sql.execute(query, (f"{CELL}/cell-1/press-01/power", T0, T0 + timedelta(minutes=1))).fetchone() == (
        pytest.approx(expected),
    )
    assert sql.execute(query, (power, T0 + timedelta(days=1), T0 + timedelta(days=2))).fetchone() == (None,)


def test_oee_by_iso_22400(history: str, store: HistorianStore, sql: Sql) -> None:
    counter = {
        "tag_class": "slow",
        "data_type": "INTEGER",
        "eu": [0, 1e9],
        "limits": [0, 1e9],
        "unit": "1",
        "period_ms": 1000,
    }
    ids = register(
        history,
        packml_state=tag(**counter, historise="ON_CHANGE"),
        cycle_count=tag(**counter),
        scrap_count=tag(**counter, historise="ON_CHANGE"),
    )
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=2)
    at_us = int(start.timestamp() * 1e6)
    tags, times, values = [], [], []
    for second in range(-60, 3600, 10):
        state = 6.0 if second < 1800 else 2.0  # EXECUTE for half an hour, then STOPPED
        done = 100 + min(max(second, 0), 1800) / 2.5
        scrap = 3 + (done - 100) // 50
        for name, value in (("packml_state", state), ("cycle_count", math.floor(done)), ("scrap_count", scrap)):
            tags.append(ids[name])
            times.append(at_us + second * SECOND_US)
            values.append(value)
    for n, part in enumerate(np.array_split(np.arange(len(tags)), 4)):
        store.write(
            [
                validated(
                    make_frame([tags[i] for i in part], [times[i] for i in part], [values[i] for i in part], sequence=n)
                )
            ]
        )
    row = sql.execute(
        "SELECT pbt_s, apt_s, pri_s, pq, gq, availability, effectiveness, quality, oee, device_path FROM oee WHERE start = %s",
        (start,),
    ).fetchone()
    assert row is not None
    assert row[:5] == (3600, 1800, 2.0, 720, 706)
    assert row[5:9] == (
        pytest.approx(0.5),
        pytest.approx(0.8),
        pytest.approx(706 / 720),
        pytest.approx(0.5 * 0.8 * 706 / 720),
    )
    assert row[9] == f"{CELL}/cell-1/press-01"


@pytest.mark.parametrize(
    ("quality", "name"),
    [
        (0, "good"),
        (0x0AFF, "good"),
        (0x4090, "uncertain"),
        (0x8031, "bad"),
        (0xC000, "bad"),
        (-32768, "bad"),
        (-1, "bad"),
    ],
)
def test_quality_names_are_those_of_the_severity(sql: Sql, quality: int, name: str) -> None:
    assert sql.execute("SELECT quality_name(%s)", (quality,)).fetchone() == (name,)


def test_times_that_are_none_become_infinite(sql: Sql) -> None:
    query = "SELECT to_time(%s)::text, to_time(%s)::text, to_time(%s)::text, to_time(%s)::text"
    row = sql.execute(query, (0, T0_US + 1, 1 << 62, -(1 << 63))).fetchone()
    assert row == ("1970-01-01 00:00:00+00", f"{T0:%Y-%m-%d %H:%M:%S}.000001+00", "infinity", "-infinity")


def test_wrap64_is_arithmetic_modulo_two_to_the_64(sql: Sql) -> None:
    for number in (0, 1, -1, (1 << 63) - 1, 1 << 63, (1 << 64) + 5, -(1 << 63), -(1 << 63) - 1, -(5 << 64) - 3):
        expected = (number + (1 << 63)) % (1 << 64) - (1 << 63)
        assert sql.execute("SELECT wrap64(%s::numeric)", (number,)).fetchone() == (expected,)
