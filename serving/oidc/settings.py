"""Settings of the issuer: the table `[oidc]` of `serving.toml`."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from serving.sign_outs import LONGEST_S

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
"""Asymmetric ones only: a server that checks must not be able to sign."""
_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, kw_only=True, slots=True)
class RoleSettings:
    """What a value of the roles' claim allows: `[[oidc.roles]]`. A claim may add a scope: `operator@acme/north` is that there alone."""

    name: str
    allow: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class OidcSettings:
    """Where people sign in. Empty `issuer`: nowhere, and only tokens of the tokens file are taken."""

    issuer: str = ""
    """Its URL, exactly as in the claim `iss`."""
    audience: str = "millrace-api"
    """What the claim `aud` of a token for this server has. Not a client's id: a token for somebody else is none for us."""
    client: str = ""
    """Id of the page as a client of the issuer, public, with PKCE; empty: the page takes tokens of the tokens file only."""
    clients: tuple[str, ...] = ()
    """Clients that may fetch tokens for callers (claim `azp` or `client_id`); none: any client of the issuer."""
    algorithms: tuple[str, ...] = ALGORITHMS
    roles_claim: str = "roles"
    """Where the roles are; a dot goes one level down, as in `realm_access.roles`."""
    roles: tuple[RoleSettings, ...] = ()
    ca: str = ""
    """File of the authority that signed the issuer's certificate; empty: those the system trusts."""
    skew_s: float = 30.0
    """Clocks may differ by this much."""
    longest_s: float = 24 * 3_600.0
    """A token that is good for longer is refused: nobody can take it back."""
    refresh_s: float = 300.0
    """The issuer's keys are read again this often."""

    def __post_init__(self) -> None:
        if not self.issuer:
            return
        parts = urlsplit(self.issuer)
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.netloc.rpartition(":")[0] in _LOOPBACK):
            msg = f"oidc.issuer is {self.issuer!r}; it begins with https://, or http:// on the loopback interface"
            raise ValueError(msg)
        if self.longest_s > LONGEST_S:
            msg = f"oidc.longest_s is at most {LONGEST_S:g} (28 days): who signed out everywhere is remembered for 30 days"
            raise ValueError(msg)
        if unknown := sorted(set(self.algorithms) - set(ALGORITHMS)):
            msg = f"oidc.algorithms has {unknown[0]!r}; known: {', '.join(ALGORITHMS)}"
            raise ValueError(msg)
        if not self.audience or self.audience in {*self.clients, self.client}:
            msg = "oidc.audience is empty or a client's id; an id token would then pass for an access token"
            raise ValueError(msg)
        if self.client and self.clients and self.client not in self.clients:
            msg = "oidc.client, the page itself, is not among oidc.clients"
            raise ValueError(msg)
        if not self.roles:
            msg = "oidc.roles is empty: nobody who signs in could do anything; add [[oidc.roles]] with name and allow"
            raise ValueError(msg)
