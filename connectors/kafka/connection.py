"""Connections to Kafka: confluent-kafka's producers and consumers with the same durable settings and errors for every service.

Enters: `base.settings.KafkaSettings`. Leaves: confluent-kafka's own objects; nothing is wrapped twice. Producers are
idempotent with acks=all, so a partition keeps the order of `produce` and holds a record once per `produce`. Consumers never commit by
themselves. Jobs use Flink's connector.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any

from confluent_kafka import OFFSET_END, Consumer, KafkaError, KafkaException, Producer, TopicPartition

from base.errors import UnavailableError
from base.settings import KafkaSettings
from connectors.platform import IDLE_WAIT_MS

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest record: the biggest frame with verdicts is 1.1 MB, and a rejected record carries another one whole."""

UNGROUPED = "millrace-ungrouped"
"""Group of consumers that have none: librdkafka asks for its coordinator all the same."""

_KEEP_UNDERSCORE = frozenset(
    {"error_cb", "stats_cb", "log_cb", "throttle_cb", "oauth_cb", "on_delivery", "on_commit", "log_level"}
)

_MOVING = (KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE)
_ASK_AGAIN_S = 0.1
_NO_SUCH_TOPIC = (KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC)

# What people need to do about the errors they meet most; librdkafka's text says only what happened.
_FIXES = {
    **dict.fromkeys(_NO_SUCH_TOPIC, "make it with `python -m connectors.kafka.admin --config platform.toml`"),
    KafkaError._ALL_BROKERS_DOWN: "check that the broker runs and that kafka.bootstrap_servers is right",
    KafkaError._TRANSPORT: "check that the broker runs and that kafka.bootstrap_servers is right",
    KafkaError._RESOLVE: "check the host names in kafka.bootstrap_servers",
    KafkaError._MSG_TIMED_OUT: "the broker did not confirm in time: check that it runs and is not overloaded",
    KafkaError._TIMED_OUT: "the broker did not answer in time: check that it runs and that kafka.bootstrap_servers is right",
    KafkaError._QUEUE_FULL: "records are produced faster than the broker takes them: wait, or raise queue.buffering.max.kbytes",
    KafkaError.MSG_SIZE_TOO_LARGE: f"records are limited to {MAX_MESSAGE_BYTES} bytes: close frames earlier",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "grant this principal the topic, or use the topic of its own site",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "grant this principal the consumer group",
    KafkaError.NOT_ENOUGH_REPLICAS: "a broker is missing: bring it back, the records are kept and sent again",
    KafkaError._AUTHENTICATION: "check the certificate and key in the [kafka] table",
    KafkaError._SSL: "check kafka.ssl_ca_location and kafka.security_protocol",
}

_LASTING = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_VERSION,
        KafkaError._AUTHENTICATION,
        KafkaError._SSL,
        KafkaError._INVALID_ARG,
        # Only where a reader asked for it (`auto_offset_reset="error"`): librdkafka reads that partition no more.
        KafkaError._AUTO_OFFSET_RESET,
        KafkaError._LOG_TRUNCATION,
    }
)


class DeliveryError(UnavailableError):
    """A record could not be handed to Kafka, or read from it.

    The message names the cause and what to do. `error` is librdkafka's.
    """

    def __init__(self, error: KafkaError, what: str) -> None:
        fix = _FIXES.get(error.code())
        super().__init__(f"{what}: {error.str()} ({error.name()})" + (f"; {fix}" if fix else ""))
        self.error = error

    @property
    def no_such_topic(self) -> bool:
        """Whether the topic does not exist, or this principal may not see it."""
        return self.error.code() in _NO_SUCH_TOPIC


def librdkafka_names(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`linger_ms` as `linger.ms`; names that already have dots, and callbacks, stay."""
    return {name if name in _KEEP_UNDERSCORE else name.replace("_", "."): value for name, value in overrides.items()}


def producer(settings: KafkaSettings, **overrides: Any) -> Producer:
    """Idempotent producer, acks=all, 5 ms linger, lz4. Overrides by librdkafka's name with underscores: `linger_ms=0`.

    The caller must call `poll` (`produce` has what does), and `flush` before it exits.
    """
    return Producer(
        {
            **settings.client_config(),
            "enable.idempotence": True,
            "acks": "all",
            "linger.ms": 5,
            "compression.type": "lz4",
            # Java's choice of partition for a key, not librdkafka's own: the commands job sends requests again to the same
            # topic as serving, and they must stay in order.
            "partitioner": "murmur2_random",
            "message.max.bytes": MAX_MESSAGE_BYTES,
            "delivery.timeout.ms": 120_000,
            # A new leader or a new topic must be seen in well under a second.
            "topic.metadata.refresh.interval.ms": 30_000,
            "reconnect.backoff.max.ms": 2_000,
            # A small record must not wait for the answer to the one before it.
            "socket.nagle.disable": True,
            "log_level": 3,
            "error_cb": log_error,
            **librdkafka_names(overrides),
        }
    )


def consumer(settings: KafkaSettings, *, group: str = "", **overrides: Any) -> Consumer:
    """Consumer that never commits by itself. Without `group` it is meant for `assign`, not for `subscribe`."""
    return Consumer(
        {
            **settings.client_config(),
            "group.id": group or UNGROUPED,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
            "fetch.wait.max.ms": IDLE_WAIT_MS,
            "topic.metadata.refresh.interval.ms": 30_000,
            "reconnect.backoff.max.ms": 2_000,
            "log_level": 3,
            "error_cb": log_error,
            **librdkafka_names(overrides),
        }
    )


def wait_all(futures: Mapping[Any, Future[Any]], *, timeout_s: float) -> None:
    """Wait for what a client of administration was asked; raises KafkaException, or TimeoutError after `timeout_s` for one of them."""
    for future in futures.values():
        future.result(timeout_s)


def log_error(error: KafkaError) -> None:
    """Error callback of librdkafka: connections come back by themselves, people should see that they went."""
    log.warning("kafka client: %s", error.str(), extra={"code": error.name(), "fix": _FIXES.get(error.code(), "")})


def partitions_of(source: Consumer, topic: str, *, timeout_s: float = 10.0) -> list[int]:
    """Partitions of a topic; raises DeliveryError when the broker does not answer or there is no such topic."""
    try:
        meta = source.list_topics(topic, timeout=timeout_s).topics[topic]
    except KafkaException as error:
        raise DeliveryError(error.args[0], f"topic {topic} cannot be looked up") from error
    if meta.error is not None:
        raise DeliveryError(meta.error, f"topic {topic} cannot be read")
    return sorted(meta.partitions)


def topics_matching(source: Consumer, patterns: Iterable[str], *, timeout_s: float = 10.0) -> dict[str, list[int]]:
    """The existing topics that match one of the regular expressions in full, sorted, each with its partitions: one question for all.

    Raises DeliveryError when the broker does not answer, or has no answer for one of them.
    """
    compiled = [re.compile(pattern) for pattern in patterns]
    try:
        listed = source.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise DeliveryError(error.args[0], "topics cannot be listed") from error
    found = {name: meta for name, meta in sorted(listed.items()) if any(one.fullmatch(name) for one in compiled)}
    for name, meta in found.items():
        if meta.error is not None:
            raise DeliveryError(meta.error, f"topic {name} cannot be read")
    return {name: sorted(meta.partitions) for name, meta in found.items()}


def watermarks(
    source: Consumer, topic: str, partitions: Iterable[int] | None = None, *, timeout_s: float = 10.0
) -> dict[int, tuple[int, int]]:
    """First offset and end offset (exclusive) of these partitions of a topic, without any of all.

    A partition that was just made, or has moved, may have a leader that does not know it yet: it is asked again until `timeout_s`.
    """
    deadline = time.monotonic() + timeout_s

    def of(partition: int) -> tuple[int, int]:
        while True:
            try:
                return source.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_s)
            except KafkaException as error:
                if error.args[0].code() not in _MOVING or time.monotonic() >= deadline:
                    raise DeliveryError(error.args[0], f"offsets of {topic}[{partition}] cannot be read") from error
            time.sleep(_ASK_AGAIN_S)
            partitions_of(source, topic, timeout_s=timeout_s)  # who leads now

    wanted = partitions_of(source, topic, timeout_s=timeout_s) if partitions is None else partitions
    return {partition: of(partition) for partition in wanted}


def ends(source: Consumer, topic: str, partitions: Iterable[int], *, timeout_s: float = 10.0) -> dict[int, int]:
    """End offset (exclusive) of partitions that are known, with one question to each of their leaders; raises DeliveryError."""
    asked = [TopicPartition(topic, partition, OFFSET_END) for partition in partitions]
    try:
        places = source.offsets_for_times(asked, timeout=timeout_s)
    except KafkaException as error:
        raise DeliveryError(error.args[0], f"the end of {topic} cannot be read") from error
    for place in places:
        if place.error is not None:
            raise DeliveryError(place.error, f"the end of {topic}[{place.partition}] cannot be read")
    return {place.partition: place.offset for place in places}


def passing(error: KafkaError) -> bool:
    """Whether waiting helps.

    Lost connections, moved leaders and topics yet to be made do pass; missing rights and broken TLS do not.
    """
    return not error.fatal() and error.code() not in _LASTING
