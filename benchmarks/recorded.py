"""Results that are kept with the code: `benchmarks/results/<date>-<commit>/<name>.json`.

Enters: a result as `./millrace bench SCENARIO --json FILE` writes it. Leaves: a file in the folder of its day and commit, and the results
of all folders for the table of `docs/benchmarks.md`. A file is the result itself, unchanged. A result is kept only when somebody else can
repeat it: code that is committed, at full size.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from base.errors import ConfigError
from benchmarks import report
from stack.config import ROOT

FOLDER = ROOT / "benchmarks" / "results"
_NUMBERS = re.compile(r"\[\s*\n\s*([^\[\]{}\"]*?)\s*\n\s*\]")


def dumps(result: Mapping[str, Any]) -> str:
    """The result as JSON, lists of numbers on one line."""
    text = json.dumps(result, indent=2)
    return _NUMBERS.sub(lambda found: "[" + re.sub(r"\s*\n\s*", " ", found[1]) + "]", text) + "\n"


def folder_of(result: Mapping[str, Any]) -> str:
    """Name of the folder that a result belongs into."""
    return f"{result['time'][:10]}-{result['versions']['millrace']}"


def name_of(result: Mapping[str, Any]) -> str:
    """What was run, as a file name: the scenario and the options that were given."""
    words = str(result["command"]).split()[2:]
    if result.get("storage"):
        words.append("timescaledb" if result["storage"] == "TimescaleDB" else "plain")
    return re.sub(r"[^a-z0-9.]+", "-", " ".join(words).replace("--", "").lower()).strip("-")


def check(result: Mapping[str, Any]) -> None:
    """Raise ConfigError for a result that nobody could repeat."""
    commit = result["versions"].get("millrace", "")
    if not commit:
        msg = "the result names no commit; run in a checkout with git"
        raise ConfigError(msg)
    if commit.endswith("+"):
        msg = f"the code differs from commit {commit[:-1]}: commit it first, so that the figures belong to something"
        raise ConfigError(msg)
    if result["arguments"].get("smoke"):
        msg = "a --smoke run measures nothing"
        raise ConfigError(msg)


def record(result: Mapping[str, Any], folder: Path = FOLDER) -> Path:
    """Keep a result; a second run of the same gets a number. Raises ConfigError (see `check`)."""
    check(result)
    target = folder / folder_of(result)
    target.mkdir(parents=True, exist_ok=True)
    name, run = name_of(result), 1
    while (path := target / f"{name}{'' if run == 1 else f'.{run}'}.json").exists():
        run += 1
    path.write_text(dumps(result))
    return path


def load(folder: Path = FOLDER) -> dict[Path, dict[str, Any]]:
    """Every result that is kept, by file; raises ConfigError for a file that is none."""
    return {path: report.load(path) for path in sorted(folder.glob("*/*.json"))}


def newest(results: Mapping[Path, dict[str, Any]]) -> list[list[tuple[Path, dict[str, Any]]]]:
    """For each thing that was run the runs of its newest folder, oldest first; things ordered by name."""
    groups: dict[str, dict[Path, list[tuple[Path, dict[str, Any]]]]] = {}
    for path, result in results.items():
        groups.setdefault(name_of(result), {}).setdefault(path.parent, []).append((path, result))
    return [_by_time(max(folders.values(), key=_latest)) for _, folders in sorted(groups.items())]


def _latest(runs: Iterable[tuple[Path, dict[str, Any]]]) -> str:
    return max(str(result["time"]) for _, result in runs)


def _by_time(runs: Iterable[tuple[Path, dict[str, Any]]]) -> list[tuple[Path, dict[str, Any]]]:
    return sorted(runs, key=lambda one: (str(one[1]["time"]), one[0]))
