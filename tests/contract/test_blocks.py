"""Every block of the documents is of a kind that a test knows, and does what its kind promises; commands exist with their options."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from stack.config import ROOT
from tests.docs import commands
from tests.docs.blocks import DOCUMENTS, Block, all_blocks, prose_of

MARKS: dict[str, set[tuple[str, ...]]] = {
    "sh": {(), ("line",), ("newcomer",), ("scratch",)},
    "python": {(), ("line",)},
    **{language: {()} for language in ("sql", "toml", "yaml", "json", "diff", "text", "cedar")},
}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_blocks_are_of_a_known_kind(path: Path) -> None:
    unknown = [
        f"{block}: {block.language or 'no language'} {' '.join(block.words)}"
        for block in all_blocks()
        if block.path == path
        and block.words not in MARKS.get(block.language, set())
        and not (block.words[:1] == ("new",) and len(block.words) == 2 and "how-to" in path.parts)
    ]
    assert unknown == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist_with_their_options(path: Path) -> None:
    shell = [(str(block), block.text) for block in all_blocks("sh") if block.path == path]
    inline = [("text", code) for code in re.findall(r"`([^`\n]+)`", prose_of(path))]
    wrong = [
        f"{where}: {found}"
        for where, text in [*shell, *inline]
        for words in commands.calls(text.replace("\\|", "|"))
        if (found := commands.problem(words))
    ]
    assert wrong == []


# The client is a distribution of its own; its tests run the blocks of its README.
STANDALONE = [one for one in all_blocks("python") if not one.words and ROOT / "client" not in one.path.parents]


@pytest.mark.parametrize("block", STANDALONE, ids=str)
def test_python_runs(block: Block) -> None:
    exec(compile(block.text, str(block), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("block", all_blocks("toml", "yaml", "json"), ids=str)
def test_data_can_be_read(block: Block) -> None:
    readers: dict[str, Callable[[str], Any]] = {"toml": tomllib.loads, "yaml": yaml.safe_load, "json": json.loads}
    readers[block.language](block.text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("./millrace upp", "there is no"),
        ("./millrace up --fast", "has no --fast"),
        ("./millrace bench throughputt --seconds 1", "does not know 'throughputt'"),
        ("./millrace bench throughput --second-hand 1 | cat", "has no --second-hand"),
        ("./millrace lint tests", "takes no arguments"),
        ("./millrace status --json\n./millrace psql -c 'SELECT 1\n FROM x' # --no", ""),
        ("python -m registry.command shown", "does not know 'shown'"),
        ("./millrace command press-01 write a=1 --wait", ""),
    ],
)
def test_the_check_of_commands_sees_what_is_wrong(text: str, says: str) -> None:
    found = [problem for words in commands.calls(text) if (problem := commands.problem(words))]
    assert says in "".join(found) if says else found == []
