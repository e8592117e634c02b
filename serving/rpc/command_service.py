"""gRPC face of the command handlers: unpacks requests, asks the policies, writes what they decide to the audit log, packs answers.

A command and an approval go on only while the audit log takes events; a cancellation goes on whatever it does, as it takes something back.
The event is handed over before what it is about, and the answer waits for it, `serving.trail.WAIT_S` at most.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeAlias
from uuid import UUID

import grpc

from base.ids import uuid7
from schemas import command_rules
from schemas.proto.millrace.v1 import commands_pb2, commands_pb2_grpc
from serving import trail
from serving.caches.command_view import CommandView
from serving.caches.plant import Device
from serving.handlers.commands import MAX_WAIT_S, CommandHandlers, Submission
from serving.handlers.state import StateHandlers
from serving.policies import engine as policies
from serving.policies.engine import Ask, Policies
from serving.principals import current
from serving.rpc import translate
from serving.rpc.decisions import Decisions, Noted, place_of
from serving.trail import Trail

_MARGIN_S, _MARGIN = 0.1, 0.05
"""Time kept for the answer's way, of a call that waits: seconds at least, and part of its deadline."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"


class CommandService(commands_pb2_grpc.CommandServiceServicer):
    """Servicer of `millrace.v1.CommandService`. The state handlers find devices and paths, the policies decide."""

    def __init__(self, handlers: CommandHandlers, state: StateHandlers, policies: Policies, trail: Trail) -> None:
        self._handlers = handlers
        self._state = state
        self._policies, self._trail, self._decisions = policies, trail, Decisions(policies, trail)

    async def SubmitCommand(self, request: commands_pb2.SubmitCommandRequest, context: Context) -> commands_pb2.Command:
        """Hand a command in."""
        wanted, noted = self._submission(request, context)
        view = await self._handlers.submit(wanted)
        await self._trail.settled(noted)
        return self._pack(view)

    async def SubmitAndWait(self, request: commands_pb2.SubmitCommandRequest, context: Context) -> commands_pb2.Command:
        """Hand a command in and wait for its outcome."""
        wait_s = wait_within(context.time_remaining())
        wanted, noted = self._submission(request, context)
        view = await self._handlers.submit_and_wait(wanted, wait_s=wait_s)
        await self._trail.settled(noted)
        return self._pack(view)

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
        by, noted = await self._allowed(policies.CANCEL, command_id, request.reason)
        view = await self._handlers.cancel(command_id, by=by, reason=request.reason)
        await self._trail.settled(noted)
        return self._pack(view)

    async def ApproveCommand(
        self, request: commands_pb2.ControlCommandRequest, context: Context
    ) -> commands_pb2.Command:
        """Release a command."""
        command_id = translate.command_id(request.command_id)
        by, noted = await self._allowed(policies.APPROVE, command_id, request.reason)
        view = await self._handlers.approve(command_id, by=by, reason=request.reason)
        await self._trail.settled(noted)
        return self._pack(view)

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

    def _submission(self, request: commands_pb2.SubmitCommandRequest, context: Context) -> tuple[Submission, Noted]:
        metadata = dict(context.invocation_metadata() or ())
        principal = current.get()
        command_id = translate.command_id(request.command_id) if request.command_id else uuid7(self._handlers.clock())
        trail.about(path=request.path, name=request.name, reason=request.reason, command_id=str(command_id))
        device = self._state.find_device(device_id=request.device_id, path=request.path)
        ask = self._ask(device, request.name, request.parameters, reason=request.reason, submitter=principal.name)
        place = place_of(device, self._state)
        found, alone = self._policies.decide_all(principal, (policies.COMMAND, policies.ACT_ALONE), place, ask)
        self._decisions.required(found, policies.COMMAND, place)
        self._trail.require()
        # A caller may ask for a second person where the policies do not, never the other way round.
        requires_approval = request.requires_approval or not alone.allowed
        noted = self._decisions.allow(
            found,
            policies=(*found.policies, *alone.policies),
            before=_text(self._last(device, ask.tags)),
            after=_text({"parameters": dict(request.parameters), "requires_approval": requires_approval}),
        )
        wanted = Submission(
            command_id=command_id,
            device=device,
            name=request.name,
            parameters=dict(request.parameters),
            expires_after_ms=request.expires_after_ms,
            requires_approval=requires_approval,
            by=principal.name,
            reason=request.reason,
            traceparent=metadata.get("traceparent"),
        )
        return wanted, noted

    async def _allowed(self, action: str, command_id: UUID, reason: str) -> tuple[str, Noted]:
        """Name of the caller, who may do this to a command that it sees.

        Raises NotFoundError, PermissionDeniedError, or UnavailableError for what may not go on without the audit log.
        """
        principal = current.get()
        trail.about(command_id=str(command_id), reason=reason)
        known = await self._handlers.get(command_id)
        device = self._state.plant.device(known.device_id)
        # A command of before people had subject ids is the caller's own, too.
        submitter = principal.name if principal.is_called(known.submitted_by) else known.submitted_by
        ask = self._ask(device, known.name, known.parameters, reason=reason, submitter=submitter)
        place = place_of(device, self._state)
        trail.about(name=known.name, second="" if submitter == principal.name else submitter)
        found = self._decisions.permitted(action, place, ask)
        if action != policies.CANCEL:
            self._trail.require()
        return principal.name, self._decisions.allow(found, before=str(known.state))

    def _last(self, device: Device, tags: Sequence[str]) -> dict[str, float | None]:
        """Last values of what a command writes."""
        known = {tag.name: self._state.values.last(tag.tag_id) for tag in map(device.tag, tags) if tag is not None}
        return {name: None if last is None else last.value for name, last in known.items()}

    def _ask(self, device: Device, name: str, parameters: Mapping[str, float], *, reason: str, submitter: str) -> Ask:
        tags = command_rules.written(name, parameters)
        known = [self._state.values.last(tag.tag_id) for tag in map(device.tag, tags) if tag is not None]
        oldest_us = min((one.time_us for one in known if one is not None), default=0)
        whole = oldest_us and len(known) == len(tags) and None not in known
        age_ms = max(0, (self._handlers.clock() - oldest_us) // 1_000) if whole else -1
        return Ask(name=name, tags=tags, reason=reason, submitter=submitter, age_ms=age_ms)

    def _pack(self, view: CommandView) -> commands_pb2.Command:
        return translate.command(view, self._state.plant)


def _text(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def wait_within(remaining_s: float | None) -> float:
    """Seconds that a call may wait, so that its answer arrives before its deadline; without a deadline as long as the handler allows."""
    if remaining_s is None:
        return MAX_WAIT_S
    return max(0.0, remaining_s - max(_MARGIN_S, _MARGIN * remaining_s))
