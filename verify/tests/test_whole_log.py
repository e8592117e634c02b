"""A log that somebody changed: flip, delete, insert, reorder, truncate, fork. Each is found, however well it was done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

import small_log
from millrace_verify import log
from millrace_verify.log import TamperedError
from millrace_verify.note import Key, NoteError

ENTRIES = [f'{{"offset":{number},"subject":"s{number % 7}"}}'.encode() for number in range(600)]
CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "flip": lambda entries: [*entries[:300], bytes([entries[300][0] ^ 1]) + entries[300][1:], *entries[301:]],
    "delete": lambda entries: entries[:300] + entries[301:],
    "insert": lambda entries: [*entries[:300], b"{}", *entries[300:]],
    "reorder": lambda entries: [*entries[:300], entries[301], entries[300], *entries[302:]],
    "truncate": lambda entries: entries[:-1],
    "truncate a bundle": lambda entries: entries[:512],
}


class Kept:
    """An honest log, and what was kept of it elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.key = small_log.Key()
        self.folder = small_log.write(folder / "log", ENTRIES, self.key)
        self.copies = small_log.copies(
            folder / "2026-11.jsonl", *(small_log.note(ENTRIES[:size], self.key) for size in (1, 256, 257, 500, 600))
        )

    def check(self, *, copies: bool = True) -> log.Verified:
        return log.check(self.folder, [Key.parse(self.key.text)], [self.copies] if copies else [])

    def forge(self, entries: Sequence[bytes], *, signed: bool, tiles: bool = True) -> None:
        """Replace the log by one of other entries; without the key the checkpoint stays, and maybe the tiles too."""
        note = (self.folder / "checkpoint").read_text()
        kept = {path: path.read_bytes() for path in self.folder.glob("tile/[0-9]*/**/*") if path.is_file()}
        small_log.write(self.folder, entries, self.key)
        if not signed:
            (self.folder / "checkpoint").write_text(note)
        if not tiles:
            for path, data in kept.items():
                path.write_bytes(data)


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


def test_an_honest_log_holds(kept: Kept) -> None:
    found = kept.check()
    assert (found.checkpoint.size, found.copies, found.torn) == (600, 5, 0)


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 511, 512])
def test_logs_of_every_shape_hold(tmp_path: Path, size: int) -> None:
    key = small_log.Key()
    found = log.check(small_log.write(tmp_path, ENTRIES[:size], key), [Key.parse(key.text)])
    assert found.checkpoint.size == size


def test_tiles_of_the_third_level_are_checked(tmp_path: Path) -> None:
    key, entries = small_log.Key(), [number.to_bytes(4) for number in range(65_536 + 300)]
    folder = small_log.write(tmp_path, entries, key)
    assert log.check(folder, [Key.parse(key.text)]).checkpoint.size == len(entries)
    top = folder / "tile/2/000.p/1"
    top.write_bytes(bytes(32))
    with pytest.raises(TamperedError, match="entries 0 to 65535 and tile tile/2"):
        log.check(folder, [Key.parse(key.text)])


@pytest.mark.parametrize("change", CHANGES)
def test_changed_entries_are_found_by_the_tiles(kept: Kept, change: str) -> None:
    kept.forge(CHANGES[change](ENTRIES), signed=False, tiles=False)
    if change.startswith("truncate"):
        # Files of the honest log lie beside those of the other one.
        small_log.place(kept.folder / "tile/entries", 2, 88).unlink()
    with pytest.raises(TamperedError):
        kept.check(copies=False)


def test_the_first_entry_that_differs_is_named(kept: Kept) -> None:
    kept.forge(CHANGES["flip"](ENTRIES), signed=False, tiles=False)
    with pytest.raises(TamperedError, match="entry 300 and tile"):
        kept.check(copies=False)


@pytest.mark.parametrize("change", ["flip", "delete", "insert", "reorder"])
def test_entries_and_tiles_that_were_changed_together_are_found_by_the_root(kept: Kept, change: str) -> None:
    changed = CHANGES[change](ENTRIES)
    # As many as before, or the checkpoint would not even find its files.
    kept.forge([*changed, b"{}"][:600], signed=False)
    with pytest.raises(TamperedError, match="another root"):
        kept.check(copies=False)


@pytest.mark.security("T-AUDIT-CHANGE", "T-PEOPLE-INSIDER", "SR 3.4", "SR 3.9")
@pytest.mark.parametrize("change", CHANGES)
def test_whoever_has_the_key_is_found_by_the_copies(kept: Kept, change: str) -> None:
    kept.forge(CHANGES[change](ENTRIES), signed=True)
    assert kept.check(copies=False)
    with pytest.raises(
        TamperedError, match="was cut" if change in {"delete", "truncate", "truncate a bundle"} else "has forked"
    ):
        kept.check()


@pytest.mark.security("T-AUDIT-CHANGE")
def test_a_fork_that_grew_further_is_found(kept: Kept) -> None:
    kept.forge([*ENTRIES[:499], *(b"{}" for _ in range(300))], signed=True)
    with pytest.raises(TamperedError, match="its first 500 entries"):
        kept.check()


def test_a_log_that_grew_continues_its_copies(kept: Kept) -> None:
    kept.forge([*ENTRIES, *(b"{}" for _ in range(300))], signed=True)
    assert kept.check().copies == 5


@pytest.mark.parametrize("path", ["tile/0/000", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001"])
def test_a_missing_file_is_told(kept: Kept, path: str) -> None:
    (kept.folder / path).unlink()
    with pytest.raises(TamperedError, match=f"{path} is missing"):
        kept.check(copies=False)


@pytest.mark.security("T-AUDIT-CHANGE", "SR 2.12", "SR 3.4", "V16.4.2")
@pytest.mark.parametrize("path", ["tile/0/001", "tile/0/002.p/88", "tile/1/000.p/2", "tile/entries/001"])
@pytest.mark.parametrize("at", [0, 40, -1])
def test_every_flipped_bit_of_a_file_is_found(kept: Kept, path: str, at: int) -> None:
    data = bytearray((kept.folder / path).read_bytes())
    data[at] ^= 1
    (kept.folder / path).write_bytes(data)
    with pytest.raises(TamperedError):
        kept.check(copies=False)


@pytest.mark.parametrize("path", ["tile/0/002.p/88", "tile/entries/002.p/88"])
@pytest.mark.parametrize("more", [b"", b"\x00\x01x"])
def test_a_file_that_was_cut_or_grew_is_found(kept: Kept, path: str, more: bytes) -> None:
    data = (kept.folder / path).read_bytes()
    (kept.folder / path).write_bytes(data + more if more else data[:-3])
    if more and path.startswith("tile/0"):
        return  # what follows the hashes of a tile is of no tree
    with pytest.raises(TamperedError):
        kept.check(copies=False)


def test_a_copy_that_was_not_written_to_its_end_is_counted(kept: Kept) -> None:
    kept.copies.write_text(kept.copies.read_text()[:-20])
    found = kept.check()
    assert (found.copies, found.torn) == (4, 1)


def test_a_copy_of_another_log_is_told(kept: Kept) -> None:
    other_key = small_log.Key("plant.example/other")
    other = small_log.note(ENTRIES[:5], other_key, origin="plant.example/other")
    small_log.copies(kept.copies, other)
    with pytest.raises(NoteError, match="not of plant"):
        log.check(kept.folder, [Key.parse(kept.key.text), Key.parse(other_key.text)], [kept.copies])


@pytest.mark.parametrize("change", ["x{}", "{}x", "7"])
def test_a_copy_that_was_changed_is_no_torn_one(kept: Kept, change: str) -> None:
    lines = kept.copies.read_text().splitlines()
    kept.copies.write_text("\n".join([*lines[:-1], change.format(lines[-1])]))
    with pytest.raises(TamperedError, match="no copy of a checkpoint: it was changed"):
        kept.check()


@pytest.mark.parametrize("left", ["", '"half a checkpoi'])
def test_copies_of_which_nothing_is_left_prove_nothing(kept: Kept, left: str) -> None:
    kept.copies.write_text(left)
    with pytest.raises(FileNotFoundError, match="nothing was compared"):
        kept.check()
