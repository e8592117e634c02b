"""What is deployed, as it is deployed: each deployable alone in a clean folder, from the files of its image.

The whole line runs on such installations in `test_line.py`; here it is shown that nothing else is within reach.
"""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

from stack.config import ROOT
from tests.integration import deployables

TABLE = tomllib.loads((ROOT / "k8s" / "images" / "deployables.toml").read_text())
OURS = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
# Imports every module of the deployable's own packages: a dependency that its extra lacks shows here, wherever it is imported.
PROGRAM = """
import importlib, pkgutil, sys
for package in sys.argv[1].split(","):
    root = importlib.import_module(package)
    for found in pkgutil.walk_packages(root.__path__, f"{package}."):
        importlib.import_module(found.name)
for package in sys.argv[2].split(","):
    try:
        importlib.import_module(package)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{package} is within reach")
"""


@pytest.fixture(scope="module", params=sorted(TABLE))
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    name = str(request.param)
    return name, deployables.install(name, tmp_path_factory.mktemp("deployables"))


def test_every_module_it_starts_begins_alone(installed: tuple[str, Path]) -> None:
    name, folder = installed
    for module in TABLE[name]["modules"]:
        command = [str(folder / "venv" / "bin" / "python"), "-m", module, "--help"]
        found = subprocess.run(
            command, cwd=folder / "app", env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, f"{module}: {found.stderr}"


def test_it_has_what_its_packages_import_and_nothing_else_of_ours(installed: tuple[str, Path]) -> None:
    name, folder = installed
    own = set(TABLE[name]["packages"])
    assert {path.name for path in (folder / "app").iterdir()} == own
    command = [str(folder / "venv" / "bin" / "python"), "-W", "ignore", "-c", PROGRAM]
    # `connectors` has every protocol; a deployable installs the clients of those that it uses.
    starts = {module.split(".")[0] for module in TABLE[name]["modules"]} - {"connectors"}
    command += [",".join(sorted(starts)), ",".join(sorted(OURS - own))]
    found = subprocess.run(
        command, cwd=folder / "app", env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
