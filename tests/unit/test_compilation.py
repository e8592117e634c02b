"""Several programs in one client: each finds its arguments and its plan's file, and none stands in the way of another."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from base import plan
from base.plan import Program
from jobs.flink import compilation

KEEPS = f"""
import os, pathlib, sys
pathlib.Path(os.environ[{plan.VARIABLE!r}]).write_text(" ".join([*sys.argv[1:], __name__]))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(sys, "argv", [])
    return tmp_path


def compiled(folder: Path, **sources: str) -> int:
    programs = []
    for name, source in sources.items():
        script = folder / f"{name}.py"
        script.write_text(source)
        programs.append(Program(program=str(script), arguments=("--of", name), plan=str(folder / f"{name}.plan")))
    sys.argv = ["compilation", *(one.to_json() for one in programs)]
    return compilation.main()


def test_each_program_has_its_own_arguments_and_plan(folder: Path) -> None:
    assert compiled(folder, one=KEEPS, other=KEEPS) == 0
    assert [(folder / f"{name}.plan").read_text() for name in ("one", "other")] == [
        "--of one __main__",
        "--of other __main__",
    ]


@pytest.mark.parametrize("source", ["raise RuntimeError('nothing')", "import sys; sys.exit(2)", "this is no Python"])
def test_one_that_fails_is_told_of_and_the_next_is_compiled(
    folder: Path, source: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert compiled(folder, broken=source, other=KEEPS) == 1
    assert not (folder / "broken.plan").exists()
    assert (folder / "other.plan").exists()
    said = capfd.readouterr().err
    assert f"{folder / 'broken.py'} was not compiled\nTraceback" in said
