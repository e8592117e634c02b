"""The job keeper's ladder on a real cluster: a poisoned TaskManager, a damaged checkpoint, a JobManager that was stopped for a while."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from stack import instance, jobs, restore_points
from stack.flink_rest import FlinkRest, FlinkUnavailableError
from stack.healing import record
from stack.healing.record import StepRecord
from stack.keeper import Keeper
from stack.supervisor import Supervisor
from tests.integration.counting_cluster import Cluster
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(600)
NAME = "commands"
PAUSE_S = 15.0
FLOWS_AFTER_PAUSE_S = 60
"""The target is 30 s; the machine that runs the tests may be busy."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with instance.temporary() as running:
        config = running.require("jobmanager", "taskmanager-1")
        found = Cluster(config=config, reports=tmp_path_factory.mktemp("reports"))
        found.submit(NAME)
        yield found


@pytest.fixture
def keeper(cluster: Cluster) -> Keeper:
    """As the process has it, but for the services of the real jobs."""
    return Keeper(cluster.config, submit=cluster.run, needs={})


def steps(keeper: Keeper) -> list[StepRecord]:
    """One round; a JobManager that is away is waited for."""
    try:
        return keeper.round()
    except FlinkUnavailableError:
        return []


def advancing(cluster: Cluster, keeper: Keeper) -> bool:
    """One more round, and whether it found the job well."""
    steps(keeper)
    return record.read(cluster.config).jobs[NAME].condition == "advancing"


def test_a_job_that_advances_is_left_alone(cluster: Cluster, keeper: Keeper) -> None:
    eventually(lambda: advancing(cluster, keeper), timeout_s=60, period_s=0.5, what="the job advances")
    assert record.read(cluster.config).steps == ()


def test_a_poisoned_taskmanager_is_replaced_and_the_job_goes_on(cluster: Cluster, keeper: Keeper) -> None:
    """The job fails at every record for as long as the process lives; the first step heals it."""
    eventually(lambda: advancing(cluster, keeper), timeout_s=60, period_s=0.5, what="the job advances")
    pid, count = cluster.taskmanager_pid(), cluster.report(NAME)["count"]
    cluster.poison.write_text(str(pid))
    taken = eventually(lambda: steps(keeper), timeout_s=180, period_s=0.5, what="a step is taken")
    assert [(one.job, one.step, one.outcome) for one in taken] == [
        (NAME, "restart of its TaskManager", "taskmanager-1")
    ]
    known = record.read(cluster.config).jobs[NAME]
    assert known.condition == "failing"
    assert "this process is poisoned" in known.detail
    eventually(lambda: advancing(cluster, keeper), timeout_s=120, period_s=0.5, what="the job advances again")
    report = cluster.counted(NAME, count)
    assert report["pid"] == cluster.taskmanager_pid() != pid
    assert record.read(cluster.config).steps == tuple(taken)


@pytest.mark.parametrize("how", ["garbled", pytest.param("empty", marks=pytest.mark.campaign)])
def test_a_damaged_checkpoint_costs_one_step_more(cluster: Cluster, keeper: Keeper, how: str) -> None:
    """The JobManager dies and forgets the job; the newest checkpoint cannot be read, the one before can."""
    eventually(lambda: advancing(cluster, keeper), timeout_s=60, period_s=0.5, what="the job advances")
    job = FlinkRest(cluster.config.flink_url).live_job(jobs.flink_name(NAME))
    assert job is not None
    eventually(
        lambda: len([p for p in restore_points.candidates(cluster.config, NAME) if f"{job.id}/chk-" in p]) >= 2,
        timeout_s=60,
        what="two checkpoints",
    )
    os.kill(Supervisor(cluster.config).states()["jobmanager"].pid, signal.SIGKILL)
    newest, before, *_ = restore_points.candidates(cluster.config, NAME)
    metadata = Path(urlsplit(newest).path) / "_metadata"
    metadata.write_bytes(b"" if how == "empty" else os.urandom(metadata.stat().st_size))
    first = eventually(lambda: steps(keeper), timeout_s=180, period_s=0.5, what="it is submitted")
    second = eventually(lambda: steps(keeper), timeout_s=180, period_s=0.5, what="it is submitted again")
    assert [one.step for one in (*first, *second)] == [
        "resubmission from the newest restore point",
        "resubmission from the restore point before the newest",
    ]
    assert second[0].outcome.endswith(before.rsplit("/", maxsplit=1)[-1])
    count = cluster.report(NAME)["count"]
    eventually(lambda: advancing(cluster, keeper), timeout_s=120, period_s=0.5, what="the job advances again")
    assert cluster.counted(NAME, count)["count"] > count


def test_a_jobmanager_that_was_stopped_for_a_while_heals_without_a_step(cluster: Cluster, keeper: Keeper) -> None:
    eventually(lambda: advancing(cluster, keeper), timeout_s=60, period_s=0.5, what="the job advances")
    taken = record.read(cluster.config).steps
    jobmanager = psutil.Process(Supervisor(cluster.config).states()["jobmanager"].pid)
    jobmanager.suspend()
    threading.Event().wait(PAUSE_S)
    jobmanager.resume()
    count = cluster.report(NAME)["count"]
    eventually(lambda: cluster.report(NAME)["count"] > count, timeout_s=FLOWS_AFTER_PAUSE_S, what="the job counts")
    eventually(lambda: advancing(cluster, keeper), timeout_s=60, period_s=0.5, what="the job advances again")
    assert record.read(cluster.config).steps == taken
