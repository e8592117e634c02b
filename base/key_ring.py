"""Keys of data at rest, by reference. Configuration names where they lie; what is encrypted names which one by its id.

A reference is `file:PATH`: a file for its owner alone, a key a line, the newest last. Another kind of place (HashiCorp
Vault) is another class with the interface `Keys`, and a row in `_KINDS`.

A key's id is made of the key itself, so a file of keys that was damaged, or put together wrongly, is found out when it is
read. Keys are changed by adding one: what is new is encrypted with the newest, and what is older stays readable as long as
its key is there. The file is read again when it has changed. While a process runs it keeps what it once had: a file that
cannot be read any more costs nothing before the next start.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Protocol

from base import files, locks
from base.errors import ConfigError, MillraceError

log = logging.getLogger(__name__)

KEY_BYTES, ID_BYTES = 32, 8
_FILE = "file:"
_LONGEST = 1 << 20
_DAMAGED_BITS = 8
_LINE = re.compile(r"([0-9a-f]{16}) (\S{1,40}) ([A-Za-z0-9+/=]{44})")
_HEAD = (
    "# Keys of data at rest: id, when it was made, key; the newest last. Who has this file reads what is encrypted with them;\n"
    "# without it nobody does. `gateway key` adds and retires them.\n"
)


class MissingKeyError(ConfigError):
    """A key is not where the reference leads; the message names both."""


class DamagedIdError(MillraceError):
    """The id of a key was damaged where it was read: it is that of no key, and nearly that of one that is there."""


@dataclass(frozen=True, slots=True)
class Key:
    """256 random bits. `id` is made of them, `made` is for people."""

    id: str
    made: str
    secret: bytes = field(repr=False)

    @classmethod
    def of(cls, secret: bytes, made: str) -> Key:
        """With its id."""
        return cls(hashlib.sha256(b"millrace data at rest\0" + secret).hexdigest()[: 2 * ID_BYTES], made, secret)

    @classmethod
    def new(cls) -> Key:
        """One that nobody has."""
        return cls.of(os.urandom(KEY_BYTES), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}")


class Keys(Protocol):
    """Where keys are. Safe to use from several threads."""

    reference: str

    @property
    def problem(self) -> str:
        """Why they cannot be read just now, while those that were read are used on; empty when they can."""

    def newest(self) -> Key:
        """What is encrypted now is encrypted with it; raises ConfigError when there is none."""

    def key(self, key_id: str) -> Key:
        """The key of that id; raises MissingKeyError, DamagedIdError."""

    def known(self) -> list[Key]:
        """All, oldest first; raises ConfigError when they cannot be read and never could."""

    def claim(self) -> None:
        """Nobody else that claims them has them until `release`: what one takes away, the other may need. Raises ConfigError."""

    def release(self) -> None:
        """Give them up."""


def open_keys(reference: str) -> Keys:
    """Keys where the reference leads; raises ConfigError for a reference of no known kind. Nothing is read yet."""
    for kind, make in _KINDS.items():
        if reference.startswith(kind) and len(reference) > len(kind):
            return make(reference)
    msg = f"keys of data at rest: the reference is none of {', '.join(f'{kind}…' for kind in _KINDS)}"
    raise ConfigError(msg)


def refuse_damaged(key_id: str, known: Iterable[str]) -> None:
    """Raise DamagedIdError for an id that was one of the known. Ids are random, of 64 bits: so near to each other no two of them are."""
    if any((int(one, 16) ^ int(key_id, 16)).bit_count() <= _DAMAGED_BITS for one in known if one != key_id):
        msg = f"the id of a key was damaged: {key_id}"
        raise DamagedIdError(msg)


def path_of(reference: str) -> Path | None:
    """The file that a reference leads to, where it is one."""
    return Path(reference.removeprefix(_FILE)) if reference.startswith(_FILE) else None


class FileKeys:
    """Keys in a file; implements `Keys`."""

    def __init__(self, reference: str) -> None:
        self.reference = reference
        self.path = Path(reference.removeprefix(_FILE))
        self._lock = threading.Lock()
        self._known: dict[str, Key] = {}
        self._newest: Key | None = None
        self._seen: tuple[int, ...] = ()
        self._problem = ""
        self._claimed = False
        self._held: IO[bytes] | None = None
        self._older = ""
        """Why the file is not the one to go by, as it was when it was looked at."""

    @property
    def problem(self) -> str:
        """Why the file cannot be read just now."""
        return self._problem

    def newest(self) -> Key:
        """The last line's."""
        with self._lock:
            self._look()
            assert self._newest is not None
            return self._newest

    def key(self, key_id: str) -> Key:
        """From what was read once; the file is looked at again when it is not there."""
        with self._lock:
            if key_id not in self._known:
                self._look()
            if key_id not in self._known:
                refuse_damaged(key_id, self._known)
                has = ", ".join(self._known)
                msg = f"key {key_id} is not in {self.path}, which has {has}: put it back, or what it encrypted cannot be read"
                raise MissingKeyError(msg)
            return self._known[key_id]

    def known(self) -> list[Key]:
        """Oldest first."""
        with self._lock:
            self._look()
            return list(self._known.values())

    def claim(self) -> None:
        """The lock is the file's own, because its folder may be one to read only."""
        with self._lock:
            self._claimed = True
            self._look()
            if self._held is None and not self._hold():
                self._claimed = False
                msg = (
                    f"{self.path} is in use by another gateway, or by this one, which runs already: a gateway has keys of its own,"
                    " or a key that one of them retires is missing at the other"
                )
                raise ConfigError(msg)

    def release(self) -> None:
        """Close it."""
        with self._lock:
            self._claimed = False
            if self._held is not None:
                self._held.close()
                self._held = None

    def _hold(self) -> bool:
        """Hold the file that is there now; False when somebody else does."""
        try:
            held = locks.hold(self.path)
        except BlockingIOError:
            return False
        except OSError as error:
            # Some file systems have no locks.
            log.warning("keys of data at rest cannot be locked", extra={"path": str(self.path), "cause": str(error)})
            return True
        if self._held is not None:
            self._held.close()
        self._held = held
        return True

    def _older_copy(self, found: list[Key]) -> str:
        """Why a file that was read is not taken; empty when it is. The newest key is never retired, so it goes only behind a newer one."""
        newest = self._newest
        if newest is None or newest in found or found[-1].id not in self._known:
            return ""
        older = (
            f"{self.path} has no key {newest.id} any more, which was its newest: an older copy was put back. Put the newer one back"
            " before the gateway starts again, or what that key encrypted cannot be read"
        )
        log.error("keys of data at rest are an older copy; those read before are used on", extra={"cause": older})
        return older

    def _look(self) -> None:
        try:
            about = self.path.stat()
            seen = (about.st_ino, about.st_size, about.st_mtime_ns)
            if seen != self._seen:
                found = read(self.path)
                self._older, self._seen = self._older_copy(found), seen
                # Another file has taken its place: a key was added or retired.
                if self._claimed and self._newest is not None and not self._hold():
                    log.error("keys of data at rest are in use by another gateway", extra={"path": str(self.path)})
                if not self._older:
                    self._known |= {one.id: one for one in found}
                    self._newest = found[-1]
            self._problem = self._older
        except (ConfigError, OSError) as error:
            problem = str(error) if isinstance(error, ConfigError) else f"{self.path} cannot be read: {error.strerror}"
            if self._newest is None:
                missing = MissingKeyError if isinstance(error, FileNotFoundError) else ConfigError
                msg = f"keys of data at rest: {problem}"
                raise missing(msg) from error
            if problem != self._problem:
                log.error(
                    "keys of data at rest cannot be read; those read before are used on", extra={"cause": problem}
                )
            self._problem, self._seen = problem, ()


_KINDS: dict[str, Callable[[str], Keys]] = {_FILE: FileKeys}


def read(path: Path) -> list[Key]:
    """Keys of a file, oldest first and at least one; raises ConfigError that names the line, OSError."""
    with path.open("rb") as file:
        data = file.read(_LONGEST + 1)
    found: dict[str, Key] = {}
    for number, line in enumerate(data[:_LONGEST].decode("ascii", "replace").splitlines(), start=1):
        if not line.strip() or line.startswith("#"):
            continue
        one = _parse(line)
        if one is None:
            msg = f"{path}: line {number} is no key: it was damaged; put the file back from its copy"
            raise ConfigError(msg)
        found[one.id] = one
    if not found or len(data) > _LONGEST:
        msg = f"{path} has no key" if not found else f"{path} is longer than {_LONGEST} bytes"
        raise ConfigError(msg)
    return list(found.values())


def add(path: Path) -> Key:
    """Put a new key behind those of a file, which is made where it is missing; durable when this returns. Raises ConfigError, OSError."""
    with _alone(path):
        made = Key.new()
        _write(path, [*(read(path) if path.exists() else []), made])
        return made


def retire(path: Path, key_id: str) -> None:
    """Take a key out of a file; what it encrypted cannot be read any more. Raises ConfigError, OSError."""
    with _alone(path):
        known = read(path)
        kept = [one for one in known if one.id != key_id]
        if len(kept) == len(known):
            msg = f"{path} has no key {key_id[:40]}"
            raise ConfigError(msg)
        if known[-1].id == key_id:
            msg = f"key {key_id} is the newest of {path}: make another one first"
            raise ConfigError(msg)
        _write(path, kept)


def _write(path: Path, keys: list[Key]) -> None:
    lines = [f"{one.id} {one.made} {base64.b64encode(one.secret).decode()}\n" for one in keys]
    owner = (path if path.exists() else path.parent).stat()
    files.replace_durably(path, _HEAD + "".join(lines), mode=files.OWNERS)
    if os.geteuid() == 0:  # whoever runs the gateway has to read it, not who made the key for it
        os.chown(path, owner.st_uid, owner.st_gid)


def _alone(path: Path) -> IO[bytes]:
    file = path.with_name(f".{path.name}.lock")
    held = locks.take(file, mode=files.OWNERS)
    if os.geteuid() == 0:
        owner = path.parent.stat()
        os.chown(file, owner.st_uid, owner.st_gid)
    return held


def _parse(line: str) -> Key | None:
    match = _LINE.fullmatch(line.strip())
    if match is None:
        return None
    try:
        secret = base64.b64decode(match[3], validate=True)
    except binascii.Error:
        return None
    one = Key.of(secret, match[2])
    return one if len(secret) == KEY_BYTES and one.id == match[1] else None
