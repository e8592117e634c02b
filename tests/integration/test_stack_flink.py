"""The Flink cluster of the stack: thread mode, two jobs on one TaskManager, savepoint and restart, a killed TaskManager."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from stack import deploy, instance, jobs, processes, restore_points, status
from stack.config import StackConfig
from stack.flink_rest import FlinkRest
from stack.keeper import Keeper
from stack.reporting import Progress
from stack.supervisor import Supervisor
from tests.integration.deploying import nothing
from tests.integration.polling import eventually

JOB = Path(__file__).parent / "counting_job.py"
pytestmark = pytest.mark.timeout(600)


@dataclass
class Cluster:
    """A cluster with one TaskManager, and the report file of each job."""

    config: StackConfig
    reports: Path

    def run(self, config: StackConfig, name: str, /, *, restore: str | None = None) -> str:
        """What `jobs.submit` is to the real jobs."""
        arguments = ("--name", jobs.flink_name(name), "--report", str(self.reports / name))
        return jobs.submit(config, name, script=JOB, arguments=arguments, restore=restore)

    def submit(self, name: str) -> str:
        job_id = self.run(self.config, name)
        jobs.wait_running(self.config, job_id)
        return job_id

    def report(self, name: str) -> dict[str, int]:
        path = self.reports / name
        return json.loads(path.read_text()) if path.exists() else {"pid": 0, "count": 0}

    def counted(self, name: str, more_than: int) -> dict[str, int]:
        eventually(
            lambda: self.report(name)["count"] > more_than, timeout_s=60, what=f"{name} counts beyond {more_than}"
        )
        return self.report(name)

    def plan(self, name: str) -> Path:
        """File of the job's kept plan."""
        (found,) = (self.config.data / "flink" / "plans").glob(f"{name}-*.plan")
        return found

    def restored_from(self, job_id: str) -> str:
        """Path that Flink says the job went on from."""
        checkpoints = FlinkRest(self.config.flink_url)._call(f"/jobs/{job_id}/checkpoints")
        return str(urlsplit(checkpoints["latest"]["restored"]["external_path"]).path)

    def taskmanager_pid(self) -> int:
        return Supervisor(self.config).states()["taskmanager-1"].pid


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with instance.temporary() as running:
        config = running.require("jobmanager", "taskmanager-1")
        yield Cluster(config=config, reports=tmp_path_factory.mktemp("reports"))
    assert processes.of_instance(config) == []


def test_job_runs_in_the_process_of_the_taskmanager(cluster: Cluster) -> None:
    cluster.submit("commands")
    assert cluster.counted("commands", 5)["pid"] == cluster.taskmanager_pid()


def test_state_survives_stop_with_savepoint_and_a_second_job_in_between(cluster: Cluster) -> None:
    before = cluster.counted("commands", 20)["count"]
    savepoint = jobs.stop(cluster.config, "commands")
    assert savepoint
    assert restore_points.newest(cluster.config, "commands") == savepoint
    pid = cluster.taskmanager_pid()

    cluster.submit("historian")  # another job in the process where the first one has loaded pemja
    assert cluster.counted("historian", 5)["pid"] == pid
    jobs.stop(cluster.config, "historian")

    (cluster.reports / "commands").unlink()
    # A plan that Flink cannot read costs a compilation, nothing else.
    damaged = cluster.plan("commands").read_bytes()[:-100]
    cluster.plan("commands").write_bytes(damaged)
    assert cluster.restored_from(cluster.submit("commands")) == urlsplit(savepoint).path
    assert cluster.plan("commands").read_bytes() != damaged
    assert eventually(lambda: cluster.report("commands"), what="first report")["pid"] in (0, pid)
    assert eventually(lambda: cluster.report("commands")["count"], timeout_s=60) >= before
    assert cluster.taskmanager_pid() == pid


def test_killed_taskmanager_comes_back_and_the_job_goes_on(cluster: Cluster) -> None:
    rest = FlinkRest(cluster.config.flink_url)
    job = rest.live_job(jobs.flink_name("commands"))
    assert job is not None
    checkpoint = eventually(
        lambda: "/chk-" in restore_points.newest(cluster.config, "commands"), timeout_s=60, what="a checkpoint"
    )
    assert checkpoint
    killed = cluster.taskmanager_pid()
    os.kill(killed, signal.SIGKILL)
    pid = eventually(lambda: (p := cluster.taskmanager_pid()) not in (0, killed) and p, what="supervisord restarts it")
    before = cluster.report("commands")["count"]
    eventually(lambda: cluster.report("commands")["pid"] == pid, timeout_s=90, what="the job runs in the new process")
    assert cluster.counted("commands", before)["pid"] == pid
    assert rest.live_job(jobs.flink_name("commands")) == job


def test_upgrade_keeps_state_and_takes_a_fresh_process(cluster: Cluster) -> None:
    lines: list[str] = []
    pid, before = cluster.taskmanager_pid(), cluster.report("commands")["count"]
    deploy.deploy(cluster.config, Progress(sink=lines.append), names=("commands",), submit=cluster.run, ahead=nothing)
    report = cluster.counted("commands", before)
    assert report["pid"] == cluster.taskmanager_pid() != pid
    assert "savepoint-" in lines[2]


def test_jobmanager_that_lost_its_jobs_gets_them_back(cluster: Cluster) -> None:
    rest = FlinkRest(cluster.config.flink_url)
    before = cluster.report("commands")["count"]
    os.kill(Supervisor(cluster.config).states()["jobmanager"].pid, signal.SIGKILL)
    eventually(
        lambda: rest.alive() and "taskmanager-1" in rest.taskmanagers(),
        timeout_s=90,
        what="JobManager and TaskManager meet again",
    )
    assert rest.live_job(jobs.flink_name("commands")) is None
    plan, restore = cluster.plan("commands"), restore_points.newest(cluster.config, "commands")
    compiled_ns = plan.stat().st_mtime_ns
    keeper = Keeper(cluster.config, submit=cluster.run, needs={})
    assert [(step.job, step.step) for step in keeper.round()] == [
        ("commands", "resubmission from the newest restore point")
    ]
    job = rest.live_job(jobs.flink_name("commands"))
    assert job is not None
    assert cluster.restored_from(job.id) == urlsplit(restore).path
    assert plan.stat().st_mtime_ns == compiled_ns  # nothing was compiled
    assert cluster.counted("commands", before)["count"] > before
    assert keeper.round() == []
    rows = {row["name"]: row for row in status.collect(cluster.config)["services"]}
    assert rows["jobmanager"]["restarts"] == 1
