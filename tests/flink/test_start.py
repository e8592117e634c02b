"""Flink's Java processes get what the wheel's start scripts would give them, whatever the next version's scripts compute."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from stack import flink, java
from stack.config import StackConfig
from stack.flink_jvm import Role

pytestmark = pytest.mark.timeout(300)
_SCRIPTS = {
    Role.JOBMANAGER: ("jobmanager.sh", "start-foreground"),
    Role.TASKMANAGER: ("taskmanager.sh", "start-foreground"),
    Role.CLIENT: ("flink",),
}
_OWN_MATTERS = ("-Dlog.file=", "-Dlog4j.configuration=", "-Dlogback.", "-Djava.io.tmpdir=", "-Xmx384m")
# Passes on to the real `java` what the scripts ask of it meanwhile, and writes down the last call, which would be Flink.
_JAVA = """#!/bin/sh
case "$*" in
*{main}*) for argument in "$@"; do printf '%s\\n' "$argument"; done > {seen}; exit 0 ;;
esac
exec {java} "$@"
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> StackConfig:
    made = StackConfig(state=tmp_path_factory.mktemp("state"))
    flink.prepare(made)
    return made


def _ours(config: StackConfig, role: Role) -> list[str]:
    lines = (flink.conf_dir(config) / f"{role}.args").read_text().splitlines()
    return [text for line in lines if not line.startswith("#") for text in shlex.split(line)]


def _by_scripts(config: StackConfig, role: Role, folder: Path) -> list[str]:
    main = next(argument for argument in _ours(config, role) if argument.startswith("org.apache.flink."))
    seen, program = folder / "seen", folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(_JAVA.format(main=main, seen=seen, java=java.executable()))
    program.chmod(0o755)
    own = {"JAVA_HOME": str(folder), "FLINK_LOG_DIR": str(folder), "FLINK_PID_DIR": str(folder)}
    script, *arguments = _SCRIPTS[role]
    found = subprocess.run(
        ["bash", str(flink.home() / "bin" / script), *arguments],
        env=os.environ | flink.environment(config) | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert seen.exists(), found.stdout + found.stderr
    return seen.read_text().splitlines()


@dataclass(frozen=True, kw_only=True, slots=True)
class _Given:
    """Options of the JVM, class path, and main class with its arguments; those whose order means nothing by name."""

    options: list[str]
    path: list[str]
    rest: list[str]


def _given(arguments: list[str]) -> _Given:
    """A command line without what is meant to be another."""
    at = arguments.index("-classpath")
    options = [option for option in arguments[:at] if not option.startswith(_OWN_MATTERS)]
    path = [Path(entry).name for entry in arguments[at + 1].split(":") if entry]
    rest = arguments[at + 2 :]
    return _Given(options=sorted(options), path=path, rest=[rest[0], *sorted(rest[1:])])


@pytest.mark.parametrize("role", list(Role))
def test_what_java_is_given_is_what_the_wheels_scripts_give_it(config: StackConfig, role: Role, tmp_path: Path) -> None:
    ours, scripts = _given(_ours(config, role)), _given(_by_scripts(config, role, tmp_path))
    assert ours.options == scripts.options
    assert ours.path == scripts.path
    assert ours.rest == scripts.rest
