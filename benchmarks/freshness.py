"""`freshness`: how old a value is when it can be read, by two clocks, while the line runs at a given rate.

A sender writes frames with true clocks at the given rate (`pace`); one observer polls SQL, another holds a gRPC stream. Measured for
every frame that the dirt table did not make late: from the close of the frame to its rows readable in SQL, and to the push of the
watched tag with the frame's value or a newer one; and the same from the source time of its samples, of which five quantiles per frame
stand for all. The first seconds are left out. At the end every row is counted, as in `throughput`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from benchmarks import figures, pace, processes, verify
from benchmarks.ledger_watch import LedgerWatch
from benchmarks.line import Line
from benchmarks.pace import Plan, Sender, Sent
from benchmarks.push_watch import PushWatch, shown_us
from benchmarks.workload import Dirt
from stack import lifecycle

SERVICES = ("kafka", "postgres", "flink", "serving", "maintenance")


@dataclass(frozen=True, kw_only=True, slots=True)
class Ways:
    """Milliseconds per frame, or per source quantile of a frame; frames that never arrived are not in them but counted."""

    sql_closed: NDArray[np.float64]
    sql_source: NDArray[np.float64]
    push_closed: NDArray[np.float64]
    push_source: NDArray[np.float64]
    sql_missing: int
    push_missing: int
    by_second: dict[str, list[tuple[float, float]]]


def run(line: Line, dirt: Dirt, *, seconds: float, warmup_s: float, seed: int) -> dict[str, Any]:
    """Start the whole line behind Kafka, send, observe."""
    lifecycle.up(line.config, line.progress, names=SERVICES)
    tags = watched_tags(line)
    plan = Plan(
        workload=line.workload,
        dirt=dirt,
        tag_ids=line.tag_ids,
        seconds=warmup_s + seconds,
        seed=seed,
        registry_version=line.registry_version,
        stand_in=line.stand_in,
    )
    with (
        LedgerWatch(line.dsn) as ledger,
        PushWatch(line.config.serving_address, list(tags), list(tags.values())) as push,
        processes.watching(line.config) as seen,
    ):
        with line.progress.step("send and observe") as details, Sender(plan, line.kafka) as sender:
            while sender.alive and not _over(sender):
                time.sleep(1.0)
                push.check()
                line.progress.sink(f"    {sender.samples:,} sent, {ledger.samples:,} readable")
            sent = sender.result()
            details.append(f"{sent.expected.distinct_samples:,} samples in {sent.expected.frames:,} frames")
        ledger.wait_for(sent.expected.distinct_samples)
        time.sleep(1.0)  # the last values are published within 250 ms; what comes later than this is missing
    by_gateway = [int(line.tag_ids[line.workload.gateway_id(n)][pace.WATCHED]) for n in range(line.workload.gateways)]
    names = [line.workload.gateway_id(n) for n in range(line.workload.gateways)]
    ways = measure(sent, names, by_gateway, ledger.seen.readable_us, push.pushed, from_us=_after(sent, warmup_s))
    with line.progress.step("verify") as details:
        verdict = verify.compare(line.dsn, sent.expected)
        details.append(f"{verdict.rows} rows, {verdict.lost} lost, {verdict.duplicated} duplicated")
    return {
        "samples_per_s": sent.expected.distinct_samples / plan.seconds,
        "frames_per_s": sent.expected.frames / plan.seconds,
        **figures.percentiles(ways.sql_closed, "sql_"),
        **figures.percentiles(ways.push_closed, "grpc_"),
        **figures.percentiles(ways.sql_source, "sql_source_"),
        **figures.percentiles(ways.push_source, "grpc_source_"),
        **figures.percentiles(sent.behind_ms, "sender_behind_"),
        "measured_frames": len(ways.sql_closed),
        "sql_missing": ways.sql_missing,
        "grpc_missing": ways.push_missing,
        "late_frames": sent.expected.late_frames,
        "lost": verdict.lost,
        "duplicated": verdict.duplicated,
        "wrong_cells": verdict.wrong_cells,
        "histograms": {
            "Frame closed to readable in SQL": figures.histogram(ways.sql_closed),
            "Frame closed to gRPC push": figures.histogram(ways.push_closed),
            "Source time to readable in SQL": figures.histogram(ways.sql_source),
            "Source time to gRPC push": figures.histogram(ways.push_source),
        },
        "series": {"Worst frame of each second": {"unit": "ms", "lines": ways.by_second}},
        "cpu": seen.cpu(from_s=warmup_s),
        **seen.as_result(),
    }


def watched_tags(line: Line) -> dict[int, str]:
    """Watched tag of every gateway, by id, with its path."""
    wanted = [int(one[pace.WATCHED]) for one in line.tag_ids.values()]
    with psycopg.connect(line.dsn) as connection:
        rows = connection.execute(
            "SELECT tag_id, path FROM tag_definition WHERE tag_id = ANY(%s)", (wanted,)
        ).fetchall()
    return dict(rows)


def measure(
    sent: Sent,
    gateways: list[str],
    watched: list[int],
    readable_us: dict[tuple[str, int], int],
    pushed: dict[int, list[tuple[int, int]]],
    *,
    from_us: int,
) -> Ways:
    """Ways of the frames closed from `from_us` on that were not late. `gateways` and `watched` are by gateway number."""
    chosen = np.flatnonzero((sent.closed_us >= from_us) & ~sent.late)
    sql_us, push_us = np.zeros(len(chosen), np.int64), np.zeros(len(chosen), np.int64)
    places = dict.fromkeys(watched, 0)
    for row, place in enumerate(chosen):
        gateway = int(sent.gateway[place])
        sql_us[row] = readable_us.get((gateways[gateway], int(sent.sequence[place])), 0)
        if sent.watched_us[place]:
            tag_id = watched[gateway]
            push_us[row], places[tag_id] = shown_us(pushed, tag_id, int(sent.watched_us[place]), places[tag_id])
    closed_us, source_us = sent.closed_us[chosen], sent.source_us[chosen]
    has_watched = sent.watched_us[chosen] > 0
    read, shown = sql_us > 0, push_us > 0
    sql_ms, push_ms = (sql_us - closed_us) / 1000, (push_us - closed_us) / 1000
    return Ways(
        sql_closed=sql_ms[read],
        sql_source=((sql_us[:, None] - source_us) / 1000)[read].ravel(),
        push_closed=push_ms[shown],
        push_source=(push_us - sent.watched_us[chosen])[shown] / 1000,
        sql_missing=int((~read).sum()),
        push_missing=int((has_watched & ~shown).sum()),
        by_second={
            "SQL": worst_by_second(closed_us[read] - from_us, sql_ms[read]),
            "gRPC": worst_by_second(closed_us[shown] - from_us, push_ms[shown]),
        },
    )


def worst_by_second(at_us: NDArray[np.int64], values: NDArray[np.float64]) -> list[tuple[float, float]]:
    """(second, largest value of it)."""
    second = at_us // 1_000_000
    return [(float(one), float(values[second == one].max())) for one in np.unique(second)]


def _after(sent: Sent, warmup_s: float) -> int:
    return int(sent.closed_us.min()) + int(warmup_s * 1e6)


def _over(sender: Sender) -> bool:
    """Whether its time has passed: it lives on until its result is taken."""
    return time.time() * 1e6 > sender.start_us + sender.plan.seconds * 1e6
