"""A person: the subject id that records have, and what it stands for. Pure.

A subject id is `person-` and 80 random bits. Nothing leads from it to a person but the directory, and nothing can make it again.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from base.machine_names import is_machines

_PATTERN = re.compile(r"person-[a-z2-7]{16}")
_CLAIMS = {"name": "name", "username": "preferred_username", "email": "email", "phone": "phone_number"}
"""Details by the claim that tells them (OpenID Connect Core, section 5.1)."""
_LONGEST = 200


def new_subject() -> str:
    """A subject id that nobody has."""
    return "person-" + base64.b32encode(secrets.token_bytes(10)).decode().lower()


def is_subject(text: str) -> bool:
    """Whether a name in a record is the subject id of a person."""
    return _PATTERN.fullmatch(text) is not None


def forgotten(subject: str) -> str:
    """How somebody is shown of whom nothing is known (any more)."""
    return f"forgotten person {subject.removeprefix('person-')[:6]}"


def details_of(claims: Mapping[str, Any]) -> dict[str, str]:
    """Name and contacts of a token's claims; those that it has."""
    found = {key: claims.get(claim) for key, claim in _CLAIMS.items()}
    return {
        key: value[:_LONGEST]
        for key, value in found.items()
        if isinstance(value, str) and value and value.isprintable()
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Person:
    """Whom a subject id stands for. `issuer_subject` is the issuer's claim `sub`, by which records of before subject ids name somebody."""

    subject: str
    issuer: str
    issuer_subject: str
    entered_us: int
    name: str = ""
    username: str = ""
    email: str = ""
    phone: str = ""

    @property
    def shown(self) -> str:
        """What people call this person; never by a name of who acts at a machine, which issuers may let people choose."""
        names = (self.name, self.username, self.email)
        return next((one for one in names if one and not is_machines(one)), self.subject)

    def answers_to(self, text: str) -> bool:
        """Whether somebody means this person: by subject id, the issuer's subject, user name, name or address."""
        same = text.casefold()
        return text in (self.subject, self.issuer_subject) or same in {
            one.casefold() for one in (self.name, self.username, self.email) if one
        }

    def told(self, details: Mapping[str, str]) -> Self:
        """With newer details; what they do not have stays."""
        return type(self)(**self.fields() | dict(details))

    def fields(self) -> dict[str, Any]:
        """All of it."""
        return dataclasses.asdict(self)

    def encode(self) -> bytes:
        """As it is sealed."""
        return json.dumps(self.fields(), ensure_ascii=False).encode()

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """Of sealed bytes; fields of a later version are left out."""
        known = {one.name for one in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in json.loads(data).items() if name in known})
