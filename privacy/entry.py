"""Files of the directory of people: what is in one, and how it opens."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from base.errors import ConfigError
from base.key_ring import Key
from base.sealed import DamagedError, Opener, Sealer
from privacy.person import Person

_PURPOSE = b"millrace person"


@dataclass(frozen=True, slots=True)
class Entry:
    """A person whose file was opened. `file` is the file's text."""

    person: Person
    secret: bytes = field(repr=False)
    file: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Content of `lookup.key`. `folder` says which folder this is and stays; `wrapped` is the key that makes names of files, wrapped."""

    folder: str
    wrapped: str
    clear: bytes = field(default=b"", repr=False)
    """The key itself, in files of before it was wrapped; the next renewal wraps it."""

    @classmethod
    def new(cls, wrapped: str) -> Lookup:
        """Of a folder that is new."""
        return cls(os.urandom(8).hex(), wrapped)

    @classmethod
    def read(cls, path: Path) -> Lookup:
        """Raises ConfigError, OSError."""
        text = path.read_text(errors="replace").strip()
        if re.fullmatch(r"[0-9a-f]{64}", text):
            return cls(sha256(b"millrace people\0" + text.encode()).hexdigest()[:16], "", bytes.fromhex(text))
        try:
            found = json.loads(text)
            return cls(str(found["folder"]), str(found["key"]))
        except (ValueError, TypeError, KeyError):
            msg = f"{path} is damaged; put it back from its copy, or everybody who signs in is entered as somebody new"
            raise ConfigError(msg) from None

    def encode(self) -> bytes:
        """As it is in the file."""
        return json.dumps({"folder": self.folder, "key": self.wrapped}).encode()


def sealed_file(lookup: str, person: Person, secret: bytes, wrapped: str) -> dict[str, str]:
    """Content of a person's file."""
    sealed = Sealer(Key.of(secret, ""), _PURPOSE).seal(person.encode(), lookup.encode())
    return {"key": wrapped, "sealed": base64.b64encode(sealed).decode()}


def opened(lookup: str, file: Mapping[str, Any], secret: bytes) -> Entry | None:
    """The person of a file; None when it is not of this key, or damaged."""
    key = Key.of(secret, "")
    try:
        plain = Opener(lambda _: key, _PURPOSE).open(base64.b64decode(str(file["sealed"])), lookup.encode())
        return Entry(Person.decode(plain), secret, file)
    except (DamagedError, ConfigError, ValueError, TypeError):
        return None


def content(path: Path) -> Mapping[str, Any] | None:
    """Content of a person's file; empty when it is not there, None when it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
