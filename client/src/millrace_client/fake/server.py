"""The fake plant's server: answers calls, holds streams, carries commands out. The plant that tests use is on top of it (`plant`).

Enters: requests from clients, by any thread. Leaves: response messages, and the errors of `millrace_client.errors` where the server would
answer with a status. One lock guards everything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, TypeVar

from google.protobuf.message import Message

from millrace_client.calls import Call, Method, alarms, state, work
from millrace_client.errors import MillraceError, PermissionDeniedError, UnavailableError, UnsupportedError
from millrace_client.fake.alarm_service import AlarmBook, AlarmService, AlarmSubscription
from millrace_client.fake.answers import Answers
from millrace_client.fake.archive import Archive
from millrace_client.fake.book import Book, Control, Outcome
from millrace_client.fake.command_service import CommandService
from millrace_client.fake.history_service import HistoryService
from millrace_client.fake.line_service import LineService
from millrace_client.fake.log import Log
from millrace_client.fake.registry import Registry
from millrace_client.fake.state_service import StateService
from millrace_client.fake.subscriptions import (
    CommandsSubscription,
    CommandSubscription,
    EpisodeSubscription,
    Polled,
    Subscription,
)
from millrace_client.fake.transports import Caller
from millrace_client.fake.work import Work
from millrace_client.fake.work_service import WorkService
from millrace_client.results import Alarm, Anomaly, Command, CommandState

S = TypeVar("S", bound=Subscription)
H = TypeVar("H")

_NEEDS = {
    "SubmitCommand": "command",
    "SubmitAndWait": "command",
    "CancelCommand": "command",
    "ApproveCommand": "approve",
    **{one.name: "alarm" for one in alarms.METHODS if not one.name.startswith(("List", "Get", "Watch"))},
    state.LABEL_ANOMALY.name: "alarm",
    state.WITHDRAW_LABEL.name: "alarm",
    **{one.name: "plan" for one in work.METHODS if not one.name.startswith("List")},
}


class PlantServer:
    """What the transports call. `_carry_out` is told of commands that are to be carried out."""

    def __init__(self, clock: Callable[[], int], without: Collection[str]) -> None:
        self.controls: list[Control] = []
        self._clock = clock
        self._lock = threading.RLock()
        self._registry = Registry(clock)
        self._archive = Archive()
        self._log = Log()
        self._book = Book()
        self._work = Work(clock)
        self._alarms = AlarmBook(clock)
        services = (
            StateService(self._registry, self._log, clock, self._publish),
            CommandService(self._registry, self._book, self, clock),
            HistoryService(self._registry, self._archive, self._log, clock),
            Answers(self._log),
            LineService(self._registry, self._archive, self._log, clock),
            WorkService(self._registry, self._work, clock),
            AlarmService(self._alarms, self._alarm_changed),
        )
        self._unary = {method: handler for service in services for method, handler in service.unary.items()}
        self._streaming = {method: handler for service in services for method, handler in service.streaming.items()}
        for handlers in (self._unary, self._streaming):
            for method in [one for one in handlers if one.name in without]:
                del handlers[method]
        self._streams: list[Subscription] = []
        self._failures: list[MillraceError] = []
        self._running = True

    # --- for the transports ------------------------------------------------------------------------------------------

    def answer(self, caller: Caller, call: Call[Any]) -> Message:
        """Answer of a unary call."""
        with self._lock:
            self._admit(caller, call)
            return _supported(self._unary, call)(call.request, caller.principal)

    def subscribe(self, caller: Caller, call: Call[Any], wake: Callable[[], None]) -> Subscription:
        """Open a stream."""
        with self._lock:
            self._admit(caller, call)
            stream = _supported(self._streaming, call)(call.request, wake)
            self._streams.append(stream)
            return stream

    def poll(self, subscription: Subscription) -> Polled:
        """Next message of a stream, or how long to wait for one."""
        with self._lock:
            return subscription.poll()

    def unsubscribe(self, subscription: Subscription) -> None:
        """Close a stream."""
        with self._lock:
            if subscription in self._streams:
                self._streams.remove(subscription)

    def _admit(self, caller: Caller, call: Call[Any]) -> None:
        """Refuse a call, as far as that does not need its content."""
        if not self._running:
            msg = "the server is not running"
            raise UnavailableError(msg)
        if self._failures:
            raise self._failures.pop(0)
        needed = _NEEDS.get(call.method.name, "read")
        if needed not in caller.allow:
            msg = f"{caller.principal} may not {needed}; allowed: {', '.join(sorted(caller.allow)) or 'nothing'}"
            raise PermissionDeniedError(msg)

    # --- for the services --------------------------------------------------------------------------------------------

    def submitted(self, command: Command) -> None:
        """A new command: it is carried out once it needs no approval."""
        self._tell(command)
        if command.state is CommandState.ACCEPTED:
            self._carry_out(command)

    def controlled(self, control: Control) -> None:
        """A cancellation or an approval."""
        self.controls.append(control)
        command = self._book.get(control.command_id)
        self._tell(command)
        if control.action == "APPROVE":
            self._carry_out(command)
        else:
            self._withdraw(command, control.reason)

    def _carry_out(self, command: Command) -> None:
        """Carry a command out, or leave it to the test."""
        raise NotImplementedError

    def _withdraw(self, command: Command, reason: str) -> None:
        """Withdraw a command, or leave it to the test."""
        raise NotImplementedError

    def _advance(self, command: Command, outcome: Outcome, *, provisional: bool) -> Command:
        moved = self._book.advance(command.command_id, outcome, provisional=provisional, now_us=self._clock())
        self._tell(moved)
        return moved

    def _tell(self, command: Command) -> None:
        for stream in self._of(CommandSubscription):
            stream.offer(command)
        for many in self._of(CommandsSubscription):
            many.offer(command)

    def _alarm_changed(self, alarm: Alarm) -> None:
        for stream in self._of(AlarmSubscription):
            stream.offer(alarm)

    def _publish(self, step: Anomaly) -> None:
        self._log.episode(step)
        for stream in self._of(EpisodeSubscription):
            stream.offer(step)

    def _of(self, kind: type[S]) -> Iterator[S]:
        return (stream for stream in self._streams if isinstance(stream, kind))


def _supported(handlers: Mapping[Method, H], call: Call[Any]) -> H:
    if call.method in handlers:
        return handlers[call.method]
    msg = f"{call.method.path} is not a method of this server"
    raise UnsupportedError(msg)
