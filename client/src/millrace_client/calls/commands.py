"""Calls of CommandService."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from uuid import UUID

from millrace_client import unpack
from millrace_client._proto.millrace.v1 import commands_pb2
from millrace_client.calls.method import Call, CommandRef, DeviceRef, Method, command_of, device_of, message
from millrace_client.results import Command, CommandState, Page, Time
from millrace_client.results.times import to_us

_SERVICE = "CommandService"
# Idempotent because the command's id is made here, before the first try.
SUBMIT = Method(_SERVICE, "SubmitCommand", commands_pb2.SubmitCommandRequest, commands_pb2.Command)
SUBMIT_AND_WAIT = Method(_SERVICE, "SubmitAndWait", commands_pb2.SubmitCommandRequest, commands_pb2.Command)
GET_COMMAND = Method(_SERVICE, "GetCommand", commands_pb2.GetCommandRequest, commands_pb2.Command)
LIST_COMMANDS = Method(_SERVICE, "ListCommands", commands_pb2.ListCommandsRequest, commands_pb2.ListCommandsResponse)
WATCH_COMMAND = Method(_SERVICE, "WatchCommand", commands_pb2.WatchCommandRequest, commands_pb2.Command, streaming=True)
WATCH_COMMANDS = Method(
    _SERVICE, "WatchCommands", commands_pb2.WatchCommandsRequest, commands_pb2.Command, streaming=True
)
CANCEL = Method(_SERVICE, "CancelCommand", commands_pb2.ControlCommandRequest, commands_pb2.Command)
# Not idempotent: a command that was approved refuses a second approval, so a retry would report a success as a failure.
APPROVE = Method(_SERVICE, "ApproveCommand", commands_pb2.ControlCommandRequest, commands_pb2.Command, idempotent=False)
METHODS = (SUBMIT, SUBMIT_AND_WAIT, GET_COMMAND, LIST_COMMANDS, WATCH_COMMAND, WATCH_COMMANDS, CANCEL, APPROVE)

DEFAULT_EXPIRES_MS = 30_000
BEYOND_EXPIRY_S = 30.0
"""How much longer than a command lives its outcome is waited for: by then the record says at least UNKNOWN or EXPIRED."""

_read = partial(unpack.result, Command)


def submit(
    device: DeviceRef,
    name: str,
    parameters: Mapping[str, float] | None,
    *,
    command_id: UUID,
    expires_ms: int,
    requires_approval: bool,
    reason: str,
    traceparent: str,
) -> Call[Command]:
    """A new command, or the same one again."""
    request = message(
        commands_pb2.SubmitCommandRequest,
        command_id=str(command_id),
        name=name,
        parameters=dict(parameters or {}),
        expires_after_ms=expires_ms,
        requires_approval=requires_approval,
        reason=reason,
        **device_of(device),
    )
    return Call(SUBMIT, request, _read, (("traceparent", traceparent),) if traceparent else ())


def and_wait(call: Call[Command]) -> Call[Command]:
    """A `submit` that waits for the outcome."""
    return replace(call, method=SUBMIT_AND_WAIT)


def outcome_within_s(expires_ms: int) -> float:
    """How long the outcome of a command is waited for; 0: one that lives as long as the server chooses."""
    return (expires_ms or DEFAULT_EXPIRES_MS) / 1000 + BEYOND_EXPIRY_S


def get_command(command: CommandRef) -> Call[Command]:
    """A command as it stands."""
    return Call(GET_COMMAND, message(commands_pb2.GetCommandRequest, command_id=command_of(command)), _read)


def command_filter(
    prefix: str,
    states: CommandState | Iterable[CommandState],
    submitted_by: str,
    since: Time | None,
    until: Time | None,
) -> commands_pb2.CommandFilter:
    """Which commands."""
    wanted = [states] if isinstance(states, str) else list(states)
    return message(
        commands_pb2.CommandFilter,
        prefix=prefix,
        states=[f"COMMAND_STATE_{state}" for state in wanted],
        submitted_by=submitted_by,
        since_us=to_us(since),
        until_us=to_us(until),
    )


def list_commands(wanted: commands_pb2.CommandFilter, page_size: int, page_token: str) -> Call[Page[Command]]:
    """A page of commands."""
    request = message(commands_pb2.ListCommandsRequest, filter=wanted, page_size=page_size, page_token=page_token)
    return Call(LIST_COMMANDS, request, unpack.page(Command, "commands"))


def watch_command(command: CommandRef) -> Call[Command]:
    """A command until its outcome."""
    return Call(WATCH_COMMAND, message(commands_pb2.WatchCommandRequest, command_id=command_of(command)), _read)


def watch_commands(wanted: commands_pb2.CommandFilter) -> Call[Command]:
    """Commands as they change."""
    return Call(WATCH_COMMANDS, message(commands_pb2.WatchCommandsRequest, filter=wanted), _read)


def cancel(command: CommandRef, reason: str) -> Call[Command]:
    """Withdraw a command."""
    request = message(commands_pb2.ControlCommandRequest, command_id=command_of(command), reason=reason)
    return Call(CANCEL, request, _read)


def approve(command: CommandRef, reason: str) -> Call[Command]:
    """Release a command."""
    request = message(commands_pb2.ControlCommandRequest, command_id=command_of(command), reason=reason)
    return Call(APPROVE, request, _read)
