"""The gate: every call of every face passes it before anything else is done.

Enters: the name of a method from the face's own table, the caller's headers, its address. Leaves: a `Call` inside a `with` block, or an
error of `base.errors`. What a face does:

    with gate.call(method, headers=pairs, peer="10.0.0.7:5123", remaining_s=None) as call:
        request = ...                       # decode and check bounds (serving.bounds) here, inside
        answer = await handler(...)         # `principals.current` is the principal
        call.messages += 1                  # for every message that is sent

and around it `except Exception as error: problem_of(error)` (`serving.problems`) for the answer. The gate does, in this order: who is it,
may it, is it too much (of one principal, in total, for a loop that is late: control passes before bulk); then, when the block ends, however
it ends: the line in the access log, the metrics, and an event of the audit log for what belongs there (`serving.trail`). A defect is logged
with its traceback once, here.

A call of a stream is ended by the gate when its token is withdrawn or the server stops: the task that entered the block is cancelled, and
the block raises the cause. So the block is entered in the task that sends the messages. Called in the event loop only.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from enum import StrEnum

from base.errors import DeadlineError, MillraceError, cause_of
from schemas.audit import trace_of
from serving import trail
from serving.access import Access
from serving.limits import Limits
from serving.load import Load
from serving.metrics import CallMetrics
from serving.principals import Permission, Principal, UnauthenticatedError, current
from serving.problems import problem_of
from serving.trail import Asked, Trail

log = logging.getLogger("serving.access")

Headers = Sequence[tuple[str, str]]
"""Names in lower case; a header that was sent twice is there twice."""

_TOKENS_S = 1.0
_PROBES = "health"
_MAX_PROBES = 500


class Kind(StrEnum):
    """What a method is to the server when there is too much to do."""

    PROBE = "probe"
    """Health: needs no token, is never limited."""
    CONTROL = "control"
    """Commands and what belongs to them: passes whatever readers do."""
    READ = "read"
    """Small answers."""
    BULK = "bulk"
    """Streams of values, history, long lists: waits when the loop is late."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Method:
    """A row of a face's table. `name` is what log and metrics show, `Service/Method` or `GET /path/{with}/places`.

    `action`: what the audit log calls it; without one it has only what is denied.
    """

    name: str
    kind: Kind
    needs: Permission | None = Permission.READ
    streaming: bool = False
    action: str = ""


@dataclass(kw_only=True, slots=True, eq=False)
class Call:
    """A call that is in the gate. A face that has answered by itself sets `code` to that gRPC status name."""

    method: Method
    peer: str
    started_s: float
    deadline_s: float | None = None
    principal: Principal | None = None
    messages: int = 0
    code: str = ""
    cause: str = ""
    ended: MillraceError | None = None
    task: asyncio.Task[object] | None = field(default=None, repr=False)

    def remaining_s(self) -> float | None:
        """Seconds until the caller's deadline; None without one."""
        return None if self.deadline_s is None else max(0.0, self.deadline_s - time.monotonic())

    def end(self, error: MillraceError) -> None:
        """End it with this cause."""
        if self.ended is None and self.task is not None and not self.task.done():
            self.ended = error
            self.task.cancel()


class Gate:
    """One for all faces of a server."""

    def __init__(self, access: Access, limits: Limits, load: Load, metrics: CallMetrics, trail: Trail) -> None:
        self.access, self.limits, self.load, self.trail = access, limits, load, trail
        self._metrics = metrics
        self._streams: set[Call] = set()

    @contextmanager
    def call(self, method: Method, *, headers: Headers, peer: str, remaining_s: float | None = None) -> Iterator[Call]:
        """Let a call in, or raise; see the module. `remaining_s`: seconds until the caller's deadline."""
        now_s = time.monotonic()
        deadline_s = None if remaining_s is None else now_s + remaining_s
        call = Call(method=method, peer=peer, started_s=now_s, deadline_s=deadline_s)
        traceparent = next((value for name, value in headers if name == "traceparent"), None)
        asked = Asked(method=method.name, action=method.action, peer=peer, trace_id=trace_of(traceparent))
        trail.current.set(asked)
        try:
            with ExitStack() as stack:
                self._enter(call, headers, stack)
                yield call
        except asyncio.CancelledError:
            if call.ended is None:
                call.code = "DEADLINE_EXCEEDED" if call.remaining_s() == 0 else "CANCELLED"
                raise
            if call.task is not None:
                call.task.uncancel()
            _note(call, call.ended)
            raise call.ended from None
        except GeneratorExit:
            call.code = "CANCELLED"
            raise
        except Exception as error:
            _note(call, error)
            raise
        finally:
            self._leave(call, asked)

    async def run(self) -> None:
        """Measure the loop, and end the streams of tokens that are withdrawn; until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.load.run())
            tasks.create_task(self._watch_tokens())
            tasks.create_task(self.access.run())
            tasks.create_task(self.trail.run())

    def end_all(self, error: MillraceError) -> None:
        """End every stream."""
        for call in tuple(self._streams):
            call.end(error)

    def recheck(self) -> None:
        """End the streams whose token is known no more, or may not read any more."""
        for call in tuple(self._streams):
            assert call.principal is not None
            try:
                self.access.recheck(call.principal, call.method.needs)
            except MillraceError as error:
                call.end(error)

    async def _watch_tokens(self) -> None:
        seen = self.access.refresh()
        while True:
            await asyncio.sleep(_TOKENS_S)
            if (now := self.access.refresh()) != seen:
                seen = now
                self.recheck()

    def _enter(self, call: Call, headers: Headers, stack: ExitStack) -> None:
        method = call.method
        if method.kind is Kind.PROBE:
            if method.streaming:
                stack.enter_context(self.limits.stream(_PROBES, at_most=_MAX_PROBES))
            return
        principal = self.access.authenticate(headers)
        call.principal = principal
        if method.needs is not None:
            principal.require(method.needs)
        if call.remaining_s() == 0:
            msg = "the deadline was over before the call arrived"
            raise DeadlineError(msg)
        self.limits.call(principal.name, command=method.needs in {Permission.COMMAND, Permission.APPROVE})
        if method.kind is Kind.BULK:
            self.load.require_room()
        if method.streaming:
            stack.enter_context(self.limits.stream(principal.name))
            call.task = asyncio.current_task()
            self._streams.add(call)
            if principal.until_us:
                left_s = principal.until_us / 1e6 - time.time()
                over = UnauthenticatedError("the session is over; sign in again")
                stack.callback(asyncio.get_running_loop().call_later(left_s, call.end, over).cancel)
        elif method.kind is not Kind.CONTROL:
            stack.enter_context(self.limits.under_way())
        current.set(principal)

    def _leave(self, call: Call, asked: Asked) -> None:
        self._streams.discard(call)
        duration_s = time.monotonic() - call.started_s
        code = call.code or "OK"
        self._metrics.ended(
            call.method.name, code, seconds=duration_s, messages=call.messages, streaming=call.method.streaming
        )
        fields = {
            "method": call.method.name,
            "principal": call.principal.name if call.principal else "",
            "peer": call.peer,
            "code": code,
            "duration_ms": round(duration_s * 1000, 3),
            "messages": call.messages,
        }
        if call.method.kind is not Kind.PROBE or code != "OK":  # a probe a second would hide what people do
            log.info("call", extra=fields | ({"cause": call.cause} if call.cause else {}))
        if call.method.action or call.method.kind is not Kind.PROBE:
            self.trail.ended(asked, call.principal, code, call.cause)


def _note(call: Call, error: BaseException) -> None:
    if call.code:  # the face has answered already
        return
    problem = problem_of(error)
    call.code, call.cause = problem.code, problem.detail
    if problem.code == "INTERNAL":
        call.cause = cause_of(error)
        log.error("call failed", extra={"method": call.method.name}, exc_info=error)
