"""The authority's folder: the root, one file for each name that has a certificate, and the list of what was issued and revoked.

    ca.pem              the root, for everybody
    ca.key              its key, mode 0600
    NAME.pem            key and certificate of a name in one file, mode 0600: they change together
    certificates.json   every name and generation, with its end, and when it was revoked

What signs is `authority`. Who only asks where something is, or what counts, does without the library of certificates.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from base import files, locks
from base.errors import MillraceError

RENEW_BEFORE = timedelta(days=10)
"""A certificate is due so long before its end: a stack that is up once a week never shows an expired one."""


class Usage(StrEnum):
    """What a certificate proves, and to whom: nobody takes a client's for a server's."""

    SERVER = "server"
    CLIENT = "client"


class AuthorityError(MillraceError):
    """What was asked cannot be done; the message says why, and what to do."""


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The newest certificate of one name and generation."""

    name: str
    usage: Usage
    generation: int
    addresses: tuple[str, ...]
    serial: str
    expires: datetime
    revoked: datetime | None = None

    @property
    def subject(self) -> str:
        """As Kafka, OpenSSL's `-nameopt RFC2253` and Java write it (RFC 4514): no letter of a name has to be escaped there."""
        return f"CN={self.name},OU={self.generation}"

    def state(self, now: datetime) -> str:
        """One word for people."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires <= now else "due" if self.expires - now <= RENEW_BEFORE else "good"


class Book:
    """The folder. `clock` gives the time in UTC. One object is for one thread."""

    def __init__(
        self, folder: Path, *, title: str = "Millrace authority", clock: Callable[[], datetime] = _now
    ) -> None:
        self.folder, self._title, self._clock = folder, title, clock
        self._holding = False

    @property
    def root_file(self) -> Path:
        """What everybody trusts, PEM."""
        return self.folder / "ca.pem"

    def file(self, name: str) -> Path:
        """Key and certificate of a name, PEM."""
        return self.folder / f"{name}.pem"

    def entries(self) -> list[Entry]:
        """Everything that was issued, by name and generation."""
        try:
            rows = json.loads(self._list_file.read_text())
        except FileNotFoundError:
            return []
        return [_entry(row) for row in rows]

    def newest(self, name: str) -> Entry | None:
        """The present generation of a name."""
        return next((one for one in reversed(self.entries()) if one.name == name), None)

    def revoke(self, name: str) -> Entry:
        """Revoke everything issued to the present generation of a name. Who listens has to be told."""
        with self.held():
            found = self._known(name)
            if found.revoked is not None:
                return found
            entry = dataclasses.replace(found, revoked=self._clock())
            self._write([entry if one == found else one for one in self.entries()])
            return entry

    def _known(self, name: str) -> Entry:
        found = self.newest(name)
        if found is None:
            names = ", ".join(sorted({one.name for one in self.entries()})) or "none yet"
            msg = f"no certificate was issued to {name}; there are {names}"
            raise AuthorityError(msg)
        return found

    @property
    def _list_file(self) -> Path:
        return self.folder / "certificates.json"

    def _write(self, entries: list[Entry]) -> None:
        rows = [_row(one) for one in sorted(entries, key=lambda one: (one.name, one.generation))]
        files.replace_durably(self._list_file, json.dumps(rows, indent=1) + "\n", mode=files.OWNERS)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else reads what was issued in order to change it, or to act on it, meanwhile. May be held again by who holds it."""
        if self._holding:
            yield
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locks.take(self.folder / "lock", mode=files.OWNERS):
            self._holding = True
            try:
                yield
            finally:
                self._holding = False


def _row(entry: Entry) -> dict[str, object]:
    return dataclasses.asdict(entry) | {
        "expires": entry.expires.isoformat(),
        "revoked": entry.revoked and entry.revoked.isoformat(),
    }


def _entry(row: dict[str, str]) -> Entry:
    return Entry(
        name=row["name"],
        usage=Usage(row["usage"]),
        generation=int(row["generation"]),
        addresses=tuple(row["addresses"]),
        serial=row["serial"],
        expires=datetime.fromisoformat(row["expires"]),
        revoked=datetime.fromisoformat(row["revoked"]) if row["revoked"] else None,
    )
