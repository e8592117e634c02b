"""The gRPC face of the gate: every RPC of every service passes `serving.gate`, its request is decoded inside.

Enters: any RPC, with its request as bytes. Leaves: the handler's answer, or a status with `google.rpc` details (`serving.rpc.details`).
Methods are registered with their decoder taken out, so that bytes that are no message are refused like anything else: known caller, limits,
access log. A stream is written here, one message after the other: gRPC completes a write when the reader's window has taken it, so a
reader that does not read holds one message here, and is cut off when that takes `STUCK_S`.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc

from base.errors import UnimplementedError, shown
from serving.gate import Call, Gate, Method
from serving.handlers.pace import SlowReaderError
from serving.problems import problem_of
from serving.rpc import details
from serving.rpc.bounded import decode
from serving.rpc.methods import UNKNOWN, method_of

log = logging.getLogger(__name__)

STUCK_S = 30.0


class Write:
    """Cuts a stream off when one of its writes takes too long. A timer looks now and then: one for each write is dear."""

    def __init__(self, stuck_s: float) -> None:
        self._stuck_s, self._loop = stuck_s, asyncio.get_running_loop()
        self.limit = asyncio.timeout(None)
        self._since_s: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> None:
        self._since_s = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(self._since_s + self._stuck_s, self._look)

    def __exit__(self, *_: object) -> None:
        self._since_s = None

    def _look(self) -> None:
        self._timer = None
        if self._since_s is None:
            return
        if self._since_s + self._stuck_s <= self._loop.time():
            self.limit.reschedule(self._loop.time())
        else:
            self._timer = self._loop.call_at(self._since_s + self._stuck_s, self._look)


class RpcGate(grpc.aio.ServerInterceptor):  # type: ignore[type-arg]  # generic in its stubs only
    """Wraps every method's handler."""

    def __init__(self, gate: Gate, *, stuck_s: float = STUCK_S) -> None:
        self._gate = gate
        self.stuck_s = stuck_s

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Handler of the method, wrapped."""
        handler = await continuation(handler_call_details)
        path = str(handler_call_details.method)
        method = None if handler is None else method_of(path, streaming=handler.response_streaming)
        if handler is None or method is None:
            return grpc.stream_stream_rpc_method_handler(self._unknown(path))
        kind = "stream" if handler.response_streaming else "unary"
        asks = "stream" if handler.request_streaming else "unary"
        behaviour = getattr(handler, f"{asks}_{kind}")
        parse = self._requests(handler, method) if handler.request_streaming else self._request(handler, method)
        wrap = self._stream if handler.response_streaming else self._unary
        make = getattr(grpc, f"{asks}_{kind}_rpc_method_handler")
        return make(wrap(method, parse, behaviour), response_serializer=_bytes_of)

    def _request(self, handler: Any, method: Method) -> Callable[[bytes], Any]:
        return lambda raw: decode(raw, handler.request_deserializer, method.name)

    def _requests(self, handler: Any, method: Method) -> Callable[[AsyncIterator[bytes]], AsyncIterator[Any]]:
        async def each(messages: AsyncIterator[bytes]) -> AsyncIterator[Any]:
            async for raw in messages:
                yield decode(raw, handler.request_deserializer, method.name)

        return each

    def _unary(self, method: Method, parse: Callable[[Any], Any], behaviour: Any) -> Any:
        async def wrapped(raw: Any, context: Any) -> Any:
            try:
                with self._enter(method, context) as call:
                    answer = await _answered(call, context, behaviour(parse(raw), context))
                    call.messages = 1
                    return answer
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - every error becomes a status, here and nowhere else
                await _abort(context, error)

        return wrapped

    def _stream(self, method: Method, parse: Callable[[Any], Any], behaviour: Any) -> Any:
        async def wrapped(raw: Any, context: Any) -> None:
            try:
                with self._enter(method, context) as call:
                    try:
                        await _answered(call, context, self._send(call, behaviour, parse(raw), context))
                    except SlowReaderError as error:
                        # It counts as open until its reader has heard the cause or is gone: what the transport holds for it is not free.
                        log.warning("stream cut off", extra={"method": method.name, "cause": str(error)})
                        call.code, call.cause = problem_of(error).code, str(error)
                        await _abort(context, error)
            except grpc.aio.AbortError:
                raise
            except Exception as error:  # noqa: BLE001 - every error becomes a status, here and nowhere else
                await _abort(context, error)

        return wrapped

    def _unknown(self, path: str) -> Any:
        async def wrapped(_requests: Any, context: Any) -> None:
            try:
                with self._enter(UNKNOWN, context):
                    msg = f"no method {shown(path)}; reflection tells what there is"
                    raise UnimplementedError(msg)
            except Exception as error:  # noqa: BLE001 - every error becomes a status, here and nowhere else
                await _abort(context, error)

        return wrapped

    def _enter(self, method: Method, context: Any) -> Any:
        headers = [(str(key), value) for key, value in context.invocation_metadata() or () if isinstance(value, str)]
        return self._gate.call(method, headers=headers, peer=context.peer(), remaining_s=context.time_remaining())

    async def _send(self, call: Call, behaviour: Any, request: Any, context: Any) -> None:
        if not inspect.isasyncgenfunction(behaviour):  # a service of the library, which writes by itself
            await behaviour(request, context)
            return
        write = Write(self.stuck_s)
        try:
            async with write.limit, aclosing(behaviour(request, context)) as answers:
                async for answer in answers:
                    with write:
                        await context.write(answer)
                    call.messages += 1
        except TimeoutError:
            if not write.limit.expired():
                raise
            msg = f"this stream was not read for {self.stuck_s:g} s; open it again when you can read it"
            raise SlowReaderError(msg) from None
        except grpc.aio.InternalError as error:  # the connection has gone while the message was on its way
            raise asyncio.CancelledError from error


def _bytes_of(message: Any) -> bytes:
    """Messages of the library, and those that know how they are encoded (`serving.pushed`)."""
    encoded: bytes = message.SerializeToString()
    return encoded


async def _answered(call: Call, context: Any, answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except grpc.aio.AbortError:  # a service of the library has answered by itself
        call.code = context.code().name
        raise


async def _abort(context: Any, error: Exception) -> None:
    problem = problem_of(error)
    try:
        await context.abort(details.status_code(problem), problem.detail, details.trailers(problem))
    except grpc.aio.InternalError as gone:  # nobody is there to hear it
        raise asyncio.CancelledError from gone
