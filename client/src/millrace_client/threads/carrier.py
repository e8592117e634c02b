"""What carries the calls of a `Client` out: deadlines, retries, pages, streams."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar
from weakref import WeakSet

from millrace_client.calls import Call
from millrace_client.connection import Connection, resolve
from millrace_client.course import Course
from millrace_client.errors import MillraceError, closed
from millrace_client.results import Page
from millrace_client.retry import Attempts, Contact, Deadline
from millrace_client.threads.stream import Stream
from millrace_client.transport import GrpcTransport, Transport

T = TypeVar("T")


class Carrier:
    """Carries calls out. Arguments as `millrace_client.Client` says."""

    def __init__(
        self,
        connection: Connection | str | None = None,
        *,
        deadline_s: float = 30.0,
        reconnect_s: float = 60.0,
        first_contact_s: float = 30.0,
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

    def _unary(self, call: Call[T], deadline_s: float | None) -> T:
        return call.unpack(self._tried(call, deadline_s, self._transport.unary))

    def _whole(self, call: Call[T], deadline_s: float | None) -> list[T]:
        """All messages of a stream that ends. A try that broke off half-way is thrown away: the next one begins at the beginning."""
        read: list[T] = self._tried(call, deadline_s, self._read)
        return read

    def _read(self, call: Call[T], timeout_s: float | None) -> list[T]:
        replies = self._transport.stream(call, timeout_s)
        read: list[T] = []
        try:
            while not self._closed.is_set():
                read.append(call.unpack(next(replies)))
        except StopIteration:
            return read
        finally:
            replies.cancel()
        raise closed()

    def _tried(
        self, call: Call[Any], deadline_s: float | None, attempt: Callable[[Call[Any], float | None], Any]
    ) -> Any:
        for_s = self._deadline_s if deadline_s is None else deadline_s
        deadline = Deadline(for_s)
        attempts = Attempts(self._contact, for_s=for_s, idempotent=call.method.idempotent)
        last: MillraceError | None = None
        while not self._closed.is_set():
            attempts.begin()
            try:
                answer = attempt(call, deadline.left_s(last))
            except MillraceError as error:
                last = error
                self._closed.wait(attempts.delay_s(error))
            else:
                attempts.worked()
                return answer
        raise closed()

    def _pages(self, page_at: Callable[[str], Page[T]]) -> Iterator[T]:
        token = ""
        while True:
            page = page_at(token)
            yield from page.items
            if not (token := page.next_page_token):
                return

    def _stream(self, course: Course[T], deadline_s: float | None) -> Stream[T]:
        if self._closed.is_set():
            raise closed()
        attempts = Attempts(self._contact, for_s=self._reconnect_s)
        stream = Stream(course, self._transport.stream, attempts, Deadline(deadline_s))
        self._streams.add(stream)
        return stream
