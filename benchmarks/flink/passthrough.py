"""A job that does nothing: frames from Kafka to Kafka, between the ends and over the keyed exchange of the telemetry job.

`flink run -py benchmarks/flink/passthrough.py --config FILE`, with the telemetry job's configuration and name,
whose place it takes. What it costs is what Kafka, Flink and a Python operator cost before any of our work.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pyflink.common import Row
from pyflink.datastream import KeyedProcessFunction

from jobs.config import from_arguments
from jobs.flink import kafka
from jobs.flink.environment import environment, execute
from jobs.flink.shards import shard_of_lane
from jobs.flink.types import KEY, VALUE, key_type, output_type
from jobs.telemetry import NAME
from schemas import topics


class Pass(KeyedProcessFunction):
    """Writes what it is given to `telemetry.validated`."""

    def process_element(self, value: Row, ctx: Any) -> Iterator[Row]:
        """One frame."""
        yield Row(topics.VALIDATED.name, value[KEY], value[VALUE])


def main() -> None:
    """Run under `flink run`."""
    config = from_arguments("passthrough")
    env = environment(parallelism=config.parallelism)
    frames = kafka.source(env, config.kafka, name="passthrough-frames", rows=(topics.FRAMES,), group_id=NAME)
    passed = frames.key_by(shard_of_lane, key_type()).process(Pass(), output_type()).uid("pass").name("pass")
    # The sink takes a topic named by the record only when there may be several.
    kafka.sink(
        env, config.kafka, passed, name="passthrough-outputs", rows=(topics.VALIDATED, topics.REJECTED), linger_ms=2
    )
    execute(env.stream, NAME)


if __name__ == "__main__":
    main()
