"""Sending with acknowledgements: many records from a thread that waits (`Outbox`, `send`), or from asyncio (`AsyncProducer`).

A record counts as sent when every in-sync replica has it. confluent-kafka's own `AIOProducer` is not used: it serves delivery reports
only with the next batch or on a timer of 0.1 s and more, so an awaited command would be confirmed up to a second late (ADR 0022).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from base.errors import OverloadedError
from base.settings import KafkaSettings
from connectors.kafka.connection import DeliveryError, producer

OnDelivery = Callable[[KafkaError | None, Message], None]
_POLL_S = 0.1
_ROOM_S = 0.05


class Outbox:
    """Records for one topic: put in one after another, then waited for."""

    def __init__(self, target: Producer, topic: str) -> None:
        self._target, self._topic = target, topic
        self._failed: list[KafkaError] = []
        self._count = 0

    def put(self, key: bytes | None, value: bytes | None) -> None:
        """Hand a record to the producer; waits while its queue is full. Raises DeliveryError when it is refused at once."""
        while True:
            try:
                self._target.produce(self._topic, value=value, key=key, on_delivery=self._on_delivery)
            except BufferError:
                self._target.poll(_ROOM_S)  # deliveries make room
            except KafkaException as error:
                raise DeliveryError(error.args[0], f"record for {self._topic} was refused") from error
            else:
                self._count += 1
                return

    def wait(self, timeout_s: float) -> int:
        """Wait until all are durable; returns how many. Raises DeliveryError."""
        left = self._target.flush(timeout_s)
        if self._failed:
            failed = f"{len(self._failed)} of {self._count} records for {self._topic} were not written"
            raise DeliveryError(self._failed[0], failed)
        if left:
            timed_out = KafkaError(KafkaError._MSG_TIMED_OUT)
            waiting = f"{left} of {self._count} records for {self._topic} were not confirmed in {timeout_s:g} s"
            raise DeliveryError(timed_out, waiting)
        return self._count

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failed.append(error)


def send(
    target: Producer, topic: str, records: Iterable[tuple[bytes | None, bytes | None]], *, timeout_s: float = 30.0
) -> int:
    """Produce (key, value) records and wait until all are durable; returns how many. Raises DeliveryError."""
    outbox = Outbox(target, topic)
    for key, value in records:
        outbox.put(key, value)
    return outbox.wait(timeout_s)


class AsyncProducer:
    """A producer for asyncio. One thread serves the delivery reports."""

    def __init__(self, settings: KafkaSettings, **overrides: Any) -> None:
        self._settings, self._overrides = settings, overrides
        self._producer = producer(settings, **overrides)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka-producer", daemon=True)
        self._thread.start()

    def produce(self, topic: str, key: bytes, value: bytes | None, on_delivery: OnDelivery) -> None:
        """Hand a record over; `on_delivery` is called in the producer's thread when its fate is known.

        Raises OverloadedError when the local queue is full, DeliveryError when the record is refused at once.
        """
        try:
            self._producer.produce(topic, value=value, key=key, on_delivery=on_delivery)
        except BufferError as error:
            msg = f"too many records for {topic} wait for the broker; try again"
            raise OverloadedError(msg) from error
        except KafkaException as error:
            raise DeliveryError(error.args[0], f"record for {topic} was refused") from error

    async def send(self, topic: str, key: bytes, value: bytes | None) -> Message:
        """Durable at every in-sync replica when it returns.

        Raises DeliveryError, OverloadedError when the local queue is full.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Message] = loop.create_future()

        def finish(error: KafkaError | None, message: Message) -> None:
            if done.done():
                return  # the caller has gone
            if error is None:
                done.set_result(message)
            else:
                done.set_exception(DeliveryError(error, f"record for {topic} was not written"))

        def on_delivery(error: KafkaError | None, message: Message) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(finish, error, message)

        self.produce(topic, key, value, on_delivery)
        return await done

    def renew(self) -> None:
        """Replace a producer that has failed for good. What it had under way is forgotten without a report: send it again."""
        self._producer.purge()
        self._producer = producer(self._settings, **self._overrides)

    async def flush(self, timeout_s: float) -> int:
        """Wait until everything is confirmed, at most so long; returns how many records still wait."""
        return await asyncio.to_thread(self._producer.flush, timeout_s)

    async def close(self, *, timeout_s: float = 10.0) -> int:
        """Wait for what is under way, then stop; returns how many records were given up."""
        left = await self.flush(timeout_s)
        await self._stop()
        return left

    async def abandon(self) -> None:
        """Stop without waiting for what is under way: the caller keeps it elsewhere."""
        await self._stop()
        self._producer.purge()
        await self.flush(1.0)

    async def _stop(self) -> None:
        self._stopped.set()
        await asyncio.to_thread(self._thread.join)

    def _serve(self) -> None:
        while not self._stopped.is_set():
            self._producer.poll(_POLL_S)
