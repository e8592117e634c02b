"""The zip that is shipped with a job, alone in a clean directory: nothing of the checkout is near it.

Our top-level names are generic (`jobs`, `schemas`); on a developer's machine the checkout would hide what is missing.
Flink unpacks a zip of `python.files` on the client and on every TaskManager and puts the folder on the path; so does
the test.
"""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from stack import jobs
from stack.config import StackConfig

PROGRAM = """
import importlib, json, pkgutil, sys
sys.path.insert(0, sys.argv[1])
found = {}
for package in ("base", "schemas", "stages", "connectors", "registry", "historian", "jobs"):
    found[package] = importlib.import_module(package).__file__
for name in sys.argv[2:]:
    module = importlib.import_module(name)
    found[name] = module.__file__
from schemas import codec
found["records"] = sorted(codec.all_schemas())
from jobs.config import JobConfig
from base.settings import KafkaSettings
from jobs.flink.telemetry import TelemetryOperator
import pickle
pickle.dumps(TelemetryOperator(JobConfig(kafka=KafkaSettings(bootstrap_servers="x")).telemetry))
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    config = StackConfig(state=folder / "state")
    config.run.mkdir(parents=True)
    with zipfile.ZipFile(jobs.build_zip(config)) as archive:
        assert not [name for name in archive.namelist() if "__pycache__" in name]
        archive.extractall(folder / "code")
    return folder / "code"


def test_the_jobs_can_be_imported_from_the_zip_alone(unpacked: Path, tmp_path: Path) -> None:
    modules = ("jobs.telemetry", "jobs.historian", "jobs.commands")
    # -I: neither the working directory nor PYTHONPATH, only the installed packages.
    command = [sys.executable, "-I", "-W", "ignore", "-c", PROGRAM, str(unpacked), *modules]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert "TelemetryFrame" in found.pop("records")
    assert all(path.startswith(str(unpacked)) for path in found.values()), found


def test_the_zip_holds_our_packages_and_their_data_and_nothing_else(unpacked: Path) -> None:
    assert {path.name for path in unpacked.iterdir()} == {
        "base",
        "schemas",
        "stages",
        "connectors",
        "registry",
        "historian",
        "jobs",
    }
    assert list((unpacked / "schemas" / "avro").glob("*.avsc"))
