"""The HTTP server in the process's own loop: uvicorn, bounded, started and drained by `serving.server`.

Enters: the application and the settings. Leaves: a listening socket; its port is known once it has started. uvicorn installs no signal
handlers, logs nothing of its own but defects, and asks no lifespan: the process has all three already.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn

from base import server_tls
from base.errors import ConfigError
from serving.config import HttpSettings, TlsSettings
from serving.http.protocols import MAX_HEADERS, protocols
from serving.http.socket import MAX_MESSAGE

_BACKLOG = 1024
_KEEP_ALIVE_S = 30
_PING_S = 20.0


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listens = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Say when it listens."""
        await super().startup(sockets)
        self.listens.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process has its own."""
        yield


class Listener:
    """One listening address."""

    def __init__(self, app: Any, settings: HttpSettings, tls: TlsSettings, *, drain_s: float) -> None:
        self._listen = settings.listen
        self._task: asyncio.Task[None] | None = None
        self._socket: socket.socket | None = None
        http, ws = protocols(request_s=settings.request_s, stuck_s=settings.stuck_s, connections=settings.connections)
        logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
        self._server = _Server(
            uvicorn.Config(
                app,
                http=http,
                ws=ws,
                ws_max_size=MAX_MESSAGE,
                ws_ping_interval=_PING_S,
                ws_ping_timeout=_PING_S,
                # A window for each of some thousand watchers costs more than the bytes it saves.
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_S,
                timeout_graceful_shutdown=max(1, round(drain_s)),
                h11_max_incomplete_event_size=MAX_HEADERS,
                ssl_certfile=tls.cert or None,
                ssl_keyfile=tls.key or None,
                ssl_ca_certs=tls.client_ca or None,
                ssl_cert_reqs=ssl.CERT_REQUIRED if tls.client_ca else ssl.CERT_NONE,
                ssl_context_factory=server_tls.refreshed(tls) if tls.enabled else None,
            )
        )

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._socket.getsockname()[1]) if self._socket else 0

    def bind(self) -> None:
        """Take the address. Raises ConfigError when it cannot be had."""
        host, _, port = self._listen.rpartition(":")
        host = host.strip("[]")
        found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind((host, int(port)))
            found.listen(_BACKLOG)
        except (OSError, ValueError, OverflowError) as error:
            found.close()
            msg = f"http.listen {self._listen} cannot be had: {error}; is another server running there?"
            raise ConfigError(msg) from error
        self._socket = found

    async def start(self) -> None:
        """Answer requests; returns when it does."""
        assert self._socket is not None
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        listens = asyncio.create_task(self._server.listens.wait())
        await asyncio.wait({self._task, listens}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            listens.cancel()
            self._task.result()

    async def stop(self) -> None:
        """Take no more connections, let answers under way finish for a while."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
