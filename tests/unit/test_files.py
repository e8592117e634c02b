"""Files that change as a whole."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from base import files


@pytest.mark.parametrize("replace", [files.replace, files.replace_durably])
def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path, replace: Callable[..., None]) -> None:
    path = tmp_path / "record.json"
    (tmp_path / ".record.json.new").write_text("half of something longer, from a process that was killed")
    for data, found in (("größer", "größer".encode()), (b"\0\1", b"\0\1"), ("", b"")):
        replace(path, data)
        assert path.read_bytes() == found
        assert os.listdir(tmp_path) == ["record.json"]


def test_a_secret_is_its_owner_s_alone(tmp_path: Path) -> None:
    files.replace(tmp_path / "key", b"secret", mode=files.OWNERS)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


@pytest.mark.parametrize(("owner", "step"), [(os, "fsync"), (Path, "replace")])
def test_who_is_stopped_half_way_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, step: str
) -> None:
    path = tmp_path / "record.json"
    files.replace(path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owner, step, full)
    with pytest.raises(OSError, match="No space"):
        files.replace_durably(path, "new and longer")
    assert path.read_text() == "old"
