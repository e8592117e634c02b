"""Fenced blocks of the documents: where they are, and what their first line says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stack.config import ROOT

_FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<text>.*?)^ *```$", re.MULTILINE | re.DOTALL)
_TOP = sorted(path for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith("."))
_FOREIGN = "node_modules"
"""Packages of npm have documents of their own."""
DOCUMENTS = sorted(
    path
    for path in (*ROOT.glob("*.md"), *(found for folder in _TOP for found in folder.rglob("*.md")))
    if _FOREIGN not in path.parts
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A block. `line` is the number of its first line of text, `words` what follows the language."""

    path: Path
    line: int
    language: str
    words: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks_of(path: Path) -> Iterator[Block]:
    """Blocks of a document, in order."""
    content = path.read_text()
    for found in _FENCE.finditer(content):
        language, *words = found["info"].split() or [""]
        indent = found["indent"]
        text = "".join(line.removeprefix(indent) for line in found["text"].splitlines(keepends=True))
        start = content.count("\n", 0, found.start()) + 2
        yield Block(path=path, line=start, language=language, words=tuple(words), text=text)


def all_blocks(*languages: str) -> list[Block]:
    """Blocks of all documents, of these languages."""
    return [block for path in DOCUMENTS for block in blocks_of(path) if block.language in languages or not languages]


def prose_of(path: Path) -> str:
    """The text without its blocks."""
    return _FENCE.sub("", path.read_text())
