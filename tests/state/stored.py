"""Files of the stored state: one folder per released version, written once, never edited.

`<version>/manifest.json` says which code made it and which schemas it knew. Every other fixture is a pair: `<name>.json.xz`
or `<name>.tar.xz` is the state with the input that goes on from it, `<name>.expected.json` is what the code that made the
state got from the two. Bytes are written as `{"bytes": "<hex>"}`, as in the golden messages.
"""

from __future__ import annotations

import io
import json
import lzma
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.contract.golden_files import from_json, to_json
from tests.golden.runner import dump

ROOT = Path(__file__).parent
_PRESET = 9 | lzma.PRESET_EXTREME


def versions() -> list[Path]:
    """Folders of the stored versions, oldest first."""
    found = [path.parent for path in ROOT.glob("*/manifest.json")]
    return sorted(found, key=lambda folder: [int(part) for part in folder.name.split(".")])


def of(*names: str) -> list[Any]:
    """Parameters (folder of a version, name) of a test: those of `names` that each version has stored.

    A version loses the fixtures of a job whose state was reset since.
    """
    found = [(folder, name) for folder in versions() for name in names if expected_file(folder, name).exists()]
    return [pytest.param(folder, name, id=f"{folder.name}-{name}") for folder, name in found]


def expected_file(folder: Path, name: str) -> Path:
    """File of an outcome."""
    return folder / f"{name}.expected.json"


def write_json(path: Path, value: Any) -> None:
    """Create a compressed JSON file; raises FileExistsError for one that is there."""
    text = json.dumps(to_json(value), separators=(",", ":"), allow_nan=False)
    with path.open("xb") as file:
        file.write(lzma.compress(text.encode(), preset=_PRESET))


def read_json(path: Path) -> Any:
    """Inverse of `write_json`; tuples come back as lists."""
    return from_json(json.loads(lzma.decompress(path.read_bytes())))


def write_expected(folder: Path, name: str, outcome: dict[str, Any]) -> None:
    """Create the file of an outcome, one line per record; raises FileExistsError."""
    with expected_file(folder, name).open("x") as file:
        file.write(dump(outcome))


def read_expected(folder: Path, name: str) -> dict[str, Any]:
    """An outcome."""
    found: dict[str, Any] = json.loads(expected_file(folder, name).read_text())
    return found


def pack(folder: Path, target: Path) -> None:
    """Create a tar.xz of a folder's files; the same files make the same archive. Raises FileExistsError."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            entry.size = path.stat().st_size
            entry.mode = 0o644
            with path.open("rb") as file:
                archive.addfile(entry, file)
    with target.open("xb") as file:
        file.write(lzma.compress(buffer.getvalue(), preset=_PRESET))


def unpack(source: Path, folder: Path) -> None:
    """Files of an archive into a folder."""
    with tarfile.open(source) as archive:
        for entry in archive:
            file = archive.extractfile(entry)
            assert file is not None, f"{entry.name} in {source.name} is no file"
            target = folder / entry.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read())
