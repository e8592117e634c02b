"""The directory of people on disk: a file a person, encrypted with a key of its own.

    FOLDER/lookup.key            {"folder": which folder this is, "key": what makes of issuer and subject the name of a file, wrapped}
    FOLDER/LOOKUP.json           {"key": the person's key, wrapped, "sealed": all that is known of the person, its subject id too}
    FOLDER/forgotten             {"forgotten_us": when somebody was forgotten last, ...}: for 30 days nobody is entered by an older token
    FOLDER/aside/LOOKUP.json     what did not open and was put aside

Nothing else has the key of a person, so that destroying the wrapped one, and the version of the wrapping key that opens it, is final. The
folder is shared by all processes of an installation. Each keeps what it has opened in memory, looks for changes once a second
(`refresh`, away from the event loop), and enters a person that it meets first (`person_of`, in it).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from base import files, locks
from base.errors import ConfigError, PreconditionError, UnavailableError
from base.ids import Clock, now_us
from privacy.entry import Entry, Lookup, content, opened, sealed_file
from privacy.forgotten import ForgottenNote
from privacy.person import Person, details_of, new_subject
from privacy.settings import PrivacySettings
from privacy.spares import SOON, Spares
from privacy.wrapping import Wrapping, new_secret, open_wrapping

log = logging.getLogger(__name__)

_LOOKUP_KEY, _LOCK, _EPOCH, _ASIDE, _BEGUN = "lookup.key", ".lock", "epoch", "aside", ".begun"
_SETTLED_NS = 2_000_000_000
"""A folder that changed less long ago may change again within the same tick of its clock."""


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
        self.forgotten = ForgottenNote(folder, self._put, clock)
        self._spares = Spares(wrapping, folder / _EPOCH)
        self._lookup = Lookup("", "")
        self._lookup_key = b""
        self._mutex = threading.Lock()

    def person_of(self, claims: Mapping[str, Any]) -> Person:
        """The person of a token that was checked, entered when it comes for the first time, with the details that the token has.

        Raises UnavailableError for somebody who cannot be entered just now, ForgottenError for a token of before somebody was forgotten.
        """
        self.require()
        issuer, sub = str(claims["iss"]), str(claims["sub"])
        lookup, details = self._name(issuer, sub), details_of(claims)
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
            if self._lookup_key:
                self._require_same()
            else:
                self._begin()
            stamp = (self.folder.stat().st_mtime_ns, self.folder.stat().st_ino)
            if not self.ready or stamp != self._seen or time.time_ns() - stamp[0] < _SETTLED_NS:
                self._read_all()
                self._seen = stamp
            self._expire()
            self._spares.fill()
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

    def delete(self, lookup: str) -> None:
        """Take a person's file away; durable when this returns."""
        (self.folder / f"{lookup}.json").unlink()
        files.sync_folder(self.folder)

    def write(self, lookup: str, content: Mapping[str, Any]) -> None:
        """Give a person's file this content; durable when this returns."""
        self._put(self.folder / f"{lookup}.json", json.dumps(content).encode())

    def put_aside(self) -> int:
        """Take what cannot be read out of the directory; how many files. Who was in one is entered as somebody new."""
        aside, names = self.folder / _ASIDE, sorted(self.unreadable)
        aside.mkdir(mode=0o700, exist_ok=True)
        self._give_to_owner(aside)
        for name in names:
            (self.folder / f"{name}.json").replace(aside / f"{name}.json")
        files.sync_folder(aside)
        files.sync_folder(self.folder)
        log.warning("people's files that cannot be read were put aside", extra={"files": ", ".join(names)})
        return len(names)

    @property
    def lookup_key(self) -> bytes:
        """What makes names of files. It is wrapped anew with people's keys, so that a copy of the folder names nobody."""
        return self._lookup_key

    def write_lookup(self, wrapped: str) -> None:
        """Keep the lookup key, wrapped like this."""
        self._lookup = Lookup(self._lookup.folder, wrapped)
        self._put(self.folder / _LOOKUP_KEY, self._lookup.encode())

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

    def begin(self) -> None:
        """Make a new directory in an empty folder, though its key is there: everybody is somebody new.

        Raises PreconditionError where there is one, and ConfigError, UnavailableError, OSError.
        """
        if (self.folder / _LOOKUP_KEY).exists():
            msg = f"{self.folder} is a directory of people already; nothing was changed"
            raise PreconditionError(msg)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._put(self.folder / _BEGUN, b"")
        self.refresh()

    def _begin(self) -> None:
        """Make the folder where its key is to be made too, or learn which one it is."""
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
            if first:
                self._require_new()
            self.wrapping.prepare(first=first)
            if first:
                log.warning("a new directory of people: whoever signs in is new", extra={"folder": str(self.folder)})
                self.turn_epoch()
                self._put(path, Lookup.new(self.wrapping.wrap([new_secret()])[0]).encode())
                (self.folder / _BEGUN).unlink()
            lookup = Lookup.read(path)
            key = lookup.clear or self.wrapping.unwrap([lookup.wrapped])[0]
        if not key:
            msg = f"{path} does not open with privacy.keys: one of the two is another's, or an older copy; put the newest of both back"
            raise ConfigError(msg)
        self._lookup, self._lookup_key = lookup, key

    def _require_new(self) -> None:
        """Raise ConfigError where there was a directory: with a second id, people would approve their own commands."""
        begun = self.folder / _BEGUN
        if self.wrapping.is_there() and not begun.exists():
            msg = (
                f"the directory of people {self.folder} is empty, and the key that opens it is there: mount the folder, or put it back"
                " from its copy. `millrace privacy begin` makes a new one, in which everybody who signs in is somebody new"
            )
            raise ConfigError(msg)
        # A start that ends before the directory is whole goes on at the next one.
        self._put(begun, b"")

    def _require_same(self) -> None:
        """Raise UnavailableError where the folder is not the one that was read: nobody is new because a disk is away, nor forgotten."""
        path = self.folder / _LOOKUP_KEY
        try:
            same = Lookup.read(path).folder == self._lookup.folder
        except (OSError, ConfigError) as error:
            msg = f"{path} cannot be read any more: put it back, or mount the folder again ({type(error).__name__})"
            raise UnavailableError(msg) from error
        if not same:
            msg = f"{self.folder} is another directory of people than the one that was read: all servings share one folder"
            raise UnavailableError(msg)

    def _name(self, issuer: str, sub: str) -> str:
        return hmac.new(self._lookup_key, f"{issuer}\0{sub}".encode(), hashlib.sha256).hexdigest()[:40]

    def _read_all(self) -> None:
        before = dict(self._entries)
        found = {path.stem: content(path) for path in self.folder.glob("*.json")}
        sealed = {lookup: each for lookup, each in found.items() if each is not None and "sealed" in each}
        fresh = [lookup for lookup, each in sealed.items() if lookup not in before or before[lookup].file != each]
        # Before the wrapping key is asked, which may be away: whoever was forgotten is out at once, come back as somebody else or not.
        others = {one for one in fresh if one in before and opened(one, sealed[one], before[one].secret) is None}
        self._lose({one: entry for one, entry in before.items() if one not in sealed or one in others})
        secrets = self.wrapping.unwrap([str(sealed[one]["key"]) for one in fresh]) if fresh else []
        known = {one: opened(one, sealed[one], key) for one, key in zip(fresh, secrets, strict=True) if key}
        made = {one: entry for one, entry in known.items() if entry is not None}
        damaged = frozenset(one for one, each in found.items() if each is None) | (set(fresh) - set(made))
        if damaged != self.unreadable:
            log.error("people whose file or key cannot be read", extra={"files": ", ".join(sorted(damaged)) or "none"})
        with self._mutex:
            self.unreadable = damaged
            self._entries = self._entries | made
            self._index()

    def _lose(self, gone: Mapping[str, Entry]) -> None:
        with self._mutex:
            # One that was entered or renewed since it was looked at stays.
            kept = {one: entry for one, entry in self._entries.items() if gone.get(one) is not entry}
            self.generation += len(kept) < len(self._entries)
            self._entries = kept
            self._index()

    def _index(self) -> None:
        self._subjects = {entry.person.subject: entry.person for entry in self._entries.values()}

    def _expire(self) -> None:
        """Delete the note of the last forgetting when it is over; somebody who changes the folder leaves it to the next look."""
        if not self.forgotten.over:
            return
        try:
            with self.held(wait=False):
                if self.forgotten.over:
                    self.forgotten.delete()
        except UnavailableError:
            return

    def _enter(self, lookup: str, issuer: str, sub: str, details: Mapping[str, str], *, issued_us: int) -> Person:
        path = self.folder / f"{lookup}.json"
        try:
            with self.held(wait=False):
                self._require_same()
                found = content(path)
                if found is None or lookup in self.unreadable:
                    msg = "what the directory has of this person cannot be read; `millrace privacy list` says more"
                    raise UnavailableError(msg)
                if "sealed" not in found:
                    self.forgotten.require_newer(issued_us)
                    person = Person(
                        subject=new_subject(),
                        issuer=issuer,
                        issuer_subject=sub,
                        entered_us=self._clock(),
                        **details,
                    )
                    return self._keep(lookup, person, *self._spares.take())
            # Another process has entered this person just now.
            if not self.wrapping.local:
                raise UnavailableError(SOON)
            self._read_all()
        except (OSError, ConfigError) as error:
            log.error("nobody can be entered into the directory of people", extra={"cause": str(error)})
            msg = "nobody can be entered into the directory of people just now; the server's log says why"
            raise UnavailableError(msg) from error
        known = self._entries.get(lookup)
        if known is None:
            raise UnavailableError(SOON)
        return known.person

    def _update(self, lookup: str, known: Entry, newer: Person) -> Person:
        try:
            with self.held(wait=False):
                # It may have been forgotten, or wrapped anew, since it was read.
                now = content(self.folder / f"{lookup}.json") or {}
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
