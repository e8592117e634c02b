"""Files of golden cases: `NAME.input.json` says what happens, `NAME.expected.json` what must come out."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Cases:
    """The cases of a folder."""

    folder: Path

    def names(self) -> list[str]:
        return self._of("input")

    def with_outcome(self) -> list[str]:
        """Names of those whose outcome is there."""
        return self._of("expected")

    def load(self, name: str) -> dict[str, Any]:
        """Input of a case."""
        return self._read(name, "input")

    def expected(self, name: str) -> dict[str, Any]:
        """What must come out of a case."""
        return self._read(name, "expected")

    def accept(self, names: Sequence[str], outcome: Callable[[str], str]) -> None:
        """Write the expected files of cases, all of them without a name, from what the logic does now: to be read, and then committed."""
        for name in names or self.names():
            path = self.folder / f"{name}.expected.json"
            path.write_text(outcome(name))
            sys.stderr.write(f"wrote {path.name}\n")

    def _of(self, kind: str) -> list[str]:
        return sorted(path.name.removesuffix(f".{kind}.json") for path in self.folder.glob(f"*.{kind}.json"))

    def _read(self, name: str, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / f"{name}.{kind}.json").read_text())
        return found
