"""YAML of a plant file with the place of every key, so that an error can name line and column.

Enters: text. Leaves: plain data and `Positions`. What YAML lets pass and a plant file must not is found here: a key that is there twice
(the first would be lost without a word), an anchor that contains itself, aliases that make a small file huge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import yaml

from registry.plant_problems import Problem

# libyaml's parser takes a sixth of the time; PyYAML's own wheels have it.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
_MERGE = "tag:yaml.org,2002:merge"
_MOST_NODES = 50_000_000
_DEEPEST = 40
_BOTTOMLESS = 10_000


class Document(NamedTuple):
    """A parsed file."""

    data: Any
    positions: Positions
    problems: tuple[Problem, ...]


class Positions:
    """Where things are in the file; places as in errors, `sites[0].areas[1]`."""

    def __init__(self, root: Any) -> None:
        self._root = root

    def of(self, where: str, key: str = "") -> tuple[int, int]:
        """Line and column, from 1, of a key at a place; of what is nearest when the file does not have it."""
        node, mark = self._root, self._root.start_mark if self._root is not None else None
        for index, name in _STEP.findall(f"{where}.{key}"):
            found = _item(node, int(index)) if index else _value(node, name)
            if found is None:
                break
            mark, node = found
        return (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)


def load(text: str) -> Document:
    """Data of a text; raises yaml.YAMLError."""
    if _is_bottomless(text):
        return Document(None, Positions(None), (Problem("", "", f"nested deeper than {_DEEPEST}", fatal=True),))
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        problems = tuple(_doubtful(root)) if root is not None else ()
        if any(not problem.warning and problem.fatal for problem in problems):
            return Document(None, Positions(root), problems)
        data = loader.construct_document(root) if root is not None else None
    finally:
        loader.dispose()
    return Document(data, Positions(root), problems)


def _is_bottomless(text: str) -> bool:
    """Whether brackets or dashes pile up so far that libyaml's recursion would end the process; strings are not told apart."""
    depth = 0
    for line in text.splitlines():
        opened = line.count("[") + line.count("{")
        if depth + opened > _BOTTOMLESS or line.count("- ") + line.count("? ") > _BOTTOMLESS:
            return True
        depth = max(0, depth + opened - line.count("]") - line.count("}"))
    return False


def _item(node: Any, index: int) -> tuple[Any, Any] | None:
    if isinstance(node, yaml.SequenceNode) and index < len(node.value):
        return node.value[index].start_mark, node.value[index]
    return None


def _value(node: Any, name: str) -> tuple[Any, Any] | None:
    # Merged keys come first, so that the last one counts.
    pairs = node.value if isinstance(node, yaml.MappingNode) else ()
    found = [(key.start_mark, value) for key, value in pairs if key.value == name]
    return found[-1] if found else None


def _doubtful(root: Any) -> Iterable[Problem]:
    """Keys that are there twice; and what must not be constructed at all."""
    sizes: dict[int, int] = {}
    found: list[Problem] = []

    def size(node: Any, where: str, depth: int) -> int:
        known = sizes.get(id(node))
        if known is not None:
            if known < 0:
                found.append(Problem(where, "", "an anchor contains itself", fatal=True))
            return known
        if depth > _DEEPEST:
            found.append(Problem(where[:200], "", f"nested deeper than {_DEEPEST}", fatal=True))
            return 1
        sizes[id(node)] = -1
        total = 1
        if isinstance(node, yaml.SequenceNode):
            total += sum(size(item, f"{where}[{index}]", depth + 1) for index, item in enumerate(node.value))
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in seen and key.tag != _MERGE:
                    found.append(Problem(where, name, f"{name} is there twice"))
                seen.add(name)
                total += size(value, where if key.tag == _MERGE else f"{where}.{name}".lstrip("."), depth + 1)
        sizes[id(node)] = total
        return total

    if size(root, "", 0) > _MOST_NODES:
        found.append(Problem("", "", f"aliases make more than {_MOST_NODES} entries of the file", fatal=True))
    return found
