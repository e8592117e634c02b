"""Plans of jobs, kept where they are submitted: a job that Flink forgot is submitted again by one request, without a client.

`flink run` starts a Java virtual machine and a Python, loads the planner and compiles the job: for four jobs that is more work than all
the rest of a recovery. What it hands to the JobManager is the same each time, but for the job's id and restore point. The client keeps
it in a file (`base.plan`), here under a name that says of what it was made: code root, configuration, class path, whatever a compilation
reads. Another name, no plan.

A plan holds the job's configuration and is as secret as that.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from base import plan
from stack import flink, roots
from stack.config import ROOT, StackConfig

_log = logging.getLogger(__name__)

_SETTINGS = "MILLRACE_JOBS_"
_READ = (".py", ".toml")
_DIGITS = 16


def of_submission(config: StackConfig, job: str, arguments: Sequence[str]) -> Path:
    """Where the plan of `flink run ARGUMENTS` is kept; programs and configurations that are named there count by their content."""
    made_of = {
        "root": roots.active(config).name,
        "arguments": [*arguments],
        "files": {name: Path(name).read_text() for name in arguments if name.endswith(_READ) and Path(name).is_file()},
        "flink": (flink.conf_dir(config) / "config.yaml").read_text(),
        "jars": sorted(jar.name for jar in flink.lib_dir().iterdir()),
        # A plan holds functions as this Python and these packages pickled them.
        "python": str(Path(flink.python(config)).resolve()),
        "packages": sha256((ROOT / "uv.lock").read_bytes()).hexdigest(),
        "environment": {key: value for key, value in sorted(os.environ.items()) if key.startswith(_SETTINGS)},
    }
    digest = sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:_DIGITS]
    return _folder(config) / f"{job}-{digest}.plan"


def filled(file: Path, *, job_id: str, restore: str) -> bytes | None:
    """The plan for one submission; None when there is none, ValueError when it is none."""
    try:
        kept = file.read_bytes()
    except FileNotFoundError:
        return None
    return plan.filled(kept, job_id=job_id, restore=restore)


@contextmanager
def keeping(config: StackConfig, job: str, file: Path) -> Iterator[dict[str, str]]:
    """Environment for a client that is to keep its plan there; when it has, the job's older plans go."""
    scratch = file.with_suffix(".new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        scratch.unlink(missing_ok=True)
        scratch.touch(mode=0o600)
    except OSError as error:  # a plan saves time; without one the job is submitted all the same
        _log.warning("no plan can be kept", extra={"job": job, "cause": str(error)})
        yield {}
        return
    try:
        yield {plan.VARIABLE: str(scratch)}
        _take_over(config, job, scratch, file)
    finally:
        with suppress(OSError):
            scratch.unlink(missing_ok=True)


def _take_over(config: StackConfig, job: str, scratch: Path, file: Path) -> None:
    try:
        if scratch.stat().st_size:  # a job may keep none
            forget(config, job)
            scratch.replace(file)
    except OSError as error:
        _log.warning("the plan is not kept", extra={"job": job, "cause": str(error)})


def forget(config: StackConfig, job: str) -> None:
    """Have the job compiled the next time: nothing that was kept is trusted."""
    for file in _folder(config).glob(f"{job}-*.plan"):
        file.unlink()


def _folder(config: StackConfig) -> Path:
    return config.data / "flink" / "plans"
