"""Commands that documents name, held against the help of the programs behind them.

Enters: shell text. Leaves: what is wrong with its `./millrace` commands and `python -m` modules. A program's own help is asked, so it
does not matter how it reads its arguments.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import re
import runpy
import shlex
import signal
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

from cli.tree import COMMANDS, COMPLETION

# What follows these goes to another program: psql, pytest, uv.
PASSED_ON = {"psql", "test", "lock"}
_ENDS = re.compile(r"[|;&>]+")


def calls(text: str) -> Iterator[list[str]]:
    """Words of every `./millrace` command and `python -m` program of a shell text."""
    waiting = ""
    for line in text.splitlines():
        waiting = f"{waiting}\n{line}" if waiting else line
        if waiting.endswith("\\"):
            waiting = waiting[:-1]
            continue
        try:
            words = shlex.split(waiting, comments=True)
        except ValueError:  # a quotation that goes on in the next line
            continue
        waiting = ""
        for start in [n for n, word in enumerate(words) if word == "./millrace" or words[n : n + 1] == ["-m"]]:
            end = next((n for n in range(start, len(words)) if _ENDS.fullmatch(words[n])), len(words))
            yield words[start:end]


def problem(words: list[str]) -> str:
    """What is wrong with a command; empty for nothing."""
    if words[0] == "-m":
        if len(words) < 2:
            return ""
        return _unknown(words[1], words[2:]) if _reads_arguments(words[1]) else ""
    if len(words) < 2 or words[1].startswith("-"):
        return ""
    name, rest = words[1], words[2:]
    command = COMMANDS.get(name)
    if name == COMPLETION or name.isupper():  # the latter stands for any command
        return ""
    if command is None:
        return f"there is no ./millrace {name}"
    if name == "lint" and rest[:1] == ["--security"]:
        return _unknown("assurance.__main__", rest[1:])
    if command.recipe or name in PASSED_ON:
        return "" if name in PASSED_ON or not rest else f"./millrace {name} takes no arguments"
    return _unknown(command.module.removesuffix(".__main__"), [*command.before, *rest])


def _unknown(module: str, rest: list[str]) -> str:
    words = [word.strip("[]") for word in rest]
    if any(re.fullmatch(r"[A-Z]{3,}", word) for word in words[:1]):
        return ""  # a placeholder: which program's options follow is not said
    before = [word for word in words[: next((n for n, w in enumerate(words) if w.startswith("-")), len(words))] if word]
    text = ""
    for count in range(len(before), -1, -1):
        status, text = help_of(module, tuple(before[:count]))
        if status == 0:
            break
        if refused := re.search(r"(?:invalid choice|No such command):? '([a-z-]+)'", text):
            return f"{module} does not know {refused[1]!r}"
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-zA-Z]", word)} - {"--help"}
    missing = sorted(option for option in options if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text))
    return f"{' '.join([module, *before])} has no {', '.join(missing)}" if missing else ""


def _reads_arguments(module: str) -> bool:
    """Whether asking a module for its help is safe: one that reads no arguments would begin its work."""
    spec = importlib.util.find_spec(module)
    if spec is None or module.startswith("tests.") or spec.origin is None:
        return False
    file = Path(spec.origin)
    files = file.parent.glob("*.py") if file.name == "__init__.py" else [file]
    return any(re.search(r"^import (argparse|typer|click)$", one.read_text(), re.MULTILINE) for one in files)


@functools.cache
def help_of(module: str, words: tuple[str, ...]) -> tuple[int, str]:
    """Exit status and text of a program's `--help` after some words."""
    out = io.StringIO()
    arguments, handler = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = [module, *words, "--help"]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that the module was imported before
            runpy.run_module(module, run_name="__main__", alter_sys=False)
    except SystemExit as end:
        return (int(end.code or 0) if not isinstance(end.code, str) else 1), out.getvalue()
    finally:
        sys.argv = arguments
        signal.signal(signal.SIGTERM, handler)
    return 1, out.getvalue()
