"""The list of files that begin first names files that there are."""

from __future__ import annotations

from pathlib import Path

from tests import conftest


def test_files_that_begin_first_exist() -> None:
    tests = Path(conftest.__file__).parent
    assert [name for name in conftest._LONG_FIRST if not (tests / name).is_file()] == []
