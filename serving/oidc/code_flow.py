"""Signing in with the browser: authorization code with PKCE (RFC 6749, RFC 7636), the server in the middle, no token in the browser.

Enters: somebody without a session. Leaves: where to send the browser, and, when it comes back with a code, the principal of the access
token. What connects the two moments is a sealed value in a cookie of a few minutes: state, nonce, the proof key and the page to come back
to. It can be used once: a code that is played again meets a state that is not in the browser any more, and an issuer that has redeemed it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from base import base64url
from base.errors import UnavailableError
from base.ids import Clock, now_us
from serving.oidc.provider import Provider
from serving.principals import Principal, UnauthenticatedError
from serving.sessions import Keys, mac, maker

COOKIE = "millrace_sign_in"
LIFE_S = 600
SCOPE = "openid profile"
_MAX_COOKIE = 2_000
_MAX_RETURN = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Attempt:
    """Somebody on the way to the issuer and back."""

    state: str
    nonce: str
    verifier: str
    back_to: str
    until_us: int

    @property
    def begun_us(self) -> int:
        """When it began."""
        return self.until_us - LIFE_S * 1_000_000


@dataclass(frozen=True, kw_only=True, slots=True)
class SignedIn:
    """Who came back, the page to show, and the id token, which only a sign-out at the issuer needs."""

    principal: Principal
    back_to: str


class CodeFlow:
    """`keys` seal the cookies; they are those of the sessions."""

    def __init__(self, provider: Provider, keys: Keys, *, clock: Clock = now_us) -> None:
        self._provider, self._clock = provider, clock
        self._keys = keys

    def start(self, redirect_uri: str, back_to: str, *, again: bool = False) -> tuple[str, str]:
        """Where to send the browser, and the cookie's value. Raises UnavailableError while the issuer is not known.

        `again`: whoever is signed in at the issuer has to prove it once more. Without, an issuer lets a browser through that it knows, as
        whom it knows, with the time of the sign-in that was: too old for a policy that wants a fresh one.
        """
        if self._provider.endpoints is None:
            msg = "the issuer has not answered yet; try again"
            raise UnavailableError(msg)
        attempt = Attempt(
            state=secrets.token_urlsafe(24),
            nonce=secrets.token_urlsafe(24),
            verifier=secrets.token_urlsafe(48),
            back_to=safe_return(back_to),
            until_us=self._clock() + LIFE_S * 1_000_000,
        )
        challenge = base64url.encode(hashlib.sha256(attempt.verifier.encode()).digest())
        asked = {
            "response_type": "code",
            "client_id": self._provider.settings.client,
            "redirect_uri": redirect_uri,
            "scope": SCOPE,
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        if again:
            asked["prompt"] = "login"
        place = self._provider.endpoints.authorization
        return f"{place}{'&' if '?' in place else '?'}{urlencode(asked)}", self._seal(attempt)

    async def finish(self, cookie: str, *, state: str, code: str, issuer: str, redirect_uri: str) -> SignedIn:
        """Who the code stands for; raises UnauthenticatedError, or UnavailableError when the issuer does not give tokens for it.

        `issuer` is the parameter `iss` of the answer (RFC 9207), empty when it had none.
        """
        attempt = self._open(cookie)
        if attempt is None or not hmac.compare_digest(attempt.state, state):
            msg = "this answer of the issuer belongs to no sign-in of this browser, or comes too late; sign in again"
            raise UnauthenticatedError(msg)
        if issuer and issuer != self._provider.settings.issuer:
            msg = "the answer is of another issuer; sign in again"
            raise UnauthenticatedError(msg)
        settings = self._provider.settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "client_id": settings.client,
            "code_verifier": attempt.verifier,
        }
        tokens = await self._provider.redeem(form)
        access, identity = tokens.get("access_token"), tokens.get("id_token")
        if not isinstance(access, str) or not isinstance(identity, str):
            msg = "the issuer gave no access token and id token for the code"
            raise UnauthenticatedError(msg)
        for token in (identity, access):
            await self._provider.learn_key(token)  # the code is used up: nobody could try again with it
        claims = self._provider.verifier.claims(identity, audience=settings.client)
        if not hmac.compare_digest(str(claims.get("nonce", "")), attempt.nonce):
            msg = "the id token belongs to another sign-in; sign in again"
            raise UnauthenticatedError(msg)
        principal = self._provider.principal(access)
        if not principal.is_called(str(claims["sub"])):
            msg = "id token and access token are of different people"
            raise UnauthenticatedError(msg)
        self._provider.verifier.met(claims)  # it has the name, where the access token has none
        # A token says its second, by the issuer's clock; that it is of this attempt says more. Who signed out a moment before it is in.
        principal = replace(principal, issued_us=max(principal.issued_us or 0, attempt.begun_us))
        return SignedIn(principal=principal, back_to=attempt.back_to)

    def _seal(self, attempt: Attempt) -> str:
        fields = [attempt.state, attempt.nonce, attempt.verifier, attempt.back_to, attempt.until_us]
        text = base64url.encode(json.dumps(fields).encode())
        return f"{text}.{mac(self._keys()[0], _purpose(text))}"

    def _open(self, cookie: str) -> Attempt | None:
        text, _, signature = cookie.rpartition(".")
        if not cookie.isascii() or len(cookie) > _MAX_COOKIE or maker(self._keys(), _purpose(text), signature) is None:
            return None
        state, nonce, verifier, back_to, until_us = json.loads(base64url.decode(text))
        if until_us <= self._clock():
            return None
        return Attempt(state=state, nonce=nonce, verifier=verifier, back_to=back_to, until_us=until_us)


def _purpose(text: str) -> str:
    return f"sign-in:{text}"


def safe_return(wanted: str) -> str:
    """A page of ours to come back to; the first one for anything else, such as another site's."""
    plain = (
        wanted.startswith("/") and not wanted.startswith(("//", "/\\")) and wanted.isascii() and wanted.isprintable()
    )
    return wanted if plain and len(wanted) <= _MAX_RETURN else "/"
