"""A code root, alone in a clean directory: nothing of the checkout is near it.

Our top-level names are generic (`jobs`, `schemas`); on a developer's machine the checkout would hide what is missing.
TaskManagers and submitting clients have the root on PYTHONPATH; so does the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stack import roots
from stack.config import ROOT, StackConfig

PROGRAM = """
import importlib, json, pkgutil, sys
found = {}
for name in sys.argv[1:]:
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
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = StackConfig(state=tmp_path_factory.mktemp("rooted") / "state")
    return roots.path(config, roots.build(config, ROOT))


def test_the_jobs_can_be_imported_from_the_root_alone(root: Path, tmp_path: Path) -> None:
    modules = (*roots.packages(), "jobs.telemetry", "jobs.historian", "jobs.commands", "jobs.alarms")
    # -P: not the working directory; only PYTHONPATH and the installed packages.
    command = [sys.executable, "-P", "-W", "ignore", "-c", PROGRAM, *modules]
    environment = os.environ | {"PYTHONPATH": str(root)}
    result = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert "TelemetryFrame" in found.pop("records")
    assert all(path.startswith(str(root)) for path in found.values()), found


def test_the_root_holds_our_packages_and_their_data_and_nothing_else(root: Path) -> None:
    assert {path.name for path in root.iterdir()} == set(roots.packages())
    assert list((root / "schemas" / "avro").glob("*.avsc"))
