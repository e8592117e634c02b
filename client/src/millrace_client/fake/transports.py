"""The fake plant as the two transports of the clients."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from google.protobuf.message import Message

from millrace_client import calls
from millrace_client.calls import Call
from millrace_client.errors import ClosedError, DeadlineExceededError, UnavailableError
from millrace_client.fake.subscriptions import Polled, Subscription


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and what they may do: of read, command, approve."""

    principal: str
    allow: frozenset[str]


class Server(Protocol):
    """What the transports need of the plant."""

    def answer(self, caller: Caller, call: Call[Any]) -> Message:
        """Answer of a unary call."""

    def subscribe(self, caller: Caller, call: Call[Any], wake: Callable[[], None]) -> Subscription:
        """Open a stream."""

    def poll(self, subscription: Subscription) -> Polled:
        """Next message of a stream, or how long to wait for one."""

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close a stream."""


class _Replies:
    """A stream: opened at the first read, as gRPC reports a refusal at the first read."""

    def __init__(
        self, server: Server, caller: Caller, call: Call[Any], timeout_s: float | None, wake: Callable[[], None]
    ) -> None:
        self._server = server
        self._open = partial(server.subscribe, caller, call, wake)
        self._end_s = None if timeout_s is None else time.monotonic() + timeout_s
        self._subscription: Subscription | None = None
        self._cancelled = False
        self._wake = wake

    def poll(self) -> Polled:
        if self._cancelled:
            msg = "the stream was cancelled"
            raise ClosedError(msg)
        if self._subscription is None:
            self._subscription = self._open()
        message, wait_s = self._server.poll(self._subscription)
        if message is None and self._end_s is not None:
            left_s = self._end_s - time.monotonic()
            if left_s <= 0:
                msg = "the stream's deadline is over"
                raise DeadlineExceededError(msg)
            wait_s = left_s if wait_s is None else min(wait_s, left_s)
        return message, wait_s

    def cancel(self) -> None:
        self._cancelled = True
        if self._subscription is not None:
            self._server.unsubscribe(self._subscription)
        self._wake()


def _watched(command: Any) -> Call[Any]:
    """What waits for the outcome of a command that was submitted. It never fails: the last state that was seen is the answer."""
    return calls.commands.watch_command(command.command_id)


class FakeTransport:
    """The plant for threads."""

    def __init__(self, server: Server, caller: Caller) -> None:
        self._server = server
        self._caller = caller

    def unary(self, call: Call[Any], timeout_s: float | None) -> Message:
        """Answer of a call."""
        message = self._server.answer(self._caller, call)
        if call.method is calls.commands.SUBMIT_AND_WAIT:
            replies = self.stream(_watched(message), timeout_s)
            with suppress(DeadlineExceededError, StopIteration, UnavailableError):
                while True:
                    message = next(replies)
            replies.cancel()
        return message

    def stream(self, call: Call[Any], timeout_s: float | None) -> _ThreadReplies:
        """Messages of a call."""
        return _ThreadReplies(self._server, self._caller, call, timeout_s)

    def close(self) -> None:
        """Nothing is held open."""


class _ThreadReplies:
    def __init__(self, server: Server, caller: Caller, call: Call[Any], timeout_s: float | None) -> None:
        self._news = threading.Event()
        self._replies = _Replies(server, caller, call, timeout_s, self._news.set)

    def __next__(self) -> Message:
        while True:
            self._news.clear()
            message, wait_s = self._replies.poll()
            if message is not None:
                return message
            self._news.wait(wait_s)

    def cancel(self) -> None:
        self._replies.cancel()


class FakeAioTransport:
    """The plant for an event loop. The test may put values in from any thread."""

    def __init__(self, server: Server, caller: Caller) -> None:
        self._server = server
        self._caller = caller

    async def unary(self, call: Call[Any], timeout_s: float | None) -> Message:
        """Answer of a call."""
        message = self._server.answer(self._caller, call)
        if call.method is calls.commands.SUBMIT_AND_WAIT:
            replies = self.stream(_watched(message), timeout_s)
            with suppress(DeadlineExceededError, StopAsyncIteration, UnavailableError):
                while True:
                    message = await replies.__anext__()
            replies.cancel()
        return message

    def stream(self, call: Call[Any], timeout_s: float | None) -> _AsyncReplies:
        """Messages of a call."""
        return _AsyncReplies(self._server, self._caller, call, timeout_s)

    async def close(self) -> None:
        """Nothing is held open."""


class _AsyncReplies:
    def __init__(self, server: Server, caller: Caller, call: Call[Any], timeout_s: float | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._replies = _Replies(server, caller, call, timeout_s, self._wake)

    async def __anext__(self) -> Message:
        while True:
            self._news.clear()
            try:
                message, wait_s = self._replies.poll()
            except StopIteration:
                raise StopAsyncIteration from None
            if message is not None:
                return message
            try:
                async with asyncio.timeout(wait_s):
                    await self._news.wait()
            except TimeoutError:
                continue  # there may be a message now

    def cancel(self) -> None:
        self._replies.cancel()

    def _wake(self) -> None:
        if not self._loop.is_closed():  # a stream that nobody closed
            self._loop.call_soon_threadsafe(self._news.set)
