"""Checking side of RFC 6962: roots of a log that is read from its beginning, and proofs.

Proofs are checked as RFC 9162 says, 2.1.3 and 2.1.4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


class ProofError(Exception):
    """A proof does not hold; the text says why."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of an entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Growing:
    """A tree that entries are added to; keeps one hash for each bit of its size."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """Add the hash of an entry."""
        size, found = self.size, leaf
        while size & 1:
            found = node_hash(self._peaks.pop(), found)
            size >>= 1
        self._peaks.append(found)
        self.size += 1

    def root(self) -> bytes:
        """Root over what was added."""
        if not self._peaks:
            return hashlib.sha256(b"").digest()
        found = self._peaks[-1]
        for peak in self._peaks[-2::-1]:
            found = node_hash(peak, found)
        return found


def check_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Raise ProofError unless the proof leads from an entry's hash to the root."""
    if not 0 <= index < size:
        msg = f"a tree of {size} entries has no entry {index}"
        raise ProofError(msg)
    node, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            msg = "the proof is longer than the tree is high"
            raise ProofError(msg)
        if node & 1 or node == last:
            found = node_hash(step, found)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            found = node_hash(found, step)
        node, last = node >> 1, last >> 1
    if last or found != root:
        msg = f"entry {index} is not in the tree of {size} entries that the checkpoint is of"
        raise ProofError(msg)


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Raise ProofError unless the proof shows that the older tree is the beginning of the newer one."""
    if not 0 <= old <= new:
        msg = f"the newer log has {new} entries, the older one {old}: it was cut"
        raise ProofError(msg)
    if old in {0, new}:
        if proof or (old == new and old_root != new_root):
            msg = f"two logs of {new} entries have other roots: the log has forked"
            raise ProofError(msg)
        return
    steps = list(proof)
    if old & (old - 1) == 0:
        steps.insert(0, old_root)
    if not steps:
        msg = "the proof is empty"
        raise ProofError(msg)
    node, last = old - 1, new - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            msg = "the proof is longer than the tree is high"
            raise ProofError(msg)
        if node & 1 or node == last:
            before, after = node_hash(step, before), node_hash(step, after)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            after = node_hash(after, step)
        node, last = node >> 1, last >> 1
    if last or before != old_root or after != new_root:
        msg = f"the log of {new} entries does not begin with that of {old}: it has forked"
        raise ProofError(msg)
