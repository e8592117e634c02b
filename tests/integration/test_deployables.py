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
# Imports every module of the named packages: a dependency that its extra lacks shows here, wherever it is imported.
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
# One distribution of each extra, and its module: the tests must notice that it is gone. They are imported late or far down.
NEEDED = {
    "gateway": ("pymodbus", "pymodbus"),
    "serving": ("grpcio-reflection", "grpc_reflection"),
    "historian": ("pydantic", "pydantic"),
    "jobs": ("confluent-kafka", "confluent_kafka"),
    "ingestion": ("grpcio", "grpc"),
    "notifier": ("aiosmtplib", "aiosmtplib"),
}


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


def imports(name: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Imports all that the deployable uses; fails with the reason."""
    # `connectors` has every protocol; a deployable installs the clients of those that it uses.
    starts = {module.split(".")[0] for module in TABLE[name]["modules"]} - {"connectors"}
    starts |= {f"connectors.{connector}" for connector in TABLE[name]["connectors"]}
    own = set(TABLE[name]["packages"])
    command = [str(folder / "venv" / "bin" / "python"), "-W", "ignore", "-c", PROGRAM]
    command += [",".join(sorted(starts)), ",".join(sorted(OURS - own))]
    return subprocess.run(
        command, cwd=folder / "app", env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )


@pytest.mark.security("SR 5.4", "SR 7.7", "V15.2.3")
def test_it_has_what_its_packages_import_and_nothing_else_of_ours(installed: tuple[str, Path]) -> None:
    name, folder = installed
    built = {Path(place).parts[0] for place in TABLE[name].get("built", ()) if (ROOT / place).exists()}
    assert {path.name for path in (folder / "app").iterdir()} == {*TABLE[name]["packages"], *built}
    found = imports(name, folder)
    assert found.returncode == 0, found.stderr


def test_a_gateway_brings_the_client_of_every_protocol() -> None:
    protocols = {path.parent.name for path in (ROOT / "connectors").glob("*/protocol.py")}
    assert protocols <= set(TABLE["gateway"]["connectors"])


def test_a_dependency_that_is_missing_is_noticed(installed: tuple[str, Path]) -> None:
    name, folder = installed
    distribution, module = NEEDED[name]
    with deployables.without(folder, distribution):
        found = imports(name, folder)
    assert found.returncode != 0
    assert f"No module named '{module}" in found.stderr
