"""Blocks of the documents that are run against a running line (tests/docs/README.md says which)."""

from __future__ import annotations

import os
import subprocess
import sys

from stack import render
from stack.config import ROOT, StackConfig
from tests.docs.blocks import Block, all_blocks

TIMEOUT_S = 120


def blocks() -> list[Block]:
    """Marked blocks of all documents, in order of their pages."""
    return [block for block in all_blocks("sh", "python") if block.words == ("line",)]


def wait_until_up(config: StackConfig) -> None:
    """What a reader has before the first block: a line that is up."""
    command = [sys.executable, "-m", "stack", "status", "--wait", str(TIMEOUT_S)]
    environment = os.environ | render.instance_environment(config)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def run(block: Block, config: StackConfig) -> str:
    """Run one as a reader would, against this instance; what it printed. Fails with its output when a command fails."""
    text = block.text.replace(".millrace/", f"{config.state}/").replace("127.0.0.1:29051", config.serving_address)
    text = text.replace("http://127.0.0.1:29080", config.page_url)
    environment = os.environ | render.instance_environment(config) | {
        "COLUMNS": "160", "TERM": "dumb", "MILLRACE_GRPC": config.serving_address,
    }  # fmt: skip
    environment["PATH"] = f"{ROOT / '.venv' / 'bin'}:{environment['PATH']}"
    command = ["bash", "-euo", "pipefail", "-s"] if block.language == "sh" else ["python", "-"]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, input=text, capture_output=True, text=True, check=False, timeout=TIMEOUT_S
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout
