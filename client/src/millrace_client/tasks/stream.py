"""A stream of results, for one task that reads it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from millrace_client.calls import Call
from millrace_client.course import Course
from millrace_client.errors import MillraceError
from millrace_client.retry import Attempts, Deadline
from millrace_client.transport import AsyncReplies

T = TypeVar("T")


class AsyncStream(Generic[T]):
    """Results of a stream. Iterate over it in one task; use it as `async with client.watch(...) as updates`.

    It ends when the server ends it, or when `aclose` is called, by any task. After a failure that is not waited out, or a read that was
    cancelled (by a timeout, for example), the next read opens the stream again.
    """

    def __init__(
        self,
        course: Course[T],
        start: Callable[[Call[Any], float | None], AsyncReplies],
        attempts: Attempts,
        deadline: Deadline,
    ) -> None:
        self._course = course
        self._start = start
        self._attempts = attempts
        self._deadline = deadline
        self._ended = asyncio.Event()
        self._replies: AsyncReplies | None = None
        self._waiting: deque[T] = deque()

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
            if self._waiting:
                return self._waiting.popleft()
            try:
                message = await self._open().__anext__()
            except StopAsyncIteration:
                await self.aclose()
            except MillraceError as error:
                self._drop()
                if not self._ended.is_set() and not self._course.declined(error):
                    await wait(self._ended, self._attempts.delay_s(error))
            except BaseException:
                self._drop()
                raise
            else:
                self._attempts.worked()
                self._waiting.extend(self._course.results(message))
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """End the stream; a task that reads it stops."""
        self._ended.set()
        self._drop()

    def _open(self) -> AsyncReplies:
        if self._replies is None:
            self._attempts.begin()
            self._replies = self._start(self._course.call(), self._deadline.left_s())
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
