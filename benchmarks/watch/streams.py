"""A stream of values over each face, as an application opens it: gRPC, server-sent events, WebSocket.

Enters: where the server is, a path, the least interval. Leaves: what a reader does with each message is to decode it and to note its newest
time; a stream that the server refuses or cuts raises. gRPC's streams share channels, fifty each; the others have a connection each.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import grpc
from websockets.asyncio.client import connect

from base.errors import UnavailableError
from schemas.proto.millrace.v1 import state_pb2, state_pb2_grpc

_A_CHANNEL = 50
_LINE = 1 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """A serving process: host and port of gRPC, and of HTTP."""

    grpc: str
    http: str


class Batch(NamedTuple):
    """A message: the newest time in it (0: none), how many updates, and whether everything that was known has come."""

    newest_us: int
    updates: int
    complete: bool


Open = Callable[[Address, str, int], AsyncGenerator[Batch, None]]
"""Opens a stream: address, path, least interval in milliseconds (0: the server's default)."""


@dataclass
class Channels:
    """gRPC's channels of this process."""

    _of: dict[str, list[tuple[Any, int]]] = field(default_factory=dict)

    def stub(self, address: str) -> Any:
        """A stub on a channel with room."""
        known = self._of.setdefault(address, [])
        if not known or known[-1][1] >= _A_CHANNEL:
            channel = grpc.aio.insecure_channel(address, options=(("grpc.use_local_subchannel_pool", 1),))
            known.append((state_pb2_grpc.StateServiceStub(channel), 0))  # type: ignore[no-untyped-call]
        stub, used = known[-1]
        known[-1] = stub, used + 1
        return stub


_channels = Channels()


async def over_grpc(address: Address, path: str, interval_ms: int) -> AsyncGenerator[Batch, None]:
    """`WatchTagBatches`."""
    request = state_pb2.WatchTagBatchesRequest(prefixes=[path], min_interval_ms=interval_ms)
    call = _channels.stub(address.grpc).WatchTagBatches(request)
    try:
        async for message in call:
            newest_us = max((update.value.time_us for update in message.updates), default=0)
            yield Batch(newest_us, len(message.updates), message.snapshot_complete)
    finally:
        call.cancel()


async def over_sse(address: Address, path: str, interval_ms: int) -> AsyncGenerator[Batch, None]:
    """`GET /api/v1/watch/tags`."""
    host, _, port = address.http.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=_LINE)
    try:
        query = f"prefix={path}" + (f"&min_interval_ms={interval_ms}" if interval_ms else "")
        writer.write(f"GET /api/v1/watch/tags?{query} HTTP/1.1\r\nHost: {address.http}\r\n\r\n".encode())
        status = await reader.readline()
        if b" 200 " not in status:
            msg = f"{address.http} answered {status.decode().strip()}"
            raise UnavailableError(msg)
        while line := await reader.readline():
            if line.startswith(b"data: "):
                yield _plain(json.loads(line[6:]))
    finally:
        writer.transport.abort()


async def over_websocket(address: Address, path: str, interval_ms: int) -> AsyncGenerator[Batch, None]:
    """A connection with one subscription of `tags`."""
    wanted = {"subscribe": 1, "what": "tags", "prefix": [path]} | (
        {"min_interval_ms": interval_ms} if interval_ms else {}
    )
    connection = await connect(f"ws://{address.http}/api/v1/ws", compression=None, max_size=None, open_timeout=60)
    try:
        await connection.send(json.dumps(wanted))
        async for text in connection:
            yield _plain(json.loads(text)["batch"])
    finally:
        connection.transport.abort()


def _plain(message: Mapping[str, Any]) -> Batch:
    updates = message["updates"]
    newest_us = max((update["value"]["time_us"] for update in updates), default=0)
    return Batch(newest_us, len(updates), message["snapshot_complete"])


FACES: Mapping[str, Open] = {"grpc": over_grpc, "sse": over_sse, "websocket": over_websocket}
