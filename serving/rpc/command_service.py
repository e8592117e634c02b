"""gRPC face of the command handlers: unpacks requests, asks the policies, packs answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, TypeAlias
from uuid import UUID

import grpc

from schemas import command_rules
from schemas.proto.millrace.v1 import commands_pb2, commands_pb2_grpc
from serving import access
from serving.caches.command_view import CommandView
from serving.caches.plant import Device
from serving.handlers.commands import MAX_WAIT_S, CommandHandlers, Submission
from serving.handlers.state import StateHandlers
from serving.policies import engine as policies
from serving.policies.engine import Ask, Place, Policies
from serving.rpc import translate

_MARGIN_S, _MARGIN = 0.1, 0.05
"""Time kept for the answer's way, of a call that waits: seconds at least, and part of its deadline."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CommandService(commands_pb2_grpc.CommandServiceServicer):
    """Servicer of `millrace.v1.CommandService`. The state handlers find devices and paths, the policies decide."""

    def __init__(self, handlers: CommandHandlers, state: StateHandlers, policies: Policies) -> None:
        self._handlers = handlers
        self._state = state
        self._policies = policies

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
        by = await self._allowed(policies.CANCEL, command_id, request.reason)
        return self._pack(await self._handlers.cancel(command_id, by=by, reason=request.reason))

    async def ApproveCommand(
        self, request: commands_pb2.ControlCommandRequest, context: Context
    ) -> commands_pb2.Command:
        """Release a command."""
        command_id = translate.command_id(request.command_id)
        by = await self._allowed(policies.APPROVE, command_id, request.reason)
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
        ask = self._ask(device, request.name, request.parameters, reason=request.reason, submitter=principal.name)
        place = self._place(device)
        self._policies.require(principal, policies.COMMAND, place, ask)
        alone = self._policies.decide(principal, policies.ACT_ALONE, place, ask).allowed
        return Submission(
            command_id=translate.command_id(request.command_id) if request.command_id else None,
            device=device,
            name=request.name,
            parameters=dict(request.parameters),
            expires_after_ms=request.expires_after_ms,
            # A caller may ask for a second person where the policies do not, never the other way round.
            requires_approval=request.requires_approval or not alone,
            by=principal.name,
            reason=request.reason,
            traceparent=metadata.get("traceparent"),
        )

    async def _allowed(self, action: str, command_id: UUID, reason: str) -> str:
        """Name of the caller, who may do this to a command that it sees. Raises NotFoundError or PermissionDeniedError."""
        principal = access.current.get()
        known = await self._handlers.get(command_id)
        device = self._state.plant.device(known.device_id)
        ask = self._ask(device, known.name, known.parameters, reason=reason, submitter=known.submitted_by)
        self._policies.require(principal, action, self._place(device), ask)
        return principal.name

    def _place(self, device: Device) -> Place:
        packml = self._state.states.packml(device)
        return Place(path=device.path, device_class=device.device_class, site=device.site, packml_state=packml)

    def _ask(self, device: Device, name: str, parameters: Mapping[str, float], *, reason: str, submitter: str) -> Ask:
        tags = command_rules.written(name, parameters)
        known = [self._state.values.last(tag.tag_id) for tag in map(device.tag, tags) if tag is not None]
        oldest_us = min((one.time_us for one in known if one is not None), default=0)
        whole = oldest_us and len(known) == len(tags) and None not in known
        age_ms = max(0, (self._handlers.clock() - oldest_us) // 1_000) if whole else -1
        return Ask(name=name, tags=tags, reason=reason, submitter=submitter, age_ms=age_ms)

    def _pack(self, view: CommandView) -> commands_pb2.Command:
        return translate.command(view, self._state.plant)


def wait_within(remaining_s: float | None) -> float:
    """Seconds that a call may wait, so that its answer arrives before its deadline; without a deadline as long as the handler allows."""
    if remaining_s is None:
        return MAX_WAIT_S
    return max(0.0, remaining_s - max(_MARGIN_S, _MARGIN * remaining_s))
