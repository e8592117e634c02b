"""Archives of loaded classes: written at the first orderly end, used from then on, and never in the way."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from stack import class_archives, java
from stack.config import TOOLS

_JARS = sorted((TOOLS / "jars" / "kafka").glob("*.jar"))
_FROM_ARCHIVE = "source: shared objects file (top)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(class_archives, "FOLDER", tmp_path / "classes")
    return tmp_path / "classes"


def _options(writer: str = "me", jars: list[Path] = _JARS) -> tuple[str, ...]:
    """For the one process that writes; without a writer, for those that run beside it."""
    found = class_archives.options("tool", jars, writer or "another")
    return found.first if writer else found.others


def _run(*options: str) -> str:
    """What Java says while it runs a small program of Kafka's jars, which ends well."""
    path = ":".join(map(str, _JARS))
    line = [str(java.executable()), *options, "-Xlog:class+load", "-cp", path, "kafka.tools.StorageTool", "random-uuid"]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout


def test_the_first_process_writes_what_the_second_uses() -> None:
    assert _FROM_ARCHIVE not in _run(*_options())
    used = _options()
    assert used[0].startswith("-XX:SharedArchiveFile=")
    said = _run(*used)
    assert said.count(_FROM_ARCHIVE) > 100
    assert any("org.apache.kafka" in line for line in said.splitlines() if _FROM_ARCHIVE in line)


def test_nobody_writes_without_a_name_and_all_use() -> None:
    assert _options(writer="") == ()
    _run(*_options())
    assert _options(writer="") == _options()


def test_what_a_killed_process_left_is_not_used_and_goes_when_there_is_a_whole_one(folder: Path) -> None:
    folder.mkdir()
    _run(*_options("first"))
    (whole,) = folder.iterdir()
    torn = whole.with_name(whole.name.replace("first", "killed"))
    torn.write_bytes(bytes(4096) + whole.read_bytes()[4096:8192])
    content = whole.read_bytes()
    whole.unlink()
    assert _options()[0].startswith("-XX:ArchiveClassesAtExit=")
    whole.write_bytes(content)
    assert _options()[0].startswith("-XX:SharedArchiveFile=")
    assert [file.suffix for file in folder.iterdir()] == [".jsa"]


@pytest.mark.parametrize("damage", ["cut short", "other bytes", "empty"])
def test_a_damaged_archive_is_made_anew(folder: Path, damage: str) -> None:
    _run(*_options())
    assert _options()[0].startswith("-XX:SharedArchiveFile=")
    (archive,) = folder.iterdir()
    content = archive.read_bytes()
    half = len(content) // 2
    archive.unlink()
    archive.write_bytes(
        {"cut short": content[:half], "other bytes": content[:half] + bytes(8) + content[half + 8 :], "empty": b""}[
            damage
        ]
    )
    again = _options()
    assert again[0].startswith("-XX:ArchiveClassesAtExit=")
    assert list(folder.iterdir()) == []
    _run(*again)
    assert _FROM_ARCHIVE in _run(*_options())


def test_other_jars_have_another_archive_and_the_old_one_goes(folder: Path, tmp_path: Path) -> None:
    _run(*_options())
    old = _options()
    other = tmp_path / "other.jar"
    other.write_bytes(b"")
    with_other = [*_JARS, other]
    written = _options(jars=with_other)
    assert written[0].startswith("-XX:ArchiveClassesAtExit=")
    path = ":".join(map(str, with_other))
    subprocess.run(
        [str(java.executable()), *written, "-cp", path, "kafka.tools.StorageTool", "random-uuid"],
        capture_output=True,
        check=True,
    )
    assert _options(jars=with_other)[0] != old[0]
    assert len(list(folder.iterdir())) == 1
