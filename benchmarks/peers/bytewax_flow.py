"""The windowed aggregate in bytewax: flat Avro from Kafka, tumbling event-time windows per tag, closed windows to Kafka.

`python -m bytewax.testing benchmarks.peers.bytewax_flow:flow -p PROCESSES`, with BENCH_KAFKA and BENCH_OUTPUT in the environment.
Written as bytewax's documentation does it: its Kafka connector, its event clock and `fold_window`, unordered since the fold does not mind.
Two things are set in its favour. Batches of 50,000 records, with which it is twelve times as fast as with the default of 1,000 when there
are 10,000 tags. And a clock that stands still: the event clock runs on with the system's, so a backlog that is read more slowly than it
was made would be late, and a fifth of it left out.
"""

from __future__ import annotations

import math
import os
from datetime import UTC, datetime, timedelta
from typing import Any

import bytewax.operators as op
import bytewax.operators.windowing as win
from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
from bytewax.dataflow import Dataflow

from benchmarks.peers.flat import FLAT, SAMPLE, WINDOW, WINDOW_S, decode, encode

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BATCH = 50_000

Fold = tuple[int, float, float, float]


def _parse(message: Any) -> tuple[str, tuple[datetime, float]]:
    record = decode(SAMPLE, message.value)
    return str(record["tag_id"]), (_EPOCH + timedelta(milliseconds=record["time_ms"]), record["value"])


def _time(item: tuple[datetime, float]) -> datetime:
    return item[0]


def _nothing() -> Fold:
    return 0, 0.0, math.inf, -math.inf


def _fold(so_far: Fold, item: tuple[datetime, float]) -> Fold:
    count, total, low, high = so_far
    value = item[1]
    return count + 1, total + value, min(low, value), max(high, value)


def _merge(one: Fold, other: Fold) -> Fold:
    return one[0] + other[0], one[1] + other[1], min(one[2], other[2]), max(one[3], other[3])


def _write(item: tuple[str, tuple[int, Fold]]) -> Any:
    tag, (window, (count, total, low, high)) = item
    record = {
        "tag_id": int(tag),
        "start_ms": window * WINDOW_S * 1000,
        "n": count,
        "mean": total / count,
        "low": low,
        "high": high,
    }
    return KafkaSinkMessage(key=tag.encode(), value=encode(WINDOW, record))


def flow() -> Any:
    """The dataflow."""
    made = Dataflow("windows")
    brokers = [os.environ["BENCH_KAFKA"]]
    messages = op.input("in", made, KafkaSource(brokers, [FLAT], tail=False, batch_size=_BATCH))
    samples = op.map("parse", messages, _parse)
    clock = win.EventClock(_time, wait_for_system_duration=timedelta(seconds=1), now_getter=lambda: _EPOCH)
    windower = win.TumblingWindower(timedelta(seconds=WINDOW_S), _EPOCH)
    closed = win.fold_window("window", samples, clock, windower, _nothing, _fold, _merge, ordered=False)
    op.output("out", op.map("write", closed.down, _write), KafkaSink(brokers, os.environ["BENCH_OUTPUT"]))
    return made
