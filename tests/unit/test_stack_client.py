"""`./millrace watch` and `command`: the client's command line, pointed at the stack on this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from stack import client
from tests.unit.served import LINE, served


@pytest.fixture
def serving_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    monkeypatch.setenv("MILLRACE_GRPC", "")
    (tmp_path / "config").mkdir()
    return tmp_path / "config" / "serving.toml"


def say(serving_toml: Path, address: str) -> None:
    serving_toml.write_text(f'listen = "{address}"\n')


async def test_the_address_is_the_local_stacks(serving_toml: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async with served() as running:
        say(serving_toml, running.address)
        assert await asyncio.to_thread(client.main, ["devices"]) == 0
    assert f"{LINE}/press00" in capsys.readouterr().out


async def test_what_is_given_goes_first(
    serving_toml: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    say(serving_toml, "127.0.0.1:1")
    async with served() as running:
        assert await asyncio.to_thread(client.main, ["devices", "--address", running.address]) == 0
        monkeypatch.setenv("MILLRACE_GRPC", running.address)
        assert await asyncio.to_thread(client.main, ["devices"]) == 0
    assert f"{LINE}/press00" in capsys.readouterr().out


def test_a_stack_that_was_never_started_is_said_to_be_so(
    serving_toml: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert client.main(["devices"]) == 2
    assert "`./millrace up` starts one" in capsys.readouterr().err
    serving_toml.write_text("nothing = 1\n")
    assert client.main(["devices"]) == 2
    assert f"{serving_toml} names no address" in capsys.readouterr().err
