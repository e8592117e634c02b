"""A topic of Kafka down to a gateway, from where the gateway says, and never more ahead of it than a few batches.

The gateway keeps its positions with what they led to; nothing is kept here. Rights are looked at before each batch is sent.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import grpc
from confluent_kafka import Message

from base.errors import InvalidRequestError, MillraceError, PermissionDeniedError, UnavailableError
from base.settings import KafkaSettings
from connectors.ingestion import wire
from connectors.ingestion.ingestion_pb2 import Batch, FollowRequest, FollowResponse, Mark, Marks, ReadRecord
from connectors.kafka import consume
from connectors.kafka.follow import Follower
from connectors.platform import IDLE_WAIT_MS
from ingestion.append import requests
from ingestion.metrics import Metrics
from ingestion.rights import Rights
from ingestion.streams import Stream
from schemas.topics import Access

_IN_FLIGHT, _BATCH, _WAIT_MS = 8, 1000, IDLE_WAIT_MS
"""At most, whatever a gateway asks for."""
_REFRESH_S = 30.0
# Of a topic that a gateway reads there is little, and the reader's queue is memory of this process.
_QUEUED_KB = 2048

Context = grpc.aio.ServicerContext[FollowRequest, FollowResponse]


class Follow:
    """Serves streams that read."""

    def __init__(self, kafka: KafkaSettings, rights: Rights, metrics: Metrics) -> None:
        self._kafka, self._rights, self._metrics = kafka, rights, metrics

    async def serve(self, stream: Stream, context: Context) -> None:
        """One stream to its end; raises what ends it."""
        first = await context.read()
        if first is wire.EOF or first.WhichOneof("kind") != "open":
            msg = "the first message of a stream says what is read"
            raise InvalidRequestError(msg)
        one = _Reading(self, stream, context, first.open.topic, in_flight=first.open.in_flight)
        one.check()
        await one.run(self._kafka, batch=first.open.batch, wait_ms=first.open.wait_ms)

    def check(self, stream: Stream, topic: str) -> None:
        """Raise PermissionDeniedError, UnavailableError unless the holder may read the topic now."""
        if not self._rights.may(stream.principal, Access.READ, topic):
            msg = f"this gateway may not read {topic[:200]!r}"
            raise PermissionDeniedError(msg)

    def sent(self, count: int) -> None:
        """Count records."""
        self._metrics.sent.inc(count)


class _Reading:
    """One stream."""

    def __init__(self, service: Follow, stream: Stream, context: Context, topic: str, *, in_flight: int) -> None:
        self._service, self._stream, self._context, self._topic = service, stream, context, topic
        self._in_flight = min(max(in_flight, 1), _IN_FLIGHT)
        self._room = asyncio.Semaphore(self._in_flight)
        self._taken = self._sent = 0
        self._writing = asyncio.Lock()
        self._starts: asyncio.Future[Mapping[int, int]] | None = None
        self._over = False

    def check(self) -> None:
        """Raise unless it may be read now."""
        self._service.check(self._stream, self._topic)

    async def run(self, kafka: KafkaSettings, *, batch: int, wait_ms: int) -> None:
        """Read and send until the stream ends; raises what ends it."""
        loop = asyncio.get_running_loop()

        def start(_topic: str, marks: consume.Marks) -> Mapping[int, int]:
            # In the reader's thread. The future is cancelled with the stream.
            return asyncio.run_coroutine_threadsafe(self._ask(marks), loop).result()

        follower = Follower(
            kafka,
            [re.escape(self._topic)],
            self._send,
            start=start,
            later=start,
            in_flight=self._in_flight,
            batch=min(max(batch, 1), _BATCH),
            refresh_s=_REFRESH_S,
            fetch_wait_max_ms=min(max(wait_ms, 10), _WAIT_MS),
            queued_max_messages_kbytes=_QUEUED_KB,
        )
        following = asyncio.create_task(follower.run())
        reading = asyncio.create_task(self._read())
        telling = asyncio.create_task(self._tell(follower))
        parts: set[asyncio.Future[Any]] = {following, reading, self._stream.ended}
        try:
            await asyncio.wait({*parts, telling}, return_when=asyncio.FIRST_COMPLETED)
            if telling.done():
                telling.result()
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            if self._stream.ended.done():
                raise self._stream.ended.result()
            for one in (following, reading):
                if one.done():
                    one.result()
        finally:
            self._over = True  # the reader's thread must not wait for an answer any more
            for task in (following, reading, telling):
                task.cancel()
            if self._starts is not None:
                self._starts.cancel()
            await asyncio.gather(following, reading, telling, return_exceptions=True)

    async def _tell(self, follower: Follower) -> None:
        await follower.caught_up.wait()
        # Behind the batches that the follower handed over before: the lock is given in the order of asking.
        await self._write(FollowResponse(caught_up=True))

    async def _ask(self, marks: consume.Marks) -> Mapping[int, int]:
        self._starts = asyncio.get_running_loop().create_future()
        rows = [Mark(partition=partition, low=low, high=high) for partition, (low, high) in marks.items()]
        if not self._over:
            await self._write(FollowResponse(marks=Marks(marks=rows)))
        if self._over:
            msg = "the stream has ended"
            raise UnavailableError(msg)
        starts = await self._starts
        if missing := set(marks) - set(starts):
            msg = f"no place was named for partition {min(missing)}"
            raise InvalidRequestError(msg)
        return starts

    async def _read(self) -> None:
        async for request in requests(self._context):
            match request.WhichOneof("kind"):
                case "starts" if self._starts is not None and not self._starts.done():
                    self._starts.set_result({one.partition: one.offset for one in request.starts.places})
                case "taken" if self._taken < request.taken <= self._sent:
                    for _ in range(request.taken - self._taken):
                        self._room.release()
                    self._taken = request.taken
                case _:
                    msg = "a message that says nothing here"
                    raise InvalidRequestError(msg)

    async def _send(self, messages: list[Message]) -> None:
        """Called by the follower, in order."""
        async with self._writing:
            rows: list[ReadRecord] = []
            size = 0
            for one in messages:
                row = _row(one)
                if rows and size + row.ByteSize() > wire.REQUEST_BYTES:
                    await self._batch(rows)
                    rows, size = [], 0
                rows.append(row)
                size += row.ByteSize()
            await self._batch(rows)

    async def _batch(self, rows: list[ReadRecord]) -> None:
        await self._room.acquire()
        try:
            self.check()
        except MillraceError as error:
            self._stream.end(error)
            raise
        self._sent += 1
        await self._context.write(FollowResponse(batch=Batch(records=rows)))
        self._service.sent(len(rows))

    async def _write(self, answer: FollowResponse) -> None:
        async with self._writing:
            await self._context.write(answer)


def _row(message: Message) -> ReadRecord:
    partition, offset = message.partition(), message.offset()
    assert partition is not None
    assert offset is not None
    row = ReadRecord(partition=partition, offset=offset)
    key, value = message.key(), message.value()
    if key is not None:
        row.key = bytes(key)
    if value is not None:
        row.value = bytes(value)
    return row
