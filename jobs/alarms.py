"""The alarms job: last values, events, anomalies, command states and people's actions in; alarms and what happened to them out.

`flink run -pym jobs.alarms --config FILE`, with our packages on PYTHONPATH here and on TaskManagers. Reads `telemetry.latest`,
`device.events.*`, `telemetry.anomalies`, `command.states`, `alarm.actions`, `registry.tags` and `alarm.rules`; writes `alarms` and
`alarm.events`, and reads `alarms` when it starts. Keyed by site; any order between topics; at-least-once. A person waits for it: nothing
on its way is batched.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pyflink.datastream import DataStream

from base import ids
from base.settings import KafkaSettings
from connectors.kafka import client
from connectors.kafka.connection import DeliveryError
from jobs import registry
from jobs.config import JobConfig, from_arguments
from jobs.flink import kafka
from jobs.flink.alarms import AlarmsOperator, Records, SiteOf, Snapshot, definitions_descriptor
from jobs.flink.environment import JobEnvironment, environment, execute
from jobs.flink.types import key_type, output_type
from schemas import topics
from stages.alarms.listening import Reachable, always

NAME = "millrace-alarms"
INPUTS = (topics.LATEST, topics.EVENTS, topics.ANOMALIES, topics.STATES, topics.ALARM_ACTIONS)
DEFINITIONS = (topics.TAGS, topics.ALARM_RULES)
OUTPUTS = (topics.ALARMS, topics.ALARM_EVENTS, topics.REJECTED)
BUFFER_TIMEOUT_MS = 0
"""A flush per record, as in the commands job: a record is a batch of values."""
_GATHER_MS = 100
"""Half of what a frame takes to be closed; most commands have their four records within so long."""
_ANSWER_S = 2.0
_CLOCKS_DIFFER_MS = 15_000
"""A definition that is missing from the operator's snapshot is not older than the submission by more than this."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Rows of `jobs.flink.types.record_type`."""

    records: DataStream
    definitions: DataStream


def build(
    env: JobEnvironment,
    sources: Sources,
    config: JobConfig,
    *,
    clock: ids.Clock = ids.now_us,
    tags: Snapshot = tuple,
    snapshot: Snapshot = tuple,
    published: Records = tuple,
    reachable: Reachable = always,
) -> DataStream:
    """The job between its ends: rows of `jobs.flink.types.output_type`.

    `tags` are messages of the registry, `snapshot` all definitions, `published` the records of `alarms`.
    """
    told = (
        sources.records.key_by(SiteOf(tags, clock), key_type())
        .connect(sources.definitions.broadcast(definitions_descriptor()))
        .process(
            AlarmsOperator(config.alarms, clock=clock, snapshot=snapshot, published=published, reachable=reachable),
            output_type(),
        )
    )
    return told.uid("alarms").name("alarms")


def all_definitions(settings: KafkaSettings) -> Iterator[bytes]:
    """Messages of the registry, then of the rules."""
    for topic in DEFINITIONS:
        yield from registry.snapshot(settings, topic)


def published_alarms(settings: KafkaSettings) -> Iterator[tuple[bytes, bytes | None]]:
    """Records of `alarms` from its beginning to its present end."""
    for message in client.read_to_end(settings, topics.ALARMS.name):
        yield message.key() or b"", message.value()


def broker_answers(settings: KafkaSettings) -> bool:
    """Whether the last values could be read now: the leaders of their partitions answer."""
    source = client.consumer(settings, reconnect_backoff_ms=1_000, reconnect_backoff_max_ms=1_000)
    try:
        client.watermarks(source, topics.LATEST.name, timeout_s=_ANSWER_S)
    except DeliveryError:
        return False
    finally:
        source.close()
    return True


def wire(env: JobEnvironment, config: JobConfig) -> None:
    """The job with its real ends."""
    records = kafka.source(env, config.kafka, name="alarms-records", rows=INPUTS, group_id=NAME, gather_ms=_GATHER_MS)
    definitions = kafka.source(
        env,
        config.kafka,
        name="alarms-definitions",
        rows=DEFINITIONS,
        group_id=f"{NAME}-definitions",
        since_ms=ids.now_us() // 1000 - _CLOCKS_DIFFER_MS,
    )
    outputs = build(
        env,
        Sources(records=records, definitions=definitions),
        config,
        tags=partial(registry.snapshot, config.kafka),
        snapshot=partial(all_definitions, config.kafka),
        published=partial(published_alarms, config.kafka),
        reachable=partial(broker_answers, config.kafka),
    )
    kafka.sink(env, config.kafka, outputs, name="alarms-outputs", rows=OUTPUTS, linger_ms=0)


def main() -> None:
    """Run under `flink run`."""
    config = from_arguments("alarms")
    env = environment(parallelism=config.parallelism, buffer_timeout_ms=BUFFER_TIMEOUT_MS)
    wire(env, config)
    execute(env.stream, NAME)


if __name__ == "__main__":
    main()
