"""The foreign programs with the packages that they need: installed once into the state folder, from the lock file.

npm fetches what `servers/package-lock.json` names. Nothing of it is in the repository, and nothing of Millrace itself uses it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from base.errors import MillraceError
from stack import node as toolbox

SERVERS = Path(__file__).parent / "servers"
ROOT = Path(__file__).resolve().parents[2]


class ToolchainError(MillraceError):
    """Node or its packages are missing and cannot be had."""


def node() -> Path:
    """Node's executable; raises ToolchainError."""
    try:
        return toolbox.executable()
    except toolbox.NodeError as error:
        raise ToolchainError(str(error)) from error


def programs(state: Path | None = None) -> Path:
    """Folder with the Node programs and their packages; installs them when the lock file is another one.

    Raises ToolchainError, which says what npm said.
    """
    folder = (state or ROOT / ".millrace") / "foreign"
    with toolbox.alone(folder / "install.lock"):
        for name in ("package.json", "package-lock.json", *(path.name for path in SERVERS.glob("*.mjs"))):
            shutil.copy2(SERVERS / name, folder / name)
        try:
            toolbox.install(folder)
        except toolbox.NodeError as error:
            raise ToolchainError(str(error)) from error
    return folder
