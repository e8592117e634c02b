"""Installs one deployable alone into an empty folder: `python3 install.py NAME TARGET`.

Enters: the name of an entry in `deployables.toml`. Leaves: `TARGET/venv` with the entry's extra in the versions of uv.lock,
`TARGET/app` with its packages and nothing else of the checkout. Who calls: the image files beside this one, and the tests, so
that what is tried is what is deployed. Only the standard library is used: nothing is installed yet.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_name("deployables.toml")
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyi")


def deployables() -> dict[str, dict[str, object]]:
    """The table: extra, packages and modules by name."""
    return tomllib.loads(TABLE.read_text())


def install(name: str, target: Path, *, uv: str, python: str) -> None:
    """Make `target/venv` and `target/app`; raises KeyError for an unknown name, CalledProcessError when uv fails."""
    entry = deployables()[name]
    command = [uv, "sync", "--quiet", "--locked", "--no-default-groups", "--no-install-project", "--python", python]
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    environment["UV_PROJECT_ENVIRONMENT"] = str(target / "venv")
    subprocess.run([*command, "--extra", str(entry["extra"])], cwd=SOURCE, env=environment, check=True)
    packages = entry["packages"]
    assert isinstance(packages, list)
    for package in packages:
        shutil.copytree(SOURCE / package, target / "app" / package, ignore=_LEFT_OUT, dirs_exist_ok=True)
    built = entry.get("built", [])
    assert isinstance(built, list)
    for folder in built:
        if (SOURCE / folder).is_dir():
            shutil.copytree(SOURCE / folder, target / "app" / folder, dirs_exist_ok=True)


def main() -> int:
    """Entry point; returns the exit status."""
    parser = argparse.ArgumentParser(description="Install one deployable alone into an empty folder.")
    parser.add_argument("name", choices=sorted(deployables()))
    parser.add_argument("target", type=Path)
    parser.add_argument("--uv", default="uv", help="the uv to install with")
    parser.add_argument("--python", default="/usr/bin/python3.11", help="the interpreter of the environment")
    options = parser.parse_args()
    if options.target.exists() and any(options.target.iterdir()):
        sys.stderr.write(f"{options.target} is not empty; an installation begins in an empty folder\n")
        return 1
    install(options.name, options.target.resolve(), uv=options.uv, python=options.python)
    return 0


if __name__ == "__main__":
    sys.exit(main())
