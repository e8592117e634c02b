"""Gaps that are open when a gateway is killed are told by the next one, with the bounds of each item."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from schemas.events import GapItem
from tests.integration.gateway_support import until
from tests.unit.opcua_servers import Machine
from tests.unit.test_gateway_pipeline import MemoryUplink, running

_BUSY_S = 120


@contextlib.asynccontextmanager
async def killed_at_the_end(
    folder: Path, machine: Machine, addresses: list[str]
) -> AsyncIterator[Callable[[Callable[[dict[str, Any]], bool]], Any]]:
    """A gateway process; inside, wait for what it says of itself. Then it gets SIGKILL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.integration.opcua_child", str(folder), machine.url, *addresses,
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    out = process.stdout

    async def says(condition: Callable[[dict[str, Any]], bool]) -> None:
        said: dict[str, Any] = {}
        async with asyncio.timeout(_BUSY_S):
            while line := await out.readline():
                if condition(said := json.loads(line)):
                    return
        msg = f"the gateway ended; it last said {said}"
        raise AssertionError(msg)

    try:
        yield says
    finally:
        process.kill()
        await process.wait()


async def test_gaps_that_are_open_at_a_kill_are_told_by_the_next_gateway_with_their_bounds(tmp_path: Path) -> None:
    machine = Machine()
    await machine.start()
    try:
        names = ["kept", "gone", "still"]
        addresses = await machine.add(names)
        first = [await machine.set(name, 1.0) for name in names]
        async with killed_at_the_end(tmp_path, machine, addresses) as says:
            await says(lambda said: list(said["seen"].values()) == first)
            await machine.delete("gone")
            await says(lambda said: said["open"] == 1)
            # The server's word that the node is gone is the last sample.
            await says(lambda said: said["seen"]["t2"] > first[1])
            async with asyncio.timeout(_BUSY_S):
                before = await machine.set("kept", 2.0)
            await says(lambda said: said["seen"]["t1"] == before)
        # Nobody hears this one.
        await machine.set("kept", 3.0)
        behind = await machine.set("kept", 4.0, at_ms=60_000)
        async with killed_at_the_end(tmp_path, machine, addresses) as says:
            await says(lambda said: said["seen"]["t1"] == behind and said["open"] == 1)
        await machine.add(["gone"])
        again = await machine.set("gone", 5.0, at_ms=70_000)
        async with killed_at_the_end(tmp_path, machine, addresses) as says:
            await says(lambda said: said["seen"]["t2"] == again and said["open"] == 0)
    finally:
        await machine.stop()
    uplink = MemoryUplink()
    async with running(tmp_path / "buffer", uplink):
        await until(lambda: len(uplink.values()) >= 7, timeout_s=_BUSY_S)
    gaps = [item for event in uplink.events() if event.gap for item in event.gap.items]
    word = next(item.from_us for item in gaps if item.tag_id == 2)
    assert first[1] < word < again
    assert gaps == [
        GapItem(tag_id=1, from_us=before, to_us=behind),
        GapItem(tag_id=2, from_us=word, to_us=again),
    ]
