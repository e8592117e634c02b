"""Where topics end and how far consumer groups are: what `top` and the accounting look at.

Enters: settings of the connection. Leaves: plain numbers. Flink's sources commit on checkpoints, so their lag is at
most one checkpoint too large. Partitions whose leader is changing are left out rather than failing the whole look.
Committed offsets are asked for through a consumer of the group that never joins it, not through the AdminClient:
`list_consumer_group_offsets` of confluent-kafka 2.16.1 ends the process with a segmentation fault when the group's
coordinator is not ready, as on a broker just started (librdkafka's rd_kafka_cgrp_op without a group).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from base.settings import KafkaSettings
from connectors.kafka import client as kafka
from connectors.kafka.client import DeliveryError

Offsets = dict[tuple[str, int], int]
"""(topic, partition) to offset."""

_TIMEOUT_S = 5.0
_PARTITIONS_S = 60.0
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]


class OffsetReader:
    """Connections to a broker for looking at offsets, kept between looks."""

    def __init__(self, settings: KafkaSettings, groups: Iterable[str]) -> None:
        quiet = {"log_level": 0, "error_cb": lambda _: None}
        self._admin = AdminClient({**settings.client_config(), "log_level": 0, "socket.timeout.ms": 5000})
        self._groups: dict[str, Consumer] = {group: kafka.consumer(settings, group=group, **quiet) for group in groups}

    def close(self) -> None:
        """Let go of the connections."""
        for member in self._groups.values():
            member.close()

    def ends(self) -> Offsets:
        """End offset of the partitions of all topics that are not internal. Raises DeliveryError."""
        try:
            topics = self._admin.list_topics(timeout=_TIMEOUT_S).topics
        except KafkaException as error:
            raise DeliveryError(error.args[0], "topics cannot be listed") from error
        names = [name for name in topics if not name.startswith("__")]
        asked = self._admin.list_offsets(
            {TopicPartition(name, p): _LATEST for name in names for p in topics[name].partitions}
        )
        found: Offsets = {}
        for place, future in asked.items():
            if future.exception(_TIMEOUT_S) is None:
                found[place.topic, place.partition] = future.result().offset
        return found

    def committed(self, partitions: Iterable[tuple[str, int]]) -> dict[str, Offsets]:
        """Committed offset of each group in those of the partitions where it has one. Raises DeliveryError."""
        asked = [TopicPartition(topic, partition) for topic, partition in partitions]
        found: dict[str, Offsets] = {}
        for group, member in self._groups.items():
            try:
                places = member.committed(asked, timeout=_TIMEOUT_S) if asked else []
            except KafkaException as error:
                raise DeliveryError(error.args[0], f"offsets of group {group} cannot be read") from error
            found[group] = {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}
        return found


def lag(end: Offsets, at: Offsets) -> dict[str, int]:
    """Records behind, per topic that a group has committed in."""
    behind: dict[str, int] = {}
    for (topic, partition), offset in at.items():
        behind[topic] = behind.get(topic, 0) + max(0, end.get((topic, partition), offset) - offset)
    return behind


class TopicEnd:
    """Where one topic ends, for who looks again and again: a look is one question to the broker.

    Its partitions are asked for at the first look, after one that failed, and each minute.
    """

    def __init__(
        self, source: Consumer, topic: str, *, timeout_s: float, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._source, self._topic, self._timeout_s, self._clock_s = source, topic, timeout_s, clock_s
        self._partitions: list[int] = []
        self._asked_s = 0.0

    def look(self) -> dict[int, int]:
        """End offset (exclusive) of each partition. Raises DeliveryError."""
        now_s = self._clock_s()
        if not self._partitions or now_s - self._asked_s >= _PARTITIONS_S:
            self._partitions = kafka.partitions_of(self._source, self._topic, timeout_s=self._timeout_s)
            self._asked_s = now_s
        try:
            return kafka.ends(self._source, self._topic, self._partitions, timeout_s=self._timeout_s)
        except DeliveryError:
            self._partitions = []
            raise


class GroupPosition:
    """Where one group stands in one topic, over a connection of its own that is kept between looks."""

    def __init__(self, settings: KafkaSettings, group: str, topic: str) -> None:
        self._member = kafka.consumer(settings, group=group, log_level=0, error_cb=lambda _: None)
        self._topic, self._end = topic, TopicEnd(self._member, topic, timeout_s=_TIMEOUT_S)

    def look(self) -> tuple[Offsets, Offsets]:
        """Committed offsets, where there are some, and ends. Blocks for seconds; raises DeliveryError."""
        ends = {(self._topic, partition): end for partition, end in self._end.look().items()}
        try:
            places = self._member.committed([TopicPartition(*place) for place in ends], timeout=_TIMEOUT_S)
        except KafkaException as error:
            raise DeliveryError(error.args[0], "offsets of a group cannot be read") from error
        return {(place.topic, place.partition): place.offset for place in places if place.offset >= 0}, ends

    def close(self) -> None:
        """Let go of the connection."""
        self._member.close()
