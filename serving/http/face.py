"""What every endpoint of the HTTP face shares: services, gate, sessions, origins, caching; and how a request passes.

Enters: a request as ASGI has it. Leaves: the answer of the endpoint's function, or a problem; nothing else ever leaves an endpoint. The
order is that of gRPC: who is it, may it, is it too much, then the request is read, then the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from base.ids import Clock, now_us
from serving.gate import Call, Gate, Kind, Method
from serving.http import problems, security
from serving.http.caching import Caching
from serving.http.calls import CallContext, Services
from serving.http.replies import Answer, Replier
from serving.http.requests import Receive, Scope, Send, pairs_of, peer_of
from serving.http.security import Origins
from serving.oidc.code_flow import CodeFlow
from serving.sessions import Sessions
from serving.sign_outs import SignOuts

log = logging.getLogger(__name__)


@dataclass(kw_only=True, slots=True)
class Face:
    """Parts of the HTTP face. `origins` is known once the port is."""

    services: Services
    gate: Gate
    sessions: Sessions
    sign_outs: SignOuts
    caching: Caching
    tls: bool
    ready: Callable[[], bool]
    code_flow: CodeFlow | None = None
    clock: Clock = now_us
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    origins: Origins | None = None

    @property
    def known(self) -> Origins:
        """The origins, once the server listens."""
        if self.origins is None:
            msg = "the server does not listen yet"
            raise RuntimeError(msg)
        return self.origins


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that has passed the gate."""

    face: Face
    call: Call
    scope: Scope
    receive: Receive
    pairs: list[tuple[str, str]]
    reply: Replier

    @property
    def context(self) -> CallContext:
        """What the services ask."""
        return CallContext(self.call, tuple(self.pairs))


Work = Callable[[Exchange], Awaitable[None]]


class Endpoint:
    """An ASGI application: one method of the gate, and the work behind it."""

    def __init__(
        self,
        face: Face,
        method: Method,
        work: Work,
        *,
        remaining_s: Callable[[Scope], float | None] | None = None,
        answer: Answer = problems.answer,
        navigated: bool = False,
    ) -> None:
        """`navigated`: another site may send a browser here, as an issuer does after a sign-in."""
        self._face, self._method, self._work, self._answer = face, method, work, answer
        self._navigated = navigated
        self._remaining_s = remaining_s
        self._probe = method.kind is Kind.PROBE and method.name.startswith("GET")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        face, pairs = self._face, pairs_of(scope)
        reply = Replier(send, tls=face.tls, head=scope["method"] == "HEAD", answer=self._answer)
        try:
            # Probes of an orchestrator call a pod by its address.
            if not self._probe:
                face.known.check_host(pairs)
            remaining_s = self._remaining_s(scope) if self._remaining_s else None
            with face.gate.call(self._method, headers=pairs, peer=peer_of(scope), remaining_s=remaining_s) as call:
                # What is open to everybody, signing in among it, has no session yet whose token could be asked for.
                if self._navigated:
                    pass  # the state in the query and in the cookie tell whose idea it was
                elif scope["method"] in security.SAFE or self._method.kind is Kind.PROBE:
                    face.known.check_origin(pairs)
                else:
                    security.check_change(pairs, face.sessions, face.known)
                await self._work(Exchange(face, call, scope, receive, pairs, reply))
        except asyncio.CancelledError:
            pass  # the reader has gone, or the server stops; the access log has it, and nobody is behind this task
        except Exception as error:  # noqa: BLE001 - every error becomes a problem, here and nowhere else
            await _told(reply, error)


async def _told(reply: Replier, error: Exception) -> None:
    if not reply.started:
        await reply.problem(error)
        return
    # A download that breaks off: without its last piece the reader sees that it is not complete.
    log.warning("answer broken off", extra={"cause": str(error)})
