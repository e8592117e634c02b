"""A foreign machine as a child process: started with its plan, ordered about over standard input, stopped or killed."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any

from base.errors import MillraceError
from benchmarks.foreign import toolchain

ASYNCUA, NODE_OPCUA, SPARKPLUG = "asyncua", "node-opcua", "sparkplug"
KINDS = (NODE_OPCUA, ASYNCUA)
"""The OPC UA servers."""
_READY_TIMEOUT_S = 120.0
_ORDER_TIMEOUT_S = 60.0
_SAID = 2000
_LINE_LIMIT = 1 << 20


class ForeignError(MillraceError):
    """A foreign program did not start or did not do what it was told."""


def command_of(kind: str, state: Path | None = None) -> list[str]:
    """Command line of a program, without its plan; raises ToolchainError."""
    if kind == ASYNCUA:
        return [sys.executable, str(toolchain.SERVERS / "asyncua_server.py")]
    return [str(toolchain.node()), str(toolchain.programs(state) / f"{_PROGRAMS[kind]}.mjs")]


_PROGRAMS = {NODE_OPCUA: "opcua_server", SPARKPLUG: "sparkplug_node"}


class Foreign:
    """One program, started again and again. `folder` takes its plan and what it writes to standard error."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind, self._folder = kind, folder
        self._process: Process | None = None

    async def start(self, plan: str) -> None:
        """Start with a plan and wait until it serves; raises ForeignError."""
        path = self._folder / f"{self.kind}.plan.json"
        path.write_text(plan)
        command = await asyncio.to_thread(command_of, self.kind)
        # It is not ours to inherit: what it imports is its own affair.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with self._log().open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, str(path), stdin=PIPE, stdout=PIPE, stderr=log, env=environment, limit=_LINE_LIMIT
            )
        answer = await self._answer(_READY_TIMEOUT_S)
        if not answer.get("ready"):
            msg = f"{self.kind} did not become ready: {answer}"
            raise ForeignError(msg)

    async def order(self, what: str, **details: Any) -> None:
        """Give an order and wait until it is carried out; raises ForeignError."""
        process = self._running()
        assert process.stdin is not None
        process.stdin.write(json.dumps({"do": what, **details}).encode() + b"\n")
        await process.stdin.drain()
        answer = await self._answer(_ORDER_TIMEOUT_S)
        if answer.get("done") != what:
            msg = f"{self.kind} did not {what}: {answer.get('error', answer)}"
            raise ForeignError(msg)

    async def stop(self) -> None:
        """An orderly end."""
        if self._process is not None:
            await self.order("stop")
            process, self._process = self._process, None
            await _ended(process)

    async def kill(self) -> None:
        """A sudden end; nothing when it does not run."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.kill()
            await _ended(process)

    def _running(self) -> Process:
        if self._process is None:
            msg = f"{self.kind} does not run"
            raise ForeignError(msg)
        return self._process

    def _log(self) -> Path:
        return self._folder / f"{self.kind}.log"

    async def _answer(self, timeout_s: float) -> dict[str, Any]:
        process = self._running()
        assert process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                # Libraries print too: an answer is a line that is an object.
                while line := await process.stdout.readline():
                    if line.startswith(b"{"):
                        return dict(json.loads(line))
        except TimeoutError:
            msg = f"{self.kind} did not answer within {timeout_s:g} s: {self._said()}"
            raise ForeignError(msg) from None
        await process.wait()
        msg = f"{self.kind} ended with {process.returncode}: {self._said()}"
        raise ForeignError(msg)

    def _said(self) -> str:
        return self._log().read_text(errors="replace")[-_SAID:].strip() or "it said nothing"


async def _ended(process: Process) -> None:
    """Wait for the end and close the pipes."""
    if process.stdin is not None:
        process.stdin.close()
    if process.stdout is not None:
        await process.stdout.read()
    await process.wait()
