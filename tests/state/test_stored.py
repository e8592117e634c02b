"""The stored files themselves: complete, of released versions, and never edited."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from schemas import codec
from tests.contract import golden_files
from tests.state import gateway, keyed, savepoints, stored
from tests.state.outcome import differences

MAX_BYTES = 400_000
OURS = ("schemas", "stages", "connectors", "jobs", "stack", "edge")
"""Packages whose names are no words of topics and operators, nor (as `base`) of Flink's own classes."""


SAVEPOINTS = tuple(f"savepoint-{job}" for job in savepoints.NAMES)
VERSIONS = pytest.mark.parametrize("version", stored.versions(), ids=lambda folder: folder.name)


@VERSIONS
def test_every_state_has_its_outcome_and_there_is_nothing_else(version: Path) -> None:
    """A savepoint may be stored before its outcome: it is not restored by a test until it has one."""
    names = {path.name.removesuffix(".expected.json") for path in version.glob("*.expected.json")}
    assert names <= {*keyed.NAMES, *gateway.MAKE, *SAVEPOINTS}
    states = {f"{name}.json.xz" if name in keyed.NAMES else f"{name}.tar.xz" for name in names}
    outcomes = {stored.expected_file(version, name).name for name in names}
    waiting = {f"{name}.tar.xz" for name in SAVEPOINTS if (version / f"{name}.tar.xz").exists()}
    assert {path.name for path in version.iterdir()} == {"manifest.json"} | states | outcomes | waiting
    assert all(path.stat().st_size < MAX_BYTES for path in version.iterdir())


@VERSIONS
def test_golden_messages_of_a_version_are_what_they_were(version: Path) -> None:
    """`tests/contract/test_golden.py` decodes them; here none is missing and none was edited."""
    manifest = json.loads((version / "manifest.json").read_text())
    assert manifest["version"] == version.name
    known = {f"{each.name}.v{each.version}": each for versions in codec.all_schemas().values() for each in versions}
    now = {name: sha256(golden_files.load_message(known[name])).hexdigest() for name in manifest["golden_messages"]}
    assert now == manifest["golden_messages"]


@pytest.mark.parametrize("name", SAVEPOINTS)
@VERSIONS
def test_a_savepoint_names_no_module_of_ours(version: Path, name: str, tmp_path: Path) -> None:
    """A pickled class of ours would tie it to the name of its module."""
    if not (version / f"{name}.tar.xz").exists():
        pytest.skip("the state of this job was reset since")
    stored.unpack(version / f"{name}.tar.xz", tmp_path)
    files = list((tmp_path / "savepoint").iterdir())
    assert any(path.name == "_metadata" for path in files)
    named = {package for path in files for package in OURS if f"{package}.".encode() in path.read_bytes()}
    assert not named


def test_the_first_release_is_stored() -> None:
    assert stored.versions()[0].name == "0.1.0"


def test_differences_are_named() -> None:
    expected = {"rows": [[1, 2.0, "a"], [2, 3.0, None]], "count": 4}
    assert not list(differences({"rows": [[1, 2.0 + 1e-12, "a"], [2, 3.0, None]], "count": 4}, expected))
    found = {"rows": [[1, 2.1, "a"], [2, 3.0, 5]], "counts": 4}
    assert [each.split(":")[0] for each in differences(found, expected)] == [
        "/count",
        "/counts",
        "/rows[0][1]",
        "/rows[1][2]",
    ]
    (line,) = differences({"rows": [[1, 2.0, "a"]], "count": 4}, expected)
    assert "1 rows, expected 2; missing ['[2, 3.0, None]']" in line


def test_packing_gives_the_files_back_and_overwrites_nothing(tmp_path: Path) -> None:
    folder, archive = tmp_path / "made", tmp_path / "made.tar.xz"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "file").write_bytes(b"\0" * 9)
    stored.pack(folder, archive)
    stored.unpack(archive, tmp_path / "again")
    assert (tmp_path / "again" / "inner" / "file").read_bytes() == b"\0" * 9
    with pytest.raises(FileExistsError):
        stored.pack(folder, archive)
