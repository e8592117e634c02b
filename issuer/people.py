"""The people of the issuer: a JSON file with, for each, roles, the password and the secret of one-time passwords.

Who wants to adds `full_name` and `email`.

`seed` makes one person of each role, with random secrets. The file holds them in clear, because whoever runs the local stack has to find
them; only its user can read it. In memory there are hashes.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pyotp

from base.errors import ConfigError

ROLES = ("operator", "supervisor", "engineer", "maintainer", "analyst", "integrator", "auditor", "administrator")
"""Of ISA-95, as the plant's rules know them."""
_TRIES, _PAUSE_S = 5, 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Somebody who can sign in. `subject` is what tokens say; the name is for people."""

    name: str
    subject: str
    roles: tuple[str, ...]
    salt: str
    digest: str
    totp: str = field(repr=False)
    full_name: str = ""
    email: str = ""

    @property
    def profile(self) -> dict[str, str]:
        """Claims of the scope `profile`; those that somebody has."""
        found = {"preferred_username": self.name, "name": self.full_name, "email": self.email}
        return {claim: value for claim, value in found.items() if value}


@dataclass(kw_only=True, slots=True)
class _Tries:
    failed: int = 0
    last_s: float = 0.0
    step: int = -1
    """Newest step whose one-time password was taken: none is taken twice."""


class People:
    """Checks passwords. After five wrong tries a person waits half a minute."""

    def __init__(self, people: Iterable[Person]) -> None:
        self._people = {person.name: person for person in people}
        self._tries: dict[str, _Tries] = {name: _Tries() for name in self._people}

    def check(
        self, name: str, password: str, one_time: str, *, now_s: float | None = None
    ) -> tuple[Person, bool] | None:
        """The person, and whether a one-time password was shown; None when something does not fit, or after too many tries."""
        now_s = time.time() if now_s is None else now_s
        person = self._people.get(name, _NOBODY)
        tries = self._tries.get(name, _Tries())
        if tries.failed >= _TRIES and now_s - tries.last_s < _PAUSE_S:
            return None
        known = hmac.compare_digest(digest_of(password, person.salt), person.digest)
        step = self._step_of(person, one_time, now_s, tries) if one_time else None
        if not known or (one_time and step is None):
            tries.failed, tries.last_s = tries.failed + 1, now_s
            return None
        tries.failed = 0
        if step is not None:
            tries.step = step
        return person, step is not None

    @staticmethod
    def _step_of(person: Person, one_time: str, now_s: float, tries: _Tries) -> int | None:
        """Number of the half minute whose one-time password this is: this one or the last, and newer than the newest taken."""
        made = pyotp.TOTP(person.totp)
        present = int(now_s) // made.interval
        fits = [step for step in (present, present - 1) if hmac.compare_digest(made.generate_otp(step), one_time)]
        return next((step for step in fits if step > tries.step), None)


def digest_of(password: str, salt: str) -> str:
    """Slow hash of a password, in hex."""
    return hashlib.scrypt(password.encode()[:200], salt=bytes.fromhex(salt), n=2**14, r=8, p=1).hex()


_NOBODY = Person(name="", subject="", roles=(), salt="00" * 16, digest="", totp="A" * 32)


def read(path: Path) -> People:
    """People of a file; raises ConfigError."""
    try:
        table = json.loads(path.read_text())
        return People(
            Person(
                name=str(name),
                subject=str(entry["subject"]),
                roles=tuple(map(str, entry["roles"])),
                salt=str(entry["salt"]),
                digest=digest_of(str(entry["password"]), str(entry["salt"])),
                totp=str(entry["totp"]),
                full_name=str(entry.get("full_name", "")),
                email=str(entry.get("email", "")),
            )
            for name, entry in table.items()
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"file of people {path}: {error!r}; delete it, and `./millrace up` makes another"
        raise ConfigError(msg) from error


def seed(names: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """Text of a new file: a person of each role, called like it, or those of `names` with their roles."""
    wanted = names or {role: (role,) for role in ROLES}
    return json.dumps(
        {
            name: {
                "subject": secrets.token_hex(8),
                "roles": roles,
                "password": secrets.token_urlsafe(12),
                "totp": pyotp.random_base32(),
                "salt": secrets.token_hex(16),
            }
            for name, roles in wanted.items()
        },
        indent=2,
    )
