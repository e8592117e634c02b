"""Who is calling: a token of an issuer or of our own, a session, or `local` on the loopback interface.

Enters: the headers of a call of any face, as pairs, so that one that is sent twice is seen. Leaves: a `Principal`. Tokens of people come
from an OpenID Connect issuer (`serving.oidc`) when one is configured; those of the tokens file (`serving.tokens`) are for programs then.

Without both the server only listens on the loopback interface; then a caller may name itself in
`millrace-principal` metadata and is `local:NAME`, which keeps submitter and approver apart but proves nothing.

Nothing is kept of a caller that is not let in.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from base.errors import MillraceError, UnavailableError, shown
from base.ids import Clock, now_us
from base.moments import written
from privacy.store import Store
from serving.principals import EVERYTHING, Permission, Principal, UnauthenticatedError, grants_of
from serving.sessions import Sessions
from serving.sign_outs import SignOuts
from serving.tokens import TokensFile

log = logging.getLogger(__name__)

NAME_METADATA = "millrace-principal"
AUTHORIZATION = "authorization"
ISSUED = "oidc:"
"""Begins the credential of principals that an issuer's token made."""
_MAX_NAME = 64
_PEOPLE_S = 1.0
_WITHDRAWN = "this token is not known; it may have been withdrawn"


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
        sign_outs: SignOuts | None = None,
        people: Store | None = None,
        clock: Clock = now_us,
    ) -> None:
        """`told` hears of a tokens file that changed: what it allowed before and after, and why it was not taken."""
        self._sessions, self.issuer, self._sign_outs, self._clock = sessions, issuer, sign_outs, clock
        self.people = people
        self._tokens = None if tokens is None else TokensFile(tokens, told, clock)
        self._generations: tuple[int, ...] = (0, 0, 0)
        self._generation = 0
        self._followers: list[Callable[[], object]] = []

    def authenticate(self, headers: Iterable[tuple[str, str]]) -> Principal:
        """Principal of a call with these headers (metadata, in gRPC), whose names are in lower case."""
        pairs = tuple(headers)
        if self._sessions is not None and (cookie := self._sessions.shown_by(pairs)):
            return self._of_session(self._sessions, cookie)
        if not self.has_tokens:
            return _named(_only(pairs, NAME_METADATA))
        scheme, _, token = _only(pairs, AUTHORIZATION).partition(" ")
        if scheme.lower() != "bearer" or not token:
            msg = "no token: send the metadata `authorization: Bearer TOKEN`"
            raise UnauthenticatedError(msg)
        token = token.strip()
        if self.issuer is not None and "." in token:  # ours have no dot
            return self._not_over(self.issuer.principal(token))
        self.refresh()
        found = None if self._tokens is None else self._tokens.owner(token)
        if found is None:
            raise UnauthenticatedError(_WITHDRAWN)
        return self._in_time(found)

    def shown(self, principal: Principal) -> str:
        """What people call a caller."""
        person = self.people.of_subject(principal.name) if self.people is not None and principal.alias else None
        return person.shown if person else principal.name

    @property
    def has_tokens(self) -> bool:
        """Whether callers need a token; without, the server listens on the loopback interface only."""
        return self._tokens is not None or self.issuer is not None

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
            found = self._person(issued) if self._issued(session.credential) else None
        else:
            self.refresh()
            found = self._of_file(session.credential)
        if found is None:
            raise UnauthenticatedError(_WITHDRAWN)
        self._in_time(found)
        until_us = min(session.until_us, found.until_us or session.until_us)
        return self._not_over(replace(found, until_us=until_us, issued_us=session.made_us))

    def _not_over(self, known: Principal) -> Principal:
        if known.issued_us is None or self._sign_outs is None:
            return known
        if not self._sign_outs.current:
            msg = "this server does not know yet who has signed out everywhere; try again"
            raise UnavailableError(msg)
        if known.issued_us < (over_us := max(map(self._sign_outs.before_us, (known.name, known.alias)))):
            msg = f"{known.name} signed out everywhere at {written(over_us)}; sign in again"
            raise UnauthenticatedError(msg)
        return known

    def _in_time(self, known: Principal) -> Principal:
        if known.until_us and known.until_us <= self._clock():
            msg = f"this token ended at {written(known.until_us)}; whoever keeps the tokens file makes another"
            raise UnauthenticatedError(msg)
        return known

    def _of_file(self, credential: str) -> Principal | None:
        return None if self._tokens is None else self._tokens.of_hash(credential)

    def _person(self, known: Principal) -> Principal:
        """Somebody who signed in at the issuer, as the directory of people has it now."""
        if self.people is None:
            return known
        person = self.people.of_subject(known.name)
        if person is None:
            msg = "the session is over: it is of somebody who was forgotten, or of before people had subject ids; sign in again"
            raise UnauthenticatedError(msg)
        return replace(known, alias=person.issuer_subject)

    def _issued(self, credential: str) -> bool:
        return self.issuer is not None and self.issuer.knows(credential)

    def recheck(self, principal: Principal, needed: Permission | None) -> None:
        """Raise what `authenticate` or `require` would raise now: a token may have been withdrawn since.

        UnavailableError when its grants are others: a stream shows what it was opened with, so it has to be opened again.
        """
        self._not_over(principal)
        if not self.has_tokens:
            return
        known: Principal | None
        if principal.credential.startswith(ISSUED):
            known = self._person(principal) if self._issued(principal.credential) else None
        else:
            known = self._of_file(principal.credential)
        if known is None or known.name != principal.name:
            raise UnauthenticatedError(_WITHDRAWN)
        self._in_time(known)
        if needed is not None:
            known.require(needed)
        if known.grants != principal.grants:
            msg = "what this caller may do has changed; connect again"
            raise UnavailableError(msg)

    def refresh(self) -> int:
        """Look at the tokens file, the issuer's keys and who signed out everywhere; another number whenever somebody may be known no more.

        Every call looks, and only one of them finds a change: who has to act on it compares numbers.
        """
        generations = tuple(0 if one is None else one.generation for one in (self.issuer, self._sign_outs, self.people))
        turned, self._generations = generations != self._generations, generations
        for follow in self._followers:
            follow()
        changed = self._tokens is not None and self._tokens.refresh()
        self._generation += changed or turned
        return self._generation

    def follow(self, refresh: Callable[[], object]) -> None:
        """Call `refresh` whenever files of access are looked at."""
        self._followers.append(refresh)

    async def run(self) -> None:
        """Keep what the issuer publishes and the directory of people current, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self.issuer is not None:
                tasks.create_task(self.issuer.run())
            if self.people is not None:
                tasks.create_task(_followed(self.people))


async def _followed(people: Store) -> None:
    problem = ""
    while True:
        try:
            await asyncio.to_thread(people.refresh)
            problem = ""
        except MillraceError as error:
            if str(error) != problem:  # it is looked at again and again
                log.error(
                    "the directory of people was not read; what was read before counts", extra={"cause": str(error)}
                )
            problem = str(error)
        await asyncio.sleep(_PEOPLE_S)


def _only(headers: Iterable[tuple[str, str]], wanted: str) -> str:
    """The one value of a header, empty for none. Of two nobody can say which counts, and another program may take the other."""
    values = [value for name, value in headers if name == wanted]
    if len(values) > 1:
        msg = f"{len(values)} headers {wanted}; send one"
        raise UnauthenticatedError(msg)
    return values[0] if values else ""


def _moved() -> int:
    sys.stderr.write("serving.access makes no tokens any more: python -m serving.tokens NAME does\n")
    return 2


def _named(name: str) -> Principal:
    if len(name) > _MAX_NAME or not name.isprintable():
        msg = f"{NAME_METADATA} is {shown(name)}; a name has at most {_MAX_NAME} printable characters"
        raise UnauthenticatedError(msg)
    return Principal(f"local:{name}" if name else "local", EVERYTHING)


if __name__ == "__main__":
    sys.exit(_moved())
