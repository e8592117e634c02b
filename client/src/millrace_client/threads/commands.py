"""Methods of CommandService."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from uuid import UUID

from millrace_client import course
from millrace_client.calls import PAGE, CommandRef, DeviceRef
from millrace_client.calls import commands as calls
from millrace_client.errors import DeadlineExceededError, UnsupportedError, closed
from millrace_client.ids import uuid7
from millrace_client.results import Command, CommandState, Page, Time
from millrace_client.threads.carrier import Carrier
from millrace_client.threads.stream import Stream


class CommandMethods(Carrier):
    """Commands to devices."""

    def submit(
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
        """Hand a command in; returns once it is durable, not once it is carried out: `outcome` waits for that.

        `name`: `write` with tag names as `parameters`, or a PackML verb such as `start`. `expires_ms`: not carried out later than this
        (0: the server's 30,000). The same `command_id` with the same content is the same command, whoever says it again; with other content
        it raises ConflictError. `reason`: why, for the record. `traceparent`: W3C trace context, recorded with the command.
        """
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
        return self._unary(call, deadline_s)

    def submit_and_wait(
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
        """Hand a command in and wait for its outcome; arguments as of `submit`.

        Returns with the outcome (`final`), or at the deadline with the command as it stands; it goes on then. `deadline_s`: by default as
        long as the command lives, and 30 s for the record of its end.
        """
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
            return self._unary(calls.and_wait(call), for_s)
        except UnsupportedError:  # an older server: the same in two calls
            self._unary(call, for_s)
            with suppress(DeadlineExceededError):
                return self.outcome(command_id, deadline_s=for_s)
        except DeadlineExceededError:
            pass  # the server's answer of that moment came too late
        return self.command(command_id)

    def command(self, command: CommandRef, *, deadline_s: float | None = None) -> Command:
        """A command as it stands. Raises NotFoundError."""
        return self._unary(calls.get_command(command), deadline_s)

    def commands(
        self,
        prefix: str = "",
        *,
        states: CommandState | Iterable[CommandState] = (),
        submitted_by: str = "",
        since: Time | None = None,
        until: Time | None = None,
    ) -> Iterator[Command]:
        """Commands to the devices at or under a path, newest first.

        Only those in one of the states, of a submitter, submitted at `since` or later, and before `until`, where given.
        """
        page = partial(self.commands_page, prefix, states=states, submitted_by=submitted_by, since=since, until=until)
        return self._pages(page)

    def commands_page(
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
        """A page of `commands`; at most 1,000 of them."""
        wanted = calls.command_filter(prefix, states, submitted_by, since, until)
        return self._unary(calls.list_commands(wanted, page_size, page_token), deadline_s)

    def watch_command(self, command: CommandRef, *, deadline_s: float | None = None) -> Stream[Command]:
        """A command as it stands, then every change; ends after its outcome."""
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
    ) -> Stream[Command]:
        """The commands under way that the filter picks (as of `commands`), then those that change."""
        wanted = calls.command_filter(prefix, states, submitted_by, since, until)
        return self._stream(course.Repeated(calls.watch_commands(wanted)), deadline_s)

    def outcome(self, command: CommandRef, *, deadline_s: float | None = None) -> Command:
        """Wait until a command has its outcome in the record. Raises DeadlineExceededError; the command goes on then."""
        with self.watch_command(command, deadline_s=deadline_s) as states:
            for state in states:
                if state.final:
                    return state
        raise closed()

    def cancel(self, command: CommandRef, reason: str = "", *, deadline_s: float | None = None) -> Command:
        """Ask to withdraw a command; the gateway decides whether it was in time. Raises PreconditionError when it is too late."""
        return self._unary(calls.cancel(command, reason), deadline_s)

    def approve(self, command: CommandRef, reason: str = "", *, deadline_s: float | None = None) -> Command:
        """Release a command that waits for approval by somebody other than its submitter.

        Never tried again by itself: after an UnavailableError look at the command first.
        """
        return self._unary(calls.approve(command, reason), deadline_s)
