"""Who is calling, and what they may do: tokens of an issuer or of our own, or `local` on the loopback interface.

Enters: the headers of a call of any face, as pairs, so that one that is sent twice is seen. Leaves: a `Principal`. Tokens are random
and only their SHA-256 is kept, in a TOML file that is read again when it changes, so access is granted and taken away without a restart:

    [principals.alice]
    sha256 = "9f86d081..."            # `python -m serving.access NAME` makes a token and this line
    allow = ["read", "command@acme/north"]   # of read, command, approve, plan, audit; behind the @ the part of the plant
    until = 2027-03-01T00:00:00Z             # when the token ends; without it never

Tokens of people come from an OpenID Connect issuer (`serving.oidc`) when one is configured; those of the file are for programs then.

Without both the server only listens on the loopback interface; then a caller may name itself in
`millrace-principal` metadata and is `local:NAME`, which keeps submitter and approver apart but proves nothing.

Nothing is kept of a caller that is not let in.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import logging
import secrets
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from base.errors import ConfigError, PermissionDeniedError, UnavailableError, shown
from base.ids import Clock, now_us
from serving import sessions
from serving.caches.plant import covered
from serving.sessions import Sessions

log = logging.getLogger(__name__)

NAME_METADATA = "millrace-principal"
AUTHORIZATION = "authorization"
ISSUED = "oidc:"
"""Begins the credential of principals that an issuer's token made."""
_MAX_NAME = 64


class UnauthenticatedError(PermissionDeniedError):
    """The server does not know who is calling."""


class Permission(StrEnum):
    """What a principal may be allowed."""

    READ = "read"
    COMMAND = "command"
    APPROVE = "approve"
    PLAN = "plan"
    """Orders, stops, lots, batches: the model of work."""
    AUDIT = "audit"
    """Reading the audit log."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission for a part of the plant: `scope` is the path of a node, empty for everything. Written `command@acme/north`."""

    permission: Permission
    scope: str = ""

    @classmethod
    def parse(cls, text: str) -> Grant:
        """Grant of `read` or `read@acme/north`; raises ValueError."""
        name, at, scope = text.partition("@")
        scope = scope.strip("/")
        if at and (not scope or "*" in scope or not scope.isprintable()):
            msg = f"{text!r} is no grant: behind the @ stands the path of a node, such as acme/north"
            raise ValueError(msg)
        return cls(Permission(name), scope)

    def __str__(self) -> str:
        return f"{self.permission}@{self.scope}" if self.scope else str(self.permission)


def grants_of(texts: Iterable[str]) -> frozenset[Grant]:
    """Grants as they are written; raises ValueError."""
    return frozenset(Grant.parse(text) for text in texts)


EVERYTHING = frozenset(Grant(permission) for permission in Permission)


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller."""

    name: str
    grants: frozenset[Grant]
    credential: str = field(default="", repr=False)
    """Hash of the token it came with, or `oidc:` and the key that signed it; empty on the loopback interface without tokens."""
    until_us: int = 0
    """When its session or its token ends, microseconds UTC; 0 for one without an end."""
    amr: frozenset[str] = frozenset()
    """How it signed in, as the issuer told (RFC 8176): pwd, otp, mfa."""
    signed_in_us: int = 0
    """When it signed in, microseconds UTC; 0 for a token of the tokens file."""

    @property
    def allow(self) -> frozenset[Permission]:
        """What it may somewhere."""
        return frozenset(grant.permission for grant in self.grants)

    def scopes(self, permission: Permission) -> tuple[str, ...]:
        """Where it may: paths of nodes, one that is empty for everywhere; sorted."""
        return tuple(sorted(grant.scope for grant in self.grants if grant.permission is permission))

    def require(self, needed: Permission) -> None:
        """Raise PermissionDeniedError unless this is allowed somewhere."""
        if needed not in self.allow:
            msg = f"{self.name} may not {needed}; allowed: {self._allowed()}"
            raise PermissionDeniedError(msg)

    def require_at(self, needed: Permission, path: str) -> None:
        """Raise PermissionDeniedError unless this is allowed at a path. Of commands the policies decide."""
        if not covered(path, self.scopes(needed)):
            msg = f"{self.name} may not {needed} at {shown(path)}; allowed: {self._allowed()}"
            raise PermissionDeniedError(msg)

    def _allowed(self) -> str:
        return ", ".join(sorted(map(str, self.grants))) or "nothing"


current: ContextVar[Principal] = ContextVar("principal")
"""Principal of the call that is being handled."""


class Issuer(Protocol):
    """Who checks tokens that are not ours: `serving.oidc.provider.Provider`."""

    def principal(self, token: str) -> Principal:
        """Whom a token stands for; raises UnauthenticatedError."""

    def knows(self, credential: str) -> bool:
        """Whether a principal that it made is still good."""

    @property
    def generation(self) -> int:
        """Another number whenever `knows` may answer otherwise than before."""

    async def run(self) -> None:
        """Keep its keys current, until cancelled."""


class Access:
    """Finds the principal of a call; raises UnauthenticatedError."""

    def __init__(
        self,
        tokens: Path | None,
        sessions: Sessions | None = None,
        issuer: Issuer | None = None,
        told: Callable[[str, str, str], object] = lambda _before, _after, _cause: None,
        *,
        clock: Clock = now_us,
    ) -> None:
        """`told` hears of a tokens file that changed: what it allowed before and after, and why it was not taken."""
        self._path, self._sessions, self._issuer, self._told = tokens, sessions, issuer, told
        self._clock = clock
        self._stamp: tuple[int, int] = (0, 0)
        self._known: dict[str, Principal] = {}
        self._generation, self._cause = 0, ""
        self._followers: list[Callable[[], object]] = []
        self._tell_at_us = 0
        if tokens is not None:
            self._known, self._stamp = read_tokens(tokens), _stamp(tokens)
            self._tell_of_ends()

    def authenticate(self, headers: Iterable[tuple[str, str]]) -> Principal:
        """Principal of a call with these headers (metadata, in gRPC), whose names are in lower case."""
        pairs = tuple(headers)
        if (cookie := sessions.shown_by(pairs)) and self._sessions is not None:
            return self._of_session(self._sessions, cookie)
        if not self.has_tokens:
            return _named(_only(pairs, NAME_METADATA))
        scheme, _, token = _only(pairs, AUTHORIZATION).partition(" ")
        if scheme.lower() != "bearer" or not token:
            msg = "no token: send the metadata `authorization: Bearer TOKEN`"
            raise UnauthenticatedError(msg)
        token = token.strip()
        if self._issuer is not None and "." in token:  # ours have no dot
            return self._issuer.principal(token)
        self.refresh()
        digest = hash_token(token)
        # Every entry is compared, in constant time each, so that timing says nothing about the tokens.
        matches = [principal for known, principal in self._known.items() if hmac.compare_digest(known, digest)]
        if not matches:
            raise UnauthenticatedError(_WITHDRAWN)
        return self._in_time(matches[0])

    @property
    def has_tokens(self) -> bool:
        """Whether callers need a token; without, the server listens on the loopback interface only."""
        return self._path is not None or self._issuer is not None

    def _of_session(self, made: Sessions, cookie: str) -> Principal:
        session = made.read(cookie)
        if session is None:
            msg = "the session is over; sign in again"
            raise UnauthenticatedError(msg)
        found: Principal | None
        if not self.has_tokens:
            found = Principal(session.name, EVERYTHING) if session.name else None
        elif session.credential.startswith(ISSUED):
            grants = grants_of(session.allow)
            amr, signed_in_us = frozenset(session.amr), session.signed_in_us
            issued = Principal(session.name, grants, session.credential, amr=amr, signed_in_us=signed_in_us)
            found = issued if self._issued(session.credential) else None
        else:
            self.refresh()
            found = self._known.get(session.credential)
        if found is None:
            raise UnauthenticatedError(_WITHDRAWN)
        self._in_time(found)
        return replace(found, until_us=min(session.until_us, found.until_us or session.until_us))

    def _in_time(self, known: Principal) -> Principal:
        if known.until_us and known.until_us <= self._clock():
            msg = f"this token ended at {_written(known.until_us)}; whoever keeps the tokens file makes another"
            raise UnauthenticatedError(msg)
        return known

    def _tell_of_ends(self) -> None:
        """Say in the log, once a day, which tokens end soon: a program that is let in no more at night helps nobody."""
        now = self._clock()
        self._tell_at_us = now + _DAY_US
        for known in self._known.values():
            if known.until_us and known.until_us < now + _SOON_US:
                log.warning("a token ends soon", extra={"principal": known.name, "until": _written(known.until_us)})

    def _issued(self, credential: str) -> bool:
        return self._issuer is not None and self._issuer.knows(credential)

    def recheck(self, principal: Principal, needed: Permission | None) -> None:
        """Raise what `authenticate` or `require` would raise now: a token may have been withdrawn since.

        UnavailableError when its grants are others: a stream shows what it was opened with, so it has to be opened again.
        """
        if not self.has_tokens:
            return
        known: Principal | None
        if principal.credential.startswith(ISSUED):
            known = principal if self._issued(principal.credential) else None
        else:
            known = self._known.get(principal.credential)
        if known is None or known.name != principal.name:
            raise UnauthenticatedError(_WITHDRAWN)
        self._in_time(known)
        if needed is not None:
            known.require(needed)
        if known.grants != principal.grants:
            msg = "what this caller may do has changed; connect again"
            raise UnavailableError(msg)

    def refresh(self) -> bool:
        """Read the tokens file again if it has changed; whether it has, or the issuer's keys."""
        generation = 0 if self._issuer is None else self._issuer.generation
        turned, self._generation = generation != self._generation, generation
        for follow in self._followers:
            follow()
        if self._clock() >= self._tell_at_us:
            self._tell_of_ends()
        return self._read_again() or turned

    def follow(self, refresh: Callable[[], object]) -> None:
        """Call `refresh` whenever files of access are looked at."""
        self._followers.append(refresh)

    async def run(self) -> None:
        """Keep what the issuer publishes current, until cancelled."""
        if self._issuer is not None:
            await self._issuer.run()

    def _read_again(self) -> bool:
        if self._path is None:
            return False
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return False
            before = self._known
            self._known, self._stamp = read_tokens(self._path), stamp
        except (OSError, ConfigError) as error:
            # A half-written file must not lock everybody out; what was read last stays in force.
            log.error("tokens file cannot be read, the last good one stays in force", extra={"cause": str(error)})
            if str(error) != self._cause:  # it is looked at again and again
                self._cause = str(error)
                self._told("", "", self._cause)
            return False
        self._cause = ""
        self._told(*_differences(before, self._known), "")
        log.info("tokens file read again", extra={"principals": len(self._known)})
        self._tell_of_ends()
        return True


_WITHDRAWN = "this token is not known; it may have been withdrawn"
_DAY_US = 86_400_000_000
_SOON_US = 14 * _DAY_US


def _written(time_us: int) -> str:
    return datetime.fromtimestamp(time_us / 1e6, UTC).isoformat(timespec="seconds")


def _only(headers: Iterable[tuple[str, str]], wanted: str) -> str:
    """The one value of a header, empty for none. Of two nobody can say which counts, and another program may take the other."""
    values = [value for name, value in headers if name == wanted]
    if len(values) > 1:
        msg = f"{len(values)} headers {wanted}; send one"
        raise UnauthenticatedError(msg)
    return values[0] if values else ""


def _named(name: str) -> Principal:
    if len(name) > _MAX_NAME or not name.isprintable():
        msg = f"{NAME_METADATA} is {shown(name)}; a name has at most {_MAX_NAME} printable characters"
        raise UnauthenticatedError(msg)
    return Principal(f"local:{name}" if name else "local", EVERYTHING)


def hash_token(token: str) -> str:
    """SHA-256 in hex. A token has 256 random bits, so a slow hash would protect nothing more."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_tokens(path: Path) -> dict[str, Principal]:
    """Principals by hash of their token; raises ConfigError naming file and entry."""
    try:
        table = tomllib.loads(path.read_text()).get("principals", {})
        return {
            (digest := str(entry["sha256"]).lower()): Principal(
                name, grants_of(entry["allow"]), digest, _until_us(entry.get("until"))
            )
            for name, entry in table.items()
        }
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        msg = f"tokens file {path}: {error!r}; expected [principals.NAME] tables with sha256, allow and, where the token ends, until"
        raise ConfigError(msg) from error


def _until_us(until: object) -> int:
    """End of a token; 0 for none. A time without a zone would be another one on another machine."""
    if until is None:
        return 0
    if not isinstance(until, datetime) or until.tzinfo is None:
        msg = f"until = {until} is no time with a zone, such as 2027-03-01T00:00:00Z"
        raise ValueError(msg)
    return round(until.timestamp() * 1e6)


def _differences(before: Mapping[str, Principal], after: Mapping[str, Principal]) -> tuple[str, str]:
    """What changed between two files: entries that are gone or were others, and those that came, without anything of a token."""

    def shown(entries: Iterable[Principal]) -> str:
        return "; ".join(
            f"{one.name}: {', '.join(sorted(map(str, one.grants)))}"
            + (f" until {_written(one.until_us)}" if one.until_us else "")
            for one in entries
        )

    gone = [one for digest, one in before.items() if after.get(digest) != one]
    came = [one for digest, one in after.items() if before.get(digest) != one]
    return shown(gone), shown(came)


def _stamp(path: Path) -> tuple[int, int]:
    info = path.stat()
    return info.st_mtime_ns, info.st_size


def main(argv: Sequence[str] | None = None) -> int:
    """Make a token: the token on standard output, its line for the tokens file on standard error."""
    parser = argparse.ArgumentParser(prog="python -m serving.access", description="Make an access token.")
    parser.add_argument("name", help="principal, for example a person or a program")
    parser.add_argument(
        "--allow",
        nargs="+",
        type=lambda text: str(Grant.parse(text)),
        default=["read"],
        metavar="PERMISSION[@PATH]",
        help=f"of {', '.join(Permission)}; read@acme/north is for a part of the plant (default: read)",
    )
    parser.add_argument(
        "--days", type=int, default=365, help="how long the token is good; 0: without an end (default: 365)"
    )
    args = parser.parse_args(argv)
    if args.days < 0:
        parser.error("--days is 0 or more")
    token = secrets.token_urlsafe(32)
    allow = ", ".join(f'"{p}"' for p in args.allow)
    until = f"until = {datetime.now(UTC) + timedelta(days=args.days):%Y-%m-%dT%H:%M:%SZ}\n" if args.days else ""
    sys.stderr.write(f'[principals.{args.name}]\nsha256 = "{hash_token(token)}"\nallow = [{allow}]\n{until}')
    sys.stdout.write(f"{token}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
