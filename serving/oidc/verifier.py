"""Whether a bearer token of the issuer is good, and whom it stands for. Pure: keys, the clock and the directory of people are given.

Enters: a JSON Web Token (RFC 7519) as access token (RFC 9068). Leaves: a `Principal`, or an UnauthenticatedError whose text tells the
caller what to do and never holds a part of the token. The order is that of cost: size, header, key, signature, claims. A header may name a
key of the issuer's document and nothing else: keys and addresses that a token brings along are refused.
"""

from __future__ import annotations

import binascii
import hashlib
import json
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.errors import JoseError

from base import base64url
from base.ids import Clock, now_us
from base.machine_names import is_machines
from privacy.errors import ForgottenError
from privacy.person import Person
from privacy.store import Store
from serving.access import ISSUED
from serving.oidc.keys import Key
from serving.oidc.settings import OidcSettings
from serving.principals import Grant, Principal, UnauthenticatedError, grants_of, scoped

MAX_TOKEN = 8_192
MAX_SUBJECT = 64
MAX_ROLES = 200
_MAX_METHODS = 20
_HEADER_KEYS = frozenset({"alg", "kid", "typ", "cty", "x5t", "x5t#S256"})
"""Names of keys, never keys or where to find them (`jwk`, `jku`, `x5c`, `x5u`), and nothing that has to be understood (`crit`)."""
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class Verifier:
    """Checks tokens against the keys that it was last given."""

    def __init__(self, settings: OidcSettings, people: Store | None = None, *, clock: Clock = now_us) -> None:
        """`people`: where an issuer's subject becomes a subject id; without, the former is the principal's name."""
        self._settings, self._people, self._clock = settings, people, clock
        self._keys: Mapping[str, Key] = {}
        self._credentials: frozenset[str] = frozenset()
        self._allow = {role.name: grants_of(role.allow) for role in settings.roles}

    def set_keys(self, keys: Mapping[str, Key]) -> bool:
        """Take the issuer's keys; those that it dropped are good no more. Whether it dropped any."""
        credentials = frozenset(credential_of(kid) for kid in keys)
        dropped = not self._credentials <= credentials
        self._keys, self._credentials = dict(keys), credentials
        return dropped

    def knows(self, credential: str) -> bool:
        """Whether the key that signed for a principal is still the issuer's."""
        return credential in self._credentials

    def key_id(self, token: str) -> str:
        """Id of the key that a token names; raises UnauthenticatedError for one whose header is refused."""
        if len(token) > MAX_TOKEN:
            msg = f"the token has more than {MAX_TOKEN} characters"
            raise UnauthenticatedError(msg)
        parts = token.split(".")
        if len(parts) != 3 or not token.isascii():
            raise UnauthenticatedError(_NO_TOKEN)
        header = _header(parts[0])
        if header.get("alg") not in self._settings.algorithms:
            msg = f"the token is not signed with {' or '.join(self._settings.algorithms)}"
            raise UnauthenticatedError(msg)
        if not set(header) <= _HEADER_KEYS:
            msg = "the token's header has more than names of a key; keys and addresses in it are not taken"
            raise UnauthenticatedError(msg)
        kid, kind = header.get("kid"), header.get("typ", "JWT")
        if not isinstance(kid, str) or not isinstance(kind, str) or kind.lower() not in _TYPES:
            raise UnauthenticatedError(_NO_TOKEN)
        return kid

    def has_key(self, kid: str) -> bool:
        """Whether the issuer's keys have this one."""
        return kid in self._keys

    def principal(self, token: str) -> Principal:
        """Whom a token stands for; raises UnauthenticatedError."""
        kid = self.key_id(token)
        claims = self.claims(token)
        grants: set[Grant] = set()
        for role in _roles(claims, self._settings.roles_claim):
            grants |= self._grants_of(role)
        person = self.met(claims)
        methods, issued_s = claims.get("amr"), claims.get("iat", 0)
        at_s = claims.get("auth_time", issued_s)
        return Principal(
            person.subject if person else str(claims["sub"]),
            frozenset(grants),
            credential_of(kid),
            int(claims["exp"] * 1e6),
            amr=frozenset(one for one in methods[:_MAX_METHODS] if isinstance(one, str))
            if isinstance(methods, list)
            else frozenset(),
            alias=person.issuer_subject if person else "",
            issued_us=int(issued_s * 1e6),
            signed_in_us=int(at_s * 1e6) if isinstance(at_s, int | float) and at_s == at_s else 0,  # noqa: PLR0124  # NaN
        )

    def met(self, claims: Mapping[str, Any]) -> Person | None:
        """The person of a token's claims; None without a directory. Raises UnauthenticatedError, UnavailableError."""
        if self._people is None:
            return None
        try:
            return self._people.person_of(claims)
        except ForgottenError as error:
            raise UnauthenticatedError(str(error)) from None

    def _grants_of(self, role: str) -> frozenset[Grant]:
        """What a role allows; `operator@acme/north` is what `operator` allows, there alone. An unknown one allows nothing."""
        if role in self._allow:
            return self._allow[role]
        try:
            name, scope = scoped(role)
        except ValueError:
            return frozenset()
        found = (grant.within(scope) for grant in self._allow.get(name, frozenset()))
        return frozenset(grant for grant in found if grant is not None)

    def claims(self, token: str, *, audience: str = "") -> Mapping[str, Any]:
        """Claims of a good token for `audience`, this server's own by default; raises UnauthenticatedError."""
        key = self._keys.get(self.key_id(token))
        if key is None:
            msg = "the token is signed with a key that the issuer does not have (any more); sign in again"
            raise UnauthenticatedError(msg)
        try:
            claims = jwt.decode(token, key, algorithms=list(self._settings.algorithms)).claims
        except (JoseError, ValueError, TypeError):
            msg = "the token's signature does not fit the issuer's key"
            raise UnauthenticatedError(msg) from None
        self._check(claims, audience or self._settings.audience)
        return claims

    def _check(self, claims: Mapping[str, Any], audience: str) -> None:
        settings = self._settings
        if claims.get("iss") != settings.issuer:
            msg = f"the token is of another issuer than {settings.issuer}"
            raise UnauthenticatedError(msg)
        named = claims.get("aud")
        audiences = named if isinstance(named, list) else [named]
        if audience not in audiences:
            msg = f"the token is not for {audience!r}"
            raise UnauthenticatedError(msg)
        # OpenID Connect Core says azp, RFC 9068 client_id.
        clients = {claims[name] for name in ("azp", "client_id") if isinstance(claims.get(name), str)}
        if settings.clients and (not clients or not clients <= set(settings.clients)):
            msg = "the token was fetched by a client that is not one of ours"
            raise UnauthenticatedError(msg)
        self._check_times(claims)
        subject = claims.get("sub")
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
            msg = f"the token's subject is missing, or longer than {MAX_SUBJECT} printable characters"
            raise UnauthenticatedError(msg)
        if is_machines(subject):
            msg = "the token's subject is a name of who acts at a machine; the issuer has to give another"
            raise UnauthenticatedError(msg)

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now_s, skew_s = self._clock() / 1e6, self._settings.skew_s
        for name in ("exp", "nbf", "iat"):
            if name in claims and (isinstance(claims[name], bool) or not isinstance(claims[name], int | float)):
                raise UnauthenticatedError(_NO_TOKEN)
        if "exp" not in claims:
            msg = "the token has no end (claim exp)"
            raise UnauthenticatedError(msg)
        if not claims["exp"] > now_s - skew_s:  # written so that NaN is refused
            msg = "the token is over; sign in again"
            raise UnauthenticatedError(msg)
        if not claims["exp"] <= now_s + self._settings.longest_s + skew_s:
            msg = f"the token is good for longer than {self._settings.longest_s:g} s, which is not taken"
            raise UnauthenticatedError(msg)
        if not max(claims.get("nbf", 0), claims.get("iat", 0)) <= now_s + skew_s:
            msg = "the token is not good yet; the clocks of issuer and server differ"
            raise UnauthenticatedError(msg)


_NO_TOKEN = "this is no token of an issuer"


def credential_of(kid: str) -> str:
    """Credential of principals whose token this key signed."""
    return ISSUED + hashlib.sha256(kid.encode()).hexdigest()[:32]


def _header(part: str) -> Mapping[str, Any]:
    try:
        header = json.loads(base64url.decode(part))
    except (binascii.Error, ValueError, RecursionError):
        raise UnauthenticatedError(_NO_TOKEN) from None
    if not isinstance(header, dict):
        raise UnauthenticatedError(_NO_TOKEN)
    return header


def _roles(claims: Mapping[str, Any], path: str) -> list[str]:
    """Roles of a token; none where the claim is missing. A path of one name may hold dots itself, so that is looked for first."""
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
    listed = found if isinstance(found, list) else [found]
    return [role for role in listed[:MAX_ROLES] if isinstance(role, str)]
