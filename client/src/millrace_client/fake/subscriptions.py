"""Open streams of the fake plant. Each holds what its reader has not taken yet; the plant's lock is held around every method.

`poll` gives the next message, or None and the seconds until there may be one (None: until `wake` is called). It raises StopIteration at the
end of the stream, or the error the stream was ended with.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from google.protobuf.message import Message

from millrace_client.errors import MillraceError
from millrace_client.fake import pack
from millrace_client.results import Anomaly, Command, TagUpdate

Polled = tuple[Message | None, float | None]


class Subscription(ABC):
    """A stream and its reader. `wake` is called when there is news, by any thread."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake
        self._error: MillraceError | None = None

    def end(self, error: MillraceError) -> None:
        """End it for its reader."""
        self._error = error
        self.wake()

    def poll(self) -> Polled:
        """Next message, or how long to wait for one."""
        if self._error is not None:
            raise self._error
        return self._next()

    @abstractmethod
    def _next(self) -> Polled: ...


class TagSubscription(Subscription):
    """Changes of tags, conflated: the newest value of each, at most once in `period_s`."""

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        wanted: Callable[[str], bool],
        period_s: float,
        current: Callable[[int], TagUpdate],
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(wake)
        self._wanted = wanted
        self._period_s = period_s
        self._current = current
        self._clock_s = clock_s
        self._pending: dict[int, None] = {}
        self._not_before_s: dict[int, float] = {}

    def mark(self, tags: Iterable[tuple[int, str]]) -> None:
        """Note that tags (id, path) have a new value."""
        self._pending |= {tag_id: None for tag_id, path in tags if self._wanted(path)}
        if self._pending:
            self.wake()

    def _next(self) -> Polled:
        now_s = self._clock_s()
        waits_s = {tag_id: self._not_before_s.get(tag_id, now_s) - now_s for tag_id in self._pending}
        due = next((tag_id for tag_id, wait_s in waits_s.items() if wait_s <= 0), None)
        if due is None:
            return None, min(waits_s.values(), default=None)
        del self._pending[due]
        self._not_before_s[due] = now_s + self._period_s
        return pack.message(self._current(due)), None


class EpisodeSubscription(Subscription):
    """Steps of anomaly episodes; of an episode whose reader is slow the newest."""

    def __init__(self, wake: Callable[[], None], *, wanted: Callable[[str], bool]) -> None:
        super().__init__(wake)
        self._wanted = wanted
        self._pending: dict[str, Anomaly] = {}

    def offer(self, step: Anomaly) -> None:
        """Note a step."""
        if self._wanted(step.device_path):
            self._pending[step.episode_id] = step
            self.wake()

    def _next(self) -> Polled:
        if not self._pending:
            return None, None
        return pack.message(self._pending.pop(next(iter(self._pending)))), None


class CommandSubscription(Subscription):
    """States of one command; ends after the outcome."""

    def __init__(self, wake: Callable[[], None], first: Command) -> None:
        super().__init__(wake)
        self.command_id = first.command_id
        self._pending = [first]
        self._finished = False

    def offer(self, command: Command) -> None:
        """Note a state."""
        self._pending.append(command)
        self.wake()

    def _next(self) -> Polled:
        if self._finished:
            raise StopIteration
        if not self._pending:
            return None, None
        command = self._pending.pop(0)
        self._finished = command.final
        return pack.message(command), None
