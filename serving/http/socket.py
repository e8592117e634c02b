"""WebSocket: several feeds over one connection.

The client sends `{"subscribe": ID, "what": "tags", ...fields}` and `{"unsubscribe": ID}`; ID is a number or a short text of its own. The
server sends `{"id": ID, "what": "tags", "batch": {...}}`, `{"id": ID, "done": true}` when a feed has ended, and `{"id": ID, "error":
problem}`. Each subscription passes the gate like a stream of gRPC. There is no queue here: a subscription takes its next message when the
one before has left for the transport, which holds 64 KB; values are conflated before that. A reader that takes nothing is cut off by the
connection's timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from base.errors import InvalidRequestError, MillraceError, OverloadedError, shown
from serving.gate import Call, Kind, Method
from serving.http import problems
from serving.http.calls import CallContext, method_of
from serving.http.face import Face
from serving.http.plain import dumps, loads, text_of
from serving.http.replies import Replier
from serving.http.requests import Receive, Scope, Send, message_of, pairs_of, peer_of, put
from serving.http.resources import FEED_OF
from serving.http.rows import API, Feed
from serving.principals import Permission, UnauthenticatedError

log = logging.getLogger(__name__)

PATH = f"{API}/ws"
MAX_SUBSCRIPTIONS = 50
MAX_MESSAGE = 64 * 1024
"""Bytes of a message of a client."""
_CONNECTION = Method(name=f"GET {PATH}", kind=Kind.READ, needs=Permission.READ, streaming=True)
_MAX_ID = 100
_POLICY, _GOING = 1008, 1012
Pairs = list[tuple[str, str]]


class WebSocket:
    """The endpoint."""

    def __init__(self, face: Face) -> None:
        self._face = face

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection until its end."""
        face, pairs = self._face, pairs_of(scope)
        opened = False
        try:
            face.known.check_host(pairs)
            # A page of any site may open a WebSocket, and the browser attaches the cookie.
            face.known.check_origin(pairs, needed=bool(face.sessions.shown_by(pairs)))
            with face.gate.call(_CONNECTION, headers=pairs, peer=peer_of(scope)) as call:
                await receive()
                await send({"type": "websocket.accept"})
                opened = True
                await Connection(face, scope, pairs, call, receive, send).run()
        except (asyncio.CancelledError, OSError):
            pass  # the client has gone, or the server stops
        except Exception as error:  # noqa: BLE001 - every error becomes a problem, here and nowhere else
            await (_closed(send, error) if opened else refused(send, error, tls=face.tls))


class Connection:
    """One client, and its subscriptions."""

    def __init__(self, face: Face, scope: Scope, pairs: Pairs, call: Call, receive: Receive, send: Send) -> None:
        self._face, self._scope, self._pairs, self._call = face, scope, pairs, call
        self._receive, self._send = receive, send
        self._tasks: dict[str | int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Read until the client closes."""
        try:
            while True:
                message = await self._receive()
                if message["type"] == "websocket.disconnect":
                    return
                await self._take(message.get("text") or "")
        finally:
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _take(self, text: str) -> None:
        wanted: Any = None
        try:
            wanted = loads(text.encode())
            if not isinstance(wanted, Mapping):
                msg = "a message is an object with subscribe or unsubscribe"
                raise InvalidRequestError(msg)
            if "unsubscribe" in wanted:
                self._unsubscribe(_id_of(wanted["unsubscribe"]))
            else:
                self._subscribe(_id_of(wanted.get("subscribe")), dict(wanted))
        except MillraceError as error:
            given = wanted.get("subscribe") if isinstance(wanted, Mapping) else None
            named = given if isinstance(given, str | int) and len(str(given)) <= _MAX_ID else None
            await self._put({"id": named, "error": problems.body_of(error)})

    def _unsubscribe(self, name: str | int) -> None:
        if (task := self._tasks.pop(name, None)) is not None:
            task.cancel()

    def _subscribe(self, name: str | int, wanted: dict[str, Any]) -> None:
        what = wanted.pop("what", None)
        feed = FEED_OF.get(what) if isinstance(what, str) else None
        if feed is None:
            msg = f"what is not one of {', '.join(FEED_OF)}"
            raise InvalidRequestError(msg, field="what")
        if name in self._tasks:
            msg = f"subscription {shown(str(name))} is open; unsubscribe it first, or take another id"
            raise InvalidRequestError(msg, field="subscribe")
        if len(self._tasks) >= MAX_SUBSCRIPTIONS:
            msg = f"{len(self._tasks)} subscriptions are open here, the limit; one can watch many tags"
            raise OverloadedError(msg)
        del wanted["subscribe"]
        task = asyncio.create_task(self._serve(name, feed, wanted))
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.get(name) is task and self._tasks.pop(name))

    async def _serve(self, name: str | int, feed: Feed, wanted: Mapping[str, Any]) -> None:
        """Send a feed's messages until it ends."""
        method = method_of(feed.rpc, f"WS {feed.name}", streaming=True)
        try:
            with self._face.gate.call(method, headers=self._pairs, peer=peer_of(self._scope)) as call:
                request = message_of(feed.rpc.request, _values(feed, wanted))
                context = CallContext(call, tuple(self._pairs))
                async with aclosing(self._face.services.stream(feed.rpc, request, context)) as messages:
                    async for message in messages:
                        about = dumps({"id": name, "what": feed.name})[:-1].decode()
                        await self._write(f'{about},"{feed.key}":{text_of(message)}}}')
                        call.messages += 1
            await self._put({"id": name, "done": True})
        except (asyncio.CancelledError, OSError):
            pass  # unsubscribed, or the client has gone
        except UnauthenticatedError as error:
            # The connection's own call ends with the same cause, and closes it.
            log.info("subscription ended", extra={"cause": str(error)})
        except Exception as error:  # noqa: BLE001 - every error becomes a problem
            await self._put({"id": name, "error": problems.body_of(error)})

    async def _put(self, message: dict[str, Any]) -> None:
        await self._write(dumps(message).decode())

    async def _write(self, text: str) -> None:
        await self._send({"type": "websocket.send", "text": text})
        self._call.messages += 1


def _values(feed: Feed, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the request: by the names of the query, or of the contract."""
    names = {**{field.rpartition(".")[2]: field for field in feed.query.values()}, **feed.query}
    values: dict[str, Any] = {}
    for name, value in wanted.items():
        if name == "resume_position" and not value:
            continue  # a client that subscribes to any feed the same way has none yet
        if name not in names:
            msg = f"no field {shown(name)} in a subscription of {feed.name}; there are: {', '.join(sorted(names))}"
            raise InvalidRequestError(msg)
        put(values, names[name], value)
    return values


def _id_of(given: Any) -> str | int:
    if isinstance(given, bool) or not isinstance(given, str | int) or not 0 < len(str(given)) <= _MAX_ID:
        msg = f"an id is a number or a text of at most {_MAX_ID} characters, in subscribe or unsubscribe"
        raise InvalidRequestError(msg, field="subscribe")
    return given


async def _closed(send: Send, error: Exception) -> None:
    code = _POLICY if isinstance(error, UnauthenticatedError) else _GOING
    # A reason has at most 123 bytes.
    reason = str(problems.body_of(error)["detail"]).encode()[:120].decode(errors="ignore")
    with contextlib.suppress(OSError):  # it may have gone already
        await send({"type": "websocket.close", "code": code, "reason": reason})


async def refused(send: Send, error: Exception, *, tls: bool) -> None:
    """Answer a handshake with a problem."""

    async def sent(message: Any) -> None:
        await send(message | {"type": message["type"].replace("http.", "websocket.http.")})

    await Replier(sent, tls=tls).problem(error)
