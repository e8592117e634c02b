"""Code roots: named by their content, never changed, one of them active."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stack import roots
from stack.config import ROOT, StackConfig
from stack.errors import StackError


@pytest.fixture
def config(tmp_path: Path) -> StackConfig:
    return StackConfig(state=tmp_path / "state")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small source tree."""
    (tmp_path / "tree" / "jobs" / "__pycache__").mkdir(parents=True)
    (tmp_path / "tree" / "jobs" / "one.py").write_text("VERSION = 1\n")
    (tmp_path / "tree" / "jobs" / "__pycache__" / "one.py").write_text("compiled")
    (tmp_path / "tree" / "elsewhere").mkdir()
    (tmp_path / "tree" / "elsewhere" / "two.py").write_text("not of the packages")
    return tmp_path / "tree"


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_root_holds_the_packages_and_nothing_else(config: StackConfig, tree: Path) -> None:
    name = roots.build(config, tree)
    assert contents(roots.path(config, name)) == {"jobs/one.py"}
    assert {path.name for path in roots.folder(config).iterdir()} == {name}


def test_the_name_is_the_content(config: StackConfig, tree: Path) -> None:
    first = roots.build(config, tree)
    assert roots.build(config, tree) == first == roots.name_of(roots.path(config, first))
    (tree / "jobs" / "one.py").write_text("VERSION = 2\n")
    assert roots.build(config, tree) != first


def test_moved_text_is_another_content(tmp_path: Path) -> None:
    for name, texts in (("a", ("x", "yz")), ("b", ("xy", "z"))):
        (tmp_path / name / "jobs").mkdir(parents=True)
        for file, text in zip(("one.py", "two.py"), texts, strict=True):
            (tmp_path / name / "jobs" / file).write_text(text)
    assert roots.name_of(tmp_path / "a") != roots.name_of(tmp_path / "b")


def test_what_python_caches_in_a_root_is_no_change_but_an_edit_is(config: StackConfig, tree: Path) -> None:
    name = roots.build(config, tree)
    subprocess.run([sys.executable, "-c", "import jobs.one"], cwd=roots.path(config, name), check=True)
    assert roots.build(config, tree) == name
    edited = roots.path(config, name) / "jobs" / "one.py"
    edited.chmod(0o644)
    edited.write_text("VERSION = 3\n")
    with pytest.raises(StackError, match="was changed after it was written"):
        roots.build(config, tree)


def test_there_is_one_active_root(config: StackConfig, tree: Path) -> None:
    with pytest.raises(StackError, match="no active code root"):
        roots.active(config)
    first = roots.build(config, tree)
    (tree / "jobs" / "one.py").write_text("VERSION = 2\n")
    second = roots.build(config, tree)
    for name in (first, second, first):
        roots.activate(config, name)
        assert roots.active(config) == roots.path(config, name)


def started(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """A process that has answered: before that the kernel may not have laid its environment yet."""
    process = subprocess.Popen(["/bin/cat"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"ready\n")
    process.stdin.flush()
    assert process.stdout.readline() == b"ready\n"
    return process


def test_a_process_keeps_the_root_it_started_with(config: StackConfig, tree: Path) -> None:
    name = roots.build(config, tree)
    roots.activate(config, name)
    environment = {"PYTHONPATH": str(roots.active(config))}
    with started(environment) as process:
        assert roots.of_process(config, process.pid) == name
        process.kill()
    assert roots.of_process(config, process.pid) == ""


def test_a_process_of_another_path_has_no_root(config: StackConfig) -> None:
    with started({"PYTHONPATH": str(ROOT)}) as process:
        assert roots.of_process(config, process.pid) == ""
        process.kill()


def test_old_roots_go_the_active_one_and_those_to_keep_stay(config: StackConfig, tree: Path) -> None:
    names = []
    for number in range(6):
        (tree / "jobs" / "one.py").write_text(f"VERSION = {number}\n")
        names.append(roots.build(config, tree))
    (roots.folder(config) / ".half-made").mkdir()
    roots.activate(config, names[0])
    roots.prune(config, keep=[names[1]], newest=2)
    kept = {path.name for path in roots.folder(config).iterdir()} - {"active"}
    assert kept == {names[0], names[1], names[4], names[5]}
