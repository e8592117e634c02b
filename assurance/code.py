"""bandit over our code: every finding is mended, or has its reason in `accepted.toml`.

A reason is for one rule in one file, with how many findings it covers: one more is a failure, and so is one less, so that reasons do not
outlive what they excuse. Rules that are left out for the whole tree have their reasons in the same file.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from assurance.jars import ROOT

ACCEPTED = Path(__file__).with_name("accepted.toml")
TESTS = frozenset({"tests"})


@dataclass(frozen=True, slots=True)
class Found:
    """`rule` as bandit numbers it (B608), `file` from the root of the checkout."""

    rule: str
    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """What is excused: `left_out` rule to reason; `findings` (rule, file) to how many; `any_number` (rule, pattern of files)."""

    left_out: Mapping[str, str]
    findings: Mapping[tuple[str, str], int]
    any_number: frozenset[tuple[str, str]]


def accepted(text: str) -> Accepted:
    """The file's content; raises ValueError for an entry without a reason."""
    document = tomllib.loads(text)
    findings: dict[tuple[str, str], int] = {}
    any_number: set[tuple[str, str]] = set()
    for entry in document["finding"]:
        if len(entry["reason"]) < 20:
            msg = f"accepted.toml: {entry['rule']} needs a reason"
            raise ValueError(msg)
        for file, count in entry["files"].items():
            if count == "any":
                any_number.add((entry["rule"], file))
            else:
                findings[entry["rule"], file] = int(count)
    return Accepted(document["left_out"], findings, frozenset(any_number))


def packages() -> list[str]:
    """Folders of our own code, from the root of the checkout; tests are no part of an installation."""
    ours = {path.parent.name for path in ROOT.glob("*/__init__.py")} - TESTS
    return sorted([*ours, "client/src", "verify/src", "k8s", "dashboards"])


def scan(folders: Sequence[str], left_out: Iterable[str]) -> list[Found]:
    """What bandit finds; raises RuntimeError when it could not read a file."""
    command = [
        sys.executable,
        "-m",
        "bandit",
        "--quiet",
        "--recursive",
        "--format",
        "json",
        "--skip",
        ",".join(sorted(left_out)),
    ]
    done = subprocess.run([*command, *folders], cwd=ROOT, check=False, capture_output=True, text=True)
    answer = json.loads(done.stdout)
    if answer["errors"]:
        msg = f"bandit could not read {answer['errors']}"
        raise RuntimeError(msg)
    return [
        Found(one["test_id"], one["filename"].removeprefix("./"), one["line_number"], one["issue_text"])
        for one in answer["results"]
    ]


def problems(found: Sequence[Found], accepted: Accepted) -> Iterator[str]:
    """Findings without a reason, and reasons without their findings."""
    excused = accepted.findings
    held = accepted.any_number
    found = [one for one in found if not any(one.rule == rule and fnmatch(one.file, files) for rule, files in held)]
    counts = Counter((one.rule, one.file) for one in found)
    for key in sorted(counts.keys() | excused.keys()):
        rule, file = key
        if counts[key] != excused.get(key, 0):
            lines = ", ".join(str(one.line) for one in found if (one.rule, one.file) == key) or "none"
            text = next((one.text for one in found if (one.rule, one.file) == key), "")
            yield f"{file}: {counts[key]} of {rule}, {excused.get(key, 0)} accepted (lines {lines}) {text}".rstrip()
