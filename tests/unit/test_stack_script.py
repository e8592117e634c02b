"""The start script before anything is installed: help from the justfile alone, in an empty environment."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_help_lists_every_recipe_with_its_line() -> None:
    environment = {"PATH": "/usr/bin:/bin"}
    result = subprocess.run(
        [ROOT / "millrace", "--help"], env=environment, cwd="/", capture_output=True, text=True, check=True
    )
    recipes = re.findall(r"^@?([a-z][a-z-]*)(?: \*args)?:", (ROOT / "justfile").read_text(), re.MULTILINE)
    assert len(recipes) > 15
    for recipe in recipes:
        assert re.search(rf"^  {recipe}( \[args\])? +\S.*$", result.stdout, re.MULTILINE), recipe


def test_script_is_valid_bash() -> None:
    subprocess.run(["bash", "-n", ROOT / "millrace"], check=True)
