"""Which Java the stack runs on: 17 or 21 by rule, whatever `java` happens to be first on PATH."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from stack.errors import PreflightError

_PATTERNS = ("java-17-openjdk-*", "java-21-openjdk-*")


@cache
def home() -> Path:
    """JAVA_HOME for every JVM of the stack; raises PreflightError when there is none."""
    for pattern in _PATTERNS:
        for candidate in sorted(Path("/usr/lib/jvm").glob(pattern)):
            if (candidate / "bin" / "java").exists():
                return candidate
    if configured := os.environ.get("JAVA_HOME"):
        return Path(configured)
    msg = "no Java 17 or 21 found; `./millrace setup` installs it, or set JAVA_HOME"
    raise PreflightError(msg)


def executable() -> Path:
    """The `java` program."""
    return home() / "bin" / "java"
