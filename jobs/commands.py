"""The commands job: requests, controls and acknowledgements in; the record of every command out.

`flink run -pym jobs.commands --config FILE`, with our packages on PYTHONPATH here and on TaskManagers. Reads `command.requests.*` and
`command.acks.*` and, where acknowledgements have to be signed, `signing.keys`; writes `command.states`, and `command.requests.<site>`
where an undelivered request is sent again. Keyed by command id; any order of requests and acks; at-least-once. A person waits for it:
nothing on its way waits longer than for what came with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyflink.datastream import DataStream

from jobs.config import JobConfig, from_arguments
from jobs.flink import kafka
from jobs.flink.commands import CommandsOperator, command_of
from jobs.flink.environment import JobEnvironment, environment, execute
from jobs.flink.types import key_type, output_type
from jobs.signing_keys import Keys, keys_of, no_keys
from schemas import topics

NAME = "millrace-commands"
INPUTS = (topics.REQUESTS, topics.ACKS)
OUTPUTS = (topics.STATES, topics.REQUESTS, topics.REJECTED)
BUFFER_TIMEOUT_MS = 0
"""A flush per record: few come, and a thread that flushes each millisecond costs an idle line more than they do."""

_LINGER_MS = 2
"""Acknowledgements that a gateway sent together are told together: each request costs the broker and all readers as much as a record."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Rows of `jobs.flink.types.record_type`."""

    records: DataStream


def build(env: JobEnvironment, sources: Sources, config: JobConfig, *, keys: Keys = no_keys) -> DataStream:
    """The job between its ends: rows of `jobs.flink.types.output_type`. `keys`: see CommandsOperator."""
    operator = CommandsOperator(config.commands, keys=keys, unsigned_until_us=config.signatures.unsigned_until_us)
    states = sources.records.key_by(command_of, key_type()).process(operator, output_type())
    return states.uid("commands").name("commands")


def wire(env: JobEnvironment, config: JobConfig) -> None:
    """The job with its real ends."""
    records = kafka.source(env, config.kafka, name="commands-records", rows=INPUTS, group_id=NAME)
    outputs = build(env, Sources(records=records), config, keys=keys_of(config.kafka, config.signatures))
    kafka.sink(env, config.kafka, outputs, name="commands-outputs", rows=OUTPUTS, linger_ms=_LINGER_MS)


def main() -> None:
    """Run under `flink run`."""
    config = from_arguments("commands")
    env = environment(parallelism=config.parallelism, buffer_timeout_ms=BUFFER_TIMEOUT_MS)
    wire(env, config)
    execute(env.stream, NAME)


if __name__ == "__main__":
    main()
