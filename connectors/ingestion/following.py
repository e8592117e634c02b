"""Follows a topic over the ingestion service, which is asked again after each end of the stream, from the places that were reached."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import grpc

from connectors.ingestion.ingestion_pb2 import FollowRequest, FollowResponse, Mark, Open, Place, ReadRecord, Starts
from connectors.ingestion.link import Link, opened
from connectors.ingestion.wire import FOLLOW
from connectors.platform import OnRecords, Start

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
        self._link = Link()
        self._connect, self._open = connect, opening
        self._on_records, self._start = on_records, start
        self._places: dict[int, int] = {}

    @property
    def problem(self) -> str:
        """As promised."""
        return self._link.problem

    async def run(self) -> None:
        """As promised."""
        waiting = "waiting for the ingestion service"
        await self._link.keep(self._stream, waiting, {"topic": self._open.topic}, _LASTING)

    async def _stream(self) -> None:
        taken = 0
        async with self._connect() as channel:
            call = opened(channel, FOLLOW, FollowRequest, FollowResponse)
            try:
                await _write(call, FollowRequest(open=self._open))
                async for answer in call:
                    self._link.answered()
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
