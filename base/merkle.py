"""Hashes of the Merkle trees of RFC 6962, and a small tree that is in memory as a whole: its root, paths, and what a path leads to. Pure.

Who calls: whoever signs or checks a batch (`schemas.frame_signatures`), and the audit log, whose tree does not fit into memory
(`audit.merkle`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

HASH_BYTES = 32


def leaf_hash(entry: bytes | memoryview) -> bytes:
    """Hash of an entry."""
    found = hashlib.sha256(b"\x00")
    found.update(entry)
    return found.digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def half(count: int) -> int:
    """Largest power of two below a count above 1: how many entries are on the left."""
    return 1 << ((count - 1).bit_length() - 1)


def root_and_paths(leaves: Sequence[bytes]) -> tuple[bytes, list[list[bytes]]]:
    """Root over hashes of entries, at least one, and PATH of RFC 6962 for each of them, from the leaf upward."""
    if len(leaves) == 1:
        return leaves[0], [[]]
    middle = half(len(leaves))
    left, left_paths = root_and_paths(leaves[:middle])
    right, right_paths = root_and_paths(leaves[middle:])
    paths = [[*path, right] for path in left_paths] + [[*path, left] for path in right_paths]
    return node_hash(left, right), paths


def climbed(leaf: bytes, place: int, count: int, path: Sequence[bytes]) -> bytes | None:
    """Root that a path leads to from the leaf at that place of `count` (RFC 9162, 2.1.3.2); None for a path of another length."""
    if not 0 <= place < count:
        return None
    at, last, found = place, count - 1, leaf
    for other in path:
        if last == 0:
            return None
        if at & 1 or at == last:
            found = node_hash(other, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, other)
        at, last = at >> 1, last >> 1
    return found if last == 0 else None
