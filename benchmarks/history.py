"""History over gRPC from closed partitions: a million samples of one tag, and charts of a day of 10 samples a second.

Enters: how many samples are stored. Leaves: seconds of a read with its first chunk, of the same as Arrow over HTTP,
percentiles of charts, and the same samples by COPY from psycopg beside it, which is what a client of the database
pays. Then the same database in SQL (`history_sql`): a day of one tag, a dashboard's queries, a tag from what is hot.
Only PostgreSQL is started, and the server in a process of its own with the registry fed by hand
(`history_server`): what is measured is database, server, gRPC or HTTP, and the client's decoding.

Rows are laid out as the historian writes them, tag by tag within each batch of some seconds, over partitions of an
hour, which are then closed as maintenance does. Windows of a minute are put beside them. Tags are drawn by seed; each
figure is over different tags.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from typing import Any

import grpc
import numpy as np
import psycopg
import pyarrow.ipc

from benchmarks import figures, history_sql
from connectors.postgres import binary_copy
from connectors.postgres.database import connect
from historian import partitions
from historian.migrator import migrate
from schemas.proto.millrace.v1 import history_pb2, history_pb2_grpc
from stack import instance, postgres
from stack.config import ROOT
from stack.reporting import Progress

HOURS = 28
RATE_HZ = 10
A_TAG = HOURS * 3600 * RATE_HZ
FIRST_TAG = 1000
SLOW_TAGS = 20
"""Beside the others: tags of one sample a second, for a day of one."""
FIRST_SLOW_TAG = 100_000
FIRST_HOT_TAG = 200_000
_READ = 1_000_000
_BATCH_S = 10
_BYTES_A_SAMPLE = 52 + 45
"""Row and index; the WAL is bounded."""
_START_US = 1_790_000_000_000_000 // 3_600_000_000 * 3_600_000_000
_DAY_US = 86_400_000_000
_COPY = """COPY (SELECT time, value, quality FROM samples WHERE tag_id = %s AND time >= to_timestamp(%s) ORDER BY time LIMIT %s)
    TO STDOUT (FORMAT binary)"""


def run(
    progress: Progress, *, samples: int, hot_samples: int, reads: int, charts: int, pixels: int, seed: int
) -> dict[str, Any]:
    """Fill, close, measure."""
    tags = max(2, round(samples / A_TAG))
    free_gb = 2 + (tags * A_TAG + hot_samples) * _BYTES_A_SAMPLE / 1e9
    with instance.temporary(min_free_disk_gb=int(free_gb) + 1) as running:
        config = running.require("postgres")
        dsn = postgres.superuser_dsn(config)
        migrate(dsn, timescaledb="off")
        with connect(dsn, application="bench", autocommit=True) as connection:
            with progress.step(f"store {tags * A_TAG / 1e6:.0f} M samples") as details:
                began = time.perf_counter()
                slow = range(FIRST_SLOW_TAG, FIRST_SLOW_TAG + SLOW_TAGS)
                history_sql.define(
                    connection,
                    [*((FIRST_TAG + n, 1000 // RATE_HZ) for n in range(tags)), *((tag, 1000) for tag in slow)],
                )
                fill(connection, tags, seed=seed)
                details.append(f"{tags * A_TAG / (time.perf_counter() - began) / 1e6:.2f} M/s")
            with progress.step("close partitions"):
                partitions.close_ended(connection, datetime.now(UTC) + timedelta(days=3650))
                connection.execute("CHECKPOINT")
        rng = np.random.default_rng(seed)
        with _server(dsn, tags) as (address, http), grpc.insecure_channel(address, options=_OPTIONS) as channel:
            stub = history_pb2_grpc.HistoryServiceStub(channel)  # type: ignore[no-untyped-call]
            with progress.step("charts"):
                chart_ms, points = _charts(stub, rng, tags, count=charts, pixels=pixels)
            with progress.step("reads") as details:
                read_ms, first_ms, chunks = _reads(stub, rng, tags, count=reads)
                details.append(f"{np.median(read_ms):.0f} ms a million")
            with progress.step("reads as Arrow over HTTP") as details:
                arrow_ms, arrow_first_ms = _arrow_reads(http, rng, tags, count=reads)
                details.append(f"{np.median(arrow_ms):.0f} ms a million")
        with connect(dsn, application="bench", autocommit=True) as connection, progress.step("the same by COPY"):
            copy_ms = [_copy(connection, int(FIRST_TAG + rng.integers(tags))) for _ in range(reads)]
        with connect(dsn, application="bench", autocommit=True) as connection:
            with progress.step("days and dashboards in SQL"):
                fast = range(FIRST_TAG, FIRST_TAG + tags)
                start_s, end = _START_US / 1e6, datetime.fromtimestamp(_START_US / 1e6, UTC) + timedelta(hours=HOURS)
                in_sql = history_sql.day(connection, slow, start_s, 1, reads=reads, seed=seed)
                in_sql |= history_sql.day(connection, fast, start_s, RATE_HZ, reads=reads, seed=seed)
                in_sql |= history_sql.dashboard(connection, fast, end, reads=reads, seed=seed)
            with progress.step(
                f"{hot_samples / 1e6:.0f} M samples into hot partitions, and reads from them"
            ) as details:
                in_sql |= history_sql.hot(connection, FIRST_HOT_TAG, samples=hot_samples, reads=reads, seed=seed)
                details.append(f"{in_sql['hot_read_p50_ms']:.0f} ms for {in_sql['hot_read_samples']:,}")
    return {
        "stored_samples": tags * A_TAG,
        "read_samples": _READ,
        "read_chunks": chunks,
        "chart_points": points,
        **figures.percentiles(read_ms, "read_"),
        **figures.percentiles(first_ms, "first_chunk_"),
        **figures.percentiles(arrow_ms, "arrow_"),
        **figures.percentiles(arrow_first_ms, "arrow_first_byte_"),
        **figures.percentiles(chart_ms, "chart_"),
        **figures.percentiles(copy_ms, "copy_"),
        **in_sql,
    }


def fill(connection: psycopg.Connection[Any], tags: int, *, seed: int) -> None:
    """Samples of every tag, and windows of a minute."""
    cache = partitions.PartitionCache()
    cache.ensure(connection, "samples", _START_US, _START_US + HOURS * 3_600_000_000 - 1)
    cache.ensure(connection, "aggregates", _START_US, _START_US + HOURS * 3_600_000_000 - 1)
    rng = np.random.default_rng(seed)
    n = _BATCH_S * RATE_HZ
    tag_id = np.repeat(np.arange(FIRST_TAG, FIRST_TAG + tags), n)
    offset = np.tile(np.arange(n) * (1_000_000 // RATE_HZ), tags)
    zeros = np.zeros(len(tag_id))
    for hour in range(HOURS):
        with connection.transaction(), connection.cursor().copy(binary_copy.COPY_SAMPLES) as copy:
            copy.write(binary_copy.HEADER)
            for batch in range(3600 // _BATCH_S):
                at_us = _START_US + (hour * 3600 + batch * _BATCH_S) * 1_000_000
                values = np.sin((at_us + offset) / 6e8) + rng.normal(scale=0.1, size=len(offset))
                columns = {
                    "time": at_us + offset,
                    "value": values,
                    "tag_id": tag_id,
                    "quality": zeros,
                    "verdict": zeros,
                }
                for part in binary_copy.chunks(binary_copy.pack(binary_copy.SAMPLE_COLUMNS, columns)):
                    copy.write(part)
            copy.write(binary_copy.TRAILER)
        connection.execute(
            """INSERT INTO samples (time, value, tag_id, quality, verdict)
               SELECT to_timestamp(%s) + s * interval '1 second', sin(s), %s + t, 0, 0
               FROM generate_series(0, 3599) s, generate_series(0, %s::integer - 1) t""",
            (_START_US / 1e6 + hour * 3600, FIRST_SLOW_TAG, SLOW_TAGS),
        )
    connection.execute(
        """INSERT INTO aggregates (start, tag_id, window_s, count, good, mean, m2, min, max)
           SELECT to_timestamp(%s) + m * interval '1 minute', t, 60, 600, 600, sin(m), 6, sin(m) - 1, sin(m) + 1
           FROM generate_series(%s::integer, %s::integer) t, generate_series(0, %s::integer) m""",
        (_START_US / 1e6, FIRST_TAG, FIRST_TAG + tags - 1, HOURS * 60 - 1),
    )


_OPTIONS = (("grpc.max_receive_message_length", 16 << 20),)


@contextmanager
def _server(dsn: str, tags: int) -> Iterator[tuple[str, str]]:
    command = [sys.executable, "-m", "benchmarks.history_server", dsn, str(FIRST_TAG), str(tags)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        ports = process.stdout.readline().split()
        if len(ports) != 2:
            msg = f"the server has ended with {process.wait()}"
            raise TimeoutError(msg)
        yield f"127.0.0.1:{ports[0]}", f"127.0.0.1:{ports[1]}"
    finally:
        process.terminate()
        process.wait()


def _reads(stub: Any, rng: np.random.Generator, tags: int, *, count: int) -> tuple[list[float], list[float], int]:
    """Milliseconds of whole reads and of their first chunks, and chunks of one."""
    whole, first, chunks = [], [], 0
    for number in range(count + 1):
        selection = history_pb2.Selection(
            tag_ids=[int(FIRST_TAG + rng.integers(tags))],
            start_us=_START_US,
            end_us=_START_US + _READ * 1_000_000 // RATE_HZ,
        )
        began, chunks, seen = time.perf_counter(), 0, 0
        for chunk in stub.ReadSamples(history_pb2.ReadSamplesRequest(selection=selection), timeout=600):
            if not chunks and number:
                first.append((time.perf_counter() - began) * 1000)
            chunks += 1
            seen += len(np.frombuffer(chunk.time_us, "<i8"))
            np.frombuffer(chunk.value, "<f8").sum()
        if number:  # the first warms connections up
            whole.append((time.perf_counter() - began) * 1000)
        assert seen == _READ, seen
    return whole, first, chunks


def _arrow_reads(address: str, rng: np.random.Generator, tags: int, *, count: int) -> tuple[list[float], list[float]]:
    """Milliseconds of the same reads as Arrow over HTTP, decoded by pyarrow, and until the first bytes of the body."""
    whole, first = [], []
    for number in range(count + 1):
        end_us = _START_US + _READ * 1_000_000 // RATE_HZ
        query = f"tag_id={FIRST_TAG + rng.integers(tags)}&start_us={_START_US}&end_us={end_us}&format=arrow"
        began = time.perf_counter()
        connection = HTTPConnection(address, timeout=600)
        connection.request("GET", f"/api/v1/samples?{query}")
        answer = connection.getresponse()
        begin = answer.read(1)
        first_ms = (time.perf_counter() - began) * 1000
        assert answer.status == HTTPStatus.OK, answer.read()
        table = pyarrow.ipc.open_stream(begin + answer.read()).read_all()
        whole_ms = (time.perf_counter() - began) * 1000
        connection.close()
        assert table.num_rows == _READ, table.num_rows
        if number:  # the first warms caches up
            whole.append(whole_ms)
            first.append(first_ms)
    return whole, first


def _charts(stub: Any, rng: np.random.Generator, tags: int, *, count: int, pixels: int) -> tuple[list[float], int]:
    """Milliseconds of charts of a day, and points of one."""
    took, points = [], 0
    for number in range(count + 1):
        start_us = _START_US + int(rng.integers((HOURS - 24) * 3600)) * 1_000_000
        selection = history_pb2.Selection(
            tag_ids=[int(FIRST_TAG + rng.integers(tags))], start_us=start_us, end_us=start_us + _DAY_US
        )
        began = time.perf_counter()
        answer = stub.ReadChart(history_pb2.ReadChartRequest(selection=selection, pixels=pixels), timeout=60)
        if number:
            took.append((time.perf_counter() - began) * 1000)
        points = len(np.frombuffer(answer.series[0].value, "<f8"))
    return took, points


def _copy(connection: psycopg.Connection[Any], tag: int) -> float:
    began = time.perf_counter()
    with connection.cursor().copy(_COPY, (tag, _START_US / 1e6, _READ)) as copy:
        rows = binary_copy.unpack(b"".join(copy), (("time", "timestamptz"), ("value", "float8"), ("quality", "int2")))
    assert len(rows) == _READ
    return (time.perf_counter() - began) * 1000
