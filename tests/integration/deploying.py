"""A deployment in a process of its own, to be killed: says where it is, before and after each step.

`python -m tests.integration.deploying --source TREE --reports DIR JOB...`, for the instance that the environment names. With `--reports`
the jobs are counting jobs, without it the platform's. Exit status 1 when the deployment went back.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from stack import deploy, jobs
from stack.config import StackConfig, load
from stack.reporting import Progress

JOB = Path(__file__).parent / "counting_job.py"


def submit_counting(config: StackConfig, name: str, *, reports: Path, behaviour: str = "jobs.behaviour") -> str:
    """What `jobs.submit` is to the real jobs."""
    arguments = ("--name", jobs.flink_name(name), "--report", str(reports / name), "--behaviour", behaviour)
    return jobs.submit(config, name, script=JOB, arguments=arguments)


def nothing(config: StackConfig, names: tuple[str, ...], /, *, root: str) -> str:
    """What `jobs.compile_ahead` is to the real jobs: a counting job is compiled when it is submitted."""
    return "none"


class Announcing(Progress):
    """Progress that says what begins, too."""

    @contextmanager
    def step(self, title: str) -> Iterator[list[str]]:
        """The same, with a line before."""
        self.sink(f"begin {title}")
        with super().step(title) as details:
            yield details


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--reports", type=Path)
    parser.add_argument("job", nargs="+")
    options = parser.parse_args()
    submit = partial(submit_counting, reports=options.reports) if options.reports else jobs.submit
    progress = Announcing(sink=partial(print, flush=True))
    try:
        ahead = nothing if options.reports else jobs.compile_ahead
        deploy.deploy(load(), progress, names=tuple(options.job), submit=submit, ahead=ahead, source=options.source)
    except deploy.RolledBackError as error:
        progress.sink(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
