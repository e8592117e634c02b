"""CommandService of the fake plant: a handler a method. No locks; the plant holds its own around each.

`SubmitAndWait` submits here; the transports wait.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from google.protobuf.message import Message

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import commands_pb2
from millrace_client.calls import Method
from millrace_client.calls import commands as calls
from millrace_client.errors import InvalidRequestError
from millrace_client.fake import hierarchy, pack
from millrace_client.fake.book import Book, Control, command_id
from millrace_client.fake.registry import Registry
from millrace_client.fake.subscriptions import CommandsSubscription, CommandSubscription, Subscription
from millrace_client.results import Command, CommandState

_STATES = {number: state for state in CommandState for number in [unpack.number(state)] if number}
Wake = Callable[[], None]


class Gateway(Protocol):
    """Who carries commands out."""

    def submitted(self, command: Command) -> None:
        """A new command was submitted."""

    def controlled(self, control: Control) -> None:
        """A cancellation or an approval was accepted."""


class CommandService:
    """Handlers by method. A unary one takes request and caller, a streaming one request and what wakes its reader."""

    def __init__(self, registry: Registry, book: Book, gateway: Gateway, clock: Callable[[], int]) -> None:
        self._registry = registry
        self._book = book
        self._gateway = gateway
        self._clock = clock
        self.unary: dict[Method, Callable[[Any, str], Message]] = {
            calls.SUBMIT: self._submit,
            calls.SUBMIT_AND_WAIT: self._submit,
            calls.GET_COMMAND: self._get_command,
            calls.LIST_COMMANDS: self._list_commands,
            calls.CANCEL: self._cancel,
            calls.APPROVE: self._approve,
        }
        self.streaming: dict[Method, Callable[[Any, Wake], Subscription]] = {
            calls.WATCH_COMMAND: self._watch_command,
            calls.WATCH_COMMANDS: self._watch_commands,
        }

    def _submit(self, request: commands_pb2.SubmitCommandRequest, by: str) -> Message:
        device = self._registry.find_device(request.path or request.device_id)
        command, new = self._book.submit(request, device, by=by, now_us=self._clock())
        if new:
            self._gateway.submitted(command)
        return pack.message(command)

    def _get_command(self, request: commands_pb2.GetCommandRequest, _: str) -> Message:
        return pack.message(self._book.get(command_id(request.command_id)))

    def _list_commands(self, request: commands_pb2.ListCommandsRequest, _: str) -> Message:
        wanted = _matcher(request.filter)
        found, token = hierarchy.newest(
            filter(wanted, self._book.commands.values()), lambda one: (one.submitted_us, str(one.command_id)), request
        )
        return commands_pb2.ListCommandsResponse(commands=pack.messages(found), next_page_token=token)

    def _watch_command(self, request: commands_pb2.WatchCommandRequest, wake: Wake) -> Subscription:
        return CommandSubscription(wake, self._book.get(command_id(request.command_id)))

    def _watch_commands(self, request: commands_pb2.WatchCommandsRequest, wake: Wake) -> Subscription:
        wanted, prefix = _matcher(request.filter), request.filter.prefix
        if prefix and not any(map(hierarchy.under(prefix), self._registry.device_paths)):
            self._registry.find_device(prefix)  # raises, and says what there is
        stream = CommandsSubscription(wake, wanted=wanted)
        for command in self._book.commands.values():
            if not command.final:
                stream.offer(command)
        return stream

    def _cancel(self, request: commands_pb2.ControlCommandRequest, by: str) -> Message:
        command = self._book.get(command_id(request.command_id))
        if command.state is not CommandState.CANCELLED:
            self._book.require_cancellable(command)
            self._control("CANCEL", command, by, request.reason)
        return pack.message(self._book.get(command.command_id))

    def _approve(self, request: commands_pb2.ControlCommandRequest, by: str) -> Message:
        command = self._book.get(command_id(request.command_id))
        self._book.require_approvable(command, by)
        self._control("APPROVE", command, by, request.reason)
        return pack.message(self._book.get(command.command_id))

    def _control(self, action: Any, command: Command, by: str, reason: str) -> None:
        control = Control(action=action, command_id=command.command_id, by=by, reason=reason)
        self._book.control(control, now_us=self._clock())
        self._gateway.controlled(control)


def _matcher(wanted: commands_pb2.CommandFilter) -> Callable[[Command], bool]:
    """What a filter picks. Raises InvalidRequestError for one that nothing can fit."""
    under, states = hierarchy.under(wanted.prefix), {_STATES.get(number) for number in wanted.states}
    if None in states:
        msg = f"states has {', '.join(map(str, wanted.states))}; each is one of {', '.join(_STATES.values())}"
        raise InvalidRequestError(msg)
    if wanted.until_us and wanted.since_us >= wanted.until_us:
        msg = f"since_us {wanted.since_us} is not before until_us {wanted.until_us}: no command can fit"
        raise InvalidRequestError(msg)

    def fits(command: Command) -> bool:
        in_time = command.submitted_us >= wanted.since_us and not 0 < wanted.until_us <= command.submitted_us
        who = wanted.submitted_by in {"", command.submitted_by}
        return in_time and who and under(command.device_path) and (not states or command.state in states)

    return fits
