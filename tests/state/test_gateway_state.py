"""A gateway's files of every released version, opened by the present gateway: it goes on as it did."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.state import gateway, stored
from tests.state.outcome import assert_same


@pytest.mark.parametrize(("version", "name"), stored.of(*gateway.RESUME))
def test_files_of_a_gateway_go_on(version: Path, name: str, tmp_path: Path) -> None:
    stored.unpack(version / f"{name}.tar.xz", tmp_path / "found")
    assert_same(gateway.RESUME[name](tmp_path / "found"), stored.read_expected(version, name))
