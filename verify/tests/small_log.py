"""A log for tests, written the slow way: RFC 6962's recursive definitions over a list of entries."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "plant.example/audit"


def mth(entries: Sequence[bytes]) -> bytes:
    """Merkle Tree Hash, RFC 6962 2.1."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    half = _half(len(entries))
    return hashlib.sha256(b"\x01" + mth(entries[:half]) + mth(entries[half:])).digest()


def path(index: int, entries: Sequence[bytes]) -> list[bytes]:
    """PATH, RFC 6962 2.1.1."""
    if len(entries) == 1:
        return []
    half = _half(len(entries))
    if index < half:
        return [*path(index, entries[:half]), mth(entries[half:])]
    return [*path(index - half, entries[half:]), mth(entries[:half])]


def proof(old: int, entries: Sequence[bytes], *, whole: bool = True) -> list[bytes]:
    """PROOF and SUBPROOF, RFC 6962 2.1.2."""
    if old == len(entries):
        return [] if whole else [mth(entries)]
    half = _half(len(entries))
    if old <= half:
        return [*proof(old, entries[:half], whole=whole), mth(entries[half:])]
    return [*proof(old - half, entries[half:], whole=False), mth(entries[:half])]


def _half(count: int) -> int:
    half = 1
    while half * 2 < count:
        half *= 2
    return half


class Key:
    """A key of the log."""

    def __init__(self, name: str = ORIGIN) -> None:
        self.name, self.private = name, Ed25519PrivateKey.generate()
        raw = b"\x01" + self.private.public_key().public_bytes_raw()
        self.key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        self.text = f"{name}+{self.key_id.hex()}+{base64.b64encode(raw).decode()}"


def note(entries: Sequence[bytes], *keys: Key, origin: str = ORIGIN) -> str:
    """Signed checkpoint of a log of these entries."""
    text = f"{origin}\n{len(entries)}\n{base64.b64encode(mth(entries)).decode()}\n"
    signatures = (base64.b64encode(key.key_id + key.private.sign(text.encode())).decode() for key in keys)
    return text + "\n" + "".join(f"\u2014 {key.name} {one}\n" for key, one in zip(keys, signatures, strict=True))


def write(folder: Path, entries: Sequence[bytes], *keys: Key) -> Path:
    """The log as a folder."""
    for at in range(0, len(entries), 256):
        some = entries[at : at + 256]
        bundle = b"".join(len(entry).to_bytes(2) + entry for entry in some)
        _put(folder / "tile/entries", at // 256, len(some), bundle)
    hashes, level = [mth([entry]) for entry in entries], 0
    while hashes:
        for at in range(0, len(hashes), 256):
            some = hashes[at : at + 256]
            _put(folder / f"tile/{level}", at // 256, len(some), b"".join(some))
        span = 256 ** (level + 1)
        hashes = [mth(entries[at * span : (at + 1) * span]) for at in range(len(entries) // span)]
        level += 1
    (folder / "checkpoint").write_text(note(entries, *keys))
    return folder


def copies(path: Path, *notes: str) -> Path:
    """Checkpoints that were kept elsewhere."""
    path.write_text("".join(json.dumps(one) + "\n" for one in notes))
    return path


def place(folder: Path, index: int, width: int) -> Path:
    """File of a tile or bundle; for indexes below 1,000."""
    return folder / (f"{index:03}" if width == 256 else f"{index:03}.p/{width}")


def _put(folder: Path, index: int, width: int, data: bytes) -> None:
    file = place(folder, index, width)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
