"""Sends records to the ingestion service and keeps them until it says that they are durable.

Lives in one event loop. A stream that ends is opened again, and what has no answer is sent again in its order, so an answer that was lost
makes a second copy: the record's identity tells. Sending ahead is bounded by the service, which takes no more than it may hold.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from base.errors import OverloadedError
from connectors.ingestion.ingestion_pb2 import AppendRequest, AppendResponse, NewRecord
from connectors.ingestion.link import Link, opened
from connectors.ingestion.wire import APPEND, REQUEST_BYTES
from connectors.platform import Failure, OnDelivery
from schemas.topics import MAX_RECORD_BYTES

_WAITING_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class _Waiting:
    record: NewRecord
    size: int
    on_delivery: OnDelivery


class IngestionSender:
    """One stream to the service, and what waits for it."""

    def __init__(self, connect: Callable[[], grpc.aio.Channel], *, linger_ms: int) -> None:
        self._link = Link()
        self._connect, self._linger_s = connect, linger_ms / 1000
        self._waiting: dict[int, _Waiting] = {}
        self._unsent: deque[int] = deque()
        self._bytes = self._next = 0
        self._more, self._durable = asyncio.Event(), asyncio.Event()
        self._task = self._start()

    @property
    def problem(self) -> str:
        """As promised."""
        return self._link.problem

    def produce(self, topic: str, key: bytes, value: bytes, on_delivery: OnDelivery) -> None:
        """As promised."""
        size = len(key) + len(value)
        if size > MAX_RECORD_BYTES:
            on_delivery(Failure(text=f"the record has {size} bytes, more than {MAX_RECORD_BYTES}", hopeless=True))
            return
        if self._bytes + size > _WAITING_BYTES:
            msg = f"too many records for {topic} wait for the ingestion service; try again"
            raise OverloadedError(msg)
        record = NewRecord(number=self._next, topic=topic, key=key, value=value)
        self._waiting[self._next] = _Waiting(record, size, on_delivery)
        self._unsent.append(self._next)
        self._next += 1
        self._bytes += size
        self._more.set()

    def renew(self) -> None:
        """As promised."""
        self._forget()
        self._task.cancel()
        self._task = self._start()

    async def flush(self, timeout_s: float) -> int:
        """As promised."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._waiting:
                    self._durable.clear()
                    await self._durable.wait()
        return len(self._waiting)

    async def close(self, timeout_s: float) -> None:
        """As promised."""
        await self.flush(timeout_s)
        await self.abandon()

    async def abandon(self) -> None:
        """As promised."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._forget()

    # --- inside --------------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        # A stream that is ending still has the old queue.
        self._waiting, self._unsent = {}, deque()
        self._bytes = 0
        self._durable.set()

    def _start(self) -> asyncio.Task[None]:
        keeping = self._link.keep(self._stream, "records wait for the ingestion service", {})
        return asyncio.create_task(keeping, name="ingestion sender")

    async def _stream(self) -> None:
        unsent = self._unsent = deque(self._waiting)
        async with self._connect() as channel:
            call = opened(channel, APPEND, AppendRequest, AppendResponse)
            writing = asyncio.create_task(self._write(call, unsent))
            try:
                async for answer in call:
                    self._take(answer)
            finally:
                writing.cancel()
                await asyncio.gather(writing, return_exceptions=True)
                call.cancel()

    async def _write(self, call: grpc.aio.StreamStreamCall[AppendRequest, AppendResponse], unsent: deque[int]) -> None:
        """Ends with the stream, whose status the reading side has."""
        while True:
            self._more.clear()
            while unsent:
                await call.write(self._request(unsent))
            await self._more.wait()
            await asyncio.sleep(self._linger_s)

    def _request(self, unsent: deque[int]) -> AppendRequest:
        records: list[NewRecord] = []
        size = 0
        while unsent and (not records or size < REQUEST_BYTES):
            waiting = self._waiting.get(unsent[0])
            if waiting is not None and records and size + waiting.size > REQUEST_BYTES:
                break
            unsent.popleft()
            if waiting is not None:
                records.append(waiting.record)
                size += waiting.size
        return AppendRequest(records=records)

    def _take(self, answer: AppendResponse) -> None:
        self._link.answered()
        for number in answer.durable:
            self._settle(number, None)
        for one in answer.refused:
            self._settle(one.number, Failure(text=one.text, hopeless=one.hopeless))
        self._durable.set()

    def _settle(self, number: int, failure: Failure | None) -> None:
        waiting = self._waiting.pop(number, None)
        if waiting is not None:
            self._bytes -= waiting.size
            waiting.on_delivery(failure)
