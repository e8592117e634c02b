"""The page in a browser: `web/` built into `web/dist`, which serving serves, whenever its sources are not those it was made from.

Who calls: `up`, the recipe `web` (`python -m stack.page`), the tests. It takes about a second once npm's packages are there;
those are fetched once.
"""

from __future__ import annotations

import gzip
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from stack import node
from stack.config import ROOT, TOOLS
from stack.errors import StackError

SOURCE = ROOT / "web"
DIST = SOURCE / "dist"
LOCK = TOOLS / "page.lock"
_LEFT_OUT = {"node_modules", "dist"}
_STAMP = TOOLS / "stamps" / "page"


def build() -> str:
    """Build the page when it is not up to date; what was done, in words. Raises NodeError."""
    with node.alone(LOCK):
        wanted = _digest()
        if (DIST / "index.html").exists() and _STAMP.exists() and _STAMP.read_text() == wanted:
            return f"as built, {_size_text()}"
        node.install(SOURCE, development=False)
        node.run(SOURCE, "build.mjs")
        _STAMP.parent.mkdir(parents=True, exist_ok=True)
        _STAMP.write_text(wanted)
        return f"built, {_size_text()}"


def script_bytes() -> int:
    """JavaScript that a browser loads for the page, compressed."""
    return sum(len(gzip.compress(path.read_bytes(), 9)) for path in DIST.rglob("*.js"))


def _size_text() -> str:
    return f"{script_bytes() / 1000:.0f} KB of JavaScript"


def _digest() -> str:
    found = hashlib.sha256()
    for path in sorted(_sources(SOURCE)):
        found.update(f"{path.relative_to(SOURCE)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_file():
            yield path
        elif path.name not in _LEFT_OUT:
            yield from _sources(path)


def main() -> int:
    """Build, say what was done."""
    try:
        print(f"{DIST.relative_to(ROOT)}: {build()}")
    except StackError as error:
        print(f"millrace: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
