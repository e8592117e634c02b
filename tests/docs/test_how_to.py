"""Every how-to page is followed to the letter in a scratch copy of the checkout: files are made, changes applied, commands run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stack.config import ROOT
from tests.docs.blocks import Block, blocks_of

PAGES = [
    page
    for page in sorted((ROOT / "docs" / "how-to").glob("*.md"))
    if any(block.language == "diff" or block.words for block in blocks_of(page))
]
"""Those that change something. Of the others the commands are checked as everywhere."""
_PYTEST = re.compile(r"^\./millrace test\b", re.MULTILINE)


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """A copy of the files that git knows or would know."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    target = tmp_path / "millrace"
    for name in filter(None, names):
        if (source := ROOT / name).is_file():
            copy = target / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, copy)
    return target


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_following_the_page_works(page: Path, scratch: Path) -> None:
    blocks = list(blocks_of(page))
    assert any(block.words == ("scratch",) for block in blocks), "the page ends without a check"
    for block in blocks:
        follow(block, scratch)


def follow(block: Block, scratch: Path) -> None:
    """Do what one block says."""
    if block.words[:1] == ("new",):
        target = scratch / block.words[1]
        assert not target.exists(), f"{block}: {block.words[1]} is there already"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.text)
    elif block.language == "diff":
        for path, old, new in changes(block.text):
            text = (scratch / path).read_text()
            assert text.count(old) == 1, f"{block}: {path} has {text.count(old)} places with\n{old}"
            (scratch / path).write_text(text.replace(old, new))
    elif block.words == ("scratch",):
        # The copy has no environment of its own: the tests run in this one.
        run(
            ["bash", "-euo", "pipefail", "-s"],
            block,
            scratch,
            _PYTEST.sub("python -m pytest -q -p no:cacheprovider", block.text),
        )


def changes(diff: str) -> Iterator[tuple[str, str, str]]:
    """(file, lines as they are, lines as they become) of each hunk; a hunk is placed by its lines, its numbers are not needed."""
    path, old, new = "", "", ""
    for line in [*diff.splitlines(keepends=True), "@@"]:
        if line.startswith(("@@", "--- ")):
            if old or new:
                yield path, old, new
            old = new = ""
        elif line.startswith("+++ b/"):
            path = line.removeprefix("+++ b/").strip()
        else:
            old += line[1:] if line[0] != "+" else ""
            new += line[1:] if line[0] != "-" else ""


def run(command: list[str], block: Block, scratch: Path, text: str) -> None:
    """Run a command in the copy with a text on its input; fails with its output."""
    outside = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST", "COV", "GIT"))}
    done = subprocess.run(
        command, cwd=scratch, input=text, env=outside, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
