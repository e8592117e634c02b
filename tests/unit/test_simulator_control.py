"""The admin interface over a real socket, and the command line that talks to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from base import settings
from base.errors import ConfigError
from simulator import admin_http
from simulator.__main__ import main
from simulator.config import AdminSettings, OpcUaSettings, SimulatorConfig
from simulator.control import Control
from simulator.fault_effects import Fault
from simulator.fault_kinds import FaultRequest
from simulator.simulation import Simulation
from tests.unit.simulated_plant import START_US, devices

CONFIG = """
plant = "plant.yaml"
journal = "journal.sqlite"
[opcua]
url = "opc.tcp://127.0.0.1:4840"
[sparkplug]
host = "127.0.0.1"
port = 1883
[admin]
host = "127.0.0.1"
port = {port}
"""


class Plant:
    """A service without servers."""

    def __init__(self) -> None:
        self.simulation = Simulation(devices(), seed=1, start_us=START_US)
        self.problems: list[str] = []
        self.flushed = 0

    def health(self) -> list[str]:
        return self.problems

    def status(self) -> dict[str, Any]:
        return {"paused": self.simulation.paused}

    def faults(self) -> list[dict[str, Any]]:
        return [fault.describe(START_US) for fault in self.simulation.faults.all()]

    def add_fault(self, request: FaultRequest) -> Fault:
        return self.simulation.faults.add(request, START_US)

    def remove_faults(self, fault_id: int | None) -> list[Fault]:
        chosen = [fault.id for fault in self.simulation.faults.all()] if fault_id is None else [fault_id]
        return [self.simulation.faults.remove(number) for number in chosen]

    async def pause(self) -> None:
        self.simulation.pause()

    def resume(self) -> None:
        self.simulation.resume()

    async def flush(self) -> None:
        self.flushed += 1

    async def send_past(self, days: int) -> dict[str, Any]:
        return {"days": days}


@pytest.fixture
def plant() -> Plant:
    return Plant()


@pytest.fixture
async def port(plant: Plant) -> AsyncIterator[int]:
    server = await admin_http.serve("127.0.0.1", 0, Control(plant))
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def raw(port: int, request: bytes) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


async def call(port: int, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    data = b"" if body is None else json.dumps(body).encode()
    return await raw(
        port, f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data
    )


async def test_health_says_what_is_wrong(plant: Plant, port: int) -> None:
    assert await call(port, "GET", "/health") == (200, {"healthy": True, "problems": []})
    plant.problems = ["the journal is full"]
    assert await call(port, "GET", "/health") == (503, {"healthy": False, "problems": ["the journal is full"]})


async def test_faults_come_and_go(port: int) -> None:
    code, fault = await call(
        port, "POST", "/faults", {"device": "press-01", "tag": "force", "kind": "drift", "rate_per_s": 2}
    )
    assert code == 201
    assert (fault["id"], fault["device"], fault["parameters"]) == (1, "north.press-01", {"rate_per_s": 2})
    await call(port, "POST", "/faults", {"device": "north.press-02", "kind": "offline", "duration_s": 3})
    code, faults = await call(port, "GET", "/faults")
    assert [fault["kind"] for fault in faults] == ["drift", "offline"]
    assert await call(port, "DELETE", "/faults/1") == (200, {"removed": [1]})
    assert await call(port, "DELETE", "/faults?id=1") == (404, {"error": "no fault 1"})
    assert await call(port, "DELETE", "/faults") == (200, {"removed": [2]})


async def test_pause_and_resume(plant: Plant, port: int) -> None:
    assert await call(port, "POST", "/pause") == (200, {"paused": True})
    assert await call(port, "POST", "/resume") == (200, {"paused": False})
    await call(port, "POST", "/flush")
    assert plant.flushed == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("POST", "/faults", {"kind": "drift"}, 404),
        ("POST", "/faults", {"kind": "?"}, 400),
        ("POST", "/faults", [1], 400),
        ("DELETE", "/faults/x", None, 400),
        ("GET", "/nothing", None, 404),
        ("PUT", "/pause", None, 404),
    ],
)
async def test_wrong_requests(port: int, method: str, path: str, body: Any, code: int) -> None:
    status, answer = await call(port, method, path, body)
    assert status == code
    assert answer["error"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"hello\r\n\r\n",
        b"POST /faults HTTP/1.1\r\nContent-Length: 3\r\n\r\n{x}",
        b"POST /p HTTP/1.1\r\nContent-Length: z\r\n\r\n",
    ],
)
async def test_garbage_is_answered(port: int, request_bytes: bytes) -> None:
    assert (await raw(port, request_bytes))[0] == 400


async def test_command_line(port: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "simulator.toml"
    config.write_text(CONFIG.format(port=port))

    async def run(*arguments: str) -> tuple[int, Any]:
        code = await asyncio.to_thread(main, [*arguments, "--config", str(config)])
        return code, json.loads(capsys.readouterr().out)

    code, fault = await run("fault", "add", "press-01", "force", "spike", "magnitude=5", "--duration-s", "3")
    assert (code, fault["parameters"], fault["duration_s"]) == (0, {"magnitude": 5.0}, 3.0)
    assert [f["id"] for f in (await run("fault", "list"))[1]] == [1]
    assert (await run("fault", "add", "nobody", "-", "offline"))[0] == 1
    assert (await run("fault", "remove", "1")) == (0, {"removed": [1]})
    assert (await run("fault", "clear")) == (0, {"removed": []})
    assert (await run("pause")) == (0, {"paused": True})
    assert (await run("resume")) == (0, {"paused": False})
    assert (await run("status")) == (0, {"paused": False})


def test_nobody_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--url", "http://127.0.0.1:1"]) == 3
    assert "no answer" in capsys.readouterr().out


def test_configuration_is_checked() -> None:
    with pytest.raises(ValueError, match="anybody there could move the machines"):
        OpcUaSettings(url="opc.tcp://0.0.0.0:4840")
    with pytest.raises(ValueError, match=r"not opc.tcp"):
        OpcUaSettings(url="http://127.0.0.1:4840")
    with pytest.raises(ValueError, match="certificate"):
        OpcUaSettings(url="opc.tcp://10.0.0.1:4840", security=("Basic256Sha256_SignAndEncrypt",))
    with pytest.raises(ValueError, match="loopback"):
        AdminSettings(host="0.0.0.0", port=1)


def test_schedule_of_faults_in_the_file(tmp_path: Path) -> None:
    config = tmp_path / "simulator.toml"
    config.write_text(
        CONFIG.format(port=1) + '[[faults]]\ndevice = "press-01"\nkind = "offline"\nstart_s = 60\nduration_s = 30\n'
    )
    loaded = settings.load(SimulatorConfig, config)
    assert loaded.faults[0].start_s == 60
    config.write_text(CONFIG.format(port=1) + "[rhythm]\nenabled = 3\n")
    with pytest.raises(ConfigError, match="enabled"):
        settings.load(SimulatorConfig, config)
