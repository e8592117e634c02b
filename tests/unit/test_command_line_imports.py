"""A command imports what it needs: the most used ones answer at once, and bring no library that they do not ask."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from registry.plant_file import read_plant
from stack import config as configuration
from stack import plant, postgres

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {
    "apache_beam",
    "asyncio",
    "confluent_kafka",
    "cryptography",
    "fastavro",
    "grpc",
    "numpy",
    "pandas",
    "psycopg",
    "pyarrow",
    "pydantic",
    "pyflink",
    "river",
    "scipy",
    "supervisor",
    "xmlrpc",
}
_RUN = """
import sys
from cli.__main__ import main
try:
    main(sys.argv[1:])
finally:
    print("loaded", *sorted(sys.modules))
"""


def _loaded(tmp_path: Path, *arguments: str) -> set[str]:
    environment = {**os.environ, "MILLRACE_STATE": str(tmp_path / "state"), "MILLRACE_PORTS_BASE": "31000"}
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("loaded ")]
    return {name.split(".")[0] for name in line.split()[1:]}


@pytest.mark.parametrize(
    "arguments",
    [
        ("status",),
        ("status", "--help"),
        ("logs",),
        ("up", "--help"),
        ("settings",),
        ("top", "--help"),
        ("gateway", "--help"),
        ("gateway", "key", "--help"),
        ("gateway", "list"),
    ],
)
def test_a_command_that_asks_nobody_brings_no_library(arguments: tuple[str, ...], tmp_path: Path) -> None:
    # As on any day but the first: gateways of the plant file are known.
    plant.read_gateways(configuration.load().plant)
    assert not _loaded(tmp_path, *arguments) & HEAVY


def test_a_plant_file_is_checked_without_a_database_or_a_broker(tmp_path: Path) -> None:
    # What describes a plant file is pydantic's.
    assert _loaded(tmp_path, "plant", "check", str(configuration.load().plant)) & HEAVY == {"pydantic"}
    assert not _loaded(tmp_path, "plant", "--help") & HEAVY


def test_gateways_that_are_kept_are_those_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plant, "KEPT", tmp_path / "plants")
    path = configuration.load().plant
    wanted = read_plant(path)
    for _ in range(2):
        plant._read.cache_clear()
        assert (plant.read_enterprise(path), plant.read_gateways(path)) == (wanted.enterprise, wanted.gateways)
    (kept,) = (tmp_path / "plants").iterdir()
    kept.write_text(kept.read_text()[:-20])
    plant._read.cache_clear()
    assert plant.read_gateways(path) == wanted.gateways


def test_another_content_or_another_reader_is_read_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plant, "KEPT", tmp_path / "plants")
    path = tmp_path / "plant.yaml"
    path.write_text(configuration.load().plant.read_text())
    first = plant.read_gateways(path)
    path.write_text(path.read_text().replace(first[0].id, "gw-renamed"))
    assert plant.read_gateways(path)[0].id == "gw-renamed"
    monkeypatch.setattr(plant, "_code", lambda: b"another")
    plant._read.cache_clear()
    plant.read_gateways(path)
    assert len(list((tmp_path / "plants").iterdir())) == 3


@pytest.mark.parametrize("value", ["plain", "", "with blank", "o'clock", "back\\slash", "both\\' of them"])
def test_connection_strings_are_read_by_libpq_as_they_were_meant(value: str) -> None:
    from psycopg.conninfo import conninfo_to_dict

    assert conninfo_to_dict(postgres._conninfo(user="a", password=value)) == {"user": "a", "password": value}
