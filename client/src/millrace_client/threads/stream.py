"""A stream of results, for one thread that reads it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from millrace_client.calls import Call
from millrace_client.course import Course
from millrace_client.errors import MillraceError
from millrace_client.retry import Attempts, Deadline
from millrace_client.transport import Replies

T = TypeVar("T")


class Stream(Generic[T]):
    """Results of a stream. Iterate over it in one thread; use it as `with client.watch(...) as updates`.

    It ends when the server ends it, or when `close` is called, by any thread. A failure that is not waited out raises, and the next read
    opens the stream again.
    """

    def __init__(
        self,
        course: Course[T],
        start: Callable[[Call[Any], float | None], Replies],
        attempts: Attempts,
        deadline: Deadline,
    ) -> None:
        self._course = course
        self._start = start
        self._attempts = attempts
        self._deadline = deadline
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._replies: Replies | None = None
        self._waiting: deque[T] = deque()

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
            if self._waiting:
                return self._waiting.popleft()
            try:
                message = next(self._open())
            except StopIteration:
                self.close()
            except MillraceError as error:
                self._drop()
                if not self._ended.is_set() and not self._course.declined(error):
                    self._ended.wait(self._attempts.delay_s(error))
            except BaseException:
                self._drop()
                raise
            else:
                self._attempts.worked()
                self._waiting.extend(self._course.results(message))
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
                self._replies = self._start(self._course.call(), self._deadline.left_s())
            return self._replies

    def _drop(self) -> None:
        with self._lock:
            replies, self._replies = self._replies, None
        if replies is not None:
            replies.cancel()
