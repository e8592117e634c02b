"""The journal of a deployment: what is being done, durable, so that whoever comes after a killed `deploy` knows how to go on.

One deployment at a time, in `data/code/deployment.json`, replaced whole at every phase; finished ones are lines of `deployments.jsonl`.
Written by `deploy` with the right to submit held; read by the job keeper, `up` and `status`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from base import files
from stack import roots
from stack.config import StackConfig

_KEPT_LINES = 100


class Phase(StrEnum):
    """Where a deployment is. Each phase may be begun again from its start at any time."""

    STOPPING = "stopping"
    """Jobs are stopped with savepoints, on the old root. Interrupted here, the deployment goes back: nothing of the new root has run."""
    STARTING = "starting"
    """The new root: fresh TaskManagers, submission, proof of progress. Interrupted here, the deployment goes on."""
    BACKING = "backing"
    """The new root is given up: its jobs are cancelled, the restore points from before are put back."""
    RESTORING = "restoring"
    """The old root again: fresh TaskManagers, submission, progress."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One deployment.

    `taskmanagers`: those that run. `restore`: where each job goes on from before the new root has it. `stale`: process ids of the
    TaskManagers that were there before this phase, and must be replaced in it. `reason`: why it goes back; empty while it does not.
    """

    id: str
    started: str
    phase: Phase
    old_root: str
    new_root: str
    jobs: tuple[str, ...]
    taskmanagers: tuple[str, ...]
    restore: Mapping[str, str] = field(default_factory=dict)
    stale: tuple[int, ...] = ()
    reason: str = ""

    def moved(self, phase: Phase, **changes: Any) -> Self:
        """The same deployment in another phase."""
        return dataclasses.replace(self, phase=phase, **changes)

    @property
    def root(self) -> str:
        """The root on which jobs run in this phase."""
        return self.new_root if self.phase is Phase.STARTING else self.old_root


def pending(config: StackConfig) -> Deployment | None:
    """The deployment that is under way, if there is one."""
    try:
        row = json.loads(_file(config).read_text())
    except FileNotFoundError:
        return None
    tuples = {key: tuple(row[key]) for key in ("jobs", "taskmanagers", "stale")}
    return Deployment(**row | tuples | {"phase": Phase(row["phase"])})


def write(config: StackConfig, deployment: Deployment) -> Deployment:
    """Replace the journal; durable when this returns."""
    files.replace_durably(_file(config), json.dumps(asdict(deployment), indent=2))
    return deployment


def finish(config: StackConfig, deployment: Deployment, outcome: str) -> None:
    """Move the deployment from the journal to the list of finished ones."""
    row = {key: value for key, value in asdict(deployment).items() if key not in ("phase", "stale")}
    lines = [line for line in _lines(config) if json.loads(line)["id"] != deployment.id][-_KEPT_LINES + 1 :]
    lines.append(json.dumps(row | {"ended": now(), "outcome": outcome}))
    files.replace(_list(config), "".join(f"{line}\n" for line in lines))
    _file(config).unlink()


def last(config: StackConfig) -> dict[str, Any] | None:
    """The newest finished deployment, with `ended` and `outcome`."""
    lines = _lines(config)
    return dict(json.loads(lines[-1])) if lines else None


def now() -> str:
    """Time for people and for the journal, ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _lines(config: StackConfig) -> list[str]:
    return _list(config).read_text().splitlines() if _list(config).exists() else []


def _file(config: StackConfig) -> Path:
    return roots.folder(config) / "deployment.json"


def _list(config: StackConfig) -> Path:
    return roots.folder(config) / "deployments.jsonl"
