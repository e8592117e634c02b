"""The front door: every command of the table is a program, help and completion come from the programs, statuses go through."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.__main__ import PROG, tree
from cli.program import ProgramCommand, completions
from cli.tree import COMMANDS, Command, help_text

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = {name: command for name, command in COMMANDS.items() if not command.recipe}


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_every_command_is_a_program_whose_help_names_it(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = PROGRAMS[name]
    module = importlib.import_module(command.module)
    assert isinstance(module.parser(), argparse.ArgumentParser)
    if name == "psql":  # its arguments are psql's
        return
    with pytest.raises(SystemExit) as ended:
        module.main([*command.before, "--help"])
    assert ended.value.code == 0
    assert f"usage: {PROG} {name}" in capsys.readouterr().out


def test_recipes_are_those_of_the_justfile() -> None:
    recipes = re.findall(r"^@?([a-z][a-z-]*)(?: \*args)?:", (ROOT / "justfile").read_text(), re.MULTILINE)
    assert {name for name, command in COMMANDS.items() if command.recipe} == set(recipes)


def test_files_are_found_from_where_it_is_called(tmp_path: Path) -> None:
    shutil.copy(ROOT / "stack" / "plant.yaml", tmp_path / "mine.yaml")
    done = subprocess.run(
        [ROOT / "millrace", "plant", "check", "mine.yaml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "0 errors" in done.stdout


def test_help_imports_no_program() -> None:
    code = "import sys\nfrom cli.__main__ import main\ntry:\n main(['--help'])\nexcept SystemExit: pass\nprint(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert shown.startswith(help_text())
    ours = {
        "base",
        "stack",
        "connectors",
        "historian",
        "registry",
        "simulator",
        "millrace_client",
        "benchmarks",
        "detect",
    }
    assert not ours & {name.split(".")[0] for name in shown.splitlines()[-1].split()}


def test_a_program_s_status_is_the_front_door_s(tmp_path: Path) -> None:
    run = CliRunner().invoke
    assert (
        run(tree, ["detect", "--config", str(tmp_path / "none.toml"), "--out", str(tmp_path), "x.csv"]).exit_code == 1
    )
    wrong = run(tree, ["fault", "add", "--url", "http://127.0.0.1:1"])
    assert (wrong.exit_code, "usage: millrace fault add" in wrong.output) == (2, True)
    assert run(tree, ["machines", "--url", "http://127.0.0.1:1"]).exit_code == 3
    assert run(tree, ["nothing"]).exit_code == 2


def main(arguments: list[str]) -> int:
    """The program of the test below."""
    sys.stdout.write(json.dumps(arguments))
    return 7


def test_arguments_reach_the_program_as_they_are() -> None:
    given = ["-At", "-c", "SELECT 1", "--", "-x", "--set=a b", "--help"]
    found = CliRunner().invoke(ProgramCommand("mine", Command("", __name__, ("first",))), given)
    assert (found.exit_code, json.loads(found.output)) == (7, ["first", *given])


def test_what_is_not_installed_is_named() -> None:
    found = CliRunner().invoke(ProgramCommand("mine", Command("", "no_such_package.program")), ["x"])
    assert (found.exit_code, "mine needs the package no_such_package" in found.output) == (1, True)


def completed(*words: str) -> set[str]:
    environment = os.environ | {
        "_MILLRACE_COMPLETE": "bash_complete", "COMP_WORDS": " ".join([PROG, *words]), "COMP_CWORD": str(len(words)),
    }  # fmt: skip
    shown = subprocess.run(
        [sys.executable, "-m", "cli"], cwd=ROOT, env=environment, check=True, capture_output=True, text=True
    )
    return {line.partition(",")[2] for line in shown.stdout.splitlines()}


def test_commands_subcommands_choices_and_options_complete() -> None:
    assert {"recover", "replay-rejected", "report", "resume", "reset"} == completed("re")
    assert {"check", "schema", "diff", "load", "export", "publish", "set", "move", "show", "proposals"} == completed(
        "plant", ""
    )
    assert {"start", "stop"} == completed("service", "st")
    assert {"--follow"} == completed("logs", "--f")
    assert {"add", "play", "list", "remove", "clear"} == completed("fault", "")


def test_the_value_of_an_option_completes_from_its_choices() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--storage", choices=("auto", "off"))
    parser.add_argument("--quiet", action="store_true")
    assert [item.value for item in completions(parser, ["--storage"])] == ["auto", "off"]
    assert "--quiet" in {item.value for item in completions(parser, ["--quiet"])}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_are_printed(shell: str) -> None:
    found = CliRunner().invoke(tree, ["completion", shell])
    assert found.exit_code == 0
    assert "_MILLRACE_COMPLETE" in found.output
