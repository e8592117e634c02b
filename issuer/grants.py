"""What the protocol's library asks of us: clients, codes, tokens. In memory; a code lives a minute and is good once.

The library (oauthlib) checks requests: redirect addresses, PKCE, who may use which grant. Here is what it checks them against. Every client
is public, so every code needs a proof key, with S256 and nothing weaker.
"""

# The library's names and order of arguments, used or not.
# ruff: noqa: ARG002

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey
from oauthlib.common import Request
from oauthlib.oauth2.rfc8628.grant_types import DeviceCodeGrant
from oauthlib.openid import RequestValidator

from base.ids import uuid7
from issuer.people import Person

CODE_S, TOKEN_S, DEVICE_S, POLL_S = 60, 8 * 3_600, 600, 2
"""A token is good for a shift: there is no way to renew one here."""
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SCOPES = frozenset({"openid", "profile"})
_MAX_OPEN = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Client:
    """A program that may send people here. `redirects` are exact; `device` clients show a code instead."""

    client_id: str
    redirects: tuple[str, ...] = ()
    device: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class SignIn:
    """Somebody who has just proven who it is."""

    person: Person
    mfa: bool
    at_s: int


@dataclass(kw_only=True, slots=True)
class _Code:
    client_id: str
    redirect_uri: str
    challenge: str
    method: str
    nonce: str
    scopes: list[str]
    sign_in: SignIn
    until_s: float


@dataclass(kw_only=True, slots=True)
class DeviceRequest:
    """A program without a browser that waits for somebody to confirm `user_code`."""

    client_id: str
    user_code: str
    until_s: float
    sign_in: SignIn | None = None
    denied: bool = False
    asked_s: float = field(default=float("-inf"))


class Grants(RequestValidator):  # type: ignore[misc]
    """State of the issuer, in the library's form."""

    def __init__(self, issuer: str, audience: str, key: ECKey, clients: Mapping[str, Client]) -> None:
        super().__init__()
        self.issuer, self.audience, self.key = issuer, audience, key
        self.clients = dict(clients)
        self.devices: dict[str, DeviceRequest] = {}
        self._codes: dict[str, _Code] = {}

    # --- clients

    def validate_client_id(self, client_id: str, request: Request, *_: Any, **__: Any) -> bool:
        """Whether there is such a client."""
        request.client = self.clients.get(client_id)
        return request.client is not None

    def client_authentication_required(self, request: Request, *_: Any, **__: Any) -> bool:
        """Clients are public."""
        return False

    def authenticate_client_id(self, client_id: str, request: Request, *_: Any, **__: Any) -> bool:
        """A public client says who it is."""
        return self.validate_client_id(client_id, request)

    def validate_redirect_uri(self, client_id: str, redirect_uri: str, *_: Any, **__: Any) -> bool:
        """Exactly one of the client's, or the loopback interface with any port for programs (RFC 8252)."""
        return fits(self.clients[client_id].redirects, redirect_uri)

    def get_default_redirect_uri(self, *_: Any, **__: Any) -> None:
        """None: it has to be said."""

    def is_pkce_required(self, *_: Any, **__: Any) -> bool:
        """Always."""
        return True

    def validate_response_type(self, client_id: str, response_type: str, *_: Any, **__: Any) -> bool:
        """Codes only, for clients that have a browser."""
        return response_type == "code" and bool(self.clients[client_id].redirects)

    def validate_grant_type(
        self, client_id: str, grant_type: str, client: Client, request: Request, *_: Any, **__: Any
    ) -> bool:
        """Codes, and device codes for those that may."""
        return grant_type == "authorization_code" or (grant_type == DEVICE_GRANT and self.clients[client_id].device)

    def validate_user_match(self, *_: Any, **__: Any) -> bool:
        """Nobody is remembered, so nobody else can be expected."""
        return True

    def validate_scopes(self, client_id: str, scopes: list[str], *_: Any, **__: Any) -> bool:
        """`openid` and `profile`; roles come with the person."""
        return set(scopes) <= SCOPES

    def get_default_scopes(self, *_: Any, **__: Any) -> list[str]:
        """Without any it is a sign-in."""
        return ["openid"]

    # --- codes

    def save_authorization_code(
        self, client_id: str, code: Mapping[str, str], request: Request, *_: Any, **__: Any
    ) -> None:
        """Remember a code until it is redeemed or over."""
        now_s = time.time()
        self._codes = {one: made for one, made in self._codes.items() if made.until_s > now_s}
        if len(self._codes) >= _MAX_OPEN:
            self._codes.pop(next(iter(self._codes)))
        self._codes[code["code"]] = _Code(
            client_id=client_id,
            redirect_uri=request.redirect_uri,
            challenge=request.code_challenge,
            method=request.code_challenge_method,
            nonce=request.nonce or "",
            scopes=request.scopes,
            sign_in=request.sign_in,
            until_s=now_s + CODE_S,
        )

    def validate_code(self, client_id: str, code: str, client: Client, request: Request, *_: Any, **__: Any) -> bool:
        """A code is good once, for its client; whoever shows it, it is gone."""
        found = self._codes.pop(code, None)
        if found is None or found.client_id != client_id or found.until_s <= time.time():
            return False
        request.user, request.scopes, request.nonce = found.sign_in, found.scopes, found.nonce
        request.redeemed = found
        return True

    def invalidate_authorization_code(self, *_: Any, **__: Any) -> None:
        """It is gone since `validate_code`."""

    def confirm_redirect_uri(
        self, client_id: str, code: str, redirect_uri: str, client: Client, request: Request, *_: Any, **__: Any
    ) -> bool:
        """The same as when the code was made."""
        return bool(request.redeemed.redirect_uri == redirect_uri)

    def get_code_challenge(self, code: str, request: Request) -> str:
        """Challenge of the code that is being redeemed."""
        return str(request.redeemed.challenge)

    def get_code_challenge_method(self, code: str, request: Request) -> str:
        """Its method."""
        return str(request.redeemed.method)

    def get_authorization_code_scopes(self, client_id: str, code: str, *_: Any, **__: Any) -> list[str]:
        """Scopes of a code, before it is redeemed."""
        found = self._codes.get(code)
        return found.scopes if found else []

    def get_authorization_code_nonce(self, client_id: str, code: str, redirect_uri: str, request: Request) -> str:
        """Nonce of the sign-in."""
        return str(request.redeemed.nonce)

    # --- devices

    def validate_device_code(self, client_id: str, device_code: str, request: Request, *_: Any, **__: Any) -> str:
        """Where a device's request stands; a confirmed one is taken once."""
        found, now_s = self.devices.get(device_code), time.time()
        if found is None or found.client_id != client_id or found.until_s <= now_s:
            return str(DeviceCodeGrant.DEVICE_CODE_EXPIRED)
        quick, found.asked_s = now_s - found.asked_s < POLL_S / 2, now_s
        if quick:
            return str(DeviceCodeGrant.DEVICE_CODE_SLOW_DOWN)
        if found.denied:
            return str(DeviceCodeGrant.DEVICE_CODE_DENIED)
        if found.sign_in is None:
            return str(DeviceCodeGrant.DEVICE_CODE_PENDING)
        del self.devices[device_code]
        request.user, request.scopes = found.sign_in, ["openid"]
        return str(DeviceCodeGrant.DEVICE_CODE_AUTHORIZED)

    # --- tokens

    def save_token(self, *_: Any, **__: Any) -> None:
        """Nothing: tokens carry what they say."""

    save_bearer_token = save_token

    def access_token(self, request: Request, *_: Any, **__: Any) -> str:
        """The access token of a redeemed code (RFC 9068)."""
        sign_in: SignIn = request.user
        claims = self._claims(sign_in) | {
            "aud": self.audience,
            "client_id": request.client_id,
            "azp": request.client_id,
            "jti": str(uuid7()),
            "roles": list(sign_in.person.roles),
            "scope": " ".join(request.scopes),
            **sign_in.person.profile,
        }
        return self._signed(claims, "at+jwt")

    def get_id_token(self, token: Mapping[str, Any], token_handler: Any, request: Request) -> str:
        """The id token that goes with it."""
        sign_in: SignIn = request.user
        claims = self._claims(sign_in) | {
            "aud": request.client_id,
            "azp": request.client_id,
            **sign_in.person.profile,
        }
        nonce = getattr(request, "nonce", None)
        return self._signed(claims | ({"nonce": nonce} if nonce else {}), "JWT")

    def _claims(self, sign_in: SignIn) -> dict[str, Any]:
        now_s = int(time.time())
        return {
            "iss": self.issuer,
            "sub": sign_in.person.subject,
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + TOKEN_S,
            "auth_time": sign_in.at_s,
            "amr": ["pwd", "otp", "mfa"] if sign_in.mfa else ["pwd"],
        }

    def _signed(self, claims: dict[str, Any], kind: str) -> str:
        return jwt.encode({"alg": "ES256", "kid": self.key.kid, "typ": kind}, claims, self.key, algorithms=["ES256"])


def fits(redirects: tuple[str, ...], wanted: str) -> bool:
    """Whether an address is one of a client's; `http://127.0.0.1:*/path` stands for every port."""
    if wanted in redirects:
        return True
    for one in redirects:
        before, star, after = one.partition(":*")
        if star and wanted.startswith(before + ":") and wanted.endswith(after):
            port = wanted[len(before) + 1 : len(wanted) - len(after)]
            if port.isdigit():
                return True
    return False
