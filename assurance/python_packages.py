"""pip-audit over the lock file: advisories about every locked Python package, from the package index.

The index is asked through pip-audit alone. An index that gives packages and no advisories (a mirror) says of each that it knows nothing;
pip-audit ends with 0 then. Here that is no answer. One package is asked about first, so that a service which is away is asked once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assurance.advisories import Finding, Package
from assurance.jars import ROOT
from base.errors import UnavailableError

_UV = ROOT / ".millrace" / "bootstrap" / "bin" / "uv"
_LONGEST_S = 900


def findings() -> list[Finding]:
    """What the index says; raises UnavailableError when it cannot say it of every package."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        export = [str(_UV), "export", "--quiet", "--locked", "--all-groups", "--all-extras", "--no-emit-workspace"]
        subprocess.run([*export, "--output-file", str(requirements)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        probe = Path(folder) / "probe.txt"
        probe.write_text("pip-audit==2.9.0\n")
        answered(_ask(probe, "--no-deps"))
        return answered(_ask(requirements, "--require-hashes"))


def answered(answer: dict[str, Any]) -> list[Finding]:
    """Findings of pip-audit's JSON; raises UnavailableError when packages were left out."""
    left_out = [one["name"] for one in answer["dependencies"] if "skip_reason" in one]
    if left_out:
        names = ", ".join(left_out[:5]) + (" …" if len(left_out) > 5 else "")
        msg = f"the package index gives no advisories about {names} (a mirror without them?)"
        raise UnavailableError(msg)
    return list(_found(answer))


def _ask(requirements: Path, *options: str) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "-r",
        str(requirements),
        "--disable-pip",
        "--progress-spinner",
        "off",
        "-f",
        "json",
    ]
    try:
        done = subprocess.run([*command, *options], check=False, capture_output=True, text=True, timeout=_LONGEST_S)
        found: dict[str, Any] = json.loads(done.stdout)
    except subprocess.TimeoutExpired as error:
        msg = f"pip-audit had no answer from the package index within {_LONGEST_S} s"
        raise UnavailableError(msg) from error
    except ValueError as error:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        msg = f"pip-audit had no answer from the package index: {last}"
        raise UnavailableError(msg) from error
    return found


def _found(answer: dict[str, Any]) -> Iterator[Finding]:
    for one in answer["dependencies"]:
        for known in one["vulns"]:
            yield Finding(
                Package("PyPI", one["name"], one["version"]), known["id"], " ".join(known["description"].split())[:160]
            )
