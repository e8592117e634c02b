"""Kafka: thin functions over confluent-kafka, so that every service uses the same durable settings and the same errors.

Enters: `base.settings.KafkaSettings`. Leaves: confluent-kafka's own producers, consumers and messages; nothing is
wrapped twice. Who calls it: gateway, serving, tools, tests (jobs use Flink's connector). Delivery: producers are
idempotent with acks=all, so a partition keeps the order of `produce` and holds a record once per `produce`; sending
again after a timeout may still make a second copy, which is why every record carries an identity. Consumers here never
commit by themselves. Ordering: per partition only; `read_to_end` and `follow` interleave partitions as they arrive.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)

from base.errors import OverloadedError, UnavailableError
from base.settings import KafkaSettings

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Largest record: the biggest frame with verdicts is 1.1 MB, and a rejected record carries another one whole."""

_KEEP_UNDERSCORE = frozenset(
    {"error_cb", "stats_cb", "log_cb", "throttle_cb", "oauth_cb", "on_delivery", "on_commit", "log_level"}
)

# What people need to do about the errors they meet most; librdkafka's text says only what happened.
_FIXES = {
    KafkaError.UNKNOWN_TOPIC_OR_PART: "make it with `python -m connectors.kafka.admin --config platform.toml`",
    KafkaError._UNKNOWN_TOPIC: "make it with `python -m connectors.kafka.admin --config platform.toml`",
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
    }
)


class DeliveryError(UnavailableError):
    """A record could not be handed to Kafka, or read from it.

    The message names the cause and what to do. `code` is librdkafka's.
    """

    def __init__(self, error: KafkaError, what: str) -> None:
        fix = _FIXES.get(error.code())
        super().__init__(f"{what}: {error.str()} ({error.name()})" + (f"; {fix}" if fix else ""))
        self.code = error.code()
        self.retriable = error.retriable()


def librdkafka_names(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """`linger_ms` as `linger.ms`; names that already have dots, and callbacks, stay."""
    return {name if name in _KEEP_UNDERSCORE else name.replace("_", "."): value for name, value in overrides.items()}


def producer(settings: KafkaSettings, **overrides: Any) -> Producer:
    """Idempotent producer, acks=all, 5 ms linger, lz4. Overrides by librdkafka's name with underscores: `linger_ms=0`.

    The caller must call `poll` (or use `AsyncProducer`), and `flush` before it exits.
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
            "group.id": group or "millrace-ungrouped",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "auto.offset.reset": "earliest",
            "enable.partition.eof": False,
            "topic.metadata.refresh.interval.ms": 30_000,
            "reconnect.backoff.max.ms": 2_000,
            "log_level": 3,
            "error_cb": log_error,
            **librdkafka_names(overrides),
        }
    )


def log_error(error: KafkaError) -> None:
    """Error callback of librdkafka: connections come back by themselves, people should see that they went."""
    log.warning("kafka client: %s", error.str(), extra={"code": error.name(), "fix": _FIXES.get(error.code(), "")})


def send(
    target: Producer, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], *, timeout_s: float = 30.0
) -> int:
    """Produce (key, value) records and wait until all are durable; returns how many. Raises DeliveryError."""
    failed: list[KafkaError] = []

    def on_delivery(error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            failed.append(error)

    count = 0
    for key, value in records:
        _produce(target, topic, key, value, on_delivery)
        count += 1
    left = target.flush(timeout_s)
    if failed:
        raise DeliveryError(failed[0], f"{len(failed)} of {count} records for {topic} were not written")
    if left:
        timed_out = KafkaError(KafkaError._MSG_TIMED_OUT)
        raise DeliveryError(timed_out, f"{left} of {count} records for {topic} were not confirmed in {timeout_s:g} s")
    return count


def _produce(
    target: Producer, topic: str, key: bytes | None, value: bytes | None, on_delivery: Callable[..., None]
) -> None:
    while True:
        try:
            target.produce(topic, value=value, key=key, on_delivery=on_delivery)
        except BufferError:
            target.poll(0.05)  # the local queue is full: deliveries make room
        except KafkaException as error:
            raise DeliveryError(error.args[0], f"record for {topic} was refused") from error
        else:
            return


class AsyncProducer:
    """A producer for asyncio: `await send(...)` returns once the record is durable.

    One thread serves the delivery reports.
    """

    def __init__(self, settings: KafkaSettings, **overrides: Any) -> None:
        self._producer = producer(settings, **overrides)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-producer", daemon=True)
        self._thread.start()

    async def send(self, topic: str, key: bytes, value: bytes) -> Message:
        """Durable at every in-sync replica when it returns.

        Raises DeliveryError, OverloadedError when the local queue is full.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Message] = loop.create_future()

        def settle(error: KafkaError | None, message: Message) -> None:
            if done.done():
                return  # the caller has gone
            if error is None:
                done.set_result(message)
            else:
                done.set_exception(DeliveryError(error, f"record for {topic} was not written"))

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, error, message)

        try:
            self._producer.produce(topic, value=value, key=key, on_delivery=on_delivery)
        except BufferError as error:
            msg = f"too many records for {topic} wait for the broker; try again"
            raise OverloadedError(msg) from error
        except KafkaException as error:
            raise DeliveryError(error.args[0], f"record for {topic} was refused") from error
        return await done

    async def close(self, *, timeout_s: float = 10.0) -> int:
        """Wait for what is under way, then stop; returns how many records were given up."""
        left = await asyncio.to_thread(self._producer.flush, timeout_s)
        self._stopped.set()
        await asyncio.to_thread(self._thread.join)
        return left

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(0.1)


def partitions_of(source: Consumer, topic: str, *, timeout_s: float = 10.0) -> list[int]:
    """Partitions of a topic; raises DeliveryError when the broker does not answer or there is no such topic."""
    try:
        meta = source.list_topics(topic, timeout=timeout_s).topics[topic]
    except KafkaException as error:
        raise DeliveryError(error.args[0], f"topic {topic} cannot be looked up") from error
    if meta.error is not None:
        raise DeliveryError(meta.error, f"topic {topic} cannot be read")
    return sorted(meta.partitions)


def topics_matching(source: Consumer, patterns: Iterable[str], *, timeout_s: float = 10.0) -> list[str]:
    """Names of the existing topics that match one of the regular expressions in full, sorted."""
    compiled = [re.compile(pattern) for pattern in patterns]
    try:
        names = source.list_topics(timeout=timeout_s).topics
    except KafkaException as error:
        raise DeliveryError(error.args[0], "topics cannot be listed") from error
    return sorted(name for name in names if any(pattern.fullmatch(name) for pattern in compiled))


def watermarks(source: Consumer, topic: str, *, timeout_s: float = 10.0) -> dict[int, tuple[int, int]]:
    """First offset and end offset (exclusive) of every partition of a topic."""
    found: dict[int, tuple[int, int]] = {}
    for partition in partitions_of(source, topic, timeout_s=timeout_s):
        try:
            found[partition] = source.get_watermark_offsets(TopicPartition(topic, partition), timeout=timeout_s)
        except KafkaException as error:
            raise DeliveryError(error.args[0], f"offsets of {topic}[{partition}] cannot be read") from error
    return found


def read_to_end(
    settings: KafkaSettings, topic: str, *, last: int | None = None, timeout_s: float = 60.0
) -> Iterator[Message]:
    """Every record of a topic from its beginning (or the last `last` offsets of each partition) up to its end at the time of the call.

    Tombstones come along with value None. Ends also when the tail was compacted away. Raises DeliveryError when nothing
    comes for `timeout_s`.
    """
    source = consumer(settings, enable_partition_eof=True)
    try:
        ends = watermarks(source, topic)
        starts = {p: low if last is None else max(low, high - last) for p, (low, high) in ends.items()}
        waiting = {p for p, (_, high) in ends.items() if starts[p] < high}
        source.assign([TopicPartition(topic, p, starts[p]) for p in waiting])
        deadline = time.monotonic() + timeout_s
        while waiting:
            message = source.poll(1.0)
            error = None if message is None else message.error()
            if message is None or (error is not None and error.code() != KafkaError._PARTITION_EOF):
                if error is not None and not passing(error):
                    raise DeliveryError(error, f"{topic} cannot be read")
                if time.monotonic() > deadline:
                    raise DeliveryError(KafkaError(KafkaError._TIMED_OUT), f"{topic} gave nothing for {timeout_s:g} s")
                continue
            deadline = time.monotonic() + timeout_s
            partition, offset = message.partition(), message.offset()
            assert partition is not None and offset is not None  # only produced messages lack them
            if error is None and partition in waiting and offset < ends[partition][1]:
                yield message
            if error is not None or offset + 1 >= ends[partition][1]:
                waiting.discard(partition)
    finally:
        source.close()


def follow(
    settings: KafkaSettings, topics: Iterable[str], *, beginning: bool = True, stop: threading.Event | None = None
) -> Iterator[Message]:
    """Records of topics for ever (until `stop`), from their beginning or from now on.

    Blocks; `kafka_follow.Follower` is for asyncio.
    """
    source = consumer(settings)
    stop = stop or threading.Event()
    try:
        start = OFFSET_BEGINNING if beginning else OFFSET_END
        source.assign(
            [TopicPartition(topic, partition, start) for topic in topics for partition in partitions_of(source, topic)]
        )
        while not stop.is_set():
            message = source.poll(0.2)
            if message is None:
                continue
            error = message.error()
            if error is None:
                yield message
            elif not passing(error):
                raise DeliveryError(error, f"{message.topic()} cannot be read")
    finally:
        source.close()


def passing(error: KafkaError) -> bool:
    """Whether waiting helps.

    Lost connections, moved leaders and topics yet to be made do pass; missing rights and broken TLS do not.
    """
    return not error.fatal() and error.code() not in _LASTING
