"""The telemetry job: frames in; validated frames, rejects, latest values, windows, anomalies and lane progress out.

`flink run -pym jobs.telemetry --config FILE`, with our packages on PYTHONPATH here and on TaskManagers. Reads `telemetry.frames.*`,
`registry.tags`, `anomaly.labels` and, where frames have to be signed, `signing.keys`; writes the `telemetry.*` topics. Keyed by shards
of lanes; order per lane is that of its topic partition; at-least-once, and a frame that comes twice is validated once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pyflink.datastream import DataStream

from base import ids
from base.settings import KafkaSettings
from jobs import registry
from jobs.config import JobConfig, from_arguments
from jobs.flink import kafka
from jobs.flink.environment import JobEnvironment, environment, execute
from jobs.flink.shards import shard_of_lane
from jobs.flink.telemetry import Snapshot, TelemetryOperator, no_snapshot, registry_descriptor
from jobs.flink.types import key_type, output_type
from jobs.signing_keys import Keys, keys_of, no_keys
from schemas import topics

NAME = "millrace-telemetry"
DEFINITIONS = (topics.TAGS, topics.ANOMALY_LABELS)
OUTPUTS = (topics.VALIDATED, topics.REJECTED, topics.LATEST, topics.AGGREGATES, topics.LANES, topics.ANOMALIES)
_CLOCKS_DIFFER_MS = 15_000
"""A registry message or label that is missing from the operator's snapshot is not older than the submission by more than this."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Rows of `jobs.flink.types.record_type`."""

    frames: DataStream
    registry: DataStream


def build(
    env: JobEnvironment,
    sources: Sources,
    config: JobConfig,
    *,
    clock: ids.Clock = ids.now_us,
    snapshot: Snapshot = no_snapshot,
    keys: Keys = no_keys,
) -> DataStream:
    """The job between its ends: rows of `jobs.flink.types.output_type`. `snapshot` and `keys`: see TelemetryOperator."""
    definitions = sources.registry.broadcast(registry_descriptor())
    operator = TelemetryOperator(
        config.telemetry,
        clock=clock,
        snapshot=snapshot,
        keys=keys,
        unsigned_until_us=config.signatures.unsigned_until_us,
    )
    validated = sources.frames.key_by(shard_of_lane, key_type()).connect(definitions).process(operator, output_type())
    return validated.uid("telemetry").name("telemetry")


def all_definitions(settings: KafkaSettings) -> Iterator[bytes]:
    """Messages of the registry, then labels, whose topic an instance from before them does not have."""
    for topic in DEFINITIONS:
        yield from registry.snapshot(settings, topic, may_be_missing=topic is topics.ANOMALY_LABELS)


def wire(env: JobEnvironment, config: JobConfig) -> None:
    """The job with its real ends."""
    frames = kafka.source(env, config.kafka, name="telemetry-frames", rows=(topics.FRAMES,), group_id=NAME)
    definitions = kafka.source(
        env,
        config.kafka,
        name="telemetry-registry",
        rows=DEFINITIONS,
        group_id=f"{NAME}-registry",
        # The operator reads what is there when it opens, in a fraction of the time it takes record by record.
        since_ms=ids.now_us() // 1000 - _CLOCKS_DIFFER_MS,
    )
    sources = Sources(frames=frames, registry=definitions)
    keys = keys_of(config.kafka, config.signatures)
    outputs = build(env, sources, config, snapshot=partial(all_definitions, config.kafka), keys=keys)
    kafka.sink(env, config.kafka, outputs, name="telemetry-outputs", rows=OUTPUTS, linger_ms=10)


def main() -> None:
    """Run under `flink run`."""
    config = from_arguments("telemetry")
    env = environment(parallelism=config.parallelism)
    wire(env, config)
    execute(env.stream, NAME)


if __name__ == "__main__":
    main()
