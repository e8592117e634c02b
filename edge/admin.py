"""The gateway's admin interface: GET /health and GET /status as JSON, on loopback.

Enters: HTTP/1.1 requests. Leaves: 200 with JSON; 503 from /health while the gateway is not healthy. Not for the outside:
there is no authentication.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

_MAX_LINE = 8192
_TIMEOUT_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AdminSettings:
    """Where the admin interface listens; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a path answers."""

    body: Any
    status: HTTPStatus = HTTPStatus.OK


Handler = Callable[[], Awaitable[Answer]]


async def serve(settings: AdminSettings, handlers: Mapping[str, Handler]) -> asyncio.Server:
    """Start listening; raises OSError when the port is taken."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                writer.write(_encode(await _answer(reader, handlers)))
                await writer.drain()
        except (TimeoutError, ConnectionError, ValueError):
            writer.transport.abort()
        finally:
            writer.close()

    return await asyncio.start_server(handle, settings.host, settings.port, limit=_MAX_LINE)


async def _answer(reader: asyncio.StreamReader, handlers: Mapping[str, Handler]) -> Answer:
    method, target, _ = ((await reader.readline()).decode("latin-1").split() + ["", "", ""])[:3]
    while (await reader.readline()).strip():
        pass  # headers say nothing of interest
    handler = handlers.get(target.partition("?")[0])
    if handler is None:
        return Answer({"error": f"no {target}; there are {', '.join(handlers)}"}, HTTPStatus.NOT_FOUND)
    if method != "GET":
        return Answer({"error": f"{method} is not possible here"}, HTTPStatus.METHOD_NOT_ALLOWED)
    return await handler()


def _encode(answer: Answer) -> bytes:
    body = json.dumps(answer.body, default=str).encode()
    head = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
