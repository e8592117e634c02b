"""The short programs of docs/examples/api, in three languages, run against a real server: they watch, read history and command.

Python uses `millrace-client`, TypeScript HTTP and Node alone, Java stubs that are generated here and committed nowhere.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from base.ids import now_us
from base.settings import PostgresSettings
from historian.store import HistorianStore
from schemas.commands import CommandState
from schemas.definitions import DataType
from serving.config import HttpSettings
from stack import node as toolbox
from tests.integration.fix_history import copy_of, history, sql, store, variant
from tests.integration.history import make_frame, register, tag, validated
from tests.unit.served import Served, batch, definition, eventually, served

__all__ = ["copy_of", "history", "sql", "store", "variant"]

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples" / "api"
PRESS = "acme/north/forming/line-1/blanking/press-01"
SAID = {
    "watch": ("speed_setpoint", "5"),
    "history": (f"{PRESS}/temperature 3 samples",),
    "command": ("SUCCEEDED",),
}
"""What a program prints, at least."""


@asynccontextmanager
async def plant(dsn: str, store: HistorianStore) -> AsyncIterator[Served]:
    """A server with the examples' press: two tags, three samples of one in the last hour, commands carried out."""
    ids = register(dsn, temperature=tag(), speed_setpoint=tag())
    at_us = now_us() - 60_000_000
    times = [at_us, at_us + 1_000_000, at_us + 2_000_000]
    store.write([validated(make_frame([ids["temperature"]] * 3, times, [20.0, 21.0, 22.0]))])
    shared: dict[str, Any] = {"device_id": 77, "data_type": DataType.DOUBLE, "eu_low": 0.0, "gateway_id": "gw"}
    postgres, http = PostgresSettings(dsn=dsn), HttpSettings(listen="127.0.0.1:0")
    async with served(postgres=postgres, http=http) as running:
        running.know(
            [
                definition(
                    tag_id=tag_id, path=f"{PRESS}/{name}", name=name, writable=name == "speed_setpoint", **shared
                )
                for name, tag_id in ids.items()
                if name in {"temperature", "speed_setpoint"}
            ],
            version=9,
        )
        running.server.values.apply(batch({ids["temperature"]: 71.25, ids["speed_setpoint"]: 5.0, 100: 5.0}))
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
        running.record(request, CommandState.SUCCEEDED, 3, detail="done", readback=request.parameters)
        done += 1


async def said(running: Served, *command: str | Path, lines: int = 0) -> str:
    """What a program prints until it ends, or until it has printed so many lines; it must not complain."""
    assert running.server.http is not None
    environment = os.environ | {
        "MILLRACE_GRPC": running.address,
        "MILLRACE_HTTP": f"http://127.0.0.1:{running.server.http.port}",
        "NO_PROXY": "127.0.0.1",
    }
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            if lines:
                return b"".join([await process.stdout.readline() for _ in range(lines)]).decode()
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    assert process.returncode == 0, errors.decode()
    return output.decode()


def node() -> Path:
    """Node of the development environment."""
    try:
        return toolbox.executable()
    except toolbox.NodeError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def java(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Class path of the compiled examples; Maven brings gRPC and the compiler of the protos."""
    if missing := [name for name in ("javac", "mvn") if shutil.which(name) is None]:
        pytest.skip(f"{' and '.join(missing)} not found: a JDK and Maven compile the Java examples")
    folder = tmp_path_factory.mktemp("java")
    jars, generated, classes = (folder / name for name in ("jars", "generated", "classes"))
    generated.mkdir()
    run(
        "mvn",
        "-q",
        "-B",
        "-f",
        EXAMPLES / "java" / "pom.xml",
        "dependency:copy-dependencies",
        f"-DoutputDirectory={jars}",
    )
    [protoc], [plugin] = jars.glob("protoc-[0-9]*.exe"), jars.glob("protoc-gen-grpc-java-*.exe")
    for program in (protoc, plugin):
        program.chmod(0o755)
    protos = sorted((ROOT / "schemas" / "proto").rglob("*.proto"))
    outputs = (f"--java_out={generated}", f"--grpc-java_out={generated}", f"--plugin=protoc-gen-grpc-java={plugin}")
    run(protoc, f"-I{ROOT}", *outputs, *protos)
    sources = [*generated.rglob("*.java"), *(EXAMPLES / "java").glob("*.java")]
    run("javac", "-proc:none", "-cp", f"{jars}/*", "-d", classes, *sources)
    return f"{classes}:{jars}/*"


def run(*command: str | Path) -> None:
    """Run a program that must end well."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize("name", list(SAID))
async def test_python(name: str, history: str, store: HistorianStore) -> None:
    async with plant(history, store) as running:
        output = await said(running, sys.executable, "-W", "error", EXAMPLES / "python" / f"{name}.py")
    assert all(text in output for text in SAID[name]), output


@pytest.mark.parametrize("name", list(SAID))
async def test_typescript(name: str, history: str, store: HistorianStore) -> None:
    async with plant(history, store) as running:
        output = await said(
            running, node(), "--no-warnings", EXAMPLES / "typescript" / f"{name}.ts", lines=3 if name == "watch" else 0
        )
    assert all(text in output for text in SAID[name]), output


@pytest.mark.campaign
@pytest.mark.parametrize("name", list(SAID))
async def test_java(name: str, java: str, history: str, store: HistorianStore) -> None:
    async with plant(history, store) as running:
        output = await said(running, "java", "-cp", java, name.capitalize())
    assert all(text in output for text in SAID[name]), output


def test_the_programs_are_short() -> None:
    for path in EXAMPLES.glob("python/*.py"):
        lines = [line for line in path.read_text().splitlines() if line and "import" not in line]
        assert len(lines) <= 5, path.name
    for path in EXAMPLES.glob("typescript/*.ts"):
        assert len([line for line in path.read_text().splitlines() if not line.startswith("//")]) <= 6, path.name
