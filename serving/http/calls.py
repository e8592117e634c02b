"""A method of the contract, called for a request of HTTP: the services of the gRPC face translate, whichever face asks.

Enters: a message of the contract. Leaves: the answer's message, or a stream of them; errors of `base.errors`. JSON is the contract's
messages written another way, so both faces share handlers and translation, and what one answers the other does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from google.protobuf.message import Message

from base.errors import DeadlineError, UnimplementedError
from serving.gate import Call, Kind, Method
from serving.http.contract import Rpc
from serving.principals import Permission
from serving.rpc import methods

DEADLINE_S = 60.0
"""A call of HTTP that is no stream ends after so long."""


@dataclass(frozen=True, slots=True)
class CallContext:
    """What services ask of the face that calls them."""

    call: Call
    headers: tuple[tuple[str, str], ...]

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        """Headers of the request."""
        return self.headers

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline."""
        return self.call.remaining_s()


def method_of(rpc: Rpc, name: str, *, streaming: bool = False) -> Method:
    """What an address is to the gate: as the method of the contract, under the address's name."""
    found = methods.method_of(rpc.path, streaming=streaming)
    if found is None:
        return Method(name=name, kind=Kind.READ, needs=Permission.READ, streaming=streaming)
    return replace(found, name=name)


class Services:
    """The servicers of a server by the names of their services."""

    def __init__(self, servicers: Mapping[str, object]) -> None:
        self._servicers = servicers

    async def unary(self, rpc: Rpc, request: Message, context: CallContext) -> Any:
        """Answer of a method. Raises DeadlineError when it takes too long."""
        method = self._method(rpc)
        if not inspect.iscoroutinefunction(method):
            raise _missing(rpc)
        try:
            async with asyncio.timeout(context.time_remaining() or DEADLINE_S):
                return await method(request, context)
        except TimeoutError:
            msg = f"no answer in {context.call.remaining_s() or DEADLINE_S:g} s; ask for less"
            raise DeadlineError(msg) from None

    def stream(self, rpc: Rpc, request: Message, context: CallContext) -> AsyncGenerator[Any, None]:
        """Messages of a method that streams; close it when done."""
        method = self._method(rpc)
        if not inspect.isasyncgenfunction(method):
            raise _missing(rpc)
        found: AsyncGenerator[Any, None] = method(request, context)
        return found

    def _method(self, rpc: Rpc) -> Any:
        # A service that does not have the method inherits a generated one, which is no coroutine.
        return getattr(self._servicers.get(rpc.service), rpc.name, None)


def _missing(rpc: Rpc) -> UnimplementedError:
    return UnimplementedError(f"this server does not have {rpc.service}.{rpc.name}")
