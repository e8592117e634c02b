"""The directory of people on disk: a file a person, encrypted with a key of its own.

    FOLDER/lookup.key            makes of issuer and subject the name of a person's file
    FOLDER/LOOKUP.json           {"key": the person's key, wrapped, "sealed": all that is known of the person, its subject id too}
    FOLDER/LOOKUP.json           {"forgotten_us": ...} of somebody who was forgotten: tokens of before are refused

Nothing else has the key of a person, so that destroying the wrapped one, and the version of the wrapping key that opens it, is final. The
folder is shared by all processes of an installation. Each keeps what it has opened in memory, looks for changes once a second
(`refresh`, away from the event loop), and enters a person that it meets first (`person_of`, in it).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from base import files, locks
from base.errors import ConfigError, UnavailableError
from base.ids import Clock, now_us
from base.key_ring import Key
from base.sealed import DamagedError, Opener, Sealer
from privacy.errors import ForgottenError
from privacy.person import Person, details_of, new_subject
from privacy.settings import PrivacySettings
from privacy.wrapping import Wrapping, new_secret, open_wrapping

log = logging.getLogger(__name__)

FORGOTTEN = "forgotten_us"
_PURPOSE = b"millrace person"
_LOOKUP_KEY, _LOCK, _EPOCH = "lookup.key", ".lock", "epoch"
_SETTLED_NS = 2_000_000_000
"""A folder that changed less long ago may change again within the same tick of its clock."""
_SPARES = 4
_SOON = "this person is being entered into the directory of people; try again"


@dataclass(frozen=True, slots=True)
class Entry:
    """A person whose file was opened. `file` is the file's text."""

    person: Person
    secret: bytes = field(repr=False)
    file: Mapping[str, Any] = field(repr=False)


class Store:
    """The directory, as one process knows it."""

    def __init__(self, folder: Path, wrapping: Wrapping, *, clock: Clock = now_us) -> None:
        self.folder, self.wrapping, self._clock = folder, wrapping, clock
        self.generation = 0
        """Another number whenever somebody is known no more."""
        self.ready = False
        """Whether the folder has been read."""
        self.unreadable: frozenset[str] = frozenset()
        """Files whose key cannot be unwrapped."""
        self._entries: dict[str, Entry] = {}
        self._subjects: dict[str, Person] = {}
        self._seen: tuple[int, int] = (0, 0)
        self._spares: list[tuple[bytes, str]] = []
        self._epoch = ""
        self._lookup_key = b""
        self._mutex = threading.Lock()

    def person_of(self, claims: Mapping[str, Any]) -> Person:
        """The person of a token that was checked, entered when it comes for the first time, with the details that the token has.

        Raises UnavailableError for somebody who cannot be entered just now, ForgottenError for a token of before the person was forgotten.
        """
        self.require()
        issuer, sub = str(claims["iss"]), str(claims["sub"])
        lookup, details = self._lookup(issuer, sub), details_of(claims)
        known = self._entries.get(lookup)
        if known is None:
            return self._enter(lookup, issuer, sub, details, issued_us=int(float(claims.get("iat", 0)) * 1e6))
        newer = known.person.told(details)
        return known.person if newer == known.person else self._update(lookup, known, newer)

    def of_subject(self, subject: str) -> Person | None:
        """Whom a subject id stands for. Raises UnavailableError before the folder has been read."""
        self.require()
        return self._subjects.get(subject)

    def everybody(self) -> list[Person]:
        """All people, by name."""
        return sorted(self._subjects.values(), key=lambda one: (one.shown.casefold(), one.subject))

    def require(self) -> None:
        """Raise UnavailableError before the folder has been read."""
        if not self.ready:
            msg = "the directory of people cannot be read yet; try again"
            raise UnavailableError(msg)

    def refresh(self) -> None:
        """Read what has changed in the folder. Raises ConfigError, UnavailableError; what was read before stays known then."""
        try:
            self._prepare()
            stamp = (self.folder.stat().st_mtime_ns, self.folder.stat().st_ino)
            if not self.ready or stamp != self._seen or time.time_ns() - stamp[0] < _SETTLED_NS:
                self._read_all()
                self._seen = stamp
            self._fill_spares()
        except OSError as error:
            msg = f"the directory of people {self.folder} cannot be read: {error.strerror}"
            raise UnavailableError(msg) from error
        self.ready = True

    # --- for `privacy.forgetting`, which holds the lock

    @contextmanager
    def held(self, *, wait: bool = True) -> Iterator[None]:
        """Nobody else changes the folder meanwhile. Without `wait` raises UnavailableError when somebody does."""
        try:
            held = locks.take(self.folder / _LOCK, wait=wait, mode=files.OWNERS)
        except BlockingIOError:
            msg = "the directory of people is being changed; try again"
            raise UnavailableError(msg) from None
        with held:
            self._give_to_owner(self.folder / _LOCK)
            yield

    def entries(self) -> dict[str, Entry]:
        """Everybody's entry by the name of the file."""
        return dict(self._entries)

    def tombstones(self) -> dict[str, Mapping[str, Any]]:
        """Contents of the files that are tombstones, by the name of the file."""
        found = {path.stem: _content(path) for path in self.folder.glob("*.json")}
        return {lookup: each for lookup, each in found.items() if each and FORGOTTEN in each}

    def write(self, lookup: str, content: Mapping[str, Any]) -> None:
        """Give a person's file this content; durable when this returns."""
        self._put(self.folder / f"{lookup}.json", json.dumps(content).encode())

    def remove(self, lookup: str) -> None:
        """Delete a tombstone."""
        (self.folder / f"{lookup}.json").unlink(missing_ok=True)

    def turn_epoch(self) -> None:
        """Keys that other processes have made ahead, wrapped with an older version, are used no more."""
        self._put(self.folder / _EPOCH, os.urandom(8).hex().encode())

    # --- inside

    def _put(self, path: Path, data: bytes) -> None:
        files.replace_durably(path, data, mode=files.OWNERS)
        self._give_to_owner(path)

    def _give_to_owner(self, path: Path) -> None:
        if os.geteuid() == 0:  # whoever runs the services has to read it, not who changed it for them
            owner = self.folder.stat()
            os.chown(path, owner.st_uid, owner.st_gid)

    def _prepare(self) -> None:
        if self._lookup_key:
            return
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_mode & 0o077:
            msg = f"the directory of people {self.folder} can be read by others: chmod 700"
            raise ConfigError(msg)
        path = self.folder / _LOOKUP_KEY
        with self.held():
            first = not path.exists()
            if first and any(self.folder.glob("*.json")):
                msg = f"{path} is missing; put it back from its copy, or everybody who signs in is entered as somebody new"
                raise ConfigError(msg)
            self.wrapping.prepare(first=first)
            if first:
                self.turn_epoch()
                self._put(path, os.urandom(32).hex().encode())
        text = path.read_text(errors="replace").strip()
        key = bytes.fromhex(text) if re.fullmatch(r"[0-9a-f]{64}", text) else b""
        if not key:
            msg = f"{path} is damaged; put it back from its copy, or everybody who signs in is entered as somebody new"
            raise ConfigError(msg)
        self._lookup_key = key

    def _lookup(self, issuer: str, sub: str) -> str:
        return hmac.new(self._lookup_key, f"{issuer}\0{sub}".encode(), hashlib.sha256).hexdigest()[:40]

    def _read_all(self) -> None:
        before = dict(self._entries)
        found = {path.stem: _content(path) for path in self.folder.glob("*.json")}
        sealed = {lookup: each for lookup, each in found.items() if each is not None and "sealed" in each}
        fresh = [lookup for lookup, each in sealed.items() if lookup not in before or before[lookup].file != each]
        secrets = self.wrapping.unwrap([str(sealed[one]["key"]) for one in fresh]) if fresh else []
        opened = {one: _entry(one, sealed[one], key) for one, key in zip(fresh, secrets, strict=True) if key}
        made = {one: entry for one, entry in opened.items() if entry is not None}
        damaged = frozenset(one for one, each in found.items() if each is None) | (set(fresh) - set(made))
        if damaged != self.unreadable:
            log.error("people whose file or key cannot be read", extra={"files": ", ".join(sorted(damaged)) or "none"})
        with self._mutex:
            self.unreadable = damaged
            gone = [one for one in before if one not in sealed]
            self._entries = {one: entry for one, entry in self._entries.items() if one not in gone} | made
            self._index(lost=bool(gone))

    def _index(self, *, lost: bool = False) -> None:
        self._subjects = {entry.person.subject: entry.person for entry in self._entries.values()}
        self.generation += lost

    def _fill_spares(self) -> None:
        """Keys ahead, where the wrapping key is far: who comes first does not wait for it."""
        if self.wrapping.local:
            return
        epoch = (self.folder / _EPOCH).read_text()
        made: list[tuple[bytes, str]] = []
        if epoch != self._epoch or len(self._spares) < _SPARES:
            secrets = [new_secret() for _ in range(_SPARES)]
            made = list(zip(secrets, self.wrapping.wrap(secrets), strict=True))
        with self._mutex:
            if epoch != self._epoch:
                self._spares, self._epoch = [], epoch
            self._spares = [*self._spares, *made][:_SPARES]

    def _new_key(self) -> tuple[bytes, str]:
        """A person's key and the same, wrapped. The lock is held, so no version of the wrapping key goes meanwhile."""
        if self.wrapping.local:
            secret = new_secret()
            return secret, self.wrapping.wrap([secret])[0]
        if (self.folder / _EPOCH).read_text() != self._epoch or not self._spares:
            raise UnavailableError(_SOON)
        return self._spares.pop()

    def _enter(self, lookup: str, issuer: str, sub: str, details: Mapping[str, str], *, issued_us: int) -> Person:
        path = self.folder / f"{lookup}.json"
        try:
            with self.held(wait=False):
                found = _content(path) if path.exists() else {}
                if found is None or lookup in self.unreadable:
                    msg = "what the directory has of this person cannot be read; `millrace privacy list` says more"
                    raise UnavailableError(msg)
                if "sealed" not in found:
                    if issued_us < int(found.get(FORGOTTEN, 0)):
                        msg = "this token is of before the person was forgotten; sign in again"
                        raise ForgottenError(msg)
                    person = Person(
                        subject=new_subject(),
                        issuer=issuer,
                        issuer_subject=sub,
                        entered_us=self._clock(),
                        **details,
                    )
                    return self._keep(lookup, person, *self._new_key())
            # Another process has entered this person just now.
            if not self.wrapping.local:
                raise UnavailableError(_SOON)
            self._read_all()
        except OSError as error:
            msg = f"nobody can be entered into the directory of people: {error.strerror}"
            raise UnavailableError(msg) from error
        known = self._entries.get(lookup)
        if known is None:
            raise UnavailableError(_SOON)
        return known.person

    def _update(self, lookup: str, known: Entry, newer: Person) -> Person:
        try:
            with self.held(wait=False):
                # It may have been forgotten, or wrapped anew, since it was read.
                now = _content(self.folder / f"{lookup}.json") or {}
                if "sealed" in now:
                    return self._keep(lookup, newer, known.secret, str(now["key"]))
        except (OSError, UnavailableError) as error:
            log.warning("a person's details were not renewed", extra={"subject": newer.subject, "cause": str(error)})
        return known.person

    def _keep(self, lookup: str, person: Person, secret: bytes, wrapped: str) -> Person:
        content = sealed_file(lookup, person, secret, wrapped)
        self.write(lookup, content)
        with self._mutex:
            self._entries = {**self._entries, lookup: Entry(person, secret, content)}
            self._index()
        return person


def open_store(settings: PrivacySettings) -> Store | None:
    """The directory of an installation; None where it has none. Raises ConfigError."""
    return Store(Path(settings.folder), open_wrapping(settings)) if settings.folder else None


def sealed_file(lookup: str, person: Person, secret: bytes, wrapped: str) -> dict[str, str]:
    """Content of a person's file."""
    sealed = Sealer(Key.of(secret, ""), _PURPOSE).seal(person.encode(), lookup.encode())
    return {"key": wrapped, "sealed": base64.b64encode(sealed).decode()}


def _entry(lookup: str, file: Mapping[str, Any], secret: bytes) -> Entry | None:
    key = Key.of(secret, "")
    try:
        plain = Opener(lambda _: key, _PURPOSE).open(base64.b64decode(str(file["sealed"])), lookup.encode())
        return Entry(Person.decode(plain), secret, file)
    except (DamagedError, ValueError, TypeError):
        return None


def _content(path: Path) -> Mapping[str, Any] | None:
    """Content of a person's file; None when it is damaged."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
