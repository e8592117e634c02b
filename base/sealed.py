"""Values that are encrypted one by one: cells of a table, small files.

A sealed value is a head (mark, the key's id, salt, count), then AES-256-GCM with its tag. Each `Sealer` draws 128 random
bits as its salt and has a key of its own, HKDF-SHA-256 of the named key with that salt; its nonce is the count of its
values. So no nonce serves twice, whatever is undone, restored or begun again. The associated data is the head and what the
value is `about`: copied into another's place it does not open.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from base.errors import MillraceError
from base.key_ring import ID_BYTES, KEY_BYTES, DamagedIdError, Key

MARK = b"MRS1"
_HEAD = struct.Struct(f"<4s{ID_BYTES}s16sI")
_LAST_COUNT = 0xFFFFFFFF
_CACHED = 256


class DamagedError(MillraceError):
    """A sealed value does not open: it was changed, cut off, or stands in another's place."""


class Sealer:
    """Seals with one key. Not thread-safe."""

    def __init__(self, key: Key, purpose: bytes) -> None:
        self.key, self._purpose = key, purpose
        self._begin()

    def seal(self, plain: bytes, about: bytes) -> bytes:
        """The value, sealed. `about`: what it is, and of what."""
        if self._count > _LAST_COUNT:
            self._begin()
        head = _HEAD.pack(MARK, bytes.fromhex(self.key.id), self._salt, self._count)
        self._count += 1
        return head + self._cipher.encrypt(_nonce(head), plain, head + about)

    def _begin(self) -> None:
        self._salt, self._count = os.urandom(16), 0
        self._cipher = _cipher(self.key, self._salt, self._purpose)


class Opener:
    """Opens what any sealer of the same purpose sealed. `key_of` is `Keys.key`, or raises what that does. Not thread-safe."""

    def __init__(self, key_of: Callable[[str], Key], purpose: bytes) -> None:
        self._key_of, self._purpose = key_of, purpose
        self._ciphers: dict[tuple[str, bytes], AESGCM] = {}

    def open(self, sealed: bytes, about: bytes) -> bytes:
        """The value; raises DamagedError, MissingKeyError."""
        key_id = key_id_of(sealed)
        if key_id is None:
            msg = "not a sealed value"
            raise DamagedError(msg)
        head = sealed[: _HEAD.size]
        salt = _HEAD.unpack(head)[2]
        cipher = self._ciphers.get((key_id, salt))
        if cipher is None:
            if len(self._ciphers) >= _CACHED:
                self._ciphers.clear()
            try:
                key = self._key_of(key_id)
            except DamagedIdError as error:
                raise DamagedError(str(error)) from None
            cipher = self._ciphers[key_id, salt] = _cipher(key, salt, self._purpose)
        try:
            return cipher.decrypt(_nonce(head), sealed[_HEAD.size :], head + about)
        except InvalidTag:
            msg = f"a value sealed with key {key_id} does not open: it was damaged"
            raise DamagedError(msg) from None


def key_id_of(value: bytes) -> str | None:
    """Id of the key that a value is sealed with; None when it is not sealed."""
    if not value.startswith(MARK) or len(value) < _HEAD.size:
        return None
    return value[len(MARK) : len(MARK) + ID_BYTES].hex()


def _nonce(head: bytes) -> bytes:
    return head[-4:] + bytes(8)


def _cipher(key: Key, salt: bytes, purpose: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), KEY_BYTES, salt, purpose).derive(key.secret))
