"""The programs of the README, by the heading they stand under."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"


def programs() -> dict[str, str]:
    """Code of the Python blocks by heading."""
    found: dict[str, str] = {}
    heading = ""
    for title, code in re.findall(
        r"^## ([^\n]+)$|^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL
    ):
        heading = title or heading
        if code:
            assert heading not in found, f"two programs under {heading}"
            found[heading] = code
    return found
