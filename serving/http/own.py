"""Addresses that are of HTTP alone: who am I, the session, health, the description of it all."""

from __future__ import annotations

from typing import Any

from base.errors import InvalidRequestError, UnavailableError
from serving.access import AUTHORIZATION, ISSUED, NAME_METADATA
from serving.gate import Kind, Method
from serving.http import caching
from serving.http.face import Endpoint, Exchange, Face
from serving.http.plain import dumps
from serving.http.replies import header_of
from serving.http.requests import body_of, object_of
from serving.http.rows import API
from serving.principals import Principal, current
from serving.sessions import COOKIE, set_cookie

ME = f"{API}/me"
SESSION, SESSIONS = f"{API}/session", f"{API}/sessions"
OPENAPI = "/api/openapi.json"
ALIVE = "/healthz"
READY = "/readyz"
SIGN_IN, SIGN_OUT, SIGN_OUT_EVERYWHERE = "sign-in", "sign-out", "sign-out-everywhere"
"""What the audit log calls them."""
_JSON = ("content-type", "application/json")
MAX_TOKEN, MAX_NAME = 8_192, 200
_NO_STORE = ("cache-control", "no-store")


def me(face: Face) -> Endpoint:
    """GET /me: the caller as the server sees it."""

    async def work(exchange: Exchange) -> None:
        cookie = face.sessions.shown_by(exchange.pairs)
        await json_answer(exchange, 200, _who(face, current.get(), face.sessions.csrf(cookie) if cookie else ""))

    return Endpoint(face, Method(name=f"GET {ME}", kind=Kind.READ, needs=None), work)


def open_session(face: Face) -> Endpoint:
    """POST /session: a token for a cookie."""

    async def work(exchange: Exchange) -> None:
        given = object_of(await body_of(exchange.scope, exchange.receive))
        principal = face.gate.access.authenticate(_shown_token(given, tokens=face.gate.access.has_tokens))
        exchange.call.principal = principal
        face.gate.limits.call(principal.name, command=False)
        value = session_of(face, principal)
        await json_answer(exchange, 201, _who(face, principal, face.sessions.csrf(value)), session_cookie(face, value))

    # Whoever comes shows who it is in the body, so it passes as a probe does, and is counted once it is known.
    return Endpoint(face, Method(name=f"POST {SESSION}", kind=Kind.PROBE, needs=None, action=SIGN_IN), work)


def ways(face: Face) -> Endpoint:
    """GET /session: how somebody can sign in here, for the page that asks."""

    async def work(exchange: Exchange) -> None:
        issuer = f"{API}/sign-in" if face.code_flow is not None else None
        await json_answer(exchange, 200, {"issuer": issuer, "names": not face.gate.access.has_tokens})

    return Endpoint(face, Method(name=f"GET {SESSION}", kind=Kind.PROBE, needs=None), work)


def session_of(face: Face, principal: Principal) -> str:
    """Value of the cookie of a principal that has shown its token."""
    if principal.credential.startswith(ISSUED):
        return face.sessions.make(
            credential=principal.credential,
            name=principal.name,
            allow=map(str, principal.grants),
            amr=principal.amr,
            signed_in_us=principal.signed_in_us,
            issued_us=principal.issued_us,
            until_us=principal.until_us,
        )
    return face.sessions.make(credential=principal.credential, name="" if principal.credential else principal.name)


def session_cookie(face: Face, value: str) -> tuple[str, str]:
    """Header that gives a browser its session."""
    return _cookie(face, value, max(1, int(face.sessions.length_s)))


def close_session(face: Face) -> Endpoint:
    """DELETE /session: forget the cookie."""

    async def work(exchange: Exchange) -> None:
        exchange.call.messages = 1
        await exchange.reply.whole(204, [_NO_STORE, _cookie(face, "", 0)], b"")

    return Endpoint(face, Method(name=f"DELETE {SESSION}", kind=Kind.READ, needs=None, action=SIGN_OUT), work)


def close_sessions(face: Face) -> Endpoint:
    """DELETE /sessions: sign out everywhere; of a program's own token, its sessions are over, and the token stays good."""

    async def work(exchange: Exchange) -> None:
        who = current.get()
        await face.sign_outs.sign_out(who.name, by=who.name)
        face.gate.recheck()
        exchange.call.messages = 1
        await exchange.reply.whole(204, [_NO_STORE, _cookie(face, "", 0)], b"")

    method = Method(name=f"DELETE {SESSIONS}", kind=Kind.READ, needs=None, action=SIGN_OUT_EVERYWHERE)
    return Endpoint(face, method, work)


def alive(face: Face) -> Endpoint:
    """GET /healthz: the process answers."""

    async def work(exchange: Exchange) -> None:
        await json_answer(exchange, 200, {"status": "ok"})

    return Endpoint(face, Method(name=f"GET {ALIVE}", kind=Kind.PROBE, needs=None), work)


def ready(face: Face) -> Endpoint:
    """GET /readyz: what the server knows is current; 503 before that and while it stops."""

    async def work(exchange: Exchange) -> None:
        if face.stopping.is_set() or not face.ready():
            msg = "the server is stopping" if face.stopping.is_set() else "the server is still reading"
            raise UnavailableError(msg)
        await json_answer(exchange, 200, {"status": "ready"})

    return Endpoint(face, Method(name=f"GET {READY}", kind=Kind.PROBE, needs=None), work)


def openapi(face: Face, document: bytes) -> Endpoint:
    """GET /api/openapi.json. It says nothing of the plant, so everybody may read it."""
    tag = caching.etag(document)

    async def work(exchange: Exchange) -> None:
        headers = [_JSON, ("cache-control", "public, no-cache"), ("etag", tag)]
        known = caching.matches(header_of(exchange.pairs, "if-none-match"), tag)
        await exchange.reply.whole(304 if known else 200, headers, b"" if known else document)

    return Endpoint(face, Method(name=f"GET {OPENAPI}", kind=Kind.PROBE, needs=None), work)


def _who(face: Face, principal: Principal, csrf: str) -> dict[str, Any]:
    grants, shown = sorted(map(str, principal.grants)), face.gate.access.shown(principal)
    return {"name": principal.name, "shown": shown, "allow": sorted(principal.allow), "grants": grants, "csrf": csrf}


def _shown_token(given: dict[str, Any], *, tokens: bool) -> list[tuple[str, str]]:
    """The header that says the same. Raises InvalidRequestError."""
    wanted = "token" if tokens else "name"
    value = given.get(wanted)
    if (
        set(given) != {wanted}
        or not isinstance(value, str)
        or not value.isprintable()
        or len(value) > (MAX_TOKEN if tokens else MAX_NAME)
    ):
        msg = f'the body is not {{"{wanted}": "..."}}' + (
            "" if tokens else "; this server has no tokens, it takes names"
        )
        raise InvalidRequestError(msg, field=wanted)
    return [(AUTHORIZATION, f"Bearer {value}")] if tokens else [(NAME_METADATA, value)]


def _cookie(face: Face, value: str, age_s: int) -> tuple[str, str]:
    return set_cookie(COOKIE, value, age_s=age_s, same_site="Strict", tls=face.tls)


async def json_answer(exchange: Exchange, status: int, value: Any, *headers: tuple[str, str]) -> None:
    """An answer in JSON that nobody keeps."""
    exchange.call.messages = 1
    await exchange.reply.whole(status, [_JSON, _NO_STORE, *headers], dumps(value))
