"""`limits`: what each part can do alone on this machine, so that a rate of the whole line can be read as a share of it.

Generator, decoding, the telemetry job's logic without Flink, the historian's store without Flink and Kafka, and the physical limit of the
storage: binary COPY of rows packed beforehand into the table `samples`, with its indexes and its durability, in transactions of the
historian's size, over one connection and over two.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray

from base import ids
from base.errors import MillraceError
from benchmarks.generate import Message
from benchmarks.line import Line
from benchmarks.workload import SITE, Dirt
from connectors.kafka import client as kafka
from connectors.postgres import binary_copy
from connectors.postgres.database import connect
from historian.batch import Message as StoreMessage
from historian.engine import variant_of
from historian.partitions import PartitionCache
from historian.store import HistorianStore
from jobs.batching import Message as Record
from schemas import frame, topics
from schemas.verdicts import REJECT_FROM, VERDICT_MASK
from stages.config import DetectionConfig, TelemetryConfig
from stages.telemetry.logic import Origin, TelemetryLogic

COPY_BATCH_ROWS = 400_000
"""About what the historian writes in one transaction while it catches up (8 MiB of validated frames)."""
_HELD_SAMPLES = 4_000_000
_TICK_US = 250_000
_MOST_REFUSED = 0.01
_AHEAD_US = 2 * 86_400_000_000
_STORE_BATCH_BYTES = 8 << 20
_ENOUGH_S = 3600.0
"""Event time of messages that are taken until the clock says stop."""


def run(line: Line, dirt: Dirt, *, seconds: float, seed: int) -> dict[str, Any]:
    """Every part for about `seconds`, one after the other."""
    start_us = ids.now_us() - 3_600_000_000
    result: dict[str, Any] = {}
    with line.progress.step("generator alone") as details:
        result["generator_samples_per_s"] = _generator(line, dirt, start_us, seed, seconds)
        details.append(_m(result["generator_samples_per_s"]))
    messages = _some(line, dirt, start_us, seed)
    with line.progress.step("decode alone") as details:
        result["decode_samples_per_s"] = _decode(messages, seconds, checked=False)
        result["decode_and_checksum_samples_per_s"] = _decode(messages, seconds, checked=True)
        result["frame_samples"] = round(sum(message.samples for message in messages) / len(messages))
        result["frame_bytes_per_sample"] = round(
            sum(len(message.value) for message in messages) / sum(message.samples for message in messages), 2
        )
        details += [_m(result["decode_samples_per_s"]), _m(result["decode_and_checksum_samples_per_s"])]
    for name, config in _LOGICS.items():
        with line.progress.step(name) as details:
            frames = line.messages(dirt, seconds=_ENOUGH_S, start_us=start_us, seed=seed)
            result[f"{name}_samples_per_s"], validated = _logic(line, frames, config, seconds)
            details.append(_m(result[f"{name}_samples_per_s"]))
    with line.progress.step("store alone") as details:
        result["store_samples_per_s"] = _store(line.dsn, validated)
        details.append(_m(result["store_samples_per_s"]))
    result |= copy_limit(line, messages, seconds=seconds)
    return result


class NothingAcceptedError(MillraceError):
    """What was measured is not what was meant."""


_LOGICS = {
    "logic_without_detection": TelemetryConfig(detection=DetectionConfig(enabled=False)),
    "logic": TelemetryConfig(),
}


def copy_limit(line: Line, messages: Sequence[Message], *, seconds: float) -> dict[str, Any]:
    """`copy_limit_rows_per_s` is the better of one and two connections. What was copied is taken away again."""
    rows = pack(messages)
    found: dict[str, Any] = {}
    copied = 0
    for connections in (1, 2):
        with line.progress.step(f"COPY alone, {connections} connections") as details:
            done, took_s = _copy(line.dsn, rows, seconds, connections)
            copied += done
            found[f"copy_rows_per_s_{connections}"] = done / took_s
            details.append(_m(done / took_s))
    with psycopg.connect(line.dsn) as connection:
        found["copy_bytes_per_row"] = round(_bytes(connection) / copied, 1)
        connection.execute("TRUNCATE samples")
    found["copy_limit_rows_per_s"] = max(found["copy_rows_per_s_1"], found["copy_rows_per_s_2"])
    return found


def reference(line: Line, dirt: Dirt, *, seconds: float, seed: int) -> float:
    """COPY limit of the instance that a scenario has just used, with its rows taken away: what `ratio_to_copy_limit` refers to.

    Afterwards, so that what it leaves to checkpoint and to the disk does not weigh on the scenario. Its rows go to partitions of which
    none was closed.
    """
    with line.progress.step("empty the tables"), connect(line.dsn, application="bench", autocommit=True) as connection:
        connection.execute("TRUNCATE samples")
    messages = _some(line, dirt, ids.now_us() + _AHEAD_US, seed, samples=1_000_000)
    return float(copy_limit(line, messages, seconds=seconds)["copy_limit_rows_per_s"])


def pack(messages: Sequence[Message]) -> NDArray[Any]:
    """Rows of one COPY, shape (at most COPY_BATCH_ROWS,), in the order in which frames would bring them."""
    frames = [message.frame for message in messages if not message.again]
    columns = {
        "time": np.concatenate([one.time_us for one in frames]),
        "value": np.concatenate([one.value for one in frames]),
        "tag_id": np.concatenate([one.tag_id for one in frames]),
        "quality": np.concatenate([one.quality for one in frames]).view(np.int16),
    }
    columns["verdict"] = np.zeros(len(columns["time"]), dtype=np.int16)
    return binary_copy.pack(
        binary_copy.SAMPLE_COLUMNS, {name: column[:COPY_BATCH_ROWS] for name, column in columns.items()}
    )


def _generator(line: Line, dirt: Dirt, start_us: int, seed: int, seconds: float) -> float:
    began, samples = time.perf_counter(), 0
    for message in line.messages(dirt, seconds=_ENOUGH_S, start_us=start_us, seed=seed):
        samples += message.samples
        if time.perf_counter() - began >= seconds:
            break
    return samples / (time.perf_counter() - began)


def _some(line: Line, dirt: Dirt, start_us: int, seed: int, samples: int = _HELD_SAMPLES) -> list[Message]:
    held = list[Message]()
    # Not more than a minute of the plant, which a small one fills with few samples.
    for message in line.messages(dirt, seconds=60.0, start_us=start_us, seed=seed):
        held.append(message)
        samples -= message.samples
        if samples <= 0:
            break
    return held


def _decode(messages: Sequence[Message], seconds: float, *, checked: bool) -> float:
    """Without the checksum next to nothing is done per sample: columns are views of the message."""
    began, samples = time.perf_counter(), 0
    for message in itertools.cycle(messages):
        decoded = frame.decode(message.value)
        if checked:
            decoded.computed_checksum()
        samples += decoded.samples
        if time.perf_counter() - began >= seconds:
            break
    return samples / (time.perf_counter() - began)


def _logic(
    line: Line, messages: Iterable[Message], config: TelemetryConfig, seconds: float
) -> tuple[float, list[bytes]]:
    """Rate of the telemetry job's logic without Flink, ticks included, and the last validated frames it gave."""
    logic = TelemetryLogic(config)
    for definition in kafka.read_to_end(line.kafka, topics.TAGS.name):
        logic.apply_registry(definition.value() or b"")
    topic = topics.FRAMES.for_site(SITE)  # whose gateways may send is told by it
    validated = deque[tuple[int, bytes]]()
    held = samples = ticked_us = 0
    took_s = 0.0
    for number, message in enumerate(messages):
        now_us = message.due_us
        began = time.perf_counter()  # making the frame is not the logic's time
        outputs = logic.on_frame(message.value, Origin(topic, 0, number), now_us)
        if now_us - ticked_us >= _TICK_US:
            outputs += logic.on_timer(None, now_us)
            ticked_us = now_us
        logic.drain_changes(message.key.decode())
        took_s += time.perf_counter() - began
        samples += message.samples
        for output in outputs:
            if output.topic == topics.VALIDATED.name:
                validated.append((message.samples, output.value))
                held += message.samples
        while held > _HELD_SAMPLES:
            held -= validated.popleft()[0]
        if took_s >= seconds:
            break
    found = [value for _, value in validated]
    _check_accepted(found)
    return samples / took_s, found


def _check_accepted(validated: Sequence[bytes]) -> None:
    """Raise NothingAcceptedError unless nearly all samples were accepted: refusing is another kind of work."""
    verdicts = [judged for value in validated if (judged := frame.decode(value).verdict) is not None]
    refused = sum(int(((judged & VERDICT_MASK) >= REJECT_FROM).sum()) for judged in verdicts)
    samples = sum(map(len, verdicts))
    if refused > samples * _MOST_REFUSED:
        msg = f"{refused} of {samples} samples were refused: the frames do not fit the registry"
        raise NothingAcceptedError(msg)


def _store(dsn: str, validated: Sequence[bytes]) -> float:
    """Decode, ledger and COPY of validated frames in batches of the historian's size; undone afterwards."""
    store, stored, took_s = HistorianStore(dsn), 0, 0.0
    batch: list[StoreMessage] = []
    size = 0
    for number, value in enumerate([*validated, b""]):
        if value:
            batch.append(Record(topics.VALIDATED.name, 0, number, b"", value))
            size += len(value)
        if batch and (not value or size >= _STORE_BATCH_BYTES):
            result = store.write(batch)
            stored += result.stored + result.rejected
            took_s += result.seconds
            batch, size = [], 0
    store.close()
    with psycopg.connect(dsn) as connection:
        connection.execute("TRUNCATE samples, ledger, ledger_minute, dirty_ranges")
    return stored / took_s


def _copy(dsn: str, rows: NDArray[Any], seconds: float, connections: int) -> tuple[int, float]:
    """Rows of several writers together, and the seconds from the first byte to the last commit."""
    done, failures = [0] * connections, list[Exception]()
    end_s = time.perf_counter() + seconds

    def write(place: int) -> None:
        try:
            done[place] = _copy_until(dsn, rows.copy(), end_s)
        except Exception as error:  # noqa: BLE001 - raised below, in the thread that asked
            failures.append(error)

    threads = [threading.Thread(target=write, args=(place,)) for place in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return sum(done), time.perf_counter() - began


def _copy_until(dsn: str, rows: NDArray[Any], end_s: float) -> int:
    copied, span = 0, int(rows["time"].max() - rows["time"].min()) + 1
    partitions = PartitionCache()
    with connect(dsn, application="bench") as connection:
        if variant_of(connection) == "timescaledb":
            connection.execute("SET timescaledb.enable_direct_compress_copy = on")
        connection.commit()
        while time.perf_counter() < end_s:
            low, high = int(rows["time"].min()), int(rows["time"].max())
            partitions.ensure(connection, "samples", low + binary_copy.EPOCH_2000_US, high + binary_copy.EPOCH_2000_US)
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(binary_copy.COPY_SAMPLES) as copy:
                for part in binary_copy.framed(binary_copy.chunks(rows)):
                    copy.write(part)
            copied += len(rows)
            rows["time"] += span  # the next batch is later, as in life
    return copied


def _bytes(connection: psycopg.Connection[Any]) -> int:
    """Size of the table with its indexes. Partitions and chunks are found by inheritance."""
    row = connection.execute(
        "SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0) FROM pg_inherits WHERE inhparent = 'samples'::regclass"
    ).fetchone()
    assert row is not None
    return int(row[0])


def _m(rate: float) -> str:
    return f"{rate / 1e6:.2f} M/s"
