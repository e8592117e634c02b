"""`peers`: count, mean, least and largest of every tag and second, by Flink SQL in the JVM, by bytewax and by our job, in one run.

The same plant, seed and values for all. The peers read flat Avro, a record per sample; our job reads frames, and more seconds of the same
stream, or it would be done before a rate can be taken. Everybody writes closed windows to Kafka, where the rate is taken, and has the
machine and the number of slots to itself. Our job also validates, removes duplicates, keeps last values, detects anomalies and writes the
judged frames; a second run of it without detection is the closest to what the peers do. Clean data: what the peers would do with
duplicates and late frames is another question.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from base import ids
from base.errors import MillraceError
from benchmarks import cluster, outlet, processes, switches
from benchmarks.generate import Expected
from benchmarks.line import Line
from benchmarks.peers import flat
from benchmarks.processes import Watched
from benchmarks.workload import Dirt
from connectors.kafka import client as kafka
from schemas import codec, topics
from stack.config import MARKER, ROOT
from stack.flink_rest import FlinkRest

SQL, BYTEWAX = "bench.windows.sql", "bench.windows.bytewax"
_TIMEOUT_S = 900
_LAST_WINDOWS_S = 15.0
"""Devices that have fallen silent close their windows ten seconds later."""
# Window aggregates in SQL keep their buffers in managed memory; the platform's own jobs have none.
_MANAGED = {"taskmanager.memory.managed.size": "256m"}


class PeerError(MillraceError):
    """A peer failed; the message is the end of what it said."""


def run(
    line: Line, dirt: Dirt, *, peer_seconds: float, seconds: float, seed: int, slots: int, bytewax_processes: int
) -> dict[str, Any]:
    """Peers first, on a topic of their own; then our job, with and without detection."""
    start_us = ids.now_us() - int((seconds + 60) * 1e6)
    flat.make_topics(line.kafka, SQL, BYTEWAX)
    with line.progress.step("flat records") as details:
        samples = flat.produce(line.kafka, line.messages(dirt, seconds=peer_seconds, start_us=start_us, seed=seed))
        details.append(f"{samples:,}")
    cluster.start(line.config, line.progress, _MANAGED)
    rows = [_sql(line, samples), _bytewax(line, samples, bytewax_processes)]
    expected = line.preload(dirt, seconds=seconds, start_us=start_us, seed=seed)
    rows += [_ours(line, expected, without=("detection",)), _ours(line, expected, without=())]
    sql, bytewax, plain, ours = (row["samples_per_s"] for row in rows)
    return {
        "samples_per_s": ours,
        "samples_per_s_without_detection": plain,
        "flink_sql_samples_per_s": sql,
        "bytewax_samples_per_s": bytewax,
        "ratio_to_flink_sql": ours / sql,
        "ratio_to_bytewax": ours / bytewax,
        "slots": slots,
        "bytewax_processes": bytewax_processes,
        "tables": [
            {
                "title": "The same windows",
                "columns": ["by", "samples/s", "samples", "of them in a window", "busiest processes, cores"],
                "rows": [[row["by"], row["samples_per_s"], row["samples"], row["counted"], row["cpu"]] for row in rows],
            }
        ],
    }


def _row(by: str, samples_per_s: float, samples: int, counted: int, seen: Watched) -> dict[str, Any]:
    busiest = ", ".join(f"{name} {cores:.2f}" for name, cores in list(seen.cpu().items())[:4])
    return {"by": by, "samples_per_s": samples_per_s, "samples": samples, "counted": counted, "cpu": busiest}


def _sql(line: Line, samples: int) -> dict[str, Any]:
    """Rate over the time that its tasks run, from the first record to the last window."""
    slots = str(line.config.parallelism.of(cluster.PLACE))
    arguments = ("--bootstrap-servers", line.config.bootstrap_servers, "--output", SQL, "--parallelism", slots)
    rest = FlinkRest(line.config.flink_url)
    job_id = cluster.submit(line.config, line.progress, script="sql_windows.py", arguments=arguments)
    with line.progress.step("Flink SQL") as details, processes.watching(line.config) as seen:
        _wait(lambda: _finished(rest, job_id), "Flink SQL")
        rate = samples / rest.running_s(job_id)
        details.append(f"{rate:,.0f} samples/s")
    cluster.remove(line.config)
    return _row("Flink SQL in the JVM", rate, samples, flat.counted(line.kafka, SQL), seen)


def _wait(over: Callable[[], bool], who: str) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not over():
        if time.monotonic() > deadline:
            msg = f"{who} was not done after {_TIMEOUT_S} s"
            raise PeerError(msg)
        time.sleep(0.2)


def _finished(rest: FlinkRest, job_id: str) -> bool:
    if cause := rest.root_exception(job_id):
        msg = f"the job failed: {cause[:2000]}"
        raise PeerError(msg)
    return rest.job_state(job_id) == "FINISHED"


def _bytewax(line: Line, samples: int, number: int) -> dict[str, Any]:
    """Rate over the life of its processes: starting takes them about two seconds."""
    command = [sys.executable, "-m", "bytewax.testing", "benchmarks.peers.bytewax_flow:flow()", "-p", str(number)]
    environment = os.environ | {
        MARKER: line.config.instance_id,
        "BENCH_KAFKA": line.config.bootstrap_servers,
        "BENCH_OUTPUT": BYTEWAX,
    }
    log = line.config.logs / "bytewax.log"
    with (
        log.open("wb") as output,
        line.progress.step("bytewax") as details,
        processes.watching(line.config) as seen,
    ):
        began = time.monotonic()
        # A session of its own: it starts processes, and they end together.
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            _wait(lambda: process.poll() is not None, "bytewax")
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        rate = samples / (time.monotonic() - began)
        details.append(f"{rate:,.0f} samples/s")
    if process.returncode:
        msg = f"bytewax ended with {process.returncode}: {log.read_text(errors='replace')[-2000:]}"
        raise PeerError(msg)
    return _row("bytewax", rate, samples, flat.counted(line.kafka, BYTEWAX), seen)


def _ours(line: Line, expected: Expected, *, without: tuple[str, ...]) -> dict[str, Any]:
    """Our telemetry job from the beginning of the frames; its rate is that of the frames it has judged."""
    before = {partition: high for partition, (_, high) in _ends(line).items()}
    judged = outlet.size(line.kafka, topics.VALIDATED.name)
    with switches.job_settings(without):
        job_id = cluster.submit(line.config, line.progress)
    name = "our job" + "".join(f" without {one}" for one in without)
    with line.progress.step(name) as details, processes.watching(line.config) as seen:
        try:
            drained = outlet.follow(
                line.kafka, topics.VALIDATED.name, before=judged, records=expected.frames, quiet_s=60
            )
        except TimeoutError as error:
            rest = FlinkRest(line.config.flink_url)
            rejected = outlet.size(line.kafka, topics.REJECTED.name)
            msg = f"{error}; job {rest.job_state(job_id)}, {rejected} rejects, failure: {rest.root_exception(job_id)[:2000]}"
            raise PeerError(msg) from error
        rate = drained.samples_per_s(expected.distinct_samples)
        details.append(f"{rate:,.0f} samples/s")
    with line.progress.step("last windows"):
        outlet.follow(line.kafka, topics.AGGREGATES.name, before=sum(before.values()), quiet_s=_LAST_WINDOWS_S)
    cluster.remove(line.config)
    return _row(name, rate, expected.distinct_samples, _counted(line, before), seen)


def _ends(line: Line) -> dict[int, tuple[int, int]]:
    source = kafka.consumer(line.kafka)
    try:
        return kafka.watermarks(source, topics.AGGREGATES.name)
    finally:
        source.close()


def _counted(line: Line, before: dict[int, int]) -> int:
    """Samples in the windows of one run; a window that was emitted again counts as it was last."""
    best: dict[tuple[int, int], int] = {}
    for message in kafka.read_to_end(line.kafka, topics.AGGREGATES.name):
        partition, offset = message.partition(), message.offset()
        assert partition is not None
        assert offset is not None
        if offset < before.get(partition, 0):
            continue
        record: dict[str, Any] = codec.decode(message.value() or b"", "AggregateBatch")[1]
        if record["window_s"] == flat.WINDOW_S:
            for window in zip(
                record["tag_id"].tolist(), record["start_us"].tolist(), record["count"].tolist(), strict=True
            ):
                best[window[0], window[1]] = max(window[2], best.get((window[0], window[1]), 0))
    return sum(best.values())
