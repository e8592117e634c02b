"""Tables in documents that are made of marks in the tests: which statement of a specification is checked by which test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("tests", "client/tests", "verify/tests")
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def tagged(mark: str) -> dict[str, list[str]]:
    """Statement to the tests that name it in `@pytest.mark.<mark>("...")`, as `path::test`."""
    found: dict[str, list[str]] = {}
    for path in sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("test_*.py")):
        text = path.read_text()
        if f"mark.{mark}(" in text:
            for test, statement in _marks(ast.parse(text), f"pytest.mark.{mark}"):
                found.setdefault(statement, []).append(f"{path.relative_to(ROOT)}::{test}")
    return found


def links(tests: list[str], root: str = "../") -> str:
    """Links to tests, from a page of docs; `root` leads from there to the checkout."""
    pairs = (test.split("::") for test in tests)
    return "<br>".join(f"[{name}]({root}{path})" for path, name in pairs)


def put(text: str, table: str) -> str:
    """The page with this table."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table}\n{END}{rest.partition(END)[2]}"


def _marks(tree: ast.Module, mark: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for one in node.decorator_list:
                if isinstance(one, ast.Call) and ast.unparse(one.func) == mark:
                    yield from ((node.name, str(ast.literal_eval(argument))) for argument in one.args)
