"""The client for threads. `millrace_client.aio` is its twin for event loops; both carry out the same `calls`.

Every call has a deadline for everything it does, its retries included. Streams come back by themselves when the server does (see `retry`):
a watch starts with the values as they stand, so only values in between are missed. What goes wrong is one of `errors`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar
from uuid import UUID
from weakref import WeakSet

from millrace_client import calls
from millrace_client.calls import Call, CommandRef, DeviceRef, TagRef
from millrace_client.connection import Connection
from millrace_client.errors import ClosedError, MillraceError
from millrace_client.ids import uuid7
from millrace_client.results import Anomaly, Command, Device, Page, Tag, TagUpdate
from millrace_client.retry import Attempts, Contact, Deadline
from millrace_client.transport import GrpcTransport, Replies, Transport

T = TypeVar("T")

PAGE = 500


class Client:
    """Calls of the two services. Threads may share one. Use it as `with Client(...) as client`.

    `connection`: an address, a `Connection`, or None for what the environment says (MILLRACE_GRPC, ...). `deadline_s`: of each unary call,
    retries included. `reconnect_s`: how long a stream waits for a server that went away. `first_contact_s`: how long anything waits for a
    server that was never reached. `transport` replaces gRPC, see `millrace_client.fake`.
    """

    def __init__(
        self,
        connection: Connection | str | None = None,
        *,
        deadline_s: float = 30.0,
        reconnect_s: float = 60.0,
        first_contact_s: float = 5.0,
        transport: Transport | None = None,
    ) -> None:
        self._transport = transport or GrpcTransport(resolve(connection))
        self._deadline_s = deadline_s
        self._reconnect_s = reconnect_s
        self._contact = Contact(first_contact_s=first_contact_s)
        self._closed = threading.Event()
        self._streams: WeakSet[Stream[Any]] = WeakSet()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the channel. Open streams end, calls that wait for a retry raise ClosedError."""
        self._closed.set()
        for stream in tuple(self._streams):
            stream.close()
        self._transport.close()

    # --- state -------------------------------------------------------------------------------------------------------

    def devices(self, prefix: str = "") -> Iterator[Device]:
        """Devices at or under a path, by path, without their tags. A trailing * stands for the rest of the path."""
        return self._pages(partial(self.devices_page, prefix))

    def devices_page(
        self, prefix: str = "", page_token: str = "", *, page_size: int = PAGE, deadline_s: float | None = None
    ) -> Page[Device]:
        """A page of `devices`; at most 1,000 of them."""
        return self._unary(calls.list_devices(prefix, page_size, page_token), deadline_s)

    def tags(self, prefix: str = "") -> Iterator[Tag]:
        """Tags at or under a path with their last values, by path."""
        return self._pages(partial(self.tags_page, prefix))

    def tags_page(
        self, prefix: str = "", page_token: str = "", *, page_size: int = PAGE, deadline_s: float | None = None
    ) -> Page[Tag]:
        """A page of `tags`; at most 1,000 of them."""
        return self._unary(calls.list_tags(prefix, page_size, page_token), deadline_s)

    def device(self, device: DeviceRef, *, deadline_s: float | None = None) -> Device:
        """A device by id or path, with its tags and their last values. Raises NotFoundError."""
        return self._unary(calls.get_device(device), deadline_s)

    def tag(self, tag: TagRef, *, deadline_s: float | None = None) -> Tag:
        """A tag by id or path, with its last value. Raises NotFoundError."""
        return self._unary(calls.get_tag(tag), deadline_s)

    def watch(
        self, paths: str | Iterable[str] = (), *, max_rate_hz: float = 0.0, deadline_s: float | None = None
    ) -> Stream[TagUpdate]:
        """Last values of the tags at or under paths (none: all), then their changes, at most `max_rate_hz` a tag (0: the server's 4).

        A reader that is slow gets the newest value of each tag, not every value.
        """
        return self._stream(calls.watch_tags(paths, max_rate_hz), deadline_s)

    def anomalies(self, prefix: str = "", *, deadline_s: float | None = None) -> Stream[Anomaly]:
        """Anomaly episodes of the devices at or under a path: those open now, then every step."""
        return self._stream(calls.watch_anomalies(prefix), deadline_s)

    # --- commands ----------------------------------------------------------------------------------------------------

    def submit(
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
        """Hand a command in; returns once it is durable, not once it is carried out: `outcome` waits for that.

        `name`: `write` with tag names as `parameters`, or a PackML verb such as `start`. `expires_ms`: not carried out later than this
        (0: the server's 30,000). The same `command_id` with the same content is the same command, whoever says it again; with other content
        it raises ConflictError. `traceparent`: W3C trace context, recorded with the command.
        """
        call = calls.submit(
            device,
            name,
            parameters,
            command_id=command_id or uuid7(),
            expires_ms=expires_ms,
            requires_approval=requires_approval,
            traceparent=traceparent,
        )
        return self._unary(call, deadline_s)

    def command(self, command: CommandRef, *, deadline_s: float | None = None) -> Command:
        """A command as it stands. Raises NotFoundError."""
        return self._unary(calls.get_command(command), deadline_s)

    def watch_command(self, command: CommandRef, *, deadline_s: float | None = None) -> Stream[Command]:
        """A command as it stands, then every change; ends after its outcome."""
        return self._stream(calls.watch_command(command), deadline_s)

    def outcome(self, command: CommandRef, *, deadline_s: float | None = None) -> Command:
        """Wait until a command has its outcome in the record. Raises DeadlineExceededError; the command goes on then."""
        with self.watch_command(command, deadline_s=deadline_s) as states:
            for state in states:
                if state.final:
                    return state
        raise closed()

    def cancel(self, command: CommandRef, reason: str = "", *, deadline_s: float | None = None) -> Command:
        """Ask to withdraw a command; the gateway decides whether it was in time. Raises PreconditionError when it is too late."""
        return self._unary(calls.cancel(command, reason), deadline_s)

    def approve(self, command: CommandRef, reason: str = "", *, deadline_s: float | None = None) -> Command:
        """Release a command that waits for approval by somebody other than its submitter.

        Never tried again by itself: after an UnavailableError look at the command first.
        """
        return self._unary(calls.approve(command, reason), deadline_s)

    # --- carrying out ------------------------------------------------------------------------------------------------

    def _unary(self, call: Call[T], deadline_s: float | None) -> T:
        for_s = self._deadline_s if deadline_s is None else deadline_s
        deadline = Deadline(for_s)
        attempts = Attempts(self._contact, for_s=for_s, idempotent=call.method.idempotent)
        while not self._closed.is_set():
            attempts.begin()
            try:
                answer = self._transport.unary(call, deadline.left_s())
            except MillraceError as error:
                self._closed.wait(attempts.delay_s(error))
            else:
                attempts.worked()
                return call.unpack(answer)
        raise closed()

    def _pages(self, page_at: Callable[[str], Page[T]]) -> Iterator[T]:
        token = ""
        while True:
            page = page_at(token)
            yield from page.items
            if not (token := page.next_page_token):
                return

    def _stream(self, call: Call[T], deadline_s: float | None) -> Stream[T]:
        if self._closed.is_set():
            raise closed()
        attempts = Attempts(self._contact, for_s=self._reconnect_s)
        stream = Stream(partial(self._transport.stream, call), call.unpack, attempts, Deadline(deadline_s))
        self._streams.add(stream)
        return stream


class Stream(Generic[T]):
    """Results of a stream. Iterate over it in one thread; use it as `with client.watch(...) as updates`.

    It ends when the server ends it, or when `close` is called, by any thread. A failure that is not waited out raises, and the next read
    starts the stream again.
    """

    def __init__(
        self,
        start: Callable[[float | None], Replies],
        unpack: Callable[[Any], T],
        attempts: Attempts,
        deadline: Deadline,
    ) -> None:
        self._start = start
        self._unpack = unpack
        self._attempts = attempts
        self._deadline = deadline
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._replies: Replies | None = None
        self._last: T | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        while not self._ended.is_set():
            try:
                message = next(self._open())
            except StopIteration:
                self.close()
            except MillraceError as error:
                self._drop()
                if not self._ended.is_set():
                    self._ended.wait(self._attempts.delay_s(error))
            except BaseException:
                self._drop()
                raise
            else:
                self._attempts.worked()
                if (result := self._unpack(message)) != self._last:  # a stream that came back repeats what was known
                    self._last = result
                    return result
        raise StopIteration

    def close(self) -> None:
        """End the stream; a thread that reads it stops."""
        self._ended.set()
        self._drop()

    def _open(self) -> Replies:
        with self._lock:
            if self._ended.is_set():
                raise StopIteration
            if self._replies is None:
                self._attempts.begin()
                self._replies = self._start(self._deadline.left_s())
            return self._replies

    def _drop(self) -> None:
        with self._lock:
            replies, self._replies = self._replies, None
        if replies is not None:
            replies.cancel()


def resolve(connection: Connection | str | None) -> Connection:
    """Connection of what a client is given."""
    if connection is None:
        return Connection.from_environment()
    return Connection(connection) if isinstance(connection, str) else connection


def closed() -> ClosedError:
    """What a closed client raises."""
    return ClosedError("this client is closed")
