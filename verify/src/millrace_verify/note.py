"""Signed checkpoints (C2SP signed-note, tlog-checkpoint) and the public keys that they are checked with."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_ED25519 = 1
_HEAD = "\u2014 "
_MOST = 64 * 1024


class NoteError(Exception):
    """A checkpoint is malformed, or no key that is trusted has signed it."""


class KeyTextError(Exception):
    """The text of a key is none."""


@dataclass(frozen=True, slots=True)
class Key:
    """A public key that is trusted."""

    name: str
    key_id: bytes
    public: Ed25519PublicKey

    @classmethod
    def parse(cls, text: str) -> Key:
        """Key of `name+id+key`, as `./millrace audit keys` prints it; raises KeyTextError."""
        try:
            name, key_id, data = text.strip().split("+", 2)
            raw = base64.b64decode(data, validate=True)
            if len(raw) != 33 or raw[0] != _ED25519:
                msg = f"{text!r}: not an Ed25519 key"
                raise KeyTextError(msg)
            expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
            if expected.hex() != key_id:
                msg = f"{text!r}: the id does not fit the key; it was copied wrongly"
                raise KeyTextError(msg)
            return cls(name, expected, Ed25519PublicKey.from_public_bytes(raw[1:]))
        except (ValueError, binascii.Error):
            msg = f"{text!r} is no key; it looks like name+1a2b3c4d+AbC…"
            raise KeyTextError(msg) from None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log said of itself at some time, and which keys signed that."""

    origin: str
    size: int
    root: bytes
    signed_by: tuple[str, ...]


def open_note(note: str, keys: Iterable[Key]) -> Checkpoint:
    """Checkpoint of a note that a trusted key has signed; raises NoteError."""
    if len(note) > _MOST or any(ord(one) < 0x20 and one != "\n" for one in note):
        msg = "the checkpoint is no text, or too long"
        raise NoteError(msg)
    text, blank, signatures = note.rpartition("\n\n")
    lines = text.split("\n")
    if not blank or not signatures.endswith("\n") or len(lines) < 3 or not all(lines):
        msg = "the checkpoint is malformed: it has three lines, a blank one, and signatures"
        raise NoteError(msg)
    # A log is known by its keys: what another log signed says nothing of this one.
    signed_by = _signed_by(f"{text}\n", signatures, [key for key in keys if key.name == lines[0]])
    origin, size, root = lines[:3]
    try:
        found = base64.b64decode(root, validate=True)
    except (ValueError, binascii.Error):
        found = b""
    if len(found) != 32 or not (size.isascii() and size.isdigit()) or (len(size) > 1 and size[0] == "0"):
        msg = "the checkpoint is malformed: its size or its root is none"
        raise NoteError(msg)
    return Checkpoint(origin, int(size), found, signed_by)


def _signed_by(text: str, signatures: str, keys: list[Key]) -> tuple[str, ...]:
    good = []
    for line in signatures.splitlines():
        name, _, encoded = line.removeprefix(_HEAD).partition(" ")
        try:
            data = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            data = b""
        if not line.startswith(_HEAD) or len(data) < 5:
            msg = "a signature of the checkpoint is malformed"
            raise NoteError(msg)
        for key in keys:
            if (key.name, key.key_id) != (name, data[:4]):
                continue
            try:
                key.public.verify(data[4:], text.encode())
            except InvalidSignature:
                msg = f"the signature of {name}+{data[:4].hex()} does not fit the checkpoint: it was forged or changed"
                raise NoteError(msg) from None
            good.append(f"{name}+{data[:4].hex()}")
    if not good:
        msg = "no key that you trust has signed the checkpoint"
        raise NoteError(msg)
    return tuple(good)
