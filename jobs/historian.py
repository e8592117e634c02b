"""The historian job: everything worth keeping into PostgreSQL, each batch in one transaction.

`flink run -pym jobs.historian --config FILE`, with our packages on PYTHONPATH here and on TaskManagers. Reads the topics below,
writes the database, and `telemetry.rejected` for what the database refuses for good. Keyed by shards of the partitions;
at-least-once, made exact by the ledger. An unavailable database holds the job back, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyflink.datastream import DataStream

from historian.positions import GROUP, INPUTS
from jobs.config import JobConfig, from_arguments
from jobs.flink import kafka
from jobs.flink.environment import JobEnvironment, environment, execute
from jobs.flink.historian import HistorianOperator, MakeWriter
from jobs.flink.shards import shard_of_partition
from jobs.flink.types import key_type, output_type
from jobs.writer import WriterFactory
from schemas import topics

NAME = "millrace-historian"
OUTPUTS = (topics.REJECTED,)
_GATHER_MS = 50
"""A third of what a message waits for its transaction anyway (`BatchConfig.max_age_ms`)."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Rows of `jobs.flink.types.record_type`."""

    messages: DataStream


def build(
    env: JobEnvironment, sources: Sources, config: JobConfig, *, make_writer: MakeWriter | None = None
) -> DataStream:
    """The job between its ends: rows of `jobs.flink.types.output_type`. `make_writer` replaces the database in tests."""
    make_writer = make_writer or WriterFactory(dsn=config.postgres.dsn, config=config.historian)
    refused = sources.messages.key_by(shard_of_partition, key_type()).process(
        HistorianOperator(config.historian, make_writer), output_type()
    )
    return refused.uid("historian").name("historian")


def wire(env: JobEnvironment, config: JobConfig) -> None:
    """The job with its real ends."""
    messages = kafka.source(
        env, config.kafka, name="historian-messages", rows=INPUTS, group_id=GROUP, gather_ms=_GATHER_MS
    )
    outputs = build(env, Sources(messages=messages), config)
    kafka.sink(env, config.kafka, outputs, name="historian-rejected", rows=OUTPUTS)


def main() -> None:
    """Run under `flink run`."""
    config = from_arguments("historian")
    env = environment(parallelism=config.parallelism)
    wire(env, config)
    execute(env.stream, NAME)


if __name__ == "__main__":
    main()
