"""Signatures of frames: one Ed25519 signature for all frames that a gateway sends together.

The frames of one uplink batch are the leaves of a Merkle tree (RFC 6962). A leaf is the frame's whole Kafka value up to its field
`signature`: header, identity, dictionary, columns, checksum. What is signed is `PURPOSE`, the number of leaves and the root; each frame
carries in `signature` all that is needed to check it alone:

    1 byte    form, 1
    2 bytes   place of the frame among the leaves, little-endian, from 0
    2 bytes   number of leaves
    32 bytes  root
    64 bytes  signature
    n × 32    path from the leaf upward

`signature` and `key_id` are the last fields of a frame and are not signed themselves: a frame that is sent again in another batch is
the same frame. Identity, checksum and deduplication know nothing of signatures. A frame costs one SHA-256 over its bytes at either end;
a root is verified once.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from base import merkle, signing_key
from base.errors import FrameError
from base.signing_key import Signer
from schemas import codec
from schemas.frame import Frame
from schemas.signing_keys import SigningKey

PURPOSE = b"millrace frames 1\0"
MAX_BATCH = 1024
"""Frames under one root."""
_FORM = 1
_HEAD = struct.Struct("<BHH32s64s")
_COUNT = struct.Struct("<H")
_UNSIGNED = bytes(2)
"""`signature` and `key_id` of a frame that has none."""
_PRESENT = b"\x02"
_KEPT_ROOTS = 4096


def tails(messages: Sequence[bytes], signer: Signer) -> list[bytes]:
    """What takes the place of the last two bytes of each Kafka value, at most MAX_BATCH of them, to make it signed.

    Raises FrameError for a value that is signed already or is no frame.
    """
    views = [_without_tail(message, _UNSIGNED) for message in messages]
    if not 0 < len(views) <= MAX_BATCH or None in views:
        msg = f"{len(views)} frames cannot be signed together: they are too many, or one is signed already"
        raise FrameError(msg)
    root, paths = merkle.root_and_paths([merkle.leaf_hash(view) for view in views if view is not None])
    signature = signer.sign(_statement(len(views), root))
    return [
        _tail(_HEAD.pack(_FORM, place, len(views), root, signature) + b"".join(path), signer.id)
        for place, path in enumerate(paths)
    ]


def signed(message: bytes, tail: bytes) -> bytes:
    """Kafka value with its signature."""
    return message[: -len(_UNSIGNED)] + tail


class Roots:
    """Checks frames, and remembers which roots were found good: each is verified once. For one thread."""

    def __init__(self) -> None:
        self._good: dict[tuple[bytes, bytes], None] = {}
        self.verified = 0
        """Signatures that were verified so far."""

    def problem(self, message: bytes, frame: Frame, key: SigningKey) -> str:
        """Why the frame is not what the holder of the key has signed; empty when it is. `frame` is what `message` was decoded to."""
        blob, path_bytes = frame.signature or b"", len(frame.signature or b"") - _HEAD.size
        if path_bytes < 0 or path_bytes % merkle.HASH_BYTES or blob[0] != _FORM:
            return "its signature has no form that is known"
        _, place, count, root, signature = _HEAD.unpack_from(blob)
        content = _without_tail(message, _tail(blob, frame.key_id or ""))
        if content is None:  # of a foreign writer, whose numbers are longer than they have to be
            return "its last fields are not written as they have to be"
        path = [blob[at : at + merkle.HASH_BYTES] for at in range(_HEAD.size, len(blob), merkle.HASH_BYTES)]
        if merkle.climbed(merkle.leaf_hash(content), place, count, path) != root:
            return "it is not what was signed: its path does not lead to its root"
        known = (key.public, blob[3 : _HEAD.size])
        if known not in self._good:
            self.verified += 1
            if not signing_key.holds(key.public, signature, _statement(count, root)):
                return f"key {key.key_id} has not signed its root"
            if len(self._good) >= _KEPT_ROOTS:
                del self._good[next(iter(self._good))]
            self._good[known] = None
        return ""


def _statement(count: int, root: bytes) -> bytes:
    return PURPOSE + _COUNT.pack(count) + root


def _tail(blob: bytes, key_id: str) -> bytes:
    name = key_id.encode()
    return b"".join((_PRESENT, codec.long_bytes(len(blob)), blob, _PRESENT, codec.long_bytes(len(name)), name))


def _without_tail(message: bytes, tail: bytes) -> memoryview | None:
    return memoryview(message)[: -len(tail)] if message.endswith(tail) else None
