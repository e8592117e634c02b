"""A benchmark that is asked to end stops its services and leaves nothing on the disk."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stack.config import TOOLS

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_interrupted_benchmark_cleans_up(by: signal.Signals) -> None:
    command = [sys.executable, "-m", "benchmarks", "throughput", "--smoke"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        block = None
        for line in bench.stderr:
            if found := re.search(r"kafka: ready on \S+:(\d+)", line):
                block = int(found[1]) // 1000 * 1000
                bench.send_signal(by)
                break
        rest = bench.stderr.read()
    assert block is not None
    assert bench.returncode == 130, rest
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert not (TOOLS / "bench" / str(block)).exists()
