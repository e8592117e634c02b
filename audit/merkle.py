"""The Merkle tree of RFC 6962 over a log that only grows, in tiles of 256 hashes (C2SP tlog-tiles). Pure.

A tree is known by its right edge: the hashes of the tiles that are not full yet, level by level. So appending needs no more than 255
hashes a level, however long the log is. Proofs need other tiles too, which `hashes` looks up.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from base.merkle import half, node_hash

WIDTH = 256
"""Hashes in a full tile."""
EMPTY_ROOT = hashlib.sha256(b"").digest()

Lookup = Callable[[int, int], bytes]
"""Hash of a full subtree of 2**height entries, by its height and its number at that height."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A tile with `width` hashes; full ones have 256."""

    level: int
    index: int
    hashes: tuple[bytes, ...]

    @property
    def path(self) -> str:
        """Where it lies in the folder of the log."""
        return f"tile/{self.level}/{numbered(self.index, len(self.hashes))}"

    @property
    def data(self) -> bytes:
        """Its content."""
        return b"".join(self.hashes)


def numbered(index: int, width: int = WIDTH) -> str:
    """Number of a tile in its path: `x001/x234/067`, and `.p/5` behind it for one of 5 hashes."""
    parts = [f"{index % 1000:03}"]
    while index := index // 1000:
        parts.insert(0, f"x{index % 1000:03}")
    return "/".join(parts) + ("" if width == WIDTH else f".p/{width}")


def entries_path(index: int, width: int = WIDTH) -> str:
    """Where a bundle of entries lies."""
    return f"tile/entries/{numbered(index, width)}"


@dataclass(slots=True)
class Tree:
    """A tree of `size` entries. `edge[l]` are the hashes of the tile at level l that is not full."""

    size: int = 0
    edge: list[list[bytes]] = field(default_factory=list)

    def append(self, leaves: Iterable[bytes]) -> list[Tile]:
        """Add hashes of entries; returns the tiles that became full, lower levels first."""
        full: list[Tile] = []
        for leaf in leaves:
            self.size += 1
            self._add(0, leaf, full)
        return full

    def _add(self, level: int, value: bytes, full: list[Tile]) -> None:
        while len(self.edge) <= level:
            self.edge.append([])
        tile = self.edge[level]
        tile.append(value)
        if len(tile) == WIDTH:
            full.append(Tile(level, (self.size >> (8 * (level + 1))) - 1, tuple(tile)))
            tile.clear()
            self._add(level + 1, root_of(full[-1].hashes), full)

    def partial(self) -> list[Tile]:
        """The tiles that are not full, without empty ones."""
        return [
            Tile(level, self.size >> (8 * (level + 1)), tuple(hashes))
            for level, hashes in enumerate(self.edge)
            if hashes
        ]

    def root(self) -> bytes:
        """Root of the whole tree."""
        found: bytes | None = None
        for hashes in self.edge:  # from the right to the left
            at = len(hashes)
            while at:
                span = at & -at
                peak = root_of(hashes[at - span : at])
                found = peak if found is None else node_hash(peak, found)
                at -= span
        return EMPTY_ROOT if found is None else found


def root_of(hashes: Sequence[bytes]) -> bytes:
    """Root over a power of two of hashes."""
    row = list(hashes)
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def range_root(lookup: Lookup, begin: int, end: int) -> bytes:
    """MTH(D[begin:end]) of RFC 6962, for a range that is a node of a tree."""
    count = end - begin
    if count & (count - 1) == 0:
        height = count.bit_length() - 1
        return lookup(height, begin >> height)
    middle = begin + half(count)
    return node_hash(range_root(lookup, begin, middle), range_root(lookup, middle, end))


def inclusion(lookup: Lookup, index: int, size: int) -> list[bytes]:
    """PATH(index, D[size]) of RFC 6962: proves that an entry is in a tree."""
    if not 0 <= index < size:
        msg = f"no entry {index} in a tree of {size}"
        raise ValueError(msg)
    begin, end, found = 0, size, []
    while end - begin > 1:
        middle = begin + half(end - begin)
        if index < middle:
            found.append(range_root(lookup, middle, end))
            end = middle
        else:
            found.append(range_root(lookup, begin, middle))
            begin = middle
    return found[::-1]


def consistency(lookup: Lookup, old: int, size: int) -> list[bytes]:
    """PROOF(old, D[size]) of RFC 6962: proves that a tree is the beginning of another."""
    if not 0 < old <= size:
        msg = f"a tree of {old} is no beginning of one of {size}"
        raise ValueError(msg)
    return _subproof(lookup, old, 0, size, whole=True)


def _subproof(lookup: Lookup, old: int, begin: int, end: int, *, whole: bool) -> list[bytes]:
    count = end - begin
    if old == count:
        return [] if whole else [range_root(lookup, begin, end)]
    on_the_left = half(count)
    middle = begin + on_the_left
    if old <= on_the_left:
        return [*_subproof(lookup, old, begin, middle, whole=whole), range_root(lookup, middle, end)]
    return [*_subproof(lookup, old - on_the_left, middle, end, whole=False), range_root(lookup, begin, middle)]
