"""Deployables installed alone, by the step that makes the images."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from stack.config import ROOT, TOOLS

INSTALL = ROOT / "k8s" / "images" / "install.py"
NAMES = ("gateway", "serving", "historian", "jobs")


def install(name: str, folder: Path) -> Path:
    """Install one into `folder/name`; nothing else of the checkout is there."""
    target = folder / name
    uv = TOOLS / "bootstrap" / "bin" / "uv"
    # The checkout's own interpreter, as `./millrace` found it: the jobs' needs a shared libpython.
    python = str(Path(sys.base_prefix) / "bin" / "python3.11")
    command = [sys.executable, str(INSTALL), name, str(target), "--uv", str(uv), "--python", python]
    subprocess.run(command, check=True, timeout=600)
    return target
