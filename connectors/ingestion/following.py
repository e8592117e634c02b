"""Follows a topic over the ingestion service, which is asked again after each end of the stream, from the places that were reached."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc

from base.errors import UnavailableError
from connectors.ingestion.ingestion_pb2 import FollowRequest, FollowResponse, Mark, Open, Place, ReadRecord, Starts
from connectors.ingestion.wire import FOLLOW
from connectors.pauses import Pauses
from connectors.platform import OnRecords, Start

log = logging.getLogger(__name__)

_MIN_PAUSE_S, _MAX_PAUSE_S = 0.2, 5.0
# Waiting does not help against these.
_LASTING = frozenset(
    {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED}
)
Call = grpc.aio.StreamStreamCall[FollowRequest, FollowResponse]


@dataclass(frozen=True, slots=True)
class _Read:
    """A record that was read, as `connectors.platform.Record` has it."""

    record: ReadRecord

    def key(self) -> bytes | None:
        return self.record.key if self.record.HasField("key") else None

    def value(self) -> bytes | None:
        return self.record.value if self.record.HasField("value") else None

    def partition(self) -> int:
        return self.record.partition

    def offset(self) -> int:
        return self.record.offset


class IngestionFollowing:
    """One topic. Runs once."""

    def __init__(
        self,
        connect: Callable[[], grpc.aio.Channel],
        opening: Open,
        on_records: OnRecords,
        *,
        start: Start | None,
    ) -> None:
        self.caught_up = asyncio.Event()
        self.problem = "not yet connected"
        self._connect, self._open = connect, opening
        self._on_records, self._start = on_records, start
        self._places: dict[int, int] = {}
        self._connected = False

    async def run(self) -> None:
        """As promised."""
        pauses = Pauses(_MIN_PAUSE_S, _MAX_PAUSE_S)
        while True:
            self._connected = False
            try:
                await self._stream()
                problem = "the ingestion service ended the stream"
            except grpc.aio.AioRpcError as error:
                problem = f"the ingestion service: {error.details()} ({error.code().name})"
                if error.code() in _LASTING:
                    self.problem = problem
                    raise UnavailableError(problem) from error
            except UnavailableError as error:
                problem = str(error)
            if problem != self.problem:
                log.warning("waiting for the ingestion service", extra={"topic": self._open.topic, "cause": problem})
            self.problem = problem
            await pauses.sleep(connected=self._connected)

    async def _stream(self) -> None:
        taken = 0
        async with self._connect() as channel:
            method = channel.stream_stream(
                FOLLOW,
                request_serializer=FollowRequest.SerializeToString,
                response_deserializer=FollowResponse.FromString,
            )
            call: Call = method()  # type: ignore[call-arg]  # requests are written, which the stubs do not know
            try:
                await _write(call, FollowRequest(open=self._open))
                async for answer in call:
                    self._connected, self.problem = True, ""
                    match answer.WhichOneof("kind"):
                        case "marks":
                            await _write(call, FollowRequest(starts=await self._starts(answer.marks.marks)))
                        case "batch":
                            await self._take(answer.batch.records)
                            taken += 1
                            await _write(call, FollowRequest(taken=taken))
                        case "caught_up":
                            self.caught_up.set()
            finally:
                call.cancel()

    async def _starts(self, marks: Iterable[Mark]) -> Starts:
        """Where it was; what is new begins where `start` says."""
        known = {one.partition: (one.low, one.high) for one in marks}
        fresh = {partition: mark for partition, mark in known.items() if partition not in self._places}
        if fresh:
            began = {p: low for p, (low, _) in fresh.items()} if self._start is None else await self._start(fresh)
            self._places |= began
        return Starts(places=[Place(partition=p, offset=self._places[p]) for p in known])

    async def _take(self, records: Iterable[ReadRecord]) -> None:
        found = [_Read(one) for one in records]
        working = self._on_records(list(found))
        if working is not None:
            await working
        self._places |= {one.partition(): one.offset() + 1 for one in found}


async def _write(call: Call, request: FollowRequest) -> None:
    """A stream that has ended says why when it is read."""
    try:
        await call.write(request)
    except asyncio.InvalidStateError:
        return
