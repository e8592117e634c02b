"""The door: HTTPS for gateways that have no certificate yet. It knows no code, has no key but its own, and decides nothing.

Enters: requests of at most `MAX_BYTES`. Leaves: the signer's answers. The address of the caller is all that it adds.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import ssl
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from base import heartbeat, logs, settings
from base.errors import MillraceError, UnavailableError
from connectors.enrolment.messages import MAX_BYTES
from enrolment import channel
from enrolment.connection import Connection

log = logging.getLogger(__name__)

_BODY_S = 10.0
_AT_ONCE = 8
_CONNECTIONS = 64
_PATIENCE_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class DoorConfig:
    """`enrolment.toml`. `certificate`: file with key and certificate of the door, read again when it changes."""

    listen: str
    certificate: Path
    signer: Path
    """Socket of the signer."""

    def __post_init__(self) -> None:
        if not self.listen.rpartition(":")[2].isdigit():
            msg = f"listen is {self.listen!r}, not host:port"
            raise ValueError(msg)


class Door:
    """An ASGI application in front of one signer."""

    def __init__(self, signer: Path) -> None:
        self._signer, self._busy = signer, asyncio.Semaphore(_AT_ONCE)
        self.app = Starlette(
            routes=[
                Route("/v1/authority", self._authority),
                Route("/v1/enrol", self._passed_on, methods=["POST"]),
                Route("/v1/renew", self._passed_on, methods=["POST"]),
            ]
        )

    async def _authority(self, request: Request) -> Response:
        status, found = await self._ask(request, "authority", b"")
        return PlainTextResponse(found["authority"]) if status == 200 else JSONResponse(found, status)

    async def _passed_on(self, request: Request) -> Response:
        body = b""
        try:
            async with asyncio.timeout(_BODY_S):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > MAX_BYTES:
                        msg = f"a request has at most {MAX_BYTES} bytes"
                        return JSONResponse({"error": msg}, 413)
        except (TimeoutError, ClientDisconnect):
            return JSONResponse({"error": "the request did not come in time"}, 408)
        status, found = await self._ask(request, request.url.path.rpartition("/")[2], body)
        return JSONResponse(found, status, {"cache-control": "no-store"})

    async def _ask(self, request: Request, what: str, body: bytes) -> tuple[int, dict[str, str]]:
        if self._busy.locked():
            return 503, {"error": "too many gateways enrol at once; try again in a minute"}
        async with self._busy:
            try:
                return await channel.ask(self._signer, what, body, request.client.host if request.client else "")
            except UnavailableError as error:
                log.warning("the signer does not answer", extra={"cause": repr(error.__cause__)})
                return 503, {"error": str(error)}


def context_of(certificate: Path) -> Callable[[object, Callable[[], ssl.SSLContext]], ssl.SSLContext]:
    """Uvicorn's `ssl_context_factory`: TLS 1.3, and the newest certificate for whoever connects after it was written."""

    def factory(_config: object, default: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
        made = default()
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        taken = certificate.stat().st_mtime_ns

        def look(_connection: ssl.SSLObject, _name: str | None, _context: ssl.SSLContext) -> None:
            nonlocal taken
            try:
                if (now := certificate.stat().st_mtime_ns) != taken:
                    made.load_cert_chain(certificate)
                    taken = now
                    log.info("the door uses another certificate")
            except OSError as error:  # an ssl.SSLError too; the one before goes on
                log.error("the door's new certificate cannot be used", extra={"cause": str(error)})

        made.sni_callback = look
        return made

    return factory


def server(config: DoorConfig) -> uvicorn.Server:
    """The server of a door."""
    host, _, port = config.listen.rpartition(":")
    return uvicorn.Server(
        uvicorn.Config(
            Door(config.signer).app,
            host=host,
            port=int(port),
            http=Connection,
            # One request a connection: what is asked next has its own time.
            headers=[("connection", "close")],
            ssl_certfile=str(config.certificate),
            ssl_context_factory=context_of(config.certificate),
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=_CONNECTIONS,
            timeout_keep_alive=1,
            timeout_graceful_shutdown=5,
            lifespan="off",
        )
    )


async def _run(config: DoorConfig) -> None:
    async def alive() -> None:
        beats = heartbeat.from_environment(patience_s=_PATIENCE_S)
        while True:
            beats.tick()
            await asyncio.sleep(1.0)

    beating = asyncio.create_task(alive())
    try:
        await server(config).serve()
    finally:
        beating.cancel()


def main(arguments: list[str] | None = None) -> int:
    """Serve until stopped."""
    parser = argparse.ArgumentParser(prog="python -m enrolment", description=__doc__)
    parser.add_argument("--config", required=True, metavar="FILE")
    options = parser.parse_args(arguments)
    logs.configure("enrolment")
    try:
        config = settings.load(DoorConfig, Path(options.config), service="enrolment")
        asyncio.run(_run(config))
    except (MillraceError, OSError) as error:
        sys.stderr.write(f"enrolment: {error}\n")
        return 1
    return 0
