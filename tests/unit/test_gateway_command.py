"""The gateway's tools, at a gateway that runs as a process of its own under something that plays systemd."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from base.toml import to_toml
from edge import command
from edge.table import render
from tests.integration.gateway_support import free_port
from tests.integration.polling import eventually

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]


def configuration(folder: Path, **changes: Any) -> Path:
    """A gateway's file, with ports at which nothing listens."""
    values: dict[str, Any] = {
        "gateway_id": "gw1", "site": "north", "state_dir": str(folder / "state"), "shutdown_s": 0.1,
        "kafka": {"bootstrap_servers": f"127.0.0.1:{free_port()}"}, "admin": {"port": free_port()},
        "buffer": {"max_bytes": 64 << 20},
    }  # fmt: skip
    file = folder / "gateway.toml"
    file.write_text(to_toml(values | changes))
    return file


def opcua(port: int, **more: Any) -> dict[str, Any]:
    return {"name": "line1", "protocol": "opcua", "endpoint": f"opc.tcp://127.0.0.1:{port}", **more}


@pytest.fixture
def listening() -> Iterator[int]:
    """A port at which something accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextlib.contextmanager
def a_gateway(file: Path, told: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        name = file.parent / "notify"
        channel.bind(str(name))
        channel.settimeout(0.2)
        over = threading.Event()

        def listen() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    told.extend(channel.recv(4096).decode().split("\n"))

        listener = threading.Thread(target=listen)
        listener.start()
        environment = {**os.environ, "NOTIFY_SOCKET": str(name), "WATCHDOG_USEC": "2000000"}
        with (file.parent / "log").open("wb") as log:
            arguments = [sys.executable, "-m", "edge", "--config", str(file)]
            process = subprocess.Popen(arguments, cwd=ROOT, env=environment, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)
            over.set()
            listener.join()


def test_status_and_reload_of_a_running_gateway(
    tmp_path: Path, listening: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file, told = configuration(tmp_path, connections=[opcua(listening)]), list[str]()
    admin = to_port(file)
    url = f"http://127.0.0.1:{admin}"
    with a_gateway(file, told) as process:
        eventually(lambda: "READY=1" in told or process.poll() is not None, timeout_s=60)
        assert "STATUS=gateway gw1 of site north" in told
        eventually(lambda: told.count("WATCHDOG=1") >= 3)
        assert command.main(["status", url, "--seconds", "0.1"]) == 4  # no Kafka, no registry
        shown = capsys.readouterr().out
        assert "gateway gw1 of site north: NOT WELL" in shown
        assert "problem: no registry yet" in shown
        assert [line.split()[:3] for line in shown.splitlines() if line.startswith("line1")] == [
            ["line1", "opcua", "no"]
        ]
        assert command.main(["status", url, "--seconds", "0", "--json"]) == 4
        assert json.loads(capsys.readouterr().out)["gateway_id"] == "gw1"

        file.write_text(file.read_text().replace("line1", "line2"))
        assert command.main(["reload", url]) == 0
        assert capsys.readouterr().out == f"{url}: added line2; removed line1\n"
        eventually(lambda: "RELOADING=1" in told and told.count("READY=1") >= 2)
        file.write_text("no")
        assert command.main(["reload", url]) == 1
        assert "refused: ConfigError" in capsys.readouterr().out
    assert process.returncode == 0
    assert "STOPPING=1" in told


def to_port(file: Path) -> int:
    import tomllib

    return int(tomllib.loads(file.read_text())["admin"]["port"])


def test_tools_without_a_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MILLRACE_STATE", str(tmp_path))
    assert command.main(["status", f"http://127.0.0.1:{free_port()}"]) == 3
    assert command.main(["status", "gw9"]) == 2
    assert "there are: none" in capsys.readouterr().err
    assert command.main(["status"]) == 2
    assert "`./millrace up` starts it" in capsys.readouterr().err
    assert command.main(["reload", "http://192.0.2.1:1"]) == 2
    assert "SIGHUP" in capsys.readouterr().err
    assert command.main(["check"]) == 2


def test_check_names_what_is_wrong(tmp_path: Path, listening: int, capsys: pytest.CaptureFixture[str]) -> None:
    good = opcua(listening)
    bad = opcua(free_port(), username="u", password="file:/none") | {"name": "line2"}
    file = configuration(tmp_path, connections=[good, bad], buffer={"max_bytes": 1 << 60})
    assert command.main(["check", str(file), "--json"]) == 1
    rows = {row["what"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert {what: row["grade"] for what, row in rows.items()} == {
        "configuration": "ok",
        "line2: password": "FAILED",
        "state_dir": "ok",
        "data at rest": "ok",
        "disk": "FAILED",
        "kafka": "FAILED",
        "line1 (opcua)": "ok",
        "line2 (opcua)": "FAILED",
    }
    assert "lower buffer.max_bytes" in rows["disk"]["detail"]
    assert "file:/none" in rows["line2: password"]["detail"]
    assert not (tmp_path / "state").exists()
    file.write_text("gateway_id = 1")
    assert command.main(["check", "--config", str(file)]) == 1
    assert "configuration  FAILED  ConfigError" in capsys.readouterr().out


def test_a_table() -> None:
    assert render(("a", "bb"), [("xyz", 1), ("", 12)]) == "a    bb\nxyz   1\n     12"
    assert render(("a",), []) == "a"
