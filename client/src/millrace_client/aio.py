"""The client for event loops: what `millrace_client.client` says holds here, with `await` and `async for`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from uuid import UUID
from weakref import WeakSet

from millrace_client import calls
from millrace_client.calls import Call, CommandRef, DeviceRef, TagRef
from millrace_client.client import PAGE, closed, resolve
from millrace_client.connection import Connection
from millrace_client.errors import MillraceError
from millrace_client.ids import uuid7
from millrace_client.results import Anomaly, Command, Device, Page, Tag, TagUpdate
from millrace_client.retry import Attempts, Contact, Deadline
from millrace_client.transport import AioTransport, AsyncReplies, AsyncTransport

T = TypeVar("T")


class AsyncClient:
    """Calls of the two services, in one event loop. Use it as `async with AsyncClient(...) as client`; arguments as of `Client`."""

    def __init__(
        self,
        connection: Connection | str | None = None,
        *,
        deadline_s: float = 30.0,
        reconnect_s: float = 60.0,
        first_contact_s: float = 5.0,
        transport: AsyncTransport | None = None,
    ) -> None:
        self._transport = transport or AioTransport(resolve(connection))
        self._deadline_s = deadline_s
        self._reconnect_s = reconnect_s
        self._contact = Contact(first_contact_s=first_contact_s)
        self._closed = asyncio.Event()
        self._streams: WeakSet[AsyncStream[Any]] = WeakSet()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the channel. Open streams end, calls under way raise ClosedError."""
        self._closed.set()
        for stream in tuple(self._streams):
            await stream.aclose()
        await self._transport.close()

    # --- state -------------------------------------------------------------------------------------------------------

    def devices(self, prefix: str = "") -> AsyncIterator[Device]:
        """As `Client.devices`."""
        return self._pages(partial(self.devices_page, prefix))

    async def devices_page(
        self, prefix: str = "", page_token: str = "", *, page_size: int = PAGE, deadline_s: float | None = None
    ) -> Page[Device]:
        """As `Client.devices_page`."""
        return await self._unary(calls.list_devices(prefix, page_size, page_token), deadline_s)

    def tags(self, prefix: str = "") -> AsyncIterator[Tag]:
        """As `Client.tags`."""
        return self._pages(partial(self.tags_page, prefix))

    async def tags_page(
        self, prefix: str = "", page_token: str = "", *, page_size: int = PAGE, deadline_s: float | None = None
    ) -> Page[Tag]:
        """As `Client.tags_page`."""
        return await self._unary(calls.list_tags(prefix, page_size, page_token), deadline_s)

    async def device(self, device: DeviceRef, *, deadline_s: float | None = None) -> Device:
        """As `Client.device`."""
        return await self._unary(calls.get_device(device), deadline_s)

    async def tag(self, tag: TagRef, *, deadline_s: float | None = None) -> Tag:
        """As `Client.tag`."""
        return await self._unary(calls.get_tag(tag), deadline_s)

    def watch(
        self, paths: str | Iterable[str] = (), *, max_rate_hz: float = 0.0, deadline_s: float | None = None
    ) -> AsyncStream[TagUpdate]:
        """As `Client.watch`."""
        return self._stream(calls.watch_tags(paths, max_rate_hz), deadline_s)

    def anomalies(self, prefix: str = "", *, deadline_s: float | None = None) -> AsyncStream[Anomaly]:
        """As `Client.anomalies`."""
        return self._stream(calls.watch_anomalies(prefix), deadline_s)

    # --- commands ----------------------------------------------------------------------------------------------------

    async def submit(
        self,
        device: DeviceRef,
        name: str,
        parameters: Mapping[str, float] | None = None,
        *,
        command_id: UUID | None = None,
        expires_ms: int = 0,
        requires_approval: bool = False,
        traceparent: str = "",
        deadline_s: float | None = None,
    ) -> Command:
        """As `Client.submit`."""
        call = calls.submit(
            device,
            name,
            parameters,
            command_id=command_id or uuid7(),
            expires_ms=expires_ms,
            requires_approval=requires_approval,
            traceparent=traceparent,
        )
        return await self._unary(call, deadline_s)

    async def command(self, command: CommandRef, *, deadline_s: float | None = None) -> Command:
        """As `Client.command`."""
        return await self._unary(calls.get_command(command), deadline_s)

    def watch_command(self, command: CommandRef, *, deadline_s: float | None = None) -> AsyncStream[Command]:
        """As `Client.watch_command`."""
        return self._stream(calls.watch_command(command), deadline_s)

    async def outcome(self, command: CommandRef, *, deadline_s: float | None = None) -> Command:
        """As `Client.outcome`."""
        async with self.watch_command(command, deadline_s=deadline_s) as states:
            async for state in states:
                if state.final:
                    return state
        raise closed()

    async def cancel(self, command: CommandRef, reason: str = "", *, deadline_s: float | None = None) -> Command:
        """As `Client.cancel`."""
        return await self._unary(calls.cancel(command, reason), deadline_s)

    async def approve(self, command: CommandRef, reason: str = "", *, deadline_s: float | None = None) -> Command:
        """As `Client.approve`."""
        return await self._unary(calls.approve(command, reason), deadline_s)

    # --- carrying out ------------------------------------------------------------------------------------------------

    async def _unary(self, call: Call[T], deadline_s: float | None) -> T:
        for_s = self._deadline_s if deadline_s is None else deadline_s
        deadline = Deadline(for_s)
        attempts = Attempts(self._contact, for_s=for_s, idempotent=call.method.idempotent)
        while not self._closed.is_set():
            attempts.begin()
            try:
                answer = await self._transport.unary(call, deadline.left_s())
            except MillraceError as error:
                await wait(self._closed, attempts.delay_s(error))
            else:
                attempts.worked()
                return call.unpack(answer)
        raise closed()

    async def _pages(self, page_at: Callable[[str], Awaitable[Page[T]]]) -> AsyncIterator[T]:
        token = ""
        while True:
            page = await page_at(token)
            for item in page.items:
                yield item
            if not (token := page.next_page_token):
                return

    def _stream(self, call: Call[T], deadline_s: float | None) -> AsyncStream[T]:
        if self._closed.is_set():
            raise closed()
        attempts = Attempts(self._contact, for_s=self._reconnect_s)
        stream = AsyncStream(partial(self._transport.stream, call), call.unpack, attempts, Deadline(deadline_s))
        self._streams.add(stream)
        return stream


class AsyncStream(Generic[T]):
    """Results of a stream. Iterate over it in one task; use it as `async with client.watch(...) as updates`.

    It ends when the server ends it, or when `aclose` is called, by any task. After a failure that is not waited out, or a read that was
    cancelled (by a timeout, for example), the next read starts the stream again.
    """

    def __init__(
        self,
        start: Callable[[float | None], AsyncReplies],
        unpack: Callable[[Any], T],
        attempts: Attempts,
        deadline: Deadline,
    ) -> None:
        self._start = start
        self._unpack = unpack
        self._attempts = attempts
        self._deadline = deadline
        self._ended = asyncio.Event()
        self._replies: AsyncReplies | None = None
        self._last: T | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._ended.is_set():
            try:
                message = await self._open().__anext__()
            except StopAsyncIteration:
                await self.aclose()
            except MillraceError as error:
                self._drop()
                if not self._ended.is_set():
                    await wait(self._ended, self._attempts.delay_s(error))
            except BaseException:
                self._drop()
                raise
            else:
                self._attempts.worked()
                if (result := self._unpack(message)) != self._last:  # a stream that came back repeats what was known
                    self._last = result
                    return result
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the stream; a task that reads it stops."""
        self._ended.set()
        self._drop()

    def _open(self) -> AsyncReplies:
        if self._replies is None:
            self._attempts.begin()
            self._replies = self._start(self._deadline.left_s())
        return self._replies

    def _drop(self) -> None:
        replies, self._replies = self._replies, None
        if replies is not None:
            replies.cancel()


async def wait(event: asyncio.Event, timeout_s: float) -> None:
    """Return when the event is set, or after a time."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        pass  # waiting this long was the wish
