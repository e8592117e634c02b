"""Shared by all rungs of the test ladder: the marker of a test follows from its folder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

# A property holds or it does not; how long a try takes on a busy machine says nothing.
hypothesis.settings.register_profile("millrace", deadline=None)
hypothesis.settings.load_profile("millrace")

_HERE = Path(__file__).parent
# Folders whose name is no rung are fast tests of their own kind (contract, golden, those of the client's distribution).
_RUNGS = ("unit", "operators", "flink", "integration")
# Files that take minutes, the longest first. Each is one process's work under `--dist loadfile`: one that begins last leaves the other
# processors idle to the end. `./millrace test tests/web tests/integration --durations=0` says how long they take.
_LONG_FIRST = (
    "web/test_screens.py",
    "web/test_plant.py",
    "web/test_alarms.py",
    "web/test_work.py",
    "web/test_commands.py",
    "web/test_trends.py",
    "web/test_sign_in.py",
    "web/test_connection.py",
    "docs/test_how_to.py",
    "connectors/test_sparkplug.py",
    "integration/test_line.py",
    "integration/test_savepoints.py",
    "integration/test_jobs_rescaled.py",
    "integration/test_backup.py",
    "integration/test_healing.py",
    "integration/test_health_watch.py",
    "integration/test_deploy.py",
    "integration/test_stack_services.py",
    "integration/test_foreign.py",
    "integration/test_signed_line.py",
    "integration/test_stack_flink.py",
    "integration/test_simulator.py",
    "integration/test_serving.py",
    "integration/test_notifier.py",
    "integration/test_ingestion.py",
    "integration/test_gateway_conditions.py",
    "integration/test_gateway.py",
    "integration/test_gateway_opcua.py",
    "integration/test_forgetting.py",
    "integration/test_deployables.py",
    "integration/test_recovery.py",
)
_PLACE = {name: place for place, name in enumerate(_LONG_FIRST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by its folder and run the fast rungs first; within a rung, the files that take long."""
    for item in items:
        rung = item.path.relative_to(_HERE).parts[0] if item.path.is_relative_to(_HERE) else ""
        item.add_marker(rung if rung in _RUNGS else "unit")
    items.sort(key=_order)


def _order(item: pytest.Item) -> tuple[int, int]:
    name = item.path.relative_to(_HERE).as_posix() if item.path.is_relative_to(_HERE) else ""
    rung = max((place for place, rung in enumerate(_RUNGS) if item.get_closest_marker(rung)), default=0)
    return rung, _PLACE.get(name, len(_PLACE))


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A test that calls a service's `main` configures logging for its process; the next one finds it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
