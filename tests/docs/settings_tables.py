"""Tables of the connections' settings in docs/protocols.md, made from the dataclasses of the catalogue.

`python -m tests.docs.settings_tables` writes them; `tests/contract/test_documents.py` compares. A table stands between
`<!-- settings: PROTOCOL -->` and `<!-- end -->`. What a key means is the text behind its field in the source.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Any

from connectors.catalogue import PROTOCOLS
from stack.config import ROOT

DOCUMENT = ROOT / "docs" / "protocols.md"
_MARKED = re.compile(r"(?P<begin><!-- settings: (?P<name>\w+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)


def meanings(settings: type[Any]) -> dict[str, str]:
    """Text behind each field of a dataclass and of those it is made from."""
    found: dict[str, str] = {}
    for cls in reversed(settings.__mro__):
        if not dataclasses.is_dataclass(cls):
            continue
        (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(body, ast.ClassDef)
        for one, behind in zip(body.body, [*body.body[1:], ast.Pass()], strict=True):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                value = behind.value if isinstance(behind, ast.Expr) else None
                text = value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
                found[one.target.id] = " ".join(text.split()) or found.get(one.target.id, "")
    return found


def table(settings: type[Any]) -> str:
    """Markdown table of a settings class."""
    texts = meanings(settings)
    rows = ["| key | default | what |", "|---|---|---|"]
    for field in dataclasses.fields(settings):
        what = texts[field.name].replace("|", "\\|")
        rows.append(f"| `{field.name}` | {_default(field)} | {what} |")
    return "\n".join(rows) + "\n"


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    if value is dataclasses.MISSING:
        return "must be given"
    if value in ("", ()):
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else f"`{value}`" if isinstance(value, str) else str(value)


def put(text: str) -> str:
    """The document with its tables as they should be; raises KeyError for a protocol that is none."""
    replace: Callable[[re.Match[str]], str] = lambda found: (  # noqa: E731
        found["begin"] + table(PROTOCOLS[found["name"]].settings) + found["end"]
    )
    return _MARKED.sub(replace, text)


def documented(text: str) -> set[str]:
    """Protocols that have a table."""
    return {found["name"] for found in _MARKED.finditer(text)}


if __name__ == "__main__":
    DOCUMENT.write_text(put(DOCUMENT.read_text()))
