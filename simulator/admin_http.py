"""A very small HTTP/1.1 server for admin interfaces on loopback: JSON in, JSON out, one request a connection.

Enters: a handler over `Request`. Leaves: answers. No authentication, no TLS, no keep-alive: `config` refuses any address but loopback.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20
READ_TIMEOUT_S = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request; `body` is the decoded JSON, {} when there was none."""

    method: str
    path: str
    query: Mapping[str, str]
    body: Any


class HttpError(Exception):
    """An answer that is no success; the message is for people."""

    def __init__(self, status: HTTPStatus, message: str) -> None:
        super().__init__(message)
        self.status = status


Handler = Callable[[Request], Awaitable[tuple[HTTPStatus, Any]]]


async def serve(host: str, port: int, handler: Handler) -> asyncio.Server:
    """Listen; port 0 takes a free one. Raises OSError when the port is taken."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                request = await _read(reader)
            status, answer = await handler(request)
        except HttpError as error:
            status, answer = error.status, {"error": str(error)}
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            status, answer = HTTPStatus.BAD_REQUEST, {"error": f"not a request: {error!r}"}
        except Exception:
            logger.exception("admin request failed")
            status, answer = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "failed; see the log"}
        await _answer(writer, status, answer)

    return await asyncio.start_server(connected, host, port)


async def _read(reader: asyncio.StreamReader) -> Request:
    method, target, _version = (await reader.readline()).decode("ascii").split()
    length = 0
    while line := (await reader.readline()).strip():
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if length > MAX_BODY_BYTES:
        raise HttpError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"body is larger than {MAX_BODY_BYTES} bytes")
    raw = await reader.readexactly(length)
    parts = urlsplit(target)
    return Request(
        method=method,
        path=parts.path.rstrip("/") or "/",
        query=dict(parse_qsl(parts.query)),
        body=json.loads(raw) if raw else {},
    )


async def _answer(writer: asyncio.StreamWriter, status: HTTPStatus, answer: Any) -> None:
    body = json.dumps(answer, default=str).encode() + b"\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()
    except OSError as error:
        logger.debug("client went away before its answer", extra={"reason": repr(error)})
