"""The browser's way to the issuer and back: `GET /api/v1/sign-in` sends it there, `…/done` takes it back and opens the session.

The answer of `done` is a page that leads on, and no redirect: a browser that comes from the issuer's site does not show a session's cookie
(`SameSite=Strict`) until a page of ours has sent it somewhere.
"""

from __future__ import annotations

from html import escape

from base.errors import InvalidRequestError, NotFoundError
from serving.gate import Kind, Method
from serving.http import own
from serving.http.face import Endpoint, Exchange, Face
from serving.http.own import session_cookie, session_of
from serving.http.requests import query_of
from serving.http.rows import API
from serving.oidc import code_flow
from serving.principals import UnauthenticatedError
from serving.sessions import cookie_name, cookie_of, set_cookie

SIGN_IN = f"{API}/sign-in"
DONE = f"{SIGN_IN}/done"
MAX_PARAMETER = 4_000
_NO_STORE = ("cache-control", "no-store")


def start(face: Face) -> Endpoint:
    """GET /sign-in?to=/page: to the issuer; with `again=1` for somebody who is to show the password once more."""

    async def work(exchange: Exchange) -> None:
        flow = _flow(face)
        again = _parameter(exchange, "again") == "1"
        place, value = flow.start(_redirect_uri(face, exchange), _parameter(exchange, "to"), again=again)
        exchange.call.messages = 1
        await exchange.reply.whole(302, [("location", place), _NO_STORE, _cookie(face, value, code_flow.LIFE_S)], b"")

    return Endpoint(face, Method(name=f"GET {SIGN_IN}", kind=Kind.PROBE, needs=None), work)


def done(face: Face) -> Endpoint:
    """GET /sign-in/done?code=…&state=…: from the issuer."""

    async def work(exchange: Exchange) -> None:
        flow = _flow(face)
        if refused := _parameter(exchange, "error"):
            msg = f"the issuer did not sign anybody in: {refused[:100]}"
            raise UnauthenticatedError(msg)
        found = await flow.finish(
            cookie_of(exchange.pairs, cookie_name(code_flow.COOKIE, tls=face.tls)),
            state=_parameter(exchange, "state"),
            code=_parameter(exchange, "code"),
            issuer=_parameter(exchange, "iss"),
            redirect_uri=_redirect_uri(face, exchange),
        )
        exchange.call.principal = found.principal
        face.gate.limits.call(found.principal.name, command=False)
        exchange.call.messages = 1
        headers = [
            ("content-type", "text/html; charset=utf-8"),
            _NO_STORE,
            _cookie(face, "", 0),
            session_cookie(face, session_of(face, found.principal)),
        ]
        to = escape(found.back_to, quote=True)
        page = f'<!doctype html><meta http-equiv="refresh" content="0; url={to}"><title>Millrace</title><a href="{to}">Millrace</a>'
        await exchange.reply.whole(200, headers, page.encode())

    method = Method(name=f"GET {DONE}", kind=Kind.PROBE, needs=None, action=own.SIGN_IN)
    return Endpoint(face, method, work, navigated=True)


def _flow(face: Face) -> code_flow.CodeFlow:
    if face.code_flow is None:
        msg = "this server has no issuer where a browser could sign in (oidc.issuer, oidc.client)"
        raise NotFoundError(msg)
    return face.code_flow


def _redirect_uri(face: Face, exchange: Exchange) -> str:
    """Where the issuer sends the browser back to: the address that the browser called us by, which was checked."""
    return face.known.origin_of(exchange.pairs) + DONE


def _parameter(exchange: Exchange, name: str) -> str:
    """A parameter of the query, empty when it is not there. Raises InvalidRequestError."""
    values = query_of(exchange.scope).get(name, [])
    if len(values) > 1 or any(len(value) > MAX_PARAMETER for value in values):
        msg = f"{name} is there more than once, or too long"
        raise InvalidRequestError(msg, field=name)
    return values[0] if values else ""


def _cookie(face: Face, value: str, age_s: int) -> tuple[str, str]:
    """Lax: it has to come along when the issuer sends the browser back."""
    return set_cookie(code_flow.COOKIE, value, age_s=age_s, same_site="Lax", tls=face.tls)
