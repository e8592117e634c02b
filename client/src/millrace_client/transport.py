"""What carries calls out: two protocols, and gRPC's channels as both of them.

A transport knows nothing of results and retries: it takes a method and a request, and returns or yields response messages, or raises one of
`errors`. `millrace_client.fake` has the other two implementations.
"""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.message import Message

from millrace_client import errors
from millrace_client.calls import Call, Method
from millrace_client.connection import Connection


class Replies(Protocol):
    """Messages of a stream."""

    def __next__(self) -> Message:
        """Next message; raises StopIteration at the end."""

    def cancel(self) -> None:
        """End it, from any thread: `__next__` raises, or stops."""


class Transport(Protocol):
    """Carries calls out for threads."""

    def unary(self, call: Call[Any], timeout_s: float | None) -> Message:
        """Answer of a call."""

    def stream(self, call: Call[Any], timeout_s: float | None) -> Replies:
        """Messages of a call; does not wait for the first."""

    def close(self) -> None:
        """End everything."""


class AsyncReplies(Protocol):
    """Messages of a stream."""

    async def __anext__(self) -> Message:
        """Next message; raises StopAsyncIteration at the end."""

    def cancel(self) -> None:
        """End it: `__anext__` raises, or stops."""


class AsyncTransport(Protocol):
    """Carries calls out in an event loop."""

    async def unary(self, call: Call[Any], timeout_s: float | None) -> Message:
        """Answer of a call."""

    def stream(self, call: Call[Any], timeout_s: float | None) -> AsyncReplies:
        """Messages of a call; does not wait for the first."""

    async def close(self) -> None:
        """End everything."""


class _Channel:
    """What the two have in common: the methods of a channel, and the words for its failures."""

    def __init__(self, connection: Connection, channel: Any) -> None:
        self._connection = connection
        self._channel = channel
        self._methods: dict[Method, Any] = {}

    def start(self, call: Call[Any], timeout_s: float | None) -> Any:
        """Start a call: its answer, or an object that gives it."""
        method = call.method
        if method not in self._methods:
            make = self._channel.unary_stream if method.streaming else self._channel.unary_unary
            self._methods[method] = make(
                method.path,
                request_serializer=method.request.SerializeToString,
                response_deserializer=method.response.FromString,
            )
        metadata = (*self._connection.metadata, *call.metadata)
        try:
            return self._methods[method](call.request, timeout=timeout_s, metadata=metadata)
        except (ValueError, grpc.aio.UsageError) as error:  # how the two say that the channel is closed
            msg = f"this client is closed: {error}"
            raise errors.ClosedError(msg) from error

    def failed(self, error: Any) -> NoReturn:
        """Raise our exception for a grpc.RpcError."""
        raise errors.from_status(
            error.code(), error.details(), address=self._connection.address, trailing=error.trailing_metadata()
        ) from error


class GrpcTransport:
    """A channel for threads."""

    def __init__(self, connection: Connection) -> None:
        credentials, options = connection.credentials(), connection.options
        self._raw: grpc.Channel = (
            grpc.insecure_channel(connection.address, options)
            if credentials is None
            else grpc.secure_channel(connection.address, credentials, options)
        )
        self._channel = _Channel(connection, self._raw)

    def unary(self, call: Call[Any], timeout_s: float | None) -> Message:
        """Answer of a call."""
        try:
            answer: Message = self._channel.start(call, timeout_s)
        except grpc.RpcError as error:
            self._channel.failed(error)
        return answer

    def stream(self, call: Call[Any], timeout_s: float | None) -> Replies:
        """Messages of a call."""
        return _GrpcReplies(self._channel, self._channel.start(call, timeout_s))

    def close(self) -> None:
        """Close the channel; calls under way end."""
        self._raw.close()


class _GrpcReplies:
    def __init__(self, channel: _Channel, call: Any) -> None:
        self._channel = channel
        self._call = call

    def __next__(self) -> Message:
        try:
            message: Message = next(self._call)
        except grpc.RpcError as error:
            self._channel.failed(error)
        return message

    def cancel(self) -> None:
        self._call.cancel()


class AioTransport:
    """A channel for an event loop."""

    def __init__(self, connection: Connection) -> None:
        credentials, options = connection.credentials(), connection.options
        self._raw: grpc.aio.Channel = (
            grpc.aio.insecure_channel(connection.address, options)
            if credentials is None
            else grpc.aio.secure_channel(connection.address, credentials, options)
        )
        self._channel = _Channel(connection, self._raw)

    async def unary(self, call: Call[Any], timeout_s: float | None) -> Message:
        """Answer of a call."""
        try:
            answer: Message = await self._channel.start(call, timeout_s)
        except grpc.aio.AioRpcError as error:
            self._channel.failed(error)
        except asyncio.CancelledError:
            if _task_is_cancelled():
                raise
            msg = "this client was closed during the call"
            raise errors.ClosedError(msg) from None
        return answer

    def stream(self, call: Call[Any], timeout_s: float | None) -> AsyncReplies:
        """Messages of a call."""
        return _AioReplies(self._channel, self._channel.start(call, timeout_s))

    async def close(self) -> None:
        """Close the channel; calls under way end."""
        await self._raw.close(None)


class _AioReplies:
    def __init__(self, channel: _Channel, call: Any) -> None:
        self._channel = channel
        self._call = call

    async def __anext__(self) -> Message:
        try:
            message = await self._call.read()
        except grpc.aio.AioRpcError as error:
            self._channel.failed(error)
        except asyncio.CancelledError:
            if _task_is_cancelled() or not self._call.cancelled():
                raise
            raise StopAsyncIteration from None  # the stream was ended, not its reader
        if message is grpc.aio.EOF:  # type: ignore[attr-defined]
            raise StopAsyncIteration
        assert isinstance(message, Message)
        return message

    def cancel(self) -> None:
        self._call.cancel()


def _task_is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
