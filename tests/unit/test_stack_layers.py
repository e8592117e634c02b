"""Imports point one way: which of our packages (and which heavy libraries) each package may import."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OURS = {"schemas", "stages", "connectors", "edge", "jobs", "serving", "client", "stack", "benchmarks"}
ALLOWED = {
    "schemas": set(),
    "stages": {"schemas"},
    "connectors": {"schemas"},
    "edge": {"schemas", "stages", "connectors"},
    "jobs": {"schemas", "stages", "connectors"},
    "serving": {"schemas", "stages", "connectors"},
    "client": {"schemas"},
    "stack": {"schemas", "connectors"},
}
# Pure stream logic: third-party packages that stages may use.
STAGES_LIBRARIES = {"numpy", "river"}


def imports_of(path: Path) -> set[str]:
    """Top-level names that a module imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_package_imports_only_what_lies_below_it(package: str) -> None:
    for path in (ROOT / package).rglob("*.py"):
        forbidden = (imports_of(path) & OURS) - ALLOWED[package] - {package}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


def test_stages_use_no_library_but_their_own_two() -> None:
    import sys

    for path in (ROOT / "stages").rglob("*.py"):
        foreign = imports_of(path) - sys.stdlib_module_names - STAGES_LIBRARIES - {"stages", "schemas"}
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_only_jobs_import_pyflink() -> None:
    for package in OURS - {"jobs", "benchmarks"}:
        for path in (ROOT / package).rglob("*.py"):
            assert "pyflink" not in imports_of(path), path.relative_to(ROOT)
