"""The reads that an analyst waits for, in SQL on plain PostgreSQL: a tag from what is hot, a day of a tag, what a dashboard asks.

Enters: a database with a history of `benchmarks.history`. Leaves: percentiles. `define` puts the tags into the registry, so
that views know them and partitions have the indexes of the plant's rate. `hot` writes samples of now and later, as a live plant's
are, at the nominal rate of a dense plant, summarised as maintenance does after each batch of a second, and reads
one tag while every partition is open. All reads fetch what they find to the client, as arrays in binary, after one that is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import psycopg

from benchmarks import figures
from connectors.postgres import binary_copy
from historian import partitions
from historian.samples import by_tag

HOT_TAGS, HOT_HZ = 1000, 100
_HOT_READ = 100_000
_DAY_S = 86_400
_FETCH = b"""
SELECT array_agg(time), array_agg(value), array_agg(quality)
FROM (SELECT time, value, quality FROM samples
      WHERE tag_id = %s AND time >= to_timestamp(%s) AND time < to_timestamp(%s) ORDER BY time) page"""
_DASHBOARD = {
    "minutes of six hours": "SELECT start, mean, min, max, unit FROM aggregate WHERE path = %(path)s AND window_s = 60"
    " AND start >= %(end)s - interval '6 hours' AND start < %(end)s ORDER BY start",
    "hours of a day": "SELECT start, mean, min, max, unit FROM aggregate_1h WHERE path = %(path)s"
    " AND start >= %(end)s - interval '1 day' AND start < %(end)s ORDER BY start",
    "samples of a quarter of an hour": "SELECT time, value, unit, limit_high FROM telemetry WHERE path = %(path)s"
    " AND time >= %(end)s - interval '15 minutes' AND time < %(end)s ORDER BY time",
}


def define(connection: psycopg.Connection[Any], tags: Sequence[tuple[int, int]]) -> None:
    """Put tags (number, period in ms) into the registry, below one device."""
    with connection.transaction():
        connection.execute(_PLACE)
        connection.execute(
            """INSERT INTO tags (tag_id, device_id, name, tag_class, description, data_type, unit, period_ms, windows_s, historise,
                                 address, registry_version)
               SELECT t.tag_id, 1, 'tag-' || t.tag_id, 'fast', '', 'DOUBLE', '1', t.period_ms, '{60}', 'ALL', 'opcua:' || t.tag_id, 1
               FROM unnest(%s::integer[], %s::integer[]) AS t(tag_id, period_ms) ON CONFLICT DO NOTHING""",
            ([tag for tag, _ in tags], [period for _, period in tags]),
        )
        connection.execute(
            """INSERT INTO tag_history (tag_id, valid_from, registry_version, definition)
               SELECT tag_id, now(), 1, to_jsonb(d) FROM tag_definition d WHERE tag_id NOT IN (SELECT tag_id FROM tag_history)"""
        )


def hot(connection: psycopg.Connection[Any], first_tag: int, *, samples: int, reads: int, seed: int) -> dict[str, Any]:
    """Fill hot partitions with `samples` of a dense plant, and read one tag's newest 100,000, or all that it has, from them."""
    define(connection, [(tag, 1000 // HOT_HZ) for tag in range(first_tag, first_tag + HOT_TAGS)])
    seconds = max(1, samples // (HOT_TAGS * HOT_HZ))
    start = datetime.now(UTC).replace(second=0, microsecond=0) + timedelta(minutes=5)
    start_us = int(start.timestamp()) * 1_000_000
    partitions.PartitionCache().ensure(connection, "samples", start_us, start_us + seconds * 1_000_000 - 1)
    rng = np.random.default_rng(seed)
    rows = HOT_TAGS * HOT_HZ
    zeros = np.zeros(rows)
    columns = {
        "tag_id": np.repeat(np.arange(first_tag, first_tag + HOT_TAGS, dtype="i4"), HOT_HZ),
        "value": rng.normal(size=rows),
        "quality": zeros,
        "verdict": zeros,
    }
    orders = [by_tag(columns["tag_id"], descending=descending) for descending in (False, True)]
    offset = np.tile(np.arange(HOT_HZ) * (1_000_000 // HOT_HZ), HOT_TAGS)
    began, summarising_s = time.perf_counter(), 0.0
    for second in range(seconds):
        columns["time"] = start_us + second * 1_000_000 + offset
        with connection.transaction(), connection.cursor().copy(binary_copy.COPY_SAMPLES) as copy:
            packed = binary_copy.pieces(binary_copy.SAMPLE_COLUMNS, columns, orders[second % 2])
            for part in binary_copy.framed(packed):
                copy.write(part)
        if second + 1 < seconds:  # the newest second is what maintenance has not come to yet
            summarised = time.perf_counter()
            partitions.summarise(connection)
            summarising_s += time.perf_counter() - summarised
    filled_s = time.perf_counter() - began
    wanted = min(_HOT_READ, seconds * HOT_HZ)
    end_s = start.timestamp() + seconds
    chosen = (first_tag + rng.integers(HOT_TAGS, size=reads + 1)).tolist()
    took = _timed([partial(_fetch, connection, (tag, end_s - wanted / HOT_HZ, end_s), wanted) for tag in chosen])
    closed = connection.execute("SELECT count(*) FROM partitions WHERE dense AND closed_at IS NOT NULL").fetchone()
    assert closed == (0,), "what was read was not hot"
    return {
        "hot_samples": rows * seconds,
        "hot_read_samples": wanted,
        "hot_rows_per_s": round(rows * seconds / filled_s),
        "hot_summarising_share": round(summarising_s / filled_s, 3),
        **figures.percentiles(took, "hot_read_"),
    }


def day(
    connection: psycopg.Connection[Any], tags: Sequence[int], start_s: float, rate_hz: int, *, reads: int, seed: int
) -> dict[str, Any]:
    """A day of one tag, every sample, twice each: the second time is counted."""
    chosen = np.random.default_rng(seed).choice(tags, reads).tolist()
    took = []
    for tag in chosen:
        asked = (tag, start_s, start_s + _DAY_S)
        took.append(_timed([partial(_fetch, connection, asked, _DAY_S * rate_hz)] * 2)[0])
    return {f"day_at_{rate_hz}_hz_samples": _DAY_S * rate_hz, **figures.percentiles(took, f"day_at_{rate_hz}_hz_")}


def dashboard(
    connection: psycopg.Connection[Any], tags: Sequence[int], end: datetime, *, reads: int, seed: int
) -> dict[str, Any]:
    """Percentiles over all queries of a dashboard, and the p95 of each."""
    chosen = np.random.default_rng(seed).choice(tags, reads + 1).tolist()
    every: list[float] = []
    each = {}
    for name, query in _DASHBOARD.items():
        asked = [{"path": f"acme/north/area/line/cell/device/tag-{tag}", "end": end} for tag in chosen]
        took = _timed([partial(_rows, connection, query, one) for one in asked])
        each[name] = figures.percentiles(took)["p95_ms"]
        every += took
    return {"dashboard_queries_p95_ms": each, **figures.percentiles(every, "dashboard_")}


def _timed(reads: Sequence[Callable[[], None]]) -> list[float]:
    """Milliseconds of all but the first."""
    took = []
    for read in reads:
        began = time.perf_counter()
        read()
        took.append((time.perf_counter() - began) * 1000)
    return took[1:]


def _fetch(connection: psycopg.Connection[Any], asked: tuple[Any, ...], expected: int) -> None:
    # As serving reads it: COPY hands rows over one by one, which costs the client more than the server.
    row = connection.execute(_FETCH, asked, binary=True).fetchone()
    assert row is not None
    assert len(row[1]) == expected, (len(row[1]), expected)


def _rows(connection: psycopg.Connection[Any], query: str, asked: dict[str, Any]) -> None:
    assert connection.execute(query.encode(), asked, binary=True).fetchall(), query


_PLACE = """
INSERT INTO sites VALUES ('north', 'acme') ON CONFLICT DO NOTHING;
INSERT INTO gateways VALUES ('gw', 'north', 1) ON CONFLICT DO NOTHING;
INSERT INTO areas (site, name) VALUES ('north', 'area') ON CONFLICT DO NOTHING;
INSERT INTO lines (area_id, name) SELECT area_id, 'line' FROM areas ON CONFLICT DO NOTHING;
INSERT INTO cells (line_id, name, path) SELECT line_id, 'cell', 'acme/north/area/line/cell' FROM lines ON CONFLICT DO NOTHING;
INSERT INTO devices (device_id, site, name, device_class, detector, gateway_id, lane, protocol, connection)
VALUES (1, 'north', 'device', 'bench', '', 'gw', 0, 'opcua', 'opcua') ON CONFLICT DO NOTHING;
INSERT INTO device_paths (device_id, valid_from, cell_id, path)
SELECT 1, '-infinity', cell_id, 'acme/north/area/line/cell/device' FROM cells ON CONFLICT DO NOTHING"""
