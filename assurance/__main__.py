"""`./millrace lint --security`: what our code does, and what it is built of.

Five checks, each told and none in the way of the others: `code` (bandit), `jars` (checksums), `bill` (CycloneDX), `python` (pip-audit
over the lock file) and `advisories` (of jars, from osv.dev; both from a folder instead). Exit status: 0 nothing found, 1 something
found, 3 nothing found but not everything could be asked.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from assurance import advisories, bill, code, jars, python_packages
from base.errors import ConfigError, UnavailableError

FOUND, NOT_ASKED = 1, 3


def parser() -> argparse.ArgumentParser:
    """Options."""
    made = argparse.ArgumentParser(
        prog="./millrace lint --security", description="Code, jars, packages: what is known against them."
    )
    made.add_argument("checks", nargs="*", metavar="CHECK", help=f"which of {', '.join(CHECKS)}; all without")
    made.add_argument(
        "--advisories",
        type=Path,
        metavar="FOLDER",
        help="look Python packages and jars up in files of the OSV format, and ask no service",
    )
    made.add_argument(
        "--sbom", type=Path, default=jars.ROOT / ".millrace" / "sbom.cdx.json", help="where the bill of materials goes"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks; the worst exit status."""
    options = parser().parse_args(arguments)
    if unknown := set(options.checks) - CHECKS.keys():
        parser().error(f"there is no check {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
    statuses = [_run(name, CHECKS[name], options) for name in CHECKS if not options.checks or name in options.checks]
    return FOUND if FOUND in statuses else max(statuses)


def _run(
    name: str, check: Callable[[argparse.Namespace], tuple[str, Iterable[str]]], options: argparse.Namespace
) -> int:
    try:
        summary, found = check(options)
        problems = list(found)
    except UnavailableError as error:
        sys.stdout.write(f"{name}: NOT CHECKED: {error}\n")
        return NOT_ASKED
    except (ConfigError, OSError, ValueError, RuntimeError, subprocess.SubprocessError) as error:
        sys.stdout.write(f"{name}: FAILED: {error}\n")
        return FOUND
    sys.stdout.write(f"{name}: {f'{len(problems)} found' if problems else 'nothing found'}; {summary}\n")
    sys.stdout.writelines(f"  {problem}\n" for problem in problems)
    return FOUND if problems else 0


def _code(_: argparse.Namespace) -> tuple[str, Iterable[str]]:
    accepted = code.accepted(code.ACCEPTED.read_text())
    found = code.scan(code.packages(), accepted.left_out)
    return f"{sum(accepted.findings.values())} findings are accepted, each with its reason", code.problems(
        found, accepted
    )


def _jars(_: argparse.Namespace) -> tuple[str, Iterable[str]]:
    problems = [problem for source in jars.SOURCES for problem in source.problems()]
    return (
        f"{len(bill.jars())} jars have the checksums that are pinned; what is shaded inside them is not seen",
        problems,
    )


def _bill(options: argparse.Namespace) -> tuple[str, Iterable[str]]:
    options.sbom.parent.mkdir(parents=True, exist_ok=True)
    options.sbom.write_text(bill.text())
    return f"CycloneDX 1.6 is in {options.sbom}; without system packages, npm packages, and what is shaded", ()


def _python(options: argparse.Namespace) -> tuple[str, Iterable[str]]:
    packages = [one for one in bill.packages() if one.ecosystem == "PyPI"]
    if options.advisories:
        return _from_folder(options.advisories, packages)
    return f"{len(packages)} packages of uv.lock", _lines(python_packages.findings())


def _advisories(options: argparse.Namespace) -> tuple[str, Iterable[str]]:
    packages = [one for one in bill.packages() if one.ecosystem == "Maven"]
    if options.advisories:
        return _from_folder(options.advisories, packages)
    return f"{len(packages)} jars by their coordinates; what is shaded inside them is not seen", _lines(
        advisories.ask(packages)
    )


def _from_folder(folder: Path, packages: list[advisories.Package]) -> tuple[str, Iterable[str]]:
    found, newest = advisories.read(folder, packages)
    return f"{len(packages)} in {folder}, whose newest advisory is of {newest[:10]}", _lines(found)


def _lines(found: Iterable[advisories.Finding]) -> list[str]:
    return [f"{one.package.name} {one.package.version}: {one.advisory} {one.text}".rstrip() for one in found]


CHECKS = {"code": _code, "jars": _jars, "bill": _bill, "python": _python, "advisories": _advisories}


if __name__ == "__main__":
    sys.exit(main())
