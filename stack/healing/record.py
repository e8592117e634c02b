"""What the job keeper found and did, in a small file that survives it: `status` and `top` read it, the keeper writes it.

A file that cannot be read is as good as none: it is written anew at the next change.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from base import files
from stack.config import StackConfig

KEPT_STEPS = 50
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRecord:
    """One job as the keeper sees it. Times are ISO 8601, UTC; empty when there is none.

    `condition` and since when it is so; `detail`: last line of the exception that the job failed of last; `held`: why no step is
    taken although one is due; `next_step`: the step that comes next unless the job advances, and when.
    """

    condition: str
    since: str
    job_id: str = ""
    detail: str = ""
    held: str = ""
    next_step: str = ""
    next_step_at: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """One step that was taken, with what came of it at once."""

    at: str
    job: str
    step: str
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """All jobs, and the newest steps, oldest first."""

    jobs: Mapping[str, JobRecord] = field(default_factory=dict)
    steps: tuple[StepRecord, ...] = ()


def file(config: StackConfig) -> Path:
    """Where it is kept."""
    return config.data / "flink" / "healing.json"


def read(config: StackConfig) -> Record:
    """The newest record; an empty one when there is none."""
    try:
        return _parse(json.loads(file(config).read_text()))
    except FileNotFoundError:
        return Record()
    except (OSError, ValueError, TypeError, KeyError) as error:
        _log.warning("the record of healing cannot be read", extra={"path": str(file(config)), "detail": str(error)})
        return Record()


def write(config: StackConfig, record: Record) -> None:
    """Replace the record; only the newest steps are kept."""
    rows = {
        "jobs": {name: asdict(job) for name, job in record.jobs.items()},
        "steps": [asdict(step) for step in record.steps[-KEPT_STEPS:]],
    }
    file(config).parent.mkdir(parents=True, exist_ok=True)
    files.replace(file(config), json.dumps(rows, indent=2))


def _parse(rows: dict[str, Any]) -> Record:
    return Record(
        jobs={name: JobRecord(**row) for name, row in rows["jobs"].items()},
        steps=tuple(StepRecord(**row) for row in rows["steps"]),
    )
