"""uvicorn's protocols with bounds on time: a client that sends slowly, or takes nothing, is cut off.

uvicorn bounds sizes, and waits for ever. Here a request has to be complete within `request_s` of its first byte, a connection has to say
something within the same time, and what waits for a reader has to leave within `stuck_s`: otherwise the connection is aborted, which frees
what it held. Of more than `most` connections the new ones are aborted.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from base.errors import InvalidRequestError
from serving.http import problems

log = logging.getLogger(__name__)

MAX_HEADERS = 32 * 1024
"""Bytes of the first line and the headers of a request."""
_UNSENT = 64 * 1024


class _Timer:
    """One time-out of a connection, armed and disarmed often."""

    def __init__(self, delay_s: float, transport: asyncio.Transport, cause: str) -> None:
        self._delay_s, self._transport, self._cause = delay_s, transport, cause
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Count from now, unless it counts already."""
        if self._handle is None:
            self._handle = asyncio.get_running_loop().call_later(self._delay_s, self._over)

    def stop(self) -> None:
        """What was waited for has come."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _over(self) -> None:
        log.info("connection cut off", extra={"cause": self._cause, "peer": self._transport.get_extra_info("peername")})
        self._transport.abort()


def _bound(transport: asyncio.Transport) -> None:
    """What the kernel holds unsent for a reader is old by the time it is read: keep it small."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


class HttpProtocol(H11Protocol):
    """A connection of HTTP/1.1."""

    request_s = 20.0
    stuck_s = 30.0
    most = 5_000

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count from the first moment: who connects has something to say."""
        super().connection_made(transport)
        _bound(transport)
        if len(self.connections) > self.most:
            log.warning(
                "connection refused", extra={"cause": f"{self.most} connections are open", "limit": "http.connections"}
            )
            transport.abort()
        self._arriving = _Timer(self.request_s, transport, f"no complete request within {self.request_s:g} s")
        self._leaving = _Timer(self.stuck_s, transport, f"nothing was read for {self.stuck_s:g} s")
        self._arriving.start()

    def data_received(self, data: bytes) -> None:
        """Count until the request is complete."""
        self._arriving.start()
        super().data_received(data)
        if self.conn.their_state is not h11.SEND_BODY and self.conn.their_state is not h11.IDLE:
            self._arriving.stop()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """From here on the other protocol counts."""
        self._arriving.stop()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._arriving.stop()
        self._leaving.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The reader is behind."""
        super().pause_writing()
        self._leaving.start()

    def resume_writing(self) -> None:
        """The reader has taken something."""
        super().resume_writing()
        self._leaving.stop()

    def timeout_keep_alive_handler(self) -> None:
        """Nobody asks here any more; what its reader has not taken by now is thrown away."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        """A request that is none, as a problem."""
        status, headers, body = problems.answer(_malformed(msg))
        response = h11.Response(status_code=status, headers=[*headers, ("connection", "close")], reason=b"Bad Request")
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event))
        self.transport.close()


def _malformed(cause: str) -> InvalidRequestError:
    msg = f"this is no request of HTTP/1.1 with headers of at most {MAX_HEADERS:,} bytes: {cause}"
    return InvalidRequestError(msg)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """A connection of WebSocket."""

    stuck_s = 30.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what waits for the reader."""
        super().connection_made(transport)
        self._leaving = _Timer(self.stuck_s, self.transport, f"nothing was read for {self.stuck_s:g} s")

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing to wait for any more."""
        self._leaving.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The reader is behind."""
        super().pause_writing()
        self._leaving.start()

    def resume_writing(self) -> None:
        """The reader has taken something."""
        super().resume_writing()
        self._leaving.stop()


def protocols(*, request_s: float, stuck_s: float, connections: int) -> tuple[type[Any], type[Any]]:
    """Both protocols with these bounds."""
    bounds = {"request_s": request_s, "stuck_s": stuck_s, "most": connections}
    return type("HttpProtocol", (HttpProtocol,), bounds), type("WebSocketProtocol", (WebSocketProtocol,), bounds)
