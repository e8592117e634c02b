"""What keeps other sites out of a signed-in browser: Host, Origin, the CSRF token, and the headers of every answer.

Enters: the headers of a request. Leaves: nothing, or CrossSiteError, MisdirectedError. A browser attaches the cookie to requests that
other sites cause, resolves a name of theirs to this machine, and lets them open WebSockets. So: the Host is one that we are called by; an
Origin, where the browser sends one, is ours; whoever changes something with a cookie has the session's CSRF token.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Sequence
from urllib.parse import urlsplit

from base.errors import PermissionDeniedError, shown
from serving.http.problems import CrossSiteError, MisdirectedError
from serving.sessions import Sessions

Pairs = Sequence[tuple[str, str]]

CSRF_HEADER = "x-csrf-token"
SAFE = frozenset({"GET", "HEAD"})

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
HEADERS: tuple[tuple[str, str], ...] = (
    ("content-security-policy", _POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), microphone=(), geolocation=()"),
)
HSTS = ("strict-transport-security", "max-age=31536000")


def headers(*, tls: bool) -> list[tuple[str, str]]:
    """Headers of every answer."""
    return [*HEADERS, HSTS] if tls else list(HEADERS)


def one(pairs: Pairs, name: str) -> str:
    """The one value of a header, empty for none. Raises PermissionDeniedError for two: another program may take the other."""
    values = [value for key, value in pairs if key == name]
    if len(values) > 1:
        msg = f"{len(values)} headers {name}; send one"
        raise PermissionDeniedError(msg)
    return values[0] if values else ""


class Origins:
    """The addresses this server is known by: those of the configuration, or the one it listens on."""

    def __init__(self, configured: Iterable[str], *, listen: str, port: int, tls: bool) -> None:
        found = [origin.rstrip("/").lower() for origin in configured]
        if not found:
            host = listen.rpartition(":")[0]
            names = {host, "localhost", "127.0.0.1", "[::1]"}
            found = [f"{'https' if tls else 'http'}://{name}:{port}" for name in sorted(names)]
        self._origins = frozenset(found)
        self._by_host = {host: origin for origin in found for host in _hosts(origin)}
        self._hosts = frozenset(host for origin in found for host in _hosts(origin))

    def check_host(self, pairs: Pairs) -> None:
        """Raise MisdirectedError for a Host that is not ours: a name of somebody else's that leads here."""
        host = one(pairs, "host").lower()
        if host not in self._hosts:
            msg = f"this server is not called {shown(host)}; it answers to {', '.join(sorted(self._hosts))} (http.origins)"
            raise MisdirectedError(msg)

    def origin_of(self, pairs: Pairs) -> str:
        """Our origin as the caller addressed it. Raises MisdirectedError."""
        self.check_host(pairs)
        return self._by_host[one(pairs, "host").lower()]

    def check_origin(self, pairs: Pairs, *, needed: bool = False) -> None:
        """Raise CrossSiteError for an Origin that is not ours; with `needed` also when there is none."""
        origin = one(pairs, "origin").lower()
        if not origin:
            if needed or one(pairs, "sec-fetch-site") not in {"", "same-origin", "none"}:
                msg = "a browser's request without an Origin; send it from the page of this server"
                raise CrossSiteError(msg)
        elif origin not in self._origins:
            msg = f"Origin {shown(origin)} is not of this server ({', '.join(sorted(self._origins))})"
            raise CrossSiteError(msg)


def check_change(pairs: Pairs, made: Sessions, origins: Origins) -> None:
    """Raise CrossSiteError when another site may be behind a request that changes something."""
    cookie = made.shown_by(pairs)
    origins.check_origin(pairs, needed=bool(cookie))
    if cookie and not hmac.compare_digest(made.csrf(cookie).encode(), one(pairs, CSRF_HEADER).encode()):
        msg = f"header {CSRF_HEADER} is missing or of another session; GET /api/v1/me tells it"
        raise CrossSiteError(msg)


def _hosts(origin: str) -> set[str]:
    """Values of Host for an origin: the port may be left out when it is the scheme's own."""
    parts = urlsplit(origin)
    usual = {"http": "80", "https": "443"}.get(parts.scheme, "")
    host = parts.netloc
    name = host.removesuffix(f":{usual}")
    return {host, name} if name != host else {host, f"{host}:{usual}"} if parts.port is None else {host}
