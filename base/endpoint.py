"""A service's HTTP endpoint: `/metrics` for Prometheus, and pages of JSON beside it.

Enters: a registry of prometheus-client and functions that make pages. Leaves: prometheus-client's own threaded server, started and
stopped. Handlers run in threads of the server; `from_loop` lets them ask an event loop. There is no authentication: the default is the
loopback interface, and port 0 means no endpoint.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

from base.errors import ConfigError
from base.settings import EndpointSettings

T = TypeVar("T")
METRICS = "/metrics"
_ANSWER_S = 5.0
_CLIENT_S = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What a page answers; the body is anything that JSON can carry."""

    body: Any
    status: HTTPStatus = HTTPStatus.OK


Page = Callable[[], Answer]


class Endpoint:
    """A listening endpoint."""

    def __init__(self, server: WSGIServer) -> None:
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, name="endpoint", daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_port)

    def close(self) -> None:
        """Stop listening; blocks for a moment."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def new_registry() -> CollectorRegistry:
    """A registry that has processor time, memory and open files of this process already (`process_...`)."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def start(settings: EndpointSettings, registry: CollectorRegistry) -> Endpoint | None:
    """Endpoint with metrics alone; None when the port is 0. Raises ConfigError when the address cannot be had."""
    return serve(settings.host, settings.port, registry, {}) if settings.port else None


def serve(host: str, port: int, registry: CollectorRegistry, pages: Mapping[str, Page]) -> Endpoint:
    """Endpoint with metrics and pages; port 0 takes a free one here. Raises ConfigError when the address cannot be had."""
    kind = _ThreadingServer6 if ":" in host else ThreadingWSGIServer
    try:
        server = make_server(host, port, _app(registry, pages), server_class=kind, handler_class=_Handler)
    except OSError as error:
        msg = f"{host}:{port} cannot be had for health and metrics: {error}; is another process there?"
        raise ConfigError(msg) from error
    return Endpoint(server)


def from_loop(loop: asyncio.AbstractEventLoop, ask: Callable[[], Awaitable[T]]) -> T:
    """What a coroutine function of the event loop answers, asked from another thread. Raises TimeoutError when the loop is busy."""

    async def answer() -> T:
        return await ask()

    return asyncio.run_coroutine_threadsafe(answer(), loop).result(_ANSWER_S)


class _ThreadingServer6(ThreadingWSGIServer):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_S

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Scrapes are no news."""


def _app(registry: CollectorRegistry, pages: Mapping[str, Page]) -> Callable[..., Iterable[bytes]]:
    metrics: Callable[..., Iterable[bytes]] = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        try:
            return respond(environ, start_response)
        except TimeoutError as error:
            # A service whose loop hangs must look as it is: silent. wsgiref closes the connection without a word.
            msg = f"no answer within {_ANSWER_S:g} s"
            raise ConnectionAbortedError(msg) from error

    def respond(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path, method = environ["PATH_INFO"], environ["REQUEST_METHOD"]
        if method != "GET":
            answer = Answer({"error": f"{method} is not possible here"}, HTTPStatus.METHOD_NOT_ALLOWED)
        elif path == METRICS:
            return metrics(environ, start_response)
        elif page := pages.get(path):
            answer = page()
        else:
            answer = Answer({"error": f"no {path}; there are {', '.join([*pages, METRICS])}"}, HTTPStatus.NOT_FOUND)
        body = json.dumps(answer.body, default=str).encode()
        head = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{answer.status.value} {answer.status.phrase}", head)
        return [body]

    return app
