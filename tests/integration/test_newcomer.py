"""The first hour of docs/connect-your-plant.md, word by word, against a server that nobody has described.

What a look at the server and the plant file need is run always; with the whole line, in the campaign.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.foreign import plan, verdict
from benchmarks.foreign.meeting import free_port
from benchmarks.foreign.process import ASYNCUA, Foreign
from stack import instance, render
from stack.config import ROOT, StackConfig
from tests.docs.blocks import Block, blocks_of

PAGE = ROOT / "docs" / "connect-your-plant.md"
BLOCKS = [block for block in blocks_of(PAGE) if block.words == ("newcomer",)]
WITHOUT_LINE = [block for block in BLOCKS if "browse" in block.text or "plant check" in block.text]
# The one that is written changes by itself no more.
ITEMS = tuple(dataclasses.replace(item, still=item.key == 0) for item in plan.items(50, seed=5))
URL, FILE = "opc.tcp://10.0.0.5:4840", "my-plant.yaml"


def script(blocks: Sequence[Block], url: str, plant: Path, serving: str = "") -> str:
    text = "\n".join(block.text for block in blocks).replace(URL, url).replace(FILE, str(plant))
    return text.replace("127.0.0.1:29051", serving)


async def run(blocks: Sequence[Block], folder: Path, config: StackConfig | None, timeout_s: float) -> tuple[str, Path]:
    """What the blocks print, against a server of 50 items; and the server's journal."""
    journal, port = folder / "journal.jsonl", free_port()
    server = Foreign(ASYNCUA, folder)
    await server.start(plan.ServerPlan(port=port, journal=str(journal), items=ITEMS).dumps())
    environment = dict(os.environ)
    if config is not None:
        environment |= render.instance_environment(config) | {"MILLRACE_GRPC": config.serving_address}
    serving = "" if config is None else config.serving_address
    text = script(blocks, f"opc.tcp://127.0.0.1:{port}", folder / FILE, serving)

    def shell() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-s"], cwd=ROOT, env=environment, input=text, capture_output=True, text=True,
            check=False, timeout=timeout_s,
        )  # fmt: skip

    try:
        done = await asyncio.to_thread(shell)
    finally:
        await server.kill()
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr, journal


async def test_a_server_is_browsed_and_its_plant_file_is_checked(tmp_path: Path) -> None:
    said, _ = await run(WITHOUT_LINE, tmp_path, None, 120)
    assert "Machine-01" in said
    assert (tmp_path / FILE).read_text().count("nsu=urn:foreign:") > 30


@pytest.mark.campaign
@pytest.mark.timeout(900)
async def test_from_an_unknown_server_to_values_and_a_command(tmp_path: Path) -> None:
    with instance.temporary(plant=tmp_path / FILE) as running:
        said, journal = await run(BLOCKS, tmp_path, running.config, 800)
    assert "SUCCEEDED" in said
    with journal.open() as lines:
        assert 42.0 in verdict.read_journal(lines)[0].values()
