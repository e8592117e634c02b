"""The start script before anything is installed: help from the table of commands alone, in an empty environment."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from cli.tree import COMMANDS

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_every_command_with_its_line() -> None:
    environment = {"PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [ROOT / "millrace", "--help"], env=environment, cwd="/", capture_output=True, text=True, check=True
    )
    assert len(COMMANDS) > 25
    for name in COMMANDS:
        assert re.search(rf"^  {name} +\S.*$", result.stdout, re.MULTILINE), name


def test_script_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", ROOT / "millrace"], check=True)
