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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by its folder and run the fast rungs first."""
    for item in items:
        rung = item.path.relative_to(_HERE).parts[0] if item.path.is_relative_to(_HERE) else ""
        item.add_marker(rung if rung in _RUNGS else "unit")
    items.sort(
        key=lambda item: max((place for place, rung in enumerate(_RUNGS) if item.get_closest_marker(rung)), default=0)
    )


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A test that calls a service's `main` configures logging for its process; the next one finds it as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
