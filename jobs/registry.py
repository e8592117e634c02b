"""The registry's topic as it is now, for operators that must know every definition before their first record.

Who calls: the telemetry operator when it opens, on a TaskManager. Raises DeliveryError when Kafka does not answer; Flink
then starts the job again, as with a source that cannot be read.
"""

from __future__ import annotations

from collections.abc import Iterator

from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from schemas import topics


def snapshot(settings: KafkaSettings) -> Iterator[bytes]:
    """Messages of `registry.tags` from its beginning to its present end."""
    for message in kafka.read_to_end(settings, topics.TAGS.name):
        if (value := message.value()) is not None:
            yield value
