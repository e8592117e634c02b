"""The one place every call goes through: who is it, may it, is it too much, what went wrong, and the access log.

Enters: any RPC of any service. Leaves: the handler's answer, or a status of the table below with a message that names
the cause. Health checks need no token. Streams are logged when they end, with the number of messages sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import grpc

from base import errors
from serving.access import Access, UnauthenticatedError, current
from serving.limits import Limits, RateLimitedError
from serving.metrics import CallMetrics

log = logging.getLogger("serving.access")

# First match wins, so branches come before the trees they are in.
STATUS: tuple[tuple[type[errors.MillraceError], grpc.StatusCode], ...] = (
    (UnauthenticatedError, grpc.StatusCode.UNAUTHENTICATED),
    (errors.PermissionDeniedError, grpc.StatusCode.PERMISSION_DENIED),
    (errors.InvalidRequestError, grpc.StatusCode.INVALID_ARGUMENT),
    (errors.NotFoundError, grpc.StatusCode.NOT_FOUND),
    (errors.ConflictError, grpc.StatusCode.ALREADY_EXISTS),
    (errors.PreconditionError, grpc.StatusCode.FAILED_PRECONDITION),
    (errors.OverloadedError, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (errors.UnavailableError, grpc.StatusCode.UNAVAILABLE),
)
_PUSHBACK = "grpc-retry-pushback-ms"
_HEALTH = "/grpc.health.v1.Health/"
_COMMANDS = frozenset({"SubmitCommand", "SubmitAndWait", "CancelCommand", "ApproveCommand"})


@dataclass(slots=True)
class _Call:
    method: str
    context: Any
    started_s: float
    principal: str = ""
    messages: int = 0
    code: grpc.StatusCode = grpc.StatusCode.OK
    cause: str = ""
    streaming: bool = False


class Gate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Wraps every method's handler."""

    def __init__(self, access: Access, limits: Limits, metrics: CallMetrics) -> None:
        self._access, self._limits, self._metrics = access, limits, metrics

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Handler of the method, wrapped; None for a method that does not exist."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or method.startswith(_HEALTH):
            return handler
        kind = "stream" if handler.response_streaming else "unary"
        behaviour = getattr(handler, f"{'stream' if handler.request_streaming else 'unary'}_{kind}")
        make = getattr(grpc, f"{'stream' if handler.request_streaming else 'unary'}_{kind}_rpc_method_handler")
        wrapped = self._stream(method, behaviour) if handler.response_streaming else self._unary(method, behaviour)
        return make(
            wrapped,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _unary(
        self, method: str, behaviour: Callable[[Any, Any], Awaitable[Any]]
    ) -> Callable[[Any, Any], Awaitable[Any]]:
        async def wrapped(request: Any, context: Any) -> Any:
            call = _Call(method, context, time.monotonic())
            try:
                with ExitStack() as stack:
                    self._admit(call, stack, streaming=False)
                    answer = await behaviour(request, context)
                    call.messages = 1
                    return answer
            except Exception as error:  # noqa: BLE001 - every error becomes a status, here and nowhere else
                await _abort(call, error)
            except asyncio.CancelledError:
                _cancelled(call)
                raise
            finally:
                self._ended(call)

        return wrapped

    def _stream(self, method: str, behaviour: Callable[[Any, Any], Any]) -> Callable[[Any, Any], AsyncIterator[Any]]:
        async def wrapped(request: Any, context: Any) -> AsyncIterator[Any]:
            call = _Call(method, context, time.monotonic(), streaming=True)
            try:
                with ExitStack() as stack:
                    self._admit(call, stack, streaming=True)
                    async with aclosing(behaviour(request, context)) as answers:
                        async for answer in answers:
                            yield answer
                            call.messages += 1
            except Exception as error:  # noqa: BLE001 - every error becomes a status, here and nowhere else
                await _abort(call, error)
            except (asyncio.CancelledError, GeneratorExit):
                _cancelled(call)
                raise
            finally:
                self._ended(call)

        return wrapped

    def _ended(self, call: _Call) -> None:
        duration_s = time.monotonic() - call.started_s
        _log(call, duration_s)
        self._metrics.ended(
            call.method, call.code, seconds=duration_s, messages=call.messages, streaming=call.streaming
        )

    def _admit(self, call: _Call, stack: ExitStack, *, streaming: bool) -> None:
        """Find the principal, count the call, and make both known to the handler."""
        metadata = {str(key): str(value) for key, value in call.context.invocation_metadata() or ()}
        principal = self._access.principal(metadata, call.method)
        call.principal = principal.name
        self._limits.call(principal.name, command=call.method.rpartition("/")[2] in _COMMANDS)
        if streaming:
            stack.enter_context(self._limits.stream(principal.name))
        current.set(principal)


def status_of(error: Exception) -> grpc.StatusCode:
    """Status of an error; INTERNAL for what is not in the table."""
    return next((code for kind, code in STATUS if isinstance(error, kind)), grpc.StatusCode.INTERNAL)


async def _abort(call: _Call, error: Exception) -> None:
    if isinstance(error, grpc.aio.AbortError):  # a service of the library has already answered
        call.code = call.context.code()
        raise error
    call.code, call.cause = status_of(error), str(error)
    text = call.cause
    if call.code is grpc.StatusCode.INTERNAL:
        log.error("call failed", extra={"method": call.method}, exc_info=error)
        text = "internal error; the server's log has the cause"
    trailing: tuple[tuple[str, str], ...] = ()
    if call.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        wait_s = error.retry_after_s if isinstance(error, RateLimitedError) else 1.0
        trailing = ((_PUSHBACK, str(max(1, round(wait_s * 1000)))),)
    await call.context.abort(call.code, text, trailing_metadata=trailing)


def _cancelled(call: _Call) -> None:
    left_s = call.context.time_remaining()
    expired = left_s is not None and left_s <= 0
    call.code = grpc.StatusCode.DEADLINE_EXCEEDED if expired else grpc.StatusCode.CANCELLED


def _log(call: _Call, duration_s: float) -> None:
    fields = {
        "method": call.method,
        "principal": call.principal,
        "peer": call.context.peer(),
        "code": call.code.name,
        "duration_ms": round(duration_s * 1000, 3),
        "messages": call.messages,
    }
    log.info("call", extra=fields | ({"cause": call.cause} if call.cause else {}))
