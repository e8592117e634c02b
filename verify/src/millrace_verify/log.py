"""The whole of a log (C2SP tlog-tiles) against its signed checkpoint, and against older checkpoints that were kept elsewhere.

Every entry is read and hashed once. What is wrong is told by the first entry that it shows at.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from millrace_verify.merkle import Growing, leaf_hash, node_hash
from millrace_verify.note import Checkpoint, Key, NoteError, open_note

WIDTH = 256
_HASH = 32
_HOW = "entries were changed, inserted, deleted or put in another order"


class TamperedError(Exception):
    """The log is not what it was; the text says where and how."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was checked: the checkpoint, how many older ones it continues, and lines of copies that could not be read."""

    checkpoint: Checkpoint
    copies: int
    torn: int


def check(
    folder: Path,
    keys: Sequence[Key],
    copies: Sequence[Path] = (),
    progress: Callable[[int, int], None] = lambda _done, _of: None,
) -> Verified:
    """Check everything. Raises TamperedError, NoteError, or OSError when there is no log at all."""
    checkpoint = open_note((folder / "checkpoint").read_text(), keys)
    known, torn = _known(copies, keys, checkpoint)
    if copies and not known:
        msg = "the copies hold no whole checkpoint: nothing was compared with them"
        raise FileNotFoundError(msg)
    tree, tiles = Growing(), _Tiles(folder, checkpoint.size)
    _hold(known, tree, checkpoint)
    for bundle in range(-(-checkpoint.size // WIDTH)):
        hashes = [leaf_hash(entry) for entry in _entries(folder, bundle, checkpoint.size)]
        tiles.hold(0, bundle, hashes)
        for leaf in hashes:
            tree.add(leaf)
            _hold(known, tree, checkpoint)
        progress(tree.size, checkpoint.size)
    tiles.finish()
    if tree.root() != checkpoint.root:
        msg = f"the {tree.size} entries make another root than the checkpoint has: {_HOW}"
        raise TamperedError(msg)
    return Verified(checkpoint, len(known), torn)


class _Tiles:
    """Tiles of hashes against what the entries make: other people make proofs of them."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder, self._size = folder, size
        self._above: list[list[bytes]] = []

    def hold(self, level: int, index: int, hashes: list[bytes]) -> None:
        path = f"tile/{level}/{numbered(index, len(hashes))}"
        data = _read(self._folder, path, f"tile/{level}/{numbered(index)}")
        for at, expected in enumerate(hashes):
            if data[at * _HASH : (at + 1) * _HASH] != expected:
                first = (index * WIDTH + at) * WIDTH**level
                what = f"entry {first}" if level == 0 else f"entries {first} to {first + WIDTH**level - 1}"
                msg = f"{what} and tile {path} do not belong together: {_HOW}"
                raise TamperedError(msg)
        if len(hashes) == WIDTH:
            while len(self._above) <= level:
                self._above.append([])
            self._above[level].append(_root(hashes))
            if len(self._above[level]) == WIDTH:
                done, self._above[level] = self._above[level], []
                self.hold(level + 1, index // WIDTH, done)

    def finish(self) -> None:
        for level, hashes in enumerate(self._above):
            if hashes:
                self.hold(level + 1, self._size // WIDTH ** (level + 2), hashes)


def _hold(known: dict[int, list[Checkpoint]], tree: Growing, checkpoint: Checkpoint) -> None:
    for older in known.get(tree.size, ()):
        if older.root != tree.root():
            msg = (
                f"the log has forked: its first {older.size} entries are not those of a checkpoint that was kept elsewhere "
                f"(signed by {older.signed_by[0]}); the log now has {checkpoint.size}"
            )
            raise TamperedError(msg)


def _known(
    copies: Iterable[Path], keys: Sequence[Key], checkpoint: Checkpoint
) -> tuple[dict[int, list[Checkpoint]], int]:
    found: dict[int, list[Checkpoint]] = {}
    torn = 0
    for note in _notes(copies):
        if note is None:
            torn += 1
            continue
        one = open_note(note, keys)
        if one.origin != checkpoint.origin:
            msg = f"a copy is a checkpoint of {one.origin}, not of {checkpoint.origin}"
            raise NoteError(msg)
        if one.size > checkpoint.size:
            msg = f"the log was cut: it had {one.size} entries once, by a checkpoint that was kept elsewhere, and has {checkpoint.size} now"
            raise TamperedError(msg)
        found.setdefault(one.size, []).append(one)
    return found, torn


def _notes(copies: Iterable[Path]) -> Iterator[str | None]:
    """Notes of files; None for a line that was not written to its end."""
    for place in copies:
        files = sorted(place.glob("*.jsonl")) if place.is_dir() else [place]
        if not files:
            msg = f"{place} holds no copies of checkpoints (*.jsonl)"
            raise FileNotFoundError(msg)
        for file in files:
            if file.suffix != ".jsonl":
                yield file.read_text()
                continue
            for line in file.read_text().splitlines():
                if line.strip():
                    yield _copied(line, file)


def _copied(line: str, file: Path) -> str | None:
    """The note of a line; None for one that was cut while it was written. Anything else was changed."""
    try:
        note, end = json.JSONDecoder().raw_decode(line)
    except ValueError:
        if line.startswith('"'):
            return None
        note, end = None, 0
    if isinstance(note, str) and end == len(line):
        return note
    msg = f"{file.name} has a line that is no copy of a checkpoint: it was changed"
    raise TamperedError(msg)


def _entries(folder: Path, index: int, size: int) -> list[bytes]:
    width = min(WIDTH, size - index * WIDTH)
    path = f"tile/entries/{numbered(index, width)}"
    data = _read(folder, path, f"tile/entries/{numbered(index)}")
    found: list[bytes] = []
    at = 0
    while at < len(data) and len(found) < width:
        length = int.from_bytes(data[at : at + 2])
        if at + 2 + length > len(data):
            break
        found.append(data[at + 2 : at + 2 + length])
        at += 2 + length
    if len(found) < width or (at < len(data) and path.endswith(f".p/{width}")):
        msg = f"{path} has not the {width} entries that it should have (entries from {index * WIDTH} on)"
        raise TamperedError(msg)
    return found


def _read(folder: Path, *paths: str) -> bytes:
    for path in dict.fromkeys(paths):
        try:
            return (folder / path).read_bytes()
        except FileNotFoundError:
            continue
    msg = f"{paths[0]} is missing"
    raise TamperedError(msg)


def _root(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def numbered(index: int, width: int = WIDTH) -> str:
    """Number of a tile as the specification writes it, with its width when it is not full."""
    text = f"{index:03}"
    text = text.zfill(-(-len(text) // 3) * 3)
    parts = [text[at : at + 3] for at in range(0, len(text), 3)]
    path = "/".join([*(f"x{part}" for part in parts[:-1]), parts[-1]])
    return path if width == WIDTH else f"{path}.p/{width}"
