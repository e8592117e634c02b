"""The log on disk: bundles of entries, tiles of hashes, a checkpoint, in one folder as C2SP tlog-tiles has it.

Everything that a checkpoint speaks of is durable before the checkpoint is. So after a kill at any moment the folder holds the log of its
checkpoint, and perhaps files of what was about to follow, which are written again. What was published is never written again. One writer:
`Writable` locks the folder. Reading (`Readable`) needs no lock: files are replaced whole.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

from audit import merkle, notes
from audit.errors import AuditError
from audit.merkle import WIDTH, Tree
from audit.notes import Checkpoint, Signer
from base import locks
from base.files import replace_durably, sync_folder
from base.merkle import HASH_BYTES, leaf_hash

CHECKPOINT = "checkpoint"
MAX_ENTRY = 65_535
_LENGTH = struct.Struct(">H")


def bundle(entries: Sequence[bytes]) -> bytes:
    """Bytes of a bundle. Raises AuditError for an entry that is too long."""
    if any(len(entry) > MAX_ENTRY for entry in entries):
        msg = f"an entry has more than {MAX_ENTRY} bytes"
        raise AuditError(msg)
    return b"".join(_LENGTH.pack(len(entry)) + entry for entry in entries)


def unbundle(data: bytes) -> list[bytes]:
    """Entries of a bundle. Raises AuditError."""
    found, at = [], 0
    while at < len(data):
        if at + 2 > len(data) or at + 2 + (length := _LENGTH.unpack_from(data, at)[0]) > len(data):
            msg = "a bundle of entries ends within an entry"
            raise AuditError(msg)
        found.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    return found


class Readable:
    """A log as its checkpoint tells it. Raises AuditError where a file is missing or has another length."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            self.note = (folder / CHECKPOINT).read_text()
        except FileNotFoundError:
            msg = f"{folder} holds no audit log: it has no checkpoint"
            raise AuditError(msg) from None
        except (OSError, UnicodeDecodeError) as error:
            msg = f"the checkpoint in {folder} cannot be read: {error}"
            raise AuditError(msg) from error
        self.checkpoint = notes.read(self.note)
        self.size = self.checkpoint.size
        self._bundle = lru_cache(maxsize=8)(self._read_bundle)
        self._tile = lru_cache(maxsize=64)(self._read_tile)

    def entry(self, index: int) -> bytes:
        """One entry."""
        return self._bundle(index // WIDTH)[index % WIDTH]

    def newest_first(self, before: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Entries with their indexes, from the end (or from before an index) to the beginning."""
        end = self.size if before is None else min(before, self.size)
        for index in range(end - 1, -1, -1):
            yield index, self.entry(index)

    def oldest_first(self, start: int = 0) -> Iterator[tuple[int, bytes]]:
        """Entries with their indexes from `start` on."""
        for index in range(start, self.size):
            yield index, self.entry(index)

    def lookup(self, height: int, number: int) -> bytes:
        """Hash of a full subtree, for proofs."""
        level, inside = divmod(height, 8)
        first = number << inside
        hashes = self._tile(level, first // WIDTH)
        return merkle.root_of(hashes[first % WIDTH :][: 1 << inside])

    def edge(self) -> Tree:
        """The tree, with its root held against the checkpoint's."""
        levels = max(1, (self.size.bit_length() + 7) // 8)
        edge = []
        for level in range(levels):
            width = (self.size >> (8 * level)) % WIDTH
            edge.append(list(self._tile(level, self.size >> (8 * (level + 1)))) if width else [])
        tree = Tree(self.size, edge)
        if tree.root() != self.checkpoint.root:
            msg = f"the tiles in {self.folder} do not make the root of its checkpoint: the log was changed; run millrace-verify on it"
            raise AuditError(msg)
        return tree

    def _read_bundle(self, index: int) -> list[bytes]:
        width = min(WIDTH, self.size - index * WIDTH)
        entries = unbundle(self._read(merkle.entries_path(index, width), merkle.entries_path(index)))
        if len(entries) < width:
            msg = f"the bundle of entries {index} has {len(entries)} entries, not {width}"
            raise AuditError(msg)
        return entries[:width]

    def _read_tile(self, level: int, index: int) -> tuple[bytes, ...]:
        width = min(WIDTH, (self.size >> (8 * level)) - index * WIDTH)
        path = f"tile/{level}/"
        data = self._read(path + merkle.numbered(index, width), path + merkle.numbered(index))
        if len(data) < width * HASH_BYTES:
            msg = f"{path}{merkle.numbered(index, width)} is shorter than {width} hashes"
            raise AuditError(msg)
        return tuple(data[at * HASH_BYTES : (at + 1) * HASH_BYTES] for at in range(width))

    def _read(self, *paths: str) -> bytes:
        """The first of some files that is there: a partial tile may have become a full one since."""
        for path in dict.fromkeys(paths):
            try:
                return (self.folder / path).read_bytes()
            except FileNotFoundError:
                continue
        msg = f"{self.folder / paths[0]} is missing"
        raise AuditError(msg)


class Writable:
    """The log of one writer. A new folder gets the checkpoint of an empty log."""

    def __init__(self, folder: Path, origin: str) -> None:
        self.folder, self.origin = folder, origin
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        try:
            self._lock = locks.take(folder / ".lock", wait=False)
        except BlockingIOError:
            msg = f"another writer has the audit log in {folder}"
            raise AuditError(msg) from None
        self.note = ""
        self._tree, self._open = Tree(), list[bytes]()
        self.last: bytes | None = None
        try:
            if (folder / CHECKPOINT).exists():
                self._resume()
        except BaseException:
            self._lock.close()
            raise

    @property
    def size(self) -> int:
        """Entries that are published."""
        return self._tree.size

    def close(self) -> None:
        """Let another writer in."""
        self._lock.close()

    def append(self, entries: Sequence[bytes], signers: Sequence[Signer]) -> Checkpoint:
        """Publish entries: durable, and spoken of by a signed checkpoint, when it returns. Raises OSError, and the log is as before."""
        size, tree = self.size, Tree(self.size, [list(hashes) for hashes in self._tree.edge])
        full = tree.append(map(leaf_hash, entries))
        waiting, first = [*self._open, *entries], size // WIDTH
        for at in range(0, len(waiting), WIDTH):
            some = waiting[at : at + WIDTH]
            if len(some) == WIDTH or at + len(some) > size % WIDTH:
                self._write(merkle.entries_path(first + at // WIDTH, len(some)), bundle(some))
        for tile in (*full, *tree.partial()):
            self._write(tile.path, tile.data)
        checkpoint = Checkpoint(origin=self.origin, size=tree.size, root=tree.root())
        note = notes.sign(checkpoint, signers)
        self._write(CHECKPOINT, note.encode())
        self.note, self._tree = note, tree
        self._open = waiting[len(waiting) - tree.size % WIDTH :] if tree.size % WIDTH else []
        self.last = entries[-1] if entries else self.last
        for tile in full:  # what was published of them is in the full ones
            shutil.rmtree(self.folder / f"{tile.path}.p", ignore_errors=True)
            if tile.level == 0:
                shutil.rmtree(self.folder / f"{merkle.entries_path(tile.index)}.p", ignore_errors=True)
        return checkpoint

    def _resume(self) -> None:
        known = Readable(self.folder)
        if known.checkpoint.origin != self.origin:
            msg = f"{self.folder} is the log {known.checkpoint.origin}, not {self.origin}"
            raise AuditError(msg)
        self.note, self._tree = known.note, known.edge()
        start = known.size - known.size % WIDTH
        self._open = [entry for _, entry in known.oldest_first(start)]
        if [leaf_hash(entry) for entry in self._open] != (self._tree.edge[0] if self._tree.edge else []):
            msg = f"the newest entries in {self.folder} are not those of its tiles: the log was changed; run millrace-verify on it"
            raise AuditError(msg)
        if known.size:
            self.last = known.entry(known.size - 1)

    def _write(self, path: str, data: bytes) -> None:
        target = self.folder / path
        made = [folder for folder in target.parents if folder != self.folder and not folder.exists()]
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        replace_durably(target, data)
        for folder in made:
            sync_folder(folder.parent)
