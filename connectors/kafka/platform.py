"""A gateway's way to the platform by Kafka itself; what is promised is in `connectors.platform`."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from confluent_kafka import KafkaError, KafkaException, Message
from confluent_kafka.admin import AdminClient

from base.settings import KafkaSettings
from connectors.kafka.connection import DeliveryError
from connectors.kafka.consume import from_beginning
from connectors.kafka.follow import Follower
from connectors.kafka.produce import AsyncProducer
from connectors.platform import PACE, Failure, Marks, OnDelivery, OnRecords, Pace, Start

# Errors that come back however often the record is sent.
_HOPELESS = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})
# What a producer says of records that it forgets when it is replaced.
_FORGOTTEN = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001
_REFRESH_S = 30.0


def failure_of(error: KafkaError) -> Failure:
    """The same without Kafka."""
    code = error.code()
    return Failure(text=error.str(), hopeless=code in _HOPELESS, fatal=error.fatal(), forgotten=code in _FORGOTTEN)


class KafkaSender:
    """A producer. What waits for Kafka is retried for ever: what must not wait for ever is on disk."""

    problem = ""

    def __init__(self, settings: KafkaSettings, *, linger_ms: int, compressed: bool) -> None:
        overrides = {} if compressed else {"compression_type": "none"}
        self._producer = AsyncProducer(settings, linger_ms=linger_ms, delivery_timeout_ms=0, **overrides)

    def produce(self, topic: str, key: bytes, value: bytes, on_delivery: OnDelivery) -> None:
        """As promised."""

        def delivered(error: KafkaError | None, _message: Message) -> None:
            on_delivery(None if error is None else failure_of(error))

        try:
            self._producer.produce(topic, key, value, delivered)
        except DeliveryError as error:
            on_delivery(failure_of(error.error))

    def renew(self) -> None:
        """As promised."""
        self._producer.renew()

    async def flush(self, timeout_s: float) -> int:
        """As promised."""
        return await self._producer.flush(timeout_s)

    async def close(self, timeout_s: float) -> None:
        """As promised."""
        await self._producer.close(timeout_s=timeout_s)

    async def abandon(self) -> None:
        """As promised."""
        await self._producer.abandon()


class KafkaPlatform:
    """Kafka, with a gateway's own credentials."""

    name = "kafka"

    def __init__(self, settings: KafkaSettings) -> None:
        self._settings = settings

    def sender(self, *, linger_ms: int, compressed: bool = True) -> KafkaSender:
        """As promised."""
        return KafkaSender(self._settings, linger_ms=linger_ms, compressed=compressed)

    def follow(
        self,
        topic: str,
        on_records: OnRecords,
        *,
        start: Start | None = None,
        pace: Pace = PACE,
    ) -> Follower:
        """As promised."""
        loop = asyncio.get_running_loop()

        def begin(name: str, marks: Marks) -> Mapping[int, int]:
            # In the reader's thread.
            if start is None:
                return from_beginning(name, marks)
            return asyncio.run_coroutine_threadsafe(_ask(start, marks), loop).result()

        return Follower(
            self._settings,
            [re.escape(topic)],
            on_records,  # type: ignore[arg-type]  # a Message is a Record
            start=begin,
            later=begin,
            in_flight=pace.in_flight,
            batch=pace.batch,
            refresh_s=_REFRESH_S,
            fetch_wait_max_ms=pace.wait_ms,
        )

    def look(self, timeout_s: float) -> str:
        """As promised."""
        where = self._settings.bootstrap_servers[:200]
        settings: dict[str, str | int | float | bool] = {
            **self._settings.client_config(),
            "log_level": 0,
            "socket.timeout.ms": int(timeout_s * 1000),
        }
        try:
            brokers = len(AdminClient(settings).list_topics(timeout=timeout_s).brokers)
        except KafkaException as error:
            raise DeliveryError(error.args[0], where) from error
        return f"{brokers} brokers at {where}"


async def _ask(start: Start, marks: Marks) -> Mapping[int, int]:
    return await start(marks)
