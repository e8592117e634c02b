"""Where topics end and how far consumer groups are: what `top` and the accounting look at.

Enters: an AdminClient. Leaves: plain numbers. Flink's sources commit on checkpoints, so their lag is at most one
checkpoint too large.
"""

from __future__ import annotations

from collections.abc import Iterable

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from connectors.kafka import DeliveryError
from schemas.settings import KafkaSettings

_TIMEOUT_S = 5.0
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


def admin_client(settings: KafkaSettings) -> AdminClient:
    """Quiet admin client: an unreachable broker is an error of the call, not lines on a terminal."""
    return AdminClient({**settings.client_config(), "log_level": 0, "socket.timeout.ms": int(_TIMEOUT_S * 1000)})


def ends(admin: AdminClient) -> dict[tuple[str, int], int]:
    """End offset of every partition of every topic that is not internal. Raises DeliveryError."""
    try:
        topics = admin.list_topics(timeout=_TIMEOUT_S).topics
        wanted = [
            TopicPartition(name, p)
            for name, meta in topics.items()
            if not name.startswith("__")
            for p in meta.partitions
        ]
        return _offsets(admin, wanted)
    except KafkaException as error:
        raise DeliveryError(error.args[0], "ends of topics cannot be read") from error


def committed(admin: AdminClient, groups: Iterable[str]) -> dict[str, dict[tuple[str, int], int]]:
    """Committed offset of every partition, per group; a group that never committed has none. Raises DeliveryError."""
    found: dict[str, dict[tuple[str, int], int]] = {}
    try:
        for group in groups:
            [future] = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group)]).values()
            places = future.result(_TIMEOUT_S).topic_partitions or ()
            found[group] = {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}
    except KafkaException as error:
        raise DeliveryError(error.args[0], "offsets of consumer groups cannot be read") from error
    return found


def lag(end: dict[tuple[str, int], int], at: dict[tuple[str, int], int]) -> dict[str, int]:
    """Records behind, per topic that a group has committed in."""
    behind: dict[str, int] = {}
    for (topic, partition), offset in at.items():
        behind[topic] = behind.get(topic, 0) + max(0, end.get((topic, partition), offset) - offset)
    return behind


def _offsets(admin: AdminClient, partitions: list[TopicPartition]) -> dict[tuple[str, int], int]:
    asked = admin.list_offsets({partition: _LATEST for partition in partitions})
    return {(place.topic, place.partition): future.result(_TIMEOUT_S).offset for place, future in asked.items()}
