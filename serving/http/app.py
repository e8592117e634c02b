"""The HTTP face's addresses: resources, feeds, the WebSocket, what is HTTP's own, and the page behind them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.routing import Route, Router, WebSocketRoute

from serving.http import events, openapi, own, rest, sign_in
from serving.http.face import Endpoint, Face
from serving.http.pages import Pages
from serving.http.plain import dumps
from serving.http.problems import MethodNotAllowedError, no_address
from serving.http.replies import Replier
from serving.http.requests import Receive, Scope, Send
from serving.http.resources import FEEDS, RESOURCES
from serving.http.socket import PATH, WebSocket, refused


class App:
    """The ASGI application. Nothing it is asked makes it raise."""

    def __init__(self, face: Face, more: Mapping[str, dict[str, Endpoint]], page: Path | None) -> None:
        self._face = face
        self._pages = Pages(page, tls=face.tls)
        table = endpoints(face) | dict(more)
        self.addresses = frozenset((path, verb) for path, verbs in table.items() for verb in verbs)
        """Address and verb of everything but the WebSocket and the page."""
        routes: list[Any] = [
            Route(_template(path), _Verbs(face, verbs), methods=None) for path, verbs in _in_order(table)
        ]
        self._router = Router(
            [*routes, WebSocketRoute(PATH, WebSocket(face))], default=self._other, redirect_slashes=False
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] in {"http", "websocket"}:
            await self._router(scope, receive, send)

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._pages(scope, receive, send)
            return
        await refused(send, no_address(scope["path"]), tls=self._face.tls)


class _Verbs:
    """The endpoints of one address."""

    def __init__(self, face: Face, verbs: dict[str, Any]) -> None:
        self._face, self._verbs = face, verbs
        if "GET" in verbs:
            verbs.setdefault("HEAD", verbs["GET"])

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._verbs.get(scope["method"])
        if found is None:
            reply = Replier(send, tls=self._face.tls)
            allow = tuple(sorted(self._verbs))
            await reply.problem(MethodNotAllowedError(f"this address has {', '.join(allow)}", allow=allow))
            return
        await found(scope, receive, send)


def endpoints(face: Face) -> dict[str, dict[str, Any]]:
    """Endpoints by address and verb."""
    found: dict[str, dict[str, Any]] = {
        own.ME: {"GET": own.me(face)},
        own.SESSIONS: {"DELETE": own.close_sessions(face)},
        own.SESSION: {"POST": own.open_session(face), "GET": own.ways(face), "DELETE": own.close_session(face)},
        sign_in.SIGN_IN: {"GET": sign_in.start(face)},
        sign_in.DONE: {"GET": sign_in.done(face)},
        own.OPENAPI: {"GET": own.openapi(face, dumps(openapi.document()))},
        own.ALIVE: {"GET": own.alive(face)},
        own.READY: {"GET": own.ready(face)},
    }
    for row in RESOURCES:
        found.setdefault(row.path, {})[row.verb] = rest.endpoint(face, row)
    for feed in FEEDS:
        found[feed.path] = {"GET": events.endpoint(face, feed)}
    return found


def _in_order(table: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Fixed addresses before those with parts to fill in."""
    return sorted(table.items(), key=lambda row: ("{" in row[0], row[0]))


def _template(path: str) -> str:
    """A path of the plant has slashes."""
    return path.replace("{path}", "{path:path}")
