"""gRPC face of the command handlers: unpacks requests, packs answers, decides nothing."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, TypeAlias
from uuid import UUID

import grpc

from schemas.proto.millrace.v1 import commands_pb2, commands_pb2_grpc
from serving import access
from serving.access import Permission
from serving.caches.command_view import CommandView
from serving.handlers.commands import MAX_WAIT_S, CommandHandlers, Submission
from serving.handlers.state import StateHandlers
from serving.rpc import translate

_MARGIN_S, _MARGIN = 0.1, 0.05
"""Time kept for the answer's way, of a call that waits: seconds at least, and part of its deadline."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CommandService(commands_pb2_grpc.CommandServiceServicer):
    """Servicer of `millrace.v1.CommandService`. The state handlers find devices and paths."""

    def __init__(self, handlers: CommandHandlers, state: StateHandlers) -> None:
        self._handlers = handlers
        self._state = state

    async def SubmitCommand(self, request: commands_pb2.SubmitCommandRequest, context: Context) -> commands_pb2.Command:
        """Hand a command in."""
        return self._pack(await self._handlers.submit(self._submission(request, context)))

    async def SubmitAndWait(self, request: commands_pb2.SubmitCommandRequest, context: Context) -> commands_pb2.Command:
        """Hand a command in and wait for its outcome."""
        wait_s = wait_within(context.time_remaining())
        return self._pack(await self._handlers.submit_and_wait(self._submission(request, context), wait_s=wait_s))

    async def GetCommand(self, request: commands_pb2.GetCommandRequest, context: Context) -> commands_pb2.Command:
        """A command as it stands."""
        return self._pack(await self._handlers.get(translate.command_id(request.command_id)))

    async def WatchCommand(
        self, request: commands_pb2.WatchCommandRequest, context: Context
    ) -> AsyncGenerator[commands_pb2.Command, None]:
        """A command until its outcome."""
        async with aclosing(self._handlers.watch(translate.command_id(request.command_id))) as views:
            async for view in views:
                yield self._pack(view)

    async def CancelCommand(
        self, request: commands_pb2.ControlCommandRequest, context: Context
    ) -> commands_pb2.Command:
        """Withdraw a command."""
        command_id = translate.command_id(request.command_id)
        by = await self._allowed(Permission.COMMAND, command_id)
        return self._pack(await self._handlers.cancel(command_id, by=by, reason=request.reason))

    async def ApproveCommand(
        self, request: commands_pb2.ControlCommandRequest, context: Context
    ) -> commands_pb2.Command:
        """Release a command."""
        command_id = translate.command_id(request.command_id)
        by = await self._allowed(Permission.APPROVE, command_id)
        return self._pack(await self._handlers.approve(command_id, by=by, reason=request.reason))

    async def ListCommands(
        self, request: commands_pb2.ListCommandsRequest, context: Context
    ) -> commands_pb2.ListCommandsResponse:
        """Commands in pages."""
        page = await self._handlers.list_commands(
            translate.command_filter(request.filter), request.page_size, request.page_token
        )
        commands = [self._pack(view) for view in page.items]
        return commands_pb2.ListCommandsResponse(commands=commands, next_page_token=page.next_token)

    async def WatchCommands(
        self, request: commands_pb2.WatchCommandsRequest, context: Context
    ) -> AsyncGenerator[commands_pb2.Command, None]:
        """Commands as they change."""
        async with aclosing(self._handlers.watch_commands(translate.command_filter(request.filter))) as views:
            async for view in views:
                yield self._pack(view)

    def _submission(self, request: commands_pb2.SubmitCommandRequest, context: Context) -> Submission:
        metadata = dict(context.invocation_metadata() or ())
        principal = access.current.get()
        device = self._state.find_device(device_id=request.device_id, path=request.path)
        principal.require_at(Permission.COMMAND, device.path)
        return Submission(
            command_id=translate.command_id(request.command_id) if request.command_id else None,
            device=device,
            name=request.name,
            parameters=dict(request.parameters),
            expires_after_ms=request.expires_after_ms,
            requires_approval=request.requires_approval,
            by=principal.name,
            reason=request.reason,
            traceparent=metadata.get("traceparent"),
        )

    async def _allowed(self, permission: Permission, command_id: UUID) -> str:
        """Name of the caller, who may do this to a command that it sees. Raises NotFoundError or PermissionDeniedError."""
        principal = access.current.get()
        known = await self._handlers.get(command_id)
        principal.require_at(permission, self._state.plant.device_path(known.device_id))
        return principal.name

    def _pack(self, view: CommandView) -> commands_pb2.Command:
        return translate.command(view, self._state.plant)


def wait_within(remaining_s: float | None) -> float:
    """Seconds that a call may wait, so that its answer arrives before its deadline; without a deadline as long as the handler allows."""
    if remaining_s is None:
        return MAX_WAIT_S
    return max(0.0, remaining_s - max(_MARGIN_S, _MARGIN * remaining_s))
