"""The line of `bench alarms`: files of its plant, rules and routes, and the instance that they make."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from millrace_client import Client, PreconditionError, UnavailableError
from stack import instance
from stack.config import TOOLS, Parallelism, StackConfig
from stack.render import alarm_routes

_LOOK_S = 0.5


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


def wait_evaluated(config: StackConfig, *, timeout_s: float) -> None:
    """Until serving says that alarms are evaluated: the job has completed a checkpoint. Raises what serving says."""
    deadline_s = time.monotonic() + timeout_s
    with Client(config.serving_address) as client:
        while True:
            try:
                client.calm_list()
            except (PreconditionError, UnavailableError):
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_LOOK_S)
            else:
                return
