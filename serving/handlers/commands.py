"""Submitting, watching and steering commands: plain async functions over the book and a log of requests; no gRPC here.

Enters: what callers ask for, and who they are. Leaves: CommandRequest and CommandControl records, durable before a call
returns, and `CommandView`s. A command id makes submitting idempotent: the same content gives the same command, other
content is a ConflictError. Two servers that take the same new id at the same moment both write it; the gateway carries
out one, the commands job keeps the first.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from uuid import UUID

from base.errors import (
    ConflictError,
    InvalidRequestError,
    MillraceError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from base.ids import Clock, now_us
from schemas import command_rules, topics
from schemas.commands import MAX_REASON, OUTCOMES, CommandControl, CommandRequest, CommandState, ControlAction
from serving.caches.command_book import CommandBook, place
from serving.caches.command_view import CommandView
from serving.caches.plant import Device, Plant
from serving.caches.wakeup import Streams
from serving.handlers import command_filter
from serving.handlers.command_filter import CommandFilter
from serving.handlers.state import DEFAULT_PAGE, MAX_PAGE, Page
from serving.record_log import RecordLog
from serving.seen import seen
from serving.signing import Signing

log = logging.getLogger(__name__)

DEFAULT_EXPIRES_MS = 30_000
MAX_WAIT_S = 600.0
"""Longest wait of `submit_and_wait`; a command may take longer, and is answered as it then stands."""
CONTROL_WAIT_S = 1.0
"""How long `cancel` and `approve` wait for what they lead to."""
_SCANNED = 1_000
"""Commands that a list looks at before other calls get their turn."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Submission:
    """What a caller asks for."""

    command_id: UUID
    device: Device
    name: str
    parameters: Mapping[str, float]
    expires_after_ms: int
    requires_approval: bool
    by: str
    reason: str = ""
    traceparent: str | None = None


@dataclass(kw_only=True, slots=True)
class CommandHandlers:
    """The book, the log of requests, and what may be done with them."""

    book: CommandBook
    plant: Plant
    requests: RecordLog
    streams: Streams
    signing: Signing = field(default_factory=Signing)
    """Signs what goes to gateways, where there is a key."""
    clock: Clock = now_us
    max_expires_ms: int = 24 * 3_600_000
    admit: Callable[[int], None] = lambda _: None
    """Raises RateLimitedError when a device gets too many commands, whoever sends them; a command that is known already passes."""
    max_waiting: int = 1_000
    """Calls that may wait for outcomes at a time; further ones are answered at once, with the command as it stands."""
    control_wait_s: float = CONTROL_WAIT_S
    ready: bool = False
    _waiting: int = 0
    _sending: dict[UUID, asyncio.Task[None]] = field(default_factory=dict)

    async def submit(self, wanted: Submission) -> CommandView:
        """Check a command, write it, and return it once it is durable."""
        self.require_ready()
        command_rules.writes(wanted.device.tags, wanted.name, wanted.parameters)
        command_id = wanted.command_id
        request = self._request(wanted)
        while command_id in self._sending:  # the same id a moment ago: its outcome decides what this call is
            await asyncio.wait([self._sending[command_id]])
        known = self.book.get(command_id)
        if known is not None:
            self._require_same(known, request)
            return known
        self.admit(wanted.device.device_id)
        # A task of its own: a caller that gives up half-way leaves a command that is known here, not an orphan.
        task = self._sending[command_id] = asyncio.create_task(self.send(request))
        task.add_done_callback(lambda _: self._sent(command_id))
        await asyncio.shield(task)
        return self._known(command_id)

    async def submit_and_wait(self, wanted: Submission, *, wait_s: float) -> CommandView:
        """Submit, then wait for the outcome in the record, `wait_s` seconds from now at most.

        Fails only as long as the command is not durable; after that it answers with the command as it stands.
        """
        ends_s = time.monotonic() + min(wait_s, MAX_WAIT_S)
        view = await self.submit(wanted)
        return await self._waited(view, lambda now: now.final, wait_s=ends_s - time.monotonic())

    async def list_commands(self, wanted: CommandFilter, page_size: int = 0, page_token: str = "") -> Page[CommandView]:
        """Commands that the server remembers, newest first."""
        self.require_ready()
        if not 0 <= page_size <= MAX_PAGE:
            msg = f"page_size is {page_size}, not between 0 and {MAX_PAGE}"
            raise InvalidRequestError(msg)
        size, limit = page_size or DEFAULT_PAGE, command_filter.position(page_token)
        if wanted.until_us:
            limit = min(limit or (wanted.until_us, 0), (wanted.until_us, 0))
        fits = wanted.matcher(seen(self.plant))
        found: list[CommandView] = []
        while True:
            scanned = 0
            for view in self.book.before(limit):
                if view.submitted_us < wanted.since_us:
                    return Page(items=found, next_token="")
                if fits(view):
                    if len(found) == size:
                        return Page(items=found, next_token=command_filter.token(place(found[-1])))
                    found.append(view)
                limit, scanned = place(view), scanned + 1
                if scanned == _SCANNED:
                    break
            else:
                return Page(items=found, next_token="")
            await asyncio.sleep(0)

    async def get(self, command_id: UUID) -> CommandView:
        """A command as it stands."""
        self.require_ready()
        return self._seen(command_id)

    async def watch(self, command_id: UUID) -> AsyncGenerator[CommandView, None]:
        """A command as it stands, then every change, until its outcome is in the record."""
        self.require_ready()
        self._seen(command_id)
        with self.streams.opened() as wakeup:
            reader = self.book.open(wakeup, command_id)
            try:
                async with aclosing(reader.views()) as views:
                    async for view in views:
                        yield view
            finally:
                self.book.close(command_id, reader)

    async def watch_commands(self, wanted: CommandFilter) -> AsyncGenerator[CommandView, None]:
        """Commands under way that fit, then every change of those that fit; one that fits no more is told once more.

        Raises OverloadedError when the caller takes them too slowly.
        """
        self.require_ready()
        plant = seen(self.plant)
        if wanted.prefix and not plant.devices_under(wanted.prefix, limit=1):
            plant.device_at(wanted.prefix)  # raises, and says what there is
        with self.streams.opened() as wakeup:
            reader = self.book.open_many(wakeup, wanted.matcher(plant))
            try:
                async with aclosing(reader.views()) as views:
                    async for view in views:
                        yield view
            finally:
                self.book.close_many(reader)

    async def cancel(self, command_id: UUID, *, by: str, reason: str) -> CommandView:
        """Ask to withdraw a command; the gateway decides whether it was in time.

        Answers with the command after that: with what the gateway decided if it says so soon, else with the wish noted (provisional).
        """
        self.require_ready()
        _check_reason(reason)
        known = self._known(command_id)
        if known.state is CommandState.CANCELLED:
            return known
        if known.state in OUTCOMES or known.state is CommandState.EXECUTING:
            msg = f"command {command_id} is {known.state}; only a command that was not carried out can be cancelled"
            raise PreconditionError(msg)
        view = await self._control(known, ControlAction.CANCEL, by=by, reason=reason)
        return await self._waited(
            view, lambda now: now.state in OUTCOMES or now.state is CommandState.EXECUTING, wait_s=self.control_wait_s
        )

    async def approve(self, command_id: UUID, *, by: str, reason: str) -> CommandView:
        """Release a command that waits for approval; answers with the command after that."""
        self.require_ready()
        _check_reason(reason)
        known = self._known(command_id)
        if known.state is not CommandState.PENDING_APPROVAL:
            msg = f"command {command_id} is {known.state}; it does not wait for approval"
            raise PreconditionError(msg)
        view = await self._control(known, ControlAction.APPROVE, by=by, reason=reason)
        return await self._waited(
            view,
            lambda now: not now.provisional and now.state is not CommandState.PENDING_APPROVAL,
            wait_s=self.control_wait_s,
        )

    async def send(self, request: CommandRequest) -> None:
        """Sign and write a request; durable when it returns. Raises UnavailableError or OverloadedError."""
        request = self.signing.sign(request)
        topic = topics.REQUESTS.for_site(request.site)
        await self.requests.send(topic, str(request.device_id).encode(), request.encode())
        self.book.apply_request(request)
        details = {"command_id": request.command_id, "device_id": request.device_id, "command": request.name}
        log.info("command submitted", extra=details | {"principal": request.submitted_by})

    def require_ready(self) -> None:
        """Raise UnavailableError while the book is still being read: a retry could not be told from a new command."""
        if not self.ready:
            msg = "the server is still reading the commands; try again in a moment"
            raise UnavailableError(msg)

    async def _waited(self, view: CommandView, enough: Callable[[CommandView], bool], *, wait_s: float) -> CommandView:
        """The command once it is `enough`, or as it stands after `wait_s`; never raises for what happens meanwhile."""
        if enough(view) or wait_s <= 0 or self._waiting >= self.max_waiting:
            return view
        self._waiting += 1
        try:
            with self.streams.opened() as wakeup:
                reader = self.book.open(wakeup, view.command_id)
                try:
                    async with asyncio.timeout(wait_s), aclosing(reader.views()) as views:
                        async for newer in views:
                            view = newer
                            if enough(view):
                                break
                finally:
                    self.book.close(view.command_id, reader)
        except TimeoutError:
            pass  # as it stands
        except MillraceError as error:  # the server stops: the command is durable all the same
            log.info("stopped waiting", extra={"command_id": view.command_id, "cause": str(error)})
        finally:
            self._waiting -= 1
        return view

    def _seen(self, command_id: UUID) -> CommandView:
        """A command for a device that the caller sees; any other is as one that does not exist."""
        known, plant = self._known(command_id), seen(self.plant)
        if not plant.whole and not plant.device_path(known.device_id):
            raise NotFoundError(_no_command(command_id))
        return known

    def _known(self, command_id: UUID) -> CommandView:
        known = self.book.get(command_id)
        if known is None:
            raise NotFoundError(_no_command(command_id))
        return known

    def _request(self, wanted: Submission) -> CommandRequest:
        _check_reason(wanted.reason)
        expires_ms = wanted.expires_after_ms or DEFAULT_EXPIRES_MS
        if not 0 < expires_ms <= self.max_expires_ms:
            msg = f"expires_after_ms is {expires_ms}, not between 1 and {self.max_expires_ms}"
            raise InvalidRequestError(msg)
        now = self.clock()
        return CommandRequest(
            command_id=wanted.command_id,
            device_id=wanted.device.device_id,
            gateway_id=wanted.device.gateway_id,
            site=wanted.device.site,
            name=wanted.name,
            parameters=dict(wanted.parameters),
            submitted_by=wanted.by,
            submitted_us=now,
            expires_us=now + expires_ms * 1000,
            requires_approval=wanted.requires_approval,
            traceparent=wanted.traceparent,
            reason=wanted.reason,
        )

    def _sent(self, command_id: UUID) -> None:
        task = self._sending.pop(command_id)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("command was not written", extra={"command_id": command_id, "cause": str(error)})

    async def _control(self, known: CommandView, action: ControlAction, *, by: str, reason: str) -> CommandView:
        control = CommandControl(
            command_id=known.command_id,
            device_id=known.device_id,
            action=action,
            by=by,
            time_us=self.clock(),
            reason=reason,
        )
        control = self.signing.sign(control)
        # Same topic and key as the request, so the gateway reads it behind the request.
        topic = topics.REQUESTS.for_site(known.site)
        await self.requests.send(topic, str(known.device_id).encode(), control.encode())
        self.book.apply_control(control)
        log.info("command controlled", extra={"command_id": known.command_id, "action": action, "principal": by})
        return self._known(known.command_id)

    def _require_same(self, known: CommandView, request: CommandRequest) -> None:
        before = self.book.request(known.command_id)
        pairs = {
            "device": (known.device_id, request.device_id),
            "name": (known.name, request.name),
            "parameters": (known.parameters, request.parameters),
            "submitter": (known.submitted_by, request.submitted_by),
            "expiry": (known.expires_us - known.submitted_us, request.expires_us - request.submitted_us),
        }
        if before is not None:
            pairs["reason"] = (before.reason, request.reason)
            pairs["requires_approval"] = (before.requires_approval, request.requires_approval)
        if different := [name for name, (old, new) in pairs.items() if old != new]:
            msg = f"command id {known.command_id} is taken by another command (other {', '.join(different)}); make a new id"
            raise ConflictError(msg)


def _no_command(command_id: UUID) -> str:
    return f"no command {command_id}; finished commands are kept here for some days, older ones are in SQL"


def _check_reason(reason: str) -> None:
    if len(reason) > MAX_REASON:
        msg = f"reason has {len(reason)} characters, more than {MAX_REASON}"
        raise InvalidRequestError(msg)
