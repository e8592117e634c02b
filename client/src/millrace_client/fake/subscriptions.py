"""Open streams of the fake plant. Each holds what its reader has not taken yet; the plant's lock is held around every method.

`poll` gives the next message, or None and the seconds until there may be one (None: until `wake` is called). It raises StopIteration at the
end of the stream, or the error the stream was ended with. Streams of tags are in `tag_subscriptions`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from google.protobuf.message import Message

from millrace_client._proto.millrace.v1 import state_pb2
from millrace_client.errors import MillraceError
from millrace_client.fake import pack
from millrace_client.results import Aggregate, Anomaly, Command, Event, Gateway

Polled = tuple[Message | None, float | None]
T = TypeVar("T")


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


class Listed(Subscription):
    """Messages that are known when the stream opens, and then its end."""

    def __init__(self, wake: Callable[[], None], messages: Iterator[Message]) -> None:
        super().__init__(wake)
        self._messages = messages

    def _next(self) -> Polled:
        return next(self._messages), None


class Newest(Subscription, Generic[T]):
    """News of things by `key`; of a thing whose reader is slow the newest."""

    def __init__(self, wake: Callable[[], None], *, wanted: Callable[[T], bool], key: Callable[[T], object]) -> None:
        super().__init__(wake)
        self._wanted = wanted
        self._key = key
        self._pending: dict[object, T] = {}

    def offer(self, news: T) -> None:
        """Note something."""
        if self._wanted(news):
            self._pending[self._key(news)] = news
            self.wake()

    def _next(self) -> Polled:
        if not self._pending:
            return None, None
        return self._message(self._pending.pop(next(iter(self._pending)))), None

    def _message(self, news: Any) -> Message:
        return pack.message(news)


class EpisodeSubscription(Newest[Anomaly]):
    """Steps of anomaly episodes."""


class GatewaySubscription(Newest[Gateway]):
    """Reports of gateways."""


class EventSubscription(Newest[Event]):
    """Events, each once."""

    def __init__(self, wake: Callable[[], None], *, wanted: Callable[[Event], bool]) -> None:
        super().__init__(wake, wanted=wanted, key=lambda event: event.event_id)


class WindowSubscription(Newest[Aggregate]):
    """Windows that closed."""

    def __init__(
        self, wake: Callable[[], None], *, wanted: Callable[[Aggregate], bool], clock: Callable[[], int]
    ) -> None:
        super().__init__(wake, wanted=wanted, key=lambda one: (one.tag_id, one.window_s, one.start_us))
        self._clock = clock

    def _message(self, news: Aggregate) -> Message:
        return state_pb2.WatchAggregatesResponse(aggregates=pack.messages([news]), sent_us=self._clock())


class CommandSubscription(Subscription):
    """States of one command; ends after the outcome."""

    def __init__(self, wake: Callable[[], None], first: Command) -> None:
        super().__init__(wake)
        self.command_id = first.command_id
        self._pending = [first]
        self._finished = False

    def offer(self, command: Command) -> None:
        """Note a state."""
        if command.command_id == self.command_id:
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


class CommandsSubscription(Newest[Command]):
    """Commands that fit a filter; one that fits no more is told once more."""

    def __init__(self, wake: Callable[[], None], *, wanted: Callable[[Command], bool]) -> None:
        self._told: set[object] = set()
        self._fits = wanted
        super().__init__(wake, wanted=self._of_interest, key=lambda command: command.command_id)

    def _of_interest(self, command: Command) -> bool:
        fits, known = self._fits(command), command.command_id in self._told
        self._told = self._told | {command.command_id} if fits else self._told - {command.command_id}
        return fits or known
