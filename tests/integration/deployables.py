"""Deployables installed alone, by the step that makes the images."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stack.config import ROOT, TOOLS

INSTALL = ROOT / "k8s" / "images" / "install.py"
UV = TOOLS / "bootstrap" / "bin" / "uv"
NAMES = ("gateway", "serving", "historian", "jobs")


def install(name: str, folder: Path) -> Path:
    """Install one into `folder/name`; nothing else of the checkout is there."""
    target = folder / name
    # The checkout's own interpreter, as `./millrace` found it: the jobs' needs a shared libpython.
    python = str(Path(sys.base_prefix) / "bin" / "python3.11")
    command = [sys.executable, str(INSTALL), name, str(target), "--uv", str(UV), "--python", python]
    subprocess.run(command, check=True, timeout=600)
    return target


@contextmanager
def without(folder: Path, dependency: str) -> Iterator[None]:
    """An installation that lacks one dependency for a while."""
    python = str(folder / "venv" / "bin" / "python")

    def pip(*arguments: str) -> str:
        command = [str(UV), "pip", *arguments, "--python", python]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout

    pinned = next(line for line in pip("freeze").splitlines() if line.startswith(f"{dependency}=="))
    pip("uninstall", dependency)
    try:
        yield
    finally:
        pip("install", "--no-deps", pinned)
