"""The peers' data: one flat Avro record per sample, and one per closed window. Plain Avro bodies, as in Flink's `avro` format.

Enters: messages of the generator. Leaves: records on a topic with as many partitions as the frames have, keyed as they are, in their order.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any

import fastavro
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from base.settings import KafkaSettings
from benchmarks.generate import Message
from connectors.kafka import client as kafka
from schemas import topics

FLAT = "bench.flat"
WINDOW_S = 1


def _schema(**fields: str) -> Any:
    """A record as Flink derives it from a table's columns."""
    return fastavro.parse_schema(
        {
            "type": "record",
            "name": "record",
            "namespace": "org.apache.flink.avro.generated",
            "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
        }
    )


SAMPLE = _schema(tag_id="int", time_ms="long", value="double", quality="int")
WINDOW = _schema(tag_id="int", start_ms="long", n="long", mean="double", low="double", high="double")


def encode(schema: Any, record: dict[str, Any]) -> bytes:
    """Body of one record."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, record)
    return out.getvalue()


def decode(schema: Any, body: bytes) -> dict[str, Any]:
    """Inverse of `encode`."""
    record: dict[str, Any] = fastavro.schemaless_reader(io.BytesIO(body), schema, None)
    return record


def make_topics(settings: KafkaSettings, *outputs: str) -> None:
    """The flat topic and those that peers write windows to."""
    admin = AdminClient({**settings.client_config(), "log_level": 3})
    wanted = [NewTopic(name, topics.FRAMES.partitions, 1) for name in (FLAT, *outputs)]
    for future in admin.create_topics(wanted, operation_timeout=30).values():
        future.result(30)


def produce(settings: KafkaSettings, messages: Iterable[Message]) -> int:
    """Write every sample of the frames; returns how many."""
    producer = kafka.producer(settings, compression_type="none", queue_buffering_max_kbytes=256 << 10)
    return kafka.send(producer, FLAT, records(messages), timeout_s=120)


def records(messages: Iterable[Message]) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of each sample."""
    for message in messages:
        one = message.frame
        columns = (one.tag_id.tolist(), (one.time_us // 1000).tolist(), one.value.tolist(), one.quality.tolist())
        for tag_id, time_ms, value, quality in zip(*columns, strict=True):
            record = {"tag_id": tag_id, "time_ms": time_ms, "value": value, "quality": quality}
            yield message.key, encode(SAMPLE, record)


def counted(settings: KafkaSettings, topic: str) -> int:
    """Samples in all windows of a topic."""
    values = (message.value() for message in kafka.read_to_end(settings, topic))
    return sum(decode(WINDOW, value)["n"] for value in values if value)
