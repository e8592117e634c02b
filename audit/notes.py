"""Signed notes and checkpoints (C2SP signed-note, tlog-checkpoint), with Ed25519 keys that lie in a folder, one file each.

Every key of the folder signs, so a key is rotated by adding one, telling verifiers about it, and taking the old one away. A key is known by
its text `name+id+key`, which is public.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from audit.errors import AuditError
from base.errors import ConfigError
from base.files import sync_folder

_ED25519 = b"\x01"
_DASH = "\u2014"
_SUFFIX = ".pem"
MAX_NOTE = 64 * 1024


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What a log says of itself: how many entries, and the root over them."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class Signer:
    """A private key with the name of the log."""

    name: str
    key: Ed25519PrivateKey

    @property
    def public(self) -> bytes:
        """The public key."""
        return self.key.public_key().public_bytes_raw()

    @property
    def key_id(self) -> bytes:
        """Four bytes that name the key."""
        return hashlib.sha256(self.name.encode() + b"\n" + _ED25519 + self.public).digest()[:4]

    @property
    def known_as(self) -> str:
        """What verifiers are given."""
        return f"{self.name}+{self.key_id.hex()}+{base64.b64encode(_ED25519 + self.public).decode()}"

    def line(self, text: str) -> str:
        """Signature line of a text."""
        signature = base64.b64encode(self.key_id + self.key.sign(text.encode())).decode()
        return f"{_DASH} {self.name} {signature}\n"


def sign(checkpoint: Checkpoint, signers: Sequence[Signer]) -> str:
    """The note of a checkpoint."""
    return checkpoint.text + "\n" + "".join(signer.line(checkpoint.text) for signer in signers)


def read(note: str) -> Checkpoint:
    """Checkpoint of a note, unchecked: our own, whose root is held against the tiles. Raises AuditError."""
    lines = note.split("\n")
    try:
        origin, size, root = lines[0], int(lines[1]), base64.b64decode(lines[2], validate=True)
    except (IndexError, ValueError, binascii.Error):
        msg = "the checkpoint is no checkpoint of a log"
        raise AuditError(msg) from None
    return Checkpoint(origin=origin, size=size, root=root)


def signed_by(note: str, signers: Sequence[Signer]) -> bool:
    """Whether one of our keys signed a note."""
    text, _, lines = note.rpartition("\n\n")
    for line in lines.splitlines():
        for signer in signers:
            head = f"{_DASH} {signer.name} "
            try:
                found = base64.b64decode(line.removeprefix(head), validate=True) if line.startswith(head) else b""
                if found[:4] == signer.key_id:
                    Ed25519PublicKey.from_public_bytes(signer.public).verify(found[4:], f"{text}\n".encode())
                    return True
            except (binascii.Error, ValueError, InvalidSignature):
                continue
    return False


def key_ids(note: str) -> frozenset[str]:
    """Ids of the keys that a note names as its signers, unchecked."""
    lines = note.rpartition("\n\n")[2].splitlines()
    return frozenset(base64.b64decode(line.rpartition(" ")[2])[:4].hex() for line in lines)


def new_key(folder: Path, name: str) -> Signer:
    """Make a key; its file is readable by its owner alone and named by the key's id."""
    signer = Signer(name, Ed25519PrivateKey.generate())
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = signer.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(folder / f"{signer.key_id.hex()}{_SUFFIX}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    # What it signs is durable at once, so it has to be durable before.
    for place in (folder, folder.parent):
        sync_folder(place)
    return signer


def key_files(folder: Path) -> list[str]:
    """Names of the files of keys, which are never changed, only added and taken away."""
    return sorted(file.name for file in folder.glob(f"*{_SUFFIX}"))


def read_keys(folder: Path, name: str) -> tuple[Signer, ...]:
    """Keys of a folder, the oldest first. Raises ConfigError for a file that is none."""
    try:
        files = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda file: (file.stat().st_mtime_ns, file.name))
        keys = [serialization.load_pem_private_key(file.read_bytes(), password=None) for file in files]
    except (OSError, ValueError) as error:
        msg = f"keys of the audit log in {folder} cannot be read: {error}"
        raise ConfigError(msg) from error
    if not all(isinstance(key, Ed25519PrivateKey) for key in keys):
        msg = f"a key in {folder} is no Ed25519 key"
        raise ConfigError(msg)
    return tuple(Signer(name, key) for key in keys if isinstance(key, Ed25519PrivateKey))
