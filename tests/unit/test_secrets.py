"""Secrets are named by reference, read when they are used, and never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from base.errors import ConfigError
from base.secrets import check_reference, resolve


@pytest.mark.security("SR 1.5", "V13.3.1")
@pytest.mark.drill("machine-passwords")
def test_a_secret_is_read_anew_from_where_its_reference_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "password"
    for secret in ("one", "two"):
        file.write_text(f"{secret}\n")
        assert resolve(f"file:{file}") == secret
    monkeypatch.setenv("PLC_PASSWORD", "three")
    assert resolve("env:PLC_PASSWORD") == "three"
    assert resolve("") == ""


@pytest.mark.security("T-PLANT-READ", "V13.3.1")
def test_a_plain_secret_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="password is not a reference: write file:PATH or env:NAME") as caught:
        check_reference("password", "hunter2")
    assert "hunter2" not in str(caught.value)
    for empty in ("file:", "env:"):
        with pytest.raises(ValueError, match="not a reference"):
            check_reference("password", empty)


def test_a_secret_that_is_not_there_names_its_reference(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"secret file:.*none cannot be read: No such file"):
        resolve(f"file:{tmp_path / 'none'}")
    with pytest.raises(ConfigError, match="secret env:NOBODY_SET_THIS: the variable is not set"):
        resolve("env:NOBODY_SET_THIS")
    long, binary = tmp_path / "long", tmp_path / "binary"
    long.write_bytes(b"x" * 70_000)
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="longer than 65536 bytes"):
        resolve(f"file:{long}")
    with pytest.raises(ConfigError, match="not UTF-8"):
        resolve(f"file:{binary}")
