"""Tokens of an issuer that the tests are: keys, and JSON Web Tokens signed with them, good ones and bad ones."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from serving.oidc.keys import Key, read_jwks
from serving.oidc.settings import OidcSettings, RoleSettings

ISSUER = "https://id.example.com/realms/plant"
AUDIENCE = "millrace-api"
NOW_S = 1_800_000_000
RSA = RSAKey.generate_key(2048, {"kid": "rsa-1"})
EC = ECKey.generate_key("P-256", {"kid": "ec-1"})
OTHER = RSAKey.generate_key(2048, {"kid": "rsa-1"})
"""A key of somebody else under the name of ours."""
SETTINGS = OidcSettings(
    issuer=ISSUER,
    client="millrace-page",
    clients=("millrace-page", "millrace-cli"),
    roles_claim="realm_access.roles",
    roles=(RoleSettings(name="operators", allow=("read", "command")), RoleSettings(name="leads", allow=("approve",))),
)


def jwks(*keys: Key) -> bytes:
    """The issuer's document."""
    return json.dumps({"keys": [{**key.as_dict(private=False), "use": "sig"} for key in keys]}).encode()


def keys(*made: Key) -> Mapping[str, Key]:
    """The keys as the server reads them."""
    return read_jwks(jwks(*made))


def claims(**changed: Any) -> dict[str, Any]:
    """Claims of a good access token; None leaves one out."""
    made = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "azp": "millrace-cli",
        "sub": "6f1c1d3e",
        "iat": NOW_S,
        "nbf": NOW_S,
        "exp": NOW_S + 600,
        "realm_access": {"roles": ["operators", "something else"]},
    }
    return {name: value for name, value in (made | changed).items() if value is not None}


def token(
    key: RSAKey | ECKey | OctKey = RSA, alg: str = "RS256", header: Mapping[str, Any] | None = None, **changed: Any
) -> str:
    """A signed token; `header` adds to the header, and `changed` to the claims."""
    return jwt.encode(
        {"alg": alg, "kid": key.kid, "typ": "JWT", **(header or {})}, claims(**changed), key, algorithms=[alg]
    )


def raw(header: Mapping[str, Any], signature: str = "", **changed: Any) -> str:
    """A token put together by hand."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, claims(**changed))
    ]
    return ".".join([*parts, signature])
