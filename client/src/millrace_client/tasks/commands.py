"""Methods of CommandService."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from functools import partial
from uuid import UUID

from millrace_client import course
from millrace_client.calls import PAGE, CommandRef, DeviceRef
from millrace_client.calls import commands as calls
from millrace_client.errors import DeadlineExceededError, UnsupportedError, closed
from millrace_client.ids import uuid7
from millrace_client.results import Command, CommandState, Page, Time
from millrace_client.tasks.carrier import Carrier
from millrace_client.tasks.stream import AsyncStream


class CommandMethods(Carrier):
    """Commands to devices."""

    async def submit(
        self,
        device: DeviceRef,
        name: str,
        parameters: Mapping[str, float] | None = None,
        *,
        command_id: UUID | None = None,
        expires_ms: int = 0,
        requires_approval: bool = False,
        reason: str = "",
        traceparent: str = "",
        deadline_s: float | None = None,
    ) -> Command:
        """As `Client.submit`."""
        call = calls.submit(
            device,
            name,
            parameters,
            command_id=command_id or uuid7(),
            expires_ms=expires_ms,
            requires_approval=requires_approval,
            reason=reason,
            traceparent=traceparent,
        )
        return await self._unary(call, deadline_s)

    async def submit_and_wait(
        self,
        device: DeviceRef,
        name: str,
        parameters: Mapping[str, float] | None = None,
        *,
        command_id: UUID | None = None,
        expires_ms: int = 0,
        requires_approval: bool = False,
        reason: str = "",
        traceparent: str = "",
        deadline_s: float | None = None,
    ) -> Command:
        """As `Client.submit_and_wait`."""
        command_id = command_id or uuid7()
        call = calls.submit(
            device,
            name,
            parameters,
            command_id=command_id,
            expires_ms=expires_ms,
            requires_approval=requires_approval,
            reason=reason,
            traceparent=traceparent,
        )
        for_s = calls.outcome_within_s(expires_ms) if deadline_s is None else deadline_s
        try:
            return await self._unary(calls.and_wait(call), for_s)
        except UnsupportedError:  # an older server: the same in two calls
            await self._unary(call, for_s)
            with suppress(DeadlineExceededError):
                return await self.outcome(command_id, deadline_s=for_s)
        except DeadlineExceededError:
            pass  # the server's answer of that moment came too late
        return await self.command(command_id)

    async def command(self, command: CommandRef, *, deadline_s: float | None = None) -> Command:
        """As `Client.command`."""
        return await self._unary(calls.get_command(command), deadline_s)

    def commands(
        self,
        prefix: str = "",
        *,
        states: CommandState | Iterable[CommandState] = (),
        submitted_by: str = "",
        since: Time | None = None,
        until: Time | None = None,
    ) -> AsyncIterator[Command]:
        """As `Client.commands`."""
        page = partial(self.commands_page, prefix, states=states, submitted_by=submitted_by, since=since, until=until)
        return self._pages(page)

    async def commands_page(
        self,
        prefix: str = "",
        page_token: str = "",
        *,
        states: CommandState | Iterable[CommandState] = (),
        submitted_by: str = "",
        since: Time | None = None,
        until: Time | None = None,
        page_size: int = PAGE,
        deadline_s: float | None = None,
    ) -> Page[Command]:
        """As `Client.commands_page`."""
        wanted = calls.command_filter(prefix, states, submitted_by, since, until)
        return await self._unary(calls.list_commands(wanted, page_size, page_token), deadline_s)

    def watch_command(self, command: CommandRef, *, deadline_s: float | None = None) -> AsyncStream[Command]:
        """As `Client.watch_command`."""
        return self._stream(course.Repeated(calls.watch_command(command)), deadline_s)

    def watch_commands(
        self,
        prefix: str = "",
        *,
        states: CommandState | Iterable[CommandState] = (),
        submitted_by: str = "",
        since: Time | None = None,
        until: Time | None = None,
        deadline_s: float | None = None,
    ) -> AsyncStream[Command]:
        """As `Client.watch_commands`."""
        wanted = calls.command_filter(prefix, states, submitted_by, since, until)
        return self._stream(course.Repeated(calls.watch_commands(wanted)), deadline_s)

    async def outcome(self, command: CommandRef, *, deadline_s: float | None = None) -> Command:
        """As `Client.outcome`."""
        async with self.watch_command(command, deadline_s=deadline_s) as states:
            async for state in states:
                if state.final:
                    return state
        raise closed()

    async def cancel(self, command: CommandRef, reason: str = "", *, deadline_s: float | None = None) -> Command:
        """As `Client.cancel`."""
        return await self._unary(calls.cancel(command, reason), deadline_s)

    async def approve(self, command: CommandRef, reason: str = "", *, deadline_s: float | None = None) -> Command:
        """As `Client.approve`."""
        return await self._unary(calls.approve(command, reason), deadline_s)
