"""The distribution `millrace-client`, built and installed alone: it reads, watches and commands a real server from another process.

The virtual environment has the wheel and what it asks for, once in the oldest versions that it declares, once in the newest there are;
nothing else of ours. Packages come from the registry that the environment was made from.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import client_readme
from schemas.commands import CommandState
from schemas.definitions import DataType
from tests.unit.served import Served, batch, definition, eventually, served

ROOT = Path(__file__).resolve().parents[2]
UV = ROOT / ".millrace" / "bootstrap" / "bin" / "uv"
PRESS = "acme/north/forming/line-1/blanking/press-01"
OURS = sorted({path.parent.name for path in ROOT.glob("*/__init__.py")} | {"client", "fastavro", "confluent_kafka"})

ALONE = """
import importlib.metadata, importlib.util, json, sys
import millrace_client, millrace_client.fake
print(json.dumps({
    "file": millrace_client.__file__,
    "found": [name for name in sys.argv[1:] if importlib.util.find_spec(name)],
    "installed": {one.name: one.version for one in importlib.metadata.distributions()},
}))
"""


def uv(*arguments: str | Path) -> str:
    """Run uv; returns what it says."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    result = subprocess.run(
        [UV, *arguments], cwd="/", env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from the source distribution, which is built from a copy of the folder."""
    folder = tmp_path_factory.mktemp("client")
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info", "build", ".*")
    shutil.copytree(ROOT / "client", folder / "source", ignore=ignore)
    uv("build", "--quiet", "--out-dir", folder / "dist", folder / "source")
    [found] = (folder / "dist").glob("*.whl")
    return found


@pytest.fixture(scope="module", params=["lowest-direct", "highest"])
def python(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that has nothing but the wheel with its command line, and what they need."""
    folder = tmp_path_factory.mktemp(request.param) / "venv"
    uv("venv", "--quiet", "--python", sys.executable, folder)
    interpreter = folder / "bin" / "python"
    uv(
        "pip",
        "install",
        "--quiet",
        "--python",
        interpreter,
        "--resolution",
        request.param,
        f"{wheel}[cli,pandas,polars,arrow]",
    )
    return interpreter


def test_the_wheel_holds_the_client_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert wheel.name == "millrace_client-0.3.0-py3-none-any.whl"
    assert {name.split("/")[0] for name in names} == {"millrace_client", "millrace_client-0.3.0.dist-info"}
    assert {"millrace_client/py.typed", "millrace_client/_proto/millrace/v1/state_pb2.pyi"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


async def test_nothing_else_of_ours_is_there(python: Path, tmp_path: Path) -> None:
    found = json.loads(await run(python, "-I", "-W", "error", "-c", ALONE, *OURS, cwd=tmp_path))
    assert found["file"].startswith(str(python.parents[1]))
    assert found["found"] == []
    assert {"millrace-client", "grpcio", "protobuf", "rich"} <= set(found["installed"])
    assert not {name for name in found["installed"] if name.startswith("millrace")} - {"millrace-client"}


@pytest.mark.parametrize("heading", ["Read", "Watch", "Command", "With asyncio"])
async def test_the_programs_of_the_readme_run(python: Path, tmp_path: Path, heading: str) -> None:
    program = tmp_path / "program.py"
    program.write_text(client_readme.programs()[heading])
    async with plant() as running:
        output = await run(python, "-I", "-W", "error", str(program), cwd=tmp_path, MILLRACE_GRPC=running.address)
    expected = {
        "Read": f"{PRESS}/speed_setpoint 5.0 Cel",
        "Watch": f"{PRESS}/temperature 71.25 GOOD 20",
        "Command": "SUCCEEDED done {'speed_setpoint': 12.5}",
        "With asyncio": f"path='{PRESS}/",
    }
    assert expected[heading] in output


TABLES = """
from millrace_client.fake import FakePlant
plant = FakePlant()
plant.define("acme/north/press01/temperature", unit="Cel", value=71.25)
with plant.client() as client:
    table = client.history("acme")
    curve = client.chart("acme")
print(table.to_pandas().dtypes["time"], table.to_polars().schema["time"], table.to_arrow().schema.field("time").type)
print(table.to_pandas().value[0], table.to_polars()["value"][0], table.to_arrow()["value"][0])
print(len(curve.to_pandas()), len(curve.to_polars()), len(curve.to_arrow()))
"""


async def test_history_becomes_what_the_extras_bring(python: Path, tmp_path: Path) -> None:
    kinds, values, rows = (await run(python, "-I", "-c", TABLES, cwd=tmp_path)).splitlines()
    assert (kinds.count("UTC"), kinds.count("us")) == (3, 3)
    assert (values, rows) == ("71.25 71.25 71.25", "1 1 1")


async def test_the_command_line_is_installed(python: Path, tmp_path: Path) -> None:
    script = python.with_name("millrace-client")
    async with plant() as running:
        call: Callable[..., Any] = lambda *a: run(script, *a, "--json", cwd=tmp_path, MILLRACE_GRPC=running.address)  # noqa: E731
        tags = [json.loads(line) for line in (await call("tags", "press-01")).splitlines()]
        watched = [json.loads(line) for line in (await call("watch", "press-01", "--count", "2")).splitlines()]
        states = [
            json.loads(line) for line in (await call("command", "press-01", "write", "speed_setpoint=3")).splitlines()
        ]
    assert {tag["name"]: tag["last"]["value"] for tag in tags} == {"speed_setpoint": 5.0, "temperature": 71.25}
    assert len(watched) == 2
    assert (states[-1]["state"], states[-1]["readback"]) == ("SUCCEEDED", {"speed_setpoint": 3.0})


async def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Standard output of a program that must end well."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env=os.environ | environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode()


@asynccontextmanager
async def plant() -> AsyncIterator[Served]:
    """A server with the README's press, whose commands are carried out."""
    async with served() as running:
        tags = {"temperature": (200, False, 71.25), "speed_setpoint": (201, True, 5.0)}
        shared: dict[str, Any] = {"device_id": 20, "data_type": DataType.DOUBLE, "eu_low": 0.0}
        running.know(
            [
                definition(tag_id=tag_id, path=f"{PRESS}/{name}", name=name, writable=writable, **shared)
                for name, (tag_id, writable, _) in tags.items()
            ],
            version=9,
        )
        running.server.values.apply(batch({tag_id: value for tag_id, _, value in tags.values()} | {100: 1.0}))
        carrying_out = asyncio.create_task(carry_out(running))
        try:
            yield running
        finally:
            carrying_out.cancel()
            await asyncio.gather(carrying_out, return_exceptions=True)


async def carry_out(running: Served) -> None:
    """Be gateway and record of every command."""
    done = 0

    def more() -> bool:
        return len(running.requests.records) > done

    while True:
        await eventually(more, timeout_s=600)
        request = running.request(done)
        running.record(request, CommandState.EXECUTING, 2)
        running.record(request, CommandState.SUCCEEDED, 3, detail="done", readback=request.parameters)
        done += 1
