"""The client: typed calls of the two services, over one channel.

Enters: paths, ids, values. Leaves: the services' own protobuf messages. Every unary call has a deadline. Streams
reconnect by themselves when the server goes away (a watch starts with a snapshot, so nothing is missed but intermediate
values); everything else fails with an exception of `base.errors`. One event loop per client; use it as `async with
Client(connection) as client`.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar
from uuid import UUID

import grpc
from google.protobuf.message import Message

from base.ids import uuid7
from client import failures
from client.address import Connection
from schemas.proto.millrace.v1 import commands_pb2, commands_pb2_grpc, state_pb2, state_pb2_grpc

T = TypeVar("T")

_PAGE = 500
_BACKOFF_S = (0.1, 0.2, 0.5, 1.0, 2.0)
OUTCOMES = frozenset(
    {
        commands_pb2.COMMAND_STATE_SUCCEEDED,
        commands_pb2.COMMAND_STATE_FAILED,
        commands_pb2.COMMAND_STATE_REJECTED,
        commands_pb2.COMMAND_STATE_EXPIRED,
        commands_pb2.COMMAND_STATE_CANCELLED,
        commands_pb2.COMMAND_STATE_UNKNOWN,
    }
)


class Client:
    """`deadline_s` is for each unary call. `reconnect_s`: how long a stream tries to come back; 0 to fail at once."""

    def __init__(self, connection: Connection, *, deadline_s: float = 10.0, reconnect_s: float = 60.0) -> None:
        self._connection = connection
        self._deadline_s = deadline_s
        self._reconnect_s = reconnect_s
        self._channel = connection.channel()
        self._state: Any = state_pb2_grpc.StateServiceStub(self._channel)  # type: ignore[no-untyped-call]
        self._commands: Any = commands_pb2_grpc.CommandServiceStub(self._channel)  # type: ignore[no-untyped-call]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel; open streams end."""
        await self._channel.close(None)

    async def devices(self, prefix: str = "") -> AsyncGenerator[state_pb2.Device, None]:
        """Devices at or under a path, by path."""
        token = ""
        while True:
            request = state_pb2.ListDevicesRequest(prefix=prefix, page_size=_PAGE, page_token=token)
            page = await self._call(self._state.ListDevices, request)
            for device in page.devices:
                yield device
            if not (token := page.next_page_token):
                return

    async def tags(self, prefix: str = "") -> AsyncGenerator[state_pb2.Tag, None]:
        """Tags at or under a path with their last values, by path."""
        token = ""
        while True:
            request = state_pb2.ListTagsRequest(prefix=prefix, page_size=_PAGE, page_token=token)
            page = await self._call(self._state.ListTags, request)
            for tag in page.tags:
                yield tag
            if not (token := page.next_page_token):
                return

    async def device(self, device: int | str) -> state_pb2.Device:
        """A device by id or path, with its tags and their last values."""
        key = {"device_id": device} if isinstance(device, int) else {"path": device}
        request = state_pb2.GetDeviceRequest(**key)
        return await self._call(self._state.GetDevice, request)

    async def tag(self, tag: int | str) -> state_pb2.Tag:
        """A tag by id or path, with its last value."""
        key = {"tag_id": tag} if isinstance(tag, int) else {"path": tag}
        request = state_pb2.GetTagRequest(**key)
        return await self._call(self._state.GetTag, request)

    def watch(
        self, paths: Iterable[str] = (), *, max_rate_hz: float = 0.0
    ) -> AsyncGenerator[state_pb2.TagUpdate, None]:
        """Last values of the tags at or under paths, then their changes, at most `max_rate_hz` a tag (0: the server's 4)."""
        request = state_pb2.WatchTagsRequest(prefixes=paths, max_rate_hz=max_rate_hz)
        return self._stream(lambda: self._state.WatchTags(request, metadata=self._connection.metadata))

    def anomalies(self, prefix: str = "") -> AsyncGenerator[state_pb2.Anomaly, None]:
        """Anomaly episodes of the devices at or under a path: those open now, then every step."""
        request = state_pb2.WatchAnomaliesRequest(prefix=prefix)
        return self._stream(lambda: self._state.WatchAnomalies(request, metadata=self._connection.metadata))

    async def submit(
        self,
        device: int | str,
        name: str,
        parameters: Mapping[str, float] | None = None,
        *,
        command_id: UUID | None = None,
        expires_ms: int = 0,
        requires_approval: bool = False,
    ) -> commands_pb2.Command:
        """Hand a command in; returns once it is durable. Give the same `command_id` to say the same again."""
        request = commands_pb2.SubmitCommandRequest(
            command_id=str(command_id or uuid7()),
            name=name,
            parameters=parameters or {},
            expires_after_ms=expires_ms,
            requires_approval=requires_approval,
        )
        if isinstance(device, int):
            request.device_id = device
        else:
            request.path = device
        return await self._call(self._commands.SubmitCommand, request)

    async def command(self, command_id: UUID) -> commands_pb2.Command:
        """A command as it stands."""
        return await self._call(self._commands.GetCommand, commands_pb2.GetCommandRequest(command_id=str(command_id)))

    def watch_command(self, command_id: UUID) -> AsyncGenerator[commands_pb2.Command, None]:
        """A command as it stands, then every change; ends after its outcome."""
        request = commands_pb2.WatchCommandRequest(command_id=str(command_id))
        return self._stream(lambda: self._commands.WatchCommand(request, metadata=self._connection.metadata))

    async def cancel(self, command_id: UUID, reason: str = "") -> commands_pb2.Command:
        """Ask to withdraw a command."""
        request = commands_pb2.ControlCommandRequest(command_id=str(command_id), reason=reason)
        return await self._call(self._commands.CancelCommand, request)

    async def approve(self, command_id: UUID, reason: str = "") -> commands_pb2.Command:
        """Release a command that waits for approval by somebody other than its submitter."""
        request = commands_pb2.ControlCommandRequest(command_id=str(command_id), reason=reason)
        return await self._call(self._commands.ApproveCommand, request)

    async def _call(self, method: Callable[..., Awaitable[T]], request: Message) -> T:
        with failures.named(self._connection.address):
            return await method(request, timeout=self._deadline_s, metadata=self._connection.metadata)

    async def _stream(self, start: Callable[[], Any]) -> AsyncGenerator[Any, None]:
        """Messages of a stream.

        One that has worked is started again while the server is UNAVAILABLE, for at most `reconnect_s` without a message.
        """
        tries, last_s = 0, -math.inf
        with failures.named(self._connection.address):
            while True:
                call = start()
                try:
                    async for message in call:
                        tries, last_s = 0, time.monotonic()
                        yield message
                        last_s = time.monotonic()
                    return
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE:
                        raise
                    if time.monotonic() - last_s > self._reconnect_s:
                        raise
                finally:
                    call.cancel()
                await asyncio.sleep(_BACKOFF_S[min(tries, len(_BACKOFF_S) - 1)])
                tries += 1


def is_final(command: commands_pb2.Command) -> bool:
    """Whether a command has its outcome in the record."""
    return not command.provisional and command.state in OUTCOMES
