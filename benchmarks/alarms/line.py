"""The line of `bench alarms`: files of its plant, rules and routes, and the instance that they make."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from stack import instance
from stack.config import TOOLS, Parallelism, StackConfig
from stack.render import alarm_routes


@contextmanager
def made_of(
    plant: Mapping[str, Any], rules: list[dict[str, Any]], routes: Mapping[str, Any] | None = None, **settings: Any
) -> Iterator[StackConfig]:
    """An instance that is not started yet. Its rules are these and no others; without `routes` nobody is told."""
    with tempfile.TemporaryDirectory(prefix="millrace-bench-") as folder:
        at = Path(folder) / "plant.yaml"
        at.write_text(yaml.safe_dump(dict(plant), sort_keys=False))
        (at.parent / "alarms.yaml").write_text(yaml.safe_dump({"rules": rules}, sort_keys=False))
        own: dict[str, Any] = {"plant": at, "parallelism": Parallelism(), "taskmanagers": Parallelism().total}
        with instance.temporary(folder=TOOLS / "bench", **(own | settings)) as running:
            if routes is not None:
                alarm_routes(running.config).write_text(yaml.safe_dump(dict(routes), sort_keys=False))
            yield running.config
