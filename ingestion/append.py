"""Records from a gateway to Kafka: taken while there is room, answered when every in-sync replica has them.

Order: records of a stream go to one producer in the order of their coming, so a partition has them in it. What was taken from a stream that
has ended goes on to Kafka; its sender does not know and sends it again, and the copy is told by its identity.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any

import grpc
from confluent_kafka import KafkaError, Message

from base.errors import MillraceError, OverloadedError, PermissionDeniedError, UnavailableError
from connectors.ingestion import wire
from connectors.ingestion.ingestion_pb2 import AppendRequest, AppendResponse, NewRecord, Refusal
from connectors.kafka.client import AsyncProducer, DeliveryError
from connectors.kafka.platform import failure_of
from ingestion.budget import Budget
from ingestion.metrics import Metrics
from ingestion.rights import Rights
from ingestion.streams import Stream
from schemas.topics import Access

_FULL_S = 0.05
_RECORD_BYTES = 200
"""What a record takes beside its bytes: many small ones are bounded too."""


class Answers:
    """What became of the records of one stream. Reports come in the producer's thread, everything else is in the event loop."""

    def __init__(self, budget: Budget, metrics: Metrics, principal: str, fatal: asyncio.Event) -> None:
        self.news = asyncio.Event()
        self.outstanding = 0
        self._budget, self._metrics, self._principal, self._fatal = budget, metrics, principal, fatal
        self._loop = asyncio.get_running_loop()
        self._reports: deque[tuple[int, int, KafkaError | None]] = deque()
        self._announced = False
        self._answer = AppendResponse()

    def report(self, number: int, size: int, error: KafkaError | None) -> None:
        """A record's fate; one wake-up of the loop for many."""
        self._reports.append((number, size, error))
        if not self._announced and not self._loop.is_closed():
            self._announced = True
            self._loop.call_soon_threadsafe(self._collect)

    def refuse(self, number: int, text: str) -> None:
        """A record that goes nowhere."""
        self._answer.refused.add(number=number, text=text)
        self._metrics.records.labels("refused").inc()
        self.news.set()

    def drain(self) -> AppendResponse:
        """What there is to say."""
        answer, self._answer = self._answer, AppendResponse()
        self.news.clear()
        return answer

    def _collect(self) -> None:
        self._announced = False
        room = 0
        while self._reports:
            number, size, error = self._reports.popleft()
            self.outstanding -= 1
            room += size
            if error is None:
                self._answer.durable.append(number)
                self._metrics.records.labels("durable").inc()
                self._metrics.bytes.inc(size - _RECORD_BYTES)
                continue
            failure = failure_of(error)
            self._answer.refused.append(Refusal(number=number, text=failure.text, hopeless=failure.hopeless))
            self._metrics.records.labels("failed").inc()
            if failure.fatal:
                self._fatal.set()
        self._budget.give(self._principal, room)
        self.news.set()


class Append:
    """Takes the records of streams over."""

    def __init__(
        self, producer: AsyncProducer, rights: Rights, budget: Budget, metrics: Metrics, fatal: asyncio.Event
    ) -> None:
        self._producer, self._rights, self._budget, self._metrics, self._fatal = (
            producer,
            rights,
            budget,
            metrics,
            fatal,
        )

    async def serve(
        self, stream: Stream, context: grpc.aio.ServicerContext[AppendRequest, AppendResponse], drain_s: float
    ) -> None:
        """One stream to its end; raises what ends it."""
        answers = Answers(self._budget, self._metrics, stream.principal, self._fatal)
        reading = asyncio.create_task(self._read(stream, context, answers))
        try:
            await self._answer(stream, context, answers, reading)
        except UnavailableError:
            reading.cancel()
            # What was taken is durable in a moment, and a gateway that knows does not send it again.
            await self._last_answers(context, answers, drain_s)
            raise
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def _answer(
        self,
        stream: Stream,
        context: grpc.aio.ServicerContext[AppendRequest, AppendResponse],
        answers: Answers,
        reading: asyncio.Task[None],
    ) -> None:
        while True:
            news = asyncio.create_task(answers.news.wait())
            waited: set[asyncio.Future[Any]] = {news, stream.ended}
            if not reading.done():
                waited.add(reading)
            try:
                await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            if stream.ended.done():
                raise stream.ended.result()
            if answers.news.is_set():
                await context.write(answers.drain())
            if reading.done():
                reading.result()
                if not answers.outstanding and not answers.news.is_set():
                    return

    async def _last_answers(
        self, context: grpc.aio.ServicerContext[AppendRequest, AppendResponse], answers: Answers, drain_s: float
    ) -> None:
        try:
            async with asyncio.timeout(drain_s):
                while answers.outstanding or answers.news.is_set():
                    await answers.news.wait()
                    await context.write(answers.drain())
        except TimeoutError:
            return

    async def _read(
        self, stream: Stream, context: grpc.aio.ServicerContext[AppendRequest, AppendResponse], answers: Answers
    ) -> None:
        async for request in requests(context):
            for record in request.records:
                await self._take(stream, record, answers)

    async def _take(self, stream: Stream, record: NewRecord, answers: Answers) -> None:
        if not self._rights.may(stream.principal, Access.WRITE, record.topic):
            answers.refuse(record.number, f"this gateway may not write {record.topic[:200]!r}")
            return
        size = len(record.key) + len(record.value) + _RECORD_BYTES
        await self._budget.take(stream.principal, size)
        answers.outstanding += 1
        number = record.number

        def delivered(error: KafkaError | None, _message: Message) -> None:
            answers.report(number, size, error)

        while True:
            try:
                # Waiting for room takes time.
                if not self._rights.may(stream.principal, Access.WRITE, record.topic):
                    msg = f"this gateway may not write {record.topic[:200]!r} any more"
                    raise PermissionDeniedError(msg)
                self._producer.produce(record.topic, record.key, record.value, delivered)
            except OverloadedError:
                await asyncio.sleep(_FULL_S)
            except DeliveryError as error:
                answers.report(number, size, error.error)
                return
            except MillraceError:
                answers.outstanding -= 1
                self._budget.give(stream.principal, size)
                raise
            else:
                return


async def requests(context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
    """Messages of a stream until the caller has no more."""
    while (request := await context.read()) is not wire.EOF:
        yield request
