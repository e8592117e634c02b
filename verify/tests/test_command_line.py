"""The program: what it prints, and its exit status."""

from __future__ import annotations

import ast
import base64
import json
import sys
from pathlib import Path

import pytest

import small_log
from millrace_verify.cli import main

ENTRIES = [f"entry {number}".encode() for number in range(300)]


def text(hashes: list[bytes]) -> str:
    return "".join(base64.b64encode(one).decode() + "\n" for one in hashes)


class Files:
    """A log, proofs of it, and a file of keys."""

    def __init__(self, folder: Path) -> None:
        key = small_log.Key()
        self.folder = small_log.write(folder / "log", ENTRIES, key)
        self.keys = folder / "keys"
        self.keys.write_text(f"# of the plant\n\n{key.text}\n")
        self.copies = small_log.copies(folder / "kept.jsonl", small_log.note(ENTRIES[:7], key))
        self.entry, self.inclusion = folder / "entry", folder / "inclusion"
        self.entry.write_bytes(ENTRIES[259])
        note = small_log.note(ENTRIES, key)
        self.inclusion.write_text(f"c2sp.org/tlog-proof@v1\nindex 259\n{text(small_log.path(259, ENTRIES))}\n{note}")
        self.old, self.new, self.consistency = folder / "old", folder / "new", folder / "consistency"
        self.old.write_text(small_log.note(ENTRIES[:100], key))
        self.new.write_text(note)
        self.consistency.write_text(f"millrace/consistency-proof@v1\nold 100\n{text(small_log.proof(100, ENTRIES))}")

    def run(self, *arguments: object) -> int:
        return main([*map(str, arguments), "--keys", str(self.keys)])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_what_holds_ends_with_0(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    assert files.run("log", files.folder, "--copies", files.copies) == 0
    assert "300 entries" in (said := capsys.readouterr().out)
    assert "continues 1 checkpoints" in said
    assert files.run("log", files.folder) == 0
    assert "nobody can tell" in capsys.readouterr().out
    assert files.run("inclusion", files.inclusion, files.entry) == 0
    assert files.run("consistency", files.old, files.new, files.consistency) == 0


def test_what_does_not_hold_ends_with_1(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    files.entry.write_bytes(b"entry 258")
    assert files.run("inclusion", files.inclusion, files.entry) == 1
    assert files.run("consistency", files.new, files.old, files.consistency) == 1
    (files.folder / "tile/0/000").unlink()
    assert files.run("log", files.folder, "--json") == 1
    assert json.loads(capsys.readouterr().out) == {"result": "BROKEN", "detail": "tile/0/000 is missing"}


def test_what_cannot_be_checked_ends_with_2(files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert files.run("log", tmp_path / "nowhere") == 2
    assert main(["log", str(files.folder)]) == 2
    assert "no key" in capsys.readouterr().err
    assert main(["log", str(files.folder), "--key", "x"]) == 2
    assert files.run("log", files.folder, "--copies", tmp_path / "log/tile") == 2


@pytest.mark.parametrize(
    "broken", ["", "x", "c2sp.org/tlog-proof@v1\nindex x\n\n", "c2sp.org/tlog-proof@v1\nindex 1\nAA==\n\n"]
)
def test_what_is_no_proof_ends_with_1(files: Files, broken: str) -> None:
    files.inclusion.write_text(broken)
    assert files.run("inclusion", files.inclusion, files.entry) == 1
    files.consistency.write_text(broken)
    assert files.run("consistency", files.old, files.new, files.consistency) == 1


def test_it_uses_nothing_but_the_library_it_declares() -> None:
    used = set()
    for path in (Path(__file__).parents[1] / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                used |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                used.add(node.module.split(".")[0])
    assert used - sys.stdlib_module_names == {"cryptography", "millrace_verify"}
