"""The registry's topic as it is now, for operators that must know every definition before their first record.

Who calls: the telemetry operator when it opens, on a TaskManager. Raises DeliveryError when Kafka does not answer; Flink
then starts the job again, as with a source that cannot be read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from schemas import topics

log = logging.getLogger(__name__)


def snapshot(
    settings: KafkaSettings, topic: topics.Topic = topics.TAGS, *, may_be_missing: bool = False
) -> Iterator[bytes]:
    """Messages of `registry.tags`, or of another topic of definitions, from its beginning to its present end.

    `may_be_missing`: a topic that does not exist is empty, with a warning in the log: it is younger than the instance may be.
    """
    try:
        for message in kafka.read_to_end(settings, topic.name):
            if (value := message.value()) is not None:
                yield value
    except kafka.DeliveryError as error:
        if not may_be_missing or not error.no_such_topic:
            raise
        log.warning("there is no such topic; it counts as empty", extra={"topic": topic.name, "cause": str(error)})
