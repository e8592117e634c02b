"""Kafka ends of the jobs: a source of whole records, a sink to topics named by the records.

Both are Flink's SQL connector with raw formats, because PyFlink's DataStream connector neither shows key, topic,
partition and offset of a record nor writes a key. A source row is `types.record_type`, a sink row
`types.output_type`. Order: per partition. Delivery: at-least-once in, at-least-once out; identities make the
repetition harmless (exactly-once output would be visible only at checkpoints).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyflink.datastream import DataStream
from pyflink.table import Schema
from pyflink.table.types import DataTypes

from base.settings import KafkaSettings
from connectors.platform import IDLE_WAIT_MS
from jobs.flink.environment import JobEnvironment
from jobs.flink.types import OUTPUT_FIELDS, RECORD_FIELDS
from schemas.topics import MAX_REQUEST_BYTES, Topic

_DISCOVERY = "10 s"  # a new site's topics are read within this


def source(
    env: JobEnvironment,
    kafka: KafkaSettings,
    *,
    name: str,
    rows: Sequence[Topic],
    group_id: str,
    since_ms: int | None = None,
    gather_ms: int = 0,
) -> DataStream:
    """Records of topics of the table (all sites of each), from the group's committed offsets or else from their beginning.

    With `since_ms` from the first record of that time (milliseconds UTC) or else from the end, whatever earlier runs
    committed. A job that is restored goes on from the offsets of its snapshot in either case. `name` is the operator's uid.
    With `gather_ms` a fetch waits so long for a quarter of a megabyte: each answer costs the broker and the job as much as a frame.
    """
    options = {
        "connector": "kafka",
        "topic-pattern": any_of(rows),
        **_start(since_ms),
        "scan.topic-partition-discovery.interval": _DISCOVERY,
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "properties.group.id": group_id,
        "properties.client.id.prefix": name,
        "properties.auto.offset.reset": "earliest",
        "properties.max.partition.fetch.bytes": str(MAX_REQUEST_BYTES),
        "properties.fetch.min.bytes": str(1 << 18 if gather_ms else 1),
        "properties.fetch.max.wait.ms": str(gather_ms or IDLE_WAIT_MS),
        **_connection(kafka),
    }
    metadata = {"topic": "STRING", "partition": "INT", "offset": "BIGINT"}
    columns = "".join(f"`{column}` {kind} METADATA VIRTUAL, " for column, kind in metadata.items())
    table = _create_table(env, name, f"{columns}`key` BYTES, `value` BYTES", options)
    fields = ", ".join(f"`{field}`" for field in RECORD_FIELDS)
    stream = env.table.to_data_stream(env.table.sql_query(f"SELECT {fields} FROM {table}"))
    _name_source(stream, name)
    return stream


def sink(
    env: JobEnvironment,
    kafka: KafkaSettings,
    stream: DataStream,
    *,
    name: str,
    rows: Sequence[Topic],
    linger_ms: int = 0,
) -> None:
    """Write rows of `types.output_type`, each to the topic it names, which must be one of `rows`.

    `name` is the operator's uid. The record's Kafka timestamp is the time of writing: retention counts from there.
    """
    options = {
        "connector": "kafka",
        # Only with several topics, or a pattern, may a record name its own.
        "topic-pattern": any_of(rows),
        "key.format": "raw",
        "key.fields": "key",
        "value.format": "raw",
        "value.fields-include": "EXCEPT_KEY",
        "sink.delivery-guarantee": "at-least-once",
        "properties.linger.ms": str(linger_ms),
        "properties.batch.size": str(1 << 18),
        "properties.buffer.memory": str(64 << 20),
        "properties.max.request.size": str(MAX_REQUEST_BYTES),
        # The broker refuses an oversized record for good; anything else is tried again until the job's restart strategy takes over.
        "properties.delivery.timeout.ms": "120000",
        **_connection(kafka),
    }
    table = _create_table(env, name, "`topic` STRING METADATA, `key` BYTES, `value` BYTES", options)
    schema = Schema.new_builder()
    for field, data_type in zip(OUTPUT_FIELDS, (DataTypes.STRING(), DataTypes.BYTES(), DataTypes.BYTES()), strict=True):
        schema = schema.column(field, data_type)
    before = env.transformations()
    statements = env.table.create_statement_set()
    statements.add_insert(table, env.table.from_data_stream(stream, schema.build()))
    statements.attach_as_datastream()
    for transformation in env.transformations()[len(before) :]:
        transformation.setName(name)
        transformation.setUid(name)


def _start(since_ms: int | None) -> dict[str, str]:
    if since_ms is None:
        return {"scan.startup.mode": "group-offsets"}
    return {"scan.startup.mode": "timestamp", "scan.startup.timestamp-millis": str(since_ms)}


def any_of(rows: Sequence[Topic]) -> str:
    """Pattern over the names of several topics of the table."""
    return "|".join(row.pattern for row in rows)


def _create_table(env: JobEnvironment, name: str, columns: str, options: Mapping[str, str]) -> str:
    table = name.replace("-", "_")
    pairs = ", ".join(f"'{_quoted(key)}' = '{_quoted(value)}'" for key, value in options.items())
    env.table.execute_sql(f"CREATE TEMPORARY TABLE {table} ({columns}) WITH ({pairs})")
    return table


def _quoted(text: str) -> str:
    return text.replace("'", "''")


def _connection(kafka: KafkaSettings) -> dict[str, str]:
    """Java client properties of the settings, which are named as librdkafka's."""
    pairs = {"bootstrap.servers": kafka.bootstrap_servers, "security.protocol": kafka.security_protocol}
    if kafka.ssl_ca_location:
        pairs |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": kafka.ssl_ca_location}
    if kafka.ssl_certificate_location:
        # The Java client wants key and certificate chain in one PEM file.
        pairs |= {
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": kafka.ssl_key_location or kafka.ssl_certificate_location,
        }
    return {f"properties.{key}": value for key, value in pairs.items()}


def _name_source(stream: DataStream, name: str) -> None:
    """Give the source under a table's stream its uid: the planner would derive one from the shape of the graph."""
    pending = [stream._j_data_stream.getTransformation()]
    while pending:
        transformation = pending.pop()
        inputs = list(transformation.getInputs())
        if not inputs:
            transformation.setName(name)
            transformation.setUid(name)
        pending += inputs
