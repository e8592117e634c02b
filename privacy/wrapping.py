"""The key that wraps people's keys: where it is, and what can be done with it.

A wrapped key is a text that says which version of the wrapping key opens it. Destroying old versions is what makes forgetting final: a
wrapped key that somebody still has, in a copy of the folder or in blocks of a disk, opens no more.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from base import key_ring
from base.errors import ConfigError
from base.key_ring import KEY_BYTES, Key, MissingKeyError
from base.sealed import DamagedError, Opener, Sealer, key_id_of
from privacy.settings import PrivacySettings

_FILE, _VAULT = "file:", "vault:"
_PURPOSE, _ABOUT = b"millrace key of a person", b"person"


class Wrapping(Protocol):
    """Where the wrapping key is. Safe to use from several threads."""

    local: bool
    """Whether it answers at once: where not, it is asked away from the event loop."""

    def is_there(self) -> bool:
        """Whether something may have been wrapped with it already: an installation that begins has none, where it makes the key itself."""

    def prepare(self, *, first: bool) -> None:
        """Look whether the key is there. `first`: nothing is wrapped yet, so that it may be made. Raises ConfigError, UnavailableError."""

    def wrap(self, secrets: Sequence[bytes]) -> list[str]:
        """Wrap keys with the newest version. Raises ConfigError, UnavailableError."""

    def unwrap(self, wrapped: Sequence[str]) -> list[bytes | None]:
        """The keys; None for one whose version is destroyed, or that is none. Raises ConfigError, UnavailableError."""

    def renew(self) -> None:
        """Make a newer version: what is wrapped from now on is wrapped with it. Raises ConfigError, UnavailableError."""

    def drop_before(self, wrapped: Sequence[str]) -> None:
        """Destroy the versions before the oldest that these texts name; whoever else makes versions meanwhile changes nothing.

        There is at least one text. Raises ConfigError, UnavailableError.
        """


def open_wrapping(settings: PrivacySettings) -> Wrapping:
    """The wrapping key of an installation; raises ConfigError for a reference of no known kind. Nothing is read yet."""
    if settings.keys.startswith(_FILE):
        return FileWrapping(settings.keys)
    if settings.keys.startswith(_VAULT):
        from privacy.vault import VaultWrapping  # late: who has a file needs no client of Vault

        return VaultWrapping(settings.keys.removeprefix(_VAULT), settings.token, settings.ca)
    msg = f"privacy.keys: the reference is none of {_FILE}…, {_VAULT}…"
    raise ConfigError(msg)


class FileWrapping:
    """Versions in a file of keys (`base.key_ring`); implements `Wrapping`."""

    local = True

    def __init__(self, reference: str) -> None:
        self._path = Path(reference.removeprefix(_FILE))
        self._met: frozenset[str] = frozenset()
        self._newest = ""

    def is_there(self) -> bool:
        """See `Wrapping`."""
        return self._path.exists()

    def prepare(self, *, first: bool) -> None:
        """See `Wrapping`."""
        if first and not self._path.exists():
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            key_ring.add(self._path)
        self._keys()

    def wrap(self, secrets: Sequence[bytes]) -> list[str]:
        """See `Wrapping`."""
        sealer = Sealer(list(self._keys().values())[-1], _PURPOSE)
        return [base64.b64encode(sealer.seal(one, _ABOUT)).decode() for one in secrets]

    def unwrap(self, wrapped: Sequence[str]) -> list[bytes | None]:
        """See `Wrapping`."""
        keys = self._keys()
        opener = Opener(partial(_key, keys), _PURPOSE)
        return [_opened(opener, one) for one in wrapped]

    def _keys(self) -> dict[str, Key]:
        """Those of the file as it is now, oldest first. None is kept in memory: a version that was destroyed is gone here, too."""
        try:
            found = {one.id: one for one in key_ring.read(self._path)}
        except OSError as error:
            msg = f"privacy.keys: {self._path} cannot be read: {error.strerror}; put it back from its copy"
            raise ConfigError(msg) from error
        newest = list(found)[-1]
        # The newest goes only behind a newer one.
        if self._newest and self._newest not in found and newest in self._met:
            msg = f"privacy.keys: {self._path} is an older copy, without key {self._newest}, which was its newest; put the newer one back"
            raise ConfigError(msg)
        self._met, self._newest = self._met | found.keys(), newest
        return found

    def renew(self) -> None:
        """See `Wrapping`."""
        key_ring.add(self._path)

    def drop_before(self, wrapped: Sequence[str]) -> None:
        """See `Wrapping`."""
        known = list(self._keys())
        named = {key_id_of(base64.b64decode(one)) for one in wrapped}
        if not named or not named <= set(known):
            msg = f"{self._path} does not have the keys that people's keys were wrapped with just now; nothing was destroyed"
            raise ConfigError(msg)
        for key_id in known[: min(map(known.index, map(str, named)))]:
            key_ring.retire(self._path, key_id)


def _key(keys: Mapping[str, Key], key_id: str) -> Key:
    if key_id not in keys:
        msg = f"key {key_id} of people's keys is not there (any more)"
        raise MissingKeyError(msg)
    return keys[key_id]


def _opened(opener: Opener, wrapped: str) -> bytes | None:
    try:
        return opener.open(base64.b64decode(wrapped, validate=True), _ABOUT)
    except (MissingKeyError, DamagedError, binascii.Error):
        return None


def new_secret() -> bytes:
    """A key for one person."""
    return os.urandom(KEY_BYTES)
