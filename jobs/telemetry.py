"""The telemetry job: frames in; validated frames, rejects, latest values, windows, anomalies and lane progress out.

`flink run -pym jobs.telemetry --config FILE`, with our packages on PYTHONPATH here and on TaskManagers. Reads `telemetry.frames.*` and
`registry.tags`, writes the `telemetry.*` topics. Keyed by shards of lanes; order per lane is that of its topic
partition; at-least-once, and a frame that comes twice is validated once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from pyflink.datastream import DataStream

from base import ids
from jobs import registry
from jobs.config import JobConfig, from_arguments
from jobs.flink import kafka
from jobs.flink.environment import JobEnvironment, environment, execute
from jobs.flink.shards import shard_of_lane
from jobs.flink.telemetry import Snapshot, TelemetryOperator, no_snapshot, registry_descriptor
from jobs.flink.types import key_type, output_type
from schemas import topics

NAME = "millrace-telemetry"
OUTPUTS = (topics.VALIDATED, topics.REJECTED, topics.LATEST, topics.AGGREGATES, topics.LANES, topics.ANOMALIES)
_CLOCKS_DIFFER_MS = 15_000
"""A registry message that is missing from the operator's snapshot is not older than the submission by more than this."""


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
) -> DataStream:
    """The job between its ends: rows of `jobs.flink.types.output_type`. `snapshot`: see TelemetryOperator."""
    definitions = sources.registry.broadcast(registry_descriptor())
    validated = (
        sources.frames.key_by(shard_of_lane, key_type())
        .connect(definitions)
        .process(TelemetryOperator(config.telemetry, clock=clock, snapshot=snapshot), output_type())
    )
    return validated.uid("telemetry").name("telemetry")


def wire(env: JobEnvironment, config: JobConfig) -> None:
    """The job with its real ends."""
    frames = kafka.source(env, config.kafka, name="telemetry-frames", rows=(topics.FRAMES,), group_id=NAME)
    definitions = kafka.source(
        env,
        config.kafka,
        name="telemetry-registry",
        rows=(topics.TAGS,),
        group_id=f"{NAME}-registry",
        # The operator reads what is there when it opens, in a fraction of the time it takes record by record.
        since_ms=ids.now_us() // 1000 - _CLOCKS_DIFFER_MS,
    )
    sources = Sources(frames=frames, registry=definitions)
    outputs = build(env, sources, config, snapshot=partial(registry.snapshot, config.kafka))
    kafka.sink(env, config.kafka, outputs, name="telemetry-outputs", rows=OUTPUTS, linger_ms=10)


def main() -> None:
    """Run under `flink run`."""
    config = from_arguments("telemetry")
    env = environment(parallelism=config.parallelism)
    wire(env, config)
    execute(env.stream, NAME)


if __name__ == "__main__":
    main()
