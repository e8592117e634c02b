"""Imports point one way: which of our packages (and which heavy libraries) each package may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from connectors.catalogue import PROTOCOLS

ROOT = Path(__file__).resolve().parents[2]
ALLOWED = {
    "base": set(),
    "schemas": {"base"},
    "stages": {"base", "schemas"},
    "connectors": {"base", "schemas"},
    "registry": {"base", "schemas", "stages", "connectors"},
    "historian": {"base", "schemas", "stages", "connectors", "registry"},
    "work": {"base", "connectors", "registry"},
    "alarms": {"base", "schemas", "stages", "connectors", "registry", "historian"},
    # The gateway is light: nothing of the plant's database, nothing of Flink.
    "edge": {"base", "schemas", "stages", "connectors"},
    "simulator": {"base", "schemas", "connectors", "registry"},
    "jobs": {"base", "schemas", "stages", "connectors", "historian"},
    "serving": {"base", "schemas", "stages", "connectors", "historian", "audit", "privacy"},
    "reports": {"base", "connectors", "historian"},
    # Texts for another program.
    "dashboards": set(),
    # Distributions of their own, which know nothing of the rest.
    "millrace_client": set(),
    "millrace_verify": set(),
    # The log that proves events: serving reads it, and writes to the topic alone.
    "audit": {"base", "schemas", "connectors"},
    # It knows alarms by their topic alone: no database, nothing of the plant.
    "notifier": {"base", "schemas", "connectors"},
    # Names of people, which no record has.
    "privacy": {"base"},
    # It knows gateways by what the broker allows them: no database, nothing of the plant.
    "ingestion": {"base", "schemas", "connectors"},
    # The issuer of the local stack: what an installation has from somebody else.
    "issuer": {"base"},
    # The certificate authority of the local stack, and who vouches for signing keys of either.
    "authority": {"base", "schemas", "connectors"},
    # What is checked about the code and what it is built of; no part of an installation.
    "assurance": {"base"},
    # Who lets gateways in there.
    "enrolment": {"base", "schemas", "connectors", "authority"},
    "browse": {"base", "schemas", "connectors", "registry"},
    "detect": {"base", "schemas", "stages"},
    # Of the gateway it uses the tools that stand beside its own in the front door.
    "stack": {
        "base",
        "schemas",
        "connectors",
        "registry",
        "historian",
        "millrace_client",
        "issuer",
        "authority",
        "enrolment",
        "edge",
    },
    # The front door names the programs of all packages, and imports one to run it.
    "cli": set(),
}
OURS = {*ALLOWED, "benchmarks"}
OF_EVERY_PROTOCOL = {
    "connectors.readings",
    "connectors.protocol",
    "connectors.gap_tracker",
    "connectors.pauses",
    "connectors.device_notices",
    "connectors.awaited_report",
    "connectors.mqtt_transport",
}
# Rules for a part of a package, which the package as a whole may break.
INSIDE = {
    # Protocols know nothing of each other, nor of the stores; the broker's and the database's clients nothing of the machines.
    **{f"connectors/{name}": {f"connectors.{name}", *OF_EVERY_PROTOCOL} for name in PROTOCOLS},
    "connectors/mqtt_transport": {"connectors.mqtt_transport"},
    "connectors/kafka": {"connectors.kafka", "connectors.platform"},
    "connectors/ingestion": {"connectors.ingestion", "connectors.platform", "connectors.pauses"},
    "connectors/enrolment": {"connectors.enrolment"},
    "connectors/postgres": {"connectors.postgres"},
    # Of the protocols the simulator uses what is on the wire.
    "simulator": {"connectors.sparkplug.payload", "connectors.sparkplug.names"},
}
FOLDERS = {
    "millrace_client": ROOT / "client" / "src" / "millrace_client",
    "millrace_verify": ROOT / "verify" / "src" / "millrace_verify",
}
# Third-party packages: what pure stream logic may use, and what a user of the client gets with it (rich with its command line).
STAGES_LIBRARIES = {"numpy", "river", "cel_expr_python"}
CLIENT_LIBRARIES = {"google", "grpc", "rich"}
CLIENT_EXTRAS = {"numpy", "pandas", "polars", "pyarrow"}
"""Imported by what is called for them, each an extra."""


def sources(package: str) -> Iterable[Path]:
    """Modules of a package."""
    return FOLDERS.get(package, ROOT / package).rglob("*.py")


def modules_of(path: Path) -> set[str]:
    """Full names of what a module imports anywhere; `from a import b` counts as `a.b` where that is a module."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                inside = ROOT / node.module.replace(".", "/") / alias.name
                is_module = inside.with_suffix(".py").exists() or inside.is_dir()
                found.add(f"{node.module}.{alias.name}" if is_module else node.module)
    return found


def imports_of(path: Path) -> set[str]:
    """Top-level names that a module imports anywhere."""
    return {name.split(".")[0] for name in modules_of(path)}


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_package_imports_only_what_lies_below_it(package: str) -> None:
    for path in sources(package):
        forbidden = (imports_of(path) & OURS) - ALLOWED[package] - {package}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_a_long_module_says_why_it_is_one(package: str) -> None:
    written = (path for path in sources(package) if not path.stem.endswith(("_pb2", "_pb2_grpc")))
    for path in written:
        text = path.read_text()
        if text.count("\n") > 350:
            said = ast.get_docstring(ast.parse(text)) or ""
            assert "Over 350 lines: " in said, (
                f"{path.relative_to(ROOT)}: split it, or say in its docstring 'Over 350 lines: ...'"
            )


@pytest.mark.parametrize("folder", sorted(INSIDE))
def test_part_of_a_package_imports_only_its_own_siblings(folder: str) -> None:
    for path in (ROOT / folder).rglob("*.py"):
        connectors = {name for name in modules_of(path) if name.split(".")[0] == "connectors"}
        forbidden = {name for name in connectors if not any(f"{name}.".startswith(f"{one}.") for one in INSIDE[folder])}
        assert not forbidden, f"{path.relative_to(ROOT)} imports {forbidden}"


def test_stages_use_no_library_but_their_own_three() -> None:
    for path in (ROOT / "stages").rglob("*.py"):
        foreign = imports_of(path) - sys.stdlib_module_names - STAGES_LIBRARIES - {"stages", "base", "schemas"}
        assert not foreign, f"{path.relative_to(ROOT)} imports {foreign}"


def test_the_client_uses_no_library_but_those_it_declares() -> None:
    for path in sources("millrace_client"):
        used = imports_of(path) - sys.stdlib_module_names - {"millrace_client"}
        allowed = CLIENT_LIBRARIES | CLIENT_EXTRAS if path.parent.name == "results" else CLIENT_LIBRARIES
        assert not (foreign := {name for name in used if not name.startswith("_")} - allowed), (path, foreign)


def test_only_jobs_import_pyflink() -> None:
    for package in OURS - {"jobs", "benchmarks"}:
        for path in sources(package):
            assert "pyflink" not in imports_of(path), path.relative_to(ROOT)


def test_every_package_has_a_rule() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert packages | set(FOLDERS) == OURS


@pytest.mark.parametrize(
    "module", ["registry.plant_file", "registry.plant", "simulator.plant", "stack.plant", "connectors.catalogue"]
)
def test_plant_file_and_catalogue_are_read_without_database_broker_or_protocol_library(module: str) -> None:
    code = f"import {module}, sys; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"psycopg", "confluent_kafka", "pyflink", "asyncua", "gmqtt", "pymodbus"} & set(loaded.stdout.split())
