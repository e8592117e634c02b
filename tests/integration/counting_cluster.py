"""A Flink cluster with one TaskManager that runs counting jobs under the names of the real ones."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from stack import jobs
from stack.config import StackConfig
from stack.supervisor import Supervisor
from tests.integration.polling import eventually

JOB = Path(__file__).parent / "counting_job.py"


@dataclass
class Cluster:
    """The cluster, and a folder with the report of each job. A process whose id is in `poison` fails at every record."""

    config: StackConfig
    reports: Path

    @property
    def poison(self) -> Path:
        """File with the id of the process that is broken."""
        return self.reports / "poison"

    def run(self, config: StackConfig, name: str, /, *, restore: str | None = None) -> str:
        """What `jobs.submit` is to the real jobs."""
        report = str(self.reports / name)
        arguments = ("--name", jobs.flink_name(name), "--report", report, "--poison", str(self.poison))
        return jobs.submit(config, name, script=JOB, arguments=arguments, restore=restore)

    def submit(self, name: str) -> str:
        """Submit and wait until it runs."""
        job_id = self.run(self.config, name)
        jobs.wait_running(self.config, job_id)
        return job_id

    def report(self, name: str) -> dict[str, int]:
        """Process id and count of a job's newest record."""
        path = self.reports / name
        return json.loads(path.read_text()) if path.exists() else {"pid": 0, "count": 0}

    def counted(self, name: str, more_than: int) -> dict[str, int]:
        """Its report as soon as it has counted so far."""
        eventually(
            lambda: self.report(name)["count"] > more_than, timeout_s=60, what=f"{name} counts beyond {more_than}"
        )
        return self.report(name)

    def taskmanager_pid(self) -> int:
        """Process id of the TaskManager."""
        return Supervisor(self.config).states()["taskmanager-1"].pid
