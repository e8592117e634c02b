"""The issuer's addresses: discovery, keys, signing in, tokens, devices, signing out. An ASGI application.

Forms carry a token against other sites' forms (a signed moment, good for ten minutes). There is no session: whoever is sent here signs in,
every time.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from joserfc.jwk import ECKey
from oauthlib.oauth2 import FatalClientError, OAuth2Error
from oauthlib.oauth2.rfc6749.endpoints import AuthorizationEndpoint, TokenEndpoint
from oauthlib.oauth2.rfc6749.tokens import BearerToken
from oauthlib.oauth2.rfc8628.endpoints.device_authorization import DeviceAuthorizationEndpoint
from oauthlib.oauth2.rfc8628.grant_types import DeviceCodeGrant
from oauthlib.openid.connect.core.grant_types import AuthorizationCodeGrant as OpenIdGrant
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from issuer import pages
from issuer.grants import DEVICE_GRANT, DEVICE_S, POLL_S, TOKEN_S, Client, DeviceRequest, Grants, SignIn
from issuer.people import People

_MAX_BODY = 20_000
_FORM_S = 600
_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"
_MAX_DEVICES = 1_000


class _Endpoints(AuthorizationEndpoint, TokenEndpoint):  # type: ignore[misc]
    """The library's endpoints with the two grants that there are."""

    def __init__(self, grants: Grants) -> None:
        code, device = OpenIdGrant(grants, refresh_token=False), DeviceCodeGrant(grants)
        device.register_token_modifier(lambda token: token)
        bearer = BearerToken(grants, token_generator=grants.access_token, expires_in=TOKEN_S)
        AuthorizationEndpoint.__init__(self, "code", bearer, {"code": code})
        TokenEndpoint.__init__(self, "authorization_code", bearer, {"authorization_code": code, DEVICE_GRANT: device})


class Issuer:
    """One issuer at one address."""

    def __init__(
        self, issuer: str, *, audience: str, key: ECKey, clients: Mapping[str, Client], people: People
    ) -> None:
        self.issuer, self._people, self._key = issuer, people, key
        self._grants = Grants(issuer, audience, key, clients)
        self._endpoints = _Endpoints(self._grants)
        self._devices = DeviceAuthorizationEndpoint(
            self._grants,
            f"{issuer}/device",
            expires_in=DEVICE_S,
            interval=POLL_S,
            verification_uri_complete=f"{issuer}/device?user_code={{user_code}}",
            user_code_generator=user_code,
        )
        self._secret = secrets.token_bytes(32)
        self.app = Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/jwks", self._jwks),
                Route("/authorize", self._authorize, methods=["GET", "POST"]),
                Route("/token", self._token, methods=["POST"]),
                Route("/device_authorization", self._device_authorization, methods=["POST"]),
                Route("/device", self._device, methods=["GET", "POST"]),
                Route("/end_session", self._end_session),
            ]
        )

    def waiting(self) -> list[DeviceRequest]:
        """Requests of devices that are not over."""
        return list(self._grants.devices.values())

    async def _discovery(self, _: Request) -> Response:
        at = self.issuer
        return JSONResponse(
            {
                "issuer": at,
                "authorization_endpoint": f"{at}/authorize",
                "token_endpoint": f"{at}/token",
                "jwks_uri": f"{at}/jwks",
                "device_authorization_endpoint": f"{at}/device_authorization",
                "end_session_endpoint": f"{at}/end_session",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", DEVICE_GRANT],
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["none"],
                "scopes_supported": ["openid", "profile"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _jwks(self, _: Request) -> Response:
        return JSONResponse({"keys": [{**self._key.as_dict(private=False), "use": "sig", "alg": "ES256"}]})

    async def _authorize(self, request: Request) -> Response:
        """The form for a good request; with a good password, the code."""
        given = dict(parse_qsl(request.url.query, keep_blank_values=True))
        try:
            if given.get("code_challenge_method") != "S256":
                return _page(400, "Not possible", "This sign-in needs a proof key with S256 (PKCE).")
            _, found = self._endpoints.validate_authorization_request(self._uri(request), "GET")
        except FatalClientError as error:
            return _page(400, "Not possible", error.description or error.error)
        except OAuth2Error as error:
            return RedirectResponse(error.in_uri(error.redirect_uri or given.get("redirect_uri", "")), 302)
        client = str(found["client_id"])
        if request.method == "GET":
            return self._form(client)
        form = await _form(request)
        sign_in = self._signed_in(form)
        if isinstance(sign_in, str):
            return self._form(client, wrong=sign_in)
        headers, body, status = self._endpoints.create_authorization_response(
            self._uri(request), "GET", scopes=["openid"], credentials={"sign_in": sign_in}
        )
        place = headers.get("Location", "")
        headers["Location"] = f"{place}{'&' if '?' in place else '?'}{urlencode({'iss': self.issuer})}"
        return Response(body, 303 if status == 302 else status, headers | pages.HEADERS)

    async def _token(self, request: Request) -> Response:
        headers, body, status = self._endpoints.create_token_response(
            f"{self.issuer}/token",
            "POST",
            await _body(request),
            {"Content-Type": request.headers.get("content-type", "")},
        )
        return Response(body, status, {**headers, "content-type": "application/json", "cache-control": "no-store"})

    async def _device_authorization(self, request: Request) -> Response:
        headers = {"Content-Type": request.headers.get("content-type", "")}
        body = await _body(request)
        try:
            _, found, status = self._devices.create_device_authorization_response(
                f"{self.issuer}/device_authorization", "POST", body, headers
            )
        except OAuth2Error as error:
            return JSONResponse(json.loads(error.json), error.status_code)
        client_id = dict(parse_qsl(body)).get("client_id", "")
        if not self._grants.clients[client_id].device:
            return JSONResponse({"error": "unauthorized_client"}, 400)
        now_s, devices = time.time(), self._grants.devices
        for code in [code for code, each in devices.items() if each.until_s <= now_s]:
            del devices[code]
        if len(devices) >= _MAX_DEVICES:
            return JSONResponse({"error": "temporarily_unavailable"}, 503)
        devices[found["device_code"]] = DeviceRequest(
            client_id=client_id, user_code=found["user_code"], until_s=now_s + DEVICE_S
        )
        return JSONResponse(found, status, headers={"cache-control": "no-store"})

    async def _device(self, request: Request) -> Response:
        """Somebody confirms the code that a program shows."""
        code = request.query_params.get("user_code", "")[:20].upper()
        waiting = next(
            (each for each in self._grants.devices.values() if each.user_code == code and each.until_s > time.time()),
            None,
        )
        if not code or waiting is None or waiting.sign_in is not None:
            return HTMLResponse(pages.device(code), 200 if not code else 404, pages.HEADERS)
        client = f"{waiting.client_id} ({code})"
        if request.method == "GET":
            return self._form(client)
        sign_in = self._signed_in(await _form(request))
        if isinstance(sign_in, str):
            return self._form(client, wrong=sign_in)
        waiting.sign_in = sign_in
        return _page(200, "Confirmed", "Your terminal is signed in. You can close this page.")

    async def _end_session(self, _: Request) -> Response:
        """There is no session here."""
        return _page(200, "Signed out", "Nobody is signed in here.")

    def _signed_in(self, form: Mapping[str, str]) -> SignIn | str:
        """Who signs in; what is wrong, for people."""
        if not self._is_form_of_ours(form.get("form", "")):
            return "The form was open for too long; try again."
        found = self._people.check(form.get("name", ""), form.get("password", ""), form.get("one_time", ""))
        if found is None:
            return "Name, password or one-time password is wrong. After five tries, wait half a minute."
        return SignIn(person=found[0], mfa=found[1], at_s=int(time.time()))

    def _form(self, client: str, wrong: str = "") -> Response:
        moment = str(int(time.time()))
        token = f"{moment}.{self._sign(moment)}"
        return HTMLResponse(
            pages.sign_in({"form": token}, client=client, wrong=wrong), 401 if wrong else 200, pages.HEADERS
        )

    def _is_form_of_ours(self, token: str) -> bool:
        moment, _, signature = token.partition(".")
        return (
            token.isascii()
            and hmac.compare_digest(self._sign(moment), signature)
            and time.time() - int(moment) < _FORM_S
        )

    def _sign(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def _uri(self, request: Request) -> str:
        return f"{self.issuer}/authorize?{request.url.query}"


def user_code() -> str:
    """Eight letters that nobody mistakes for others, with a dash (RFC 8628, 6.1)."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return f"{letters[:4]}-{letters[4:]}"


async def _body(request: Request) -> str:
    parts: list[bytes] = []
    async for part in request.stream():
        parts.append(part)
        if sum(map(len, parts)) > _MAX_BODY:
            return ""
    return b"".join(parts).decode("ascii", "replace")


async def _form(request: Request) -> dict[str, str]:
    return dict(parse_qsl(await _body(request), keep_blank_values=True, max_num_fields=50))


def _page(status: int, title: str, text: str) -> Response:
    return HTMLResponse(pages.message(title, text), status, pages.HEADERS)
