"""Any job runs on any TaskManager: the four real jobs after a JobManager that was away, in every placement, before and after `deploy`."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from stack import deployment, instance, jobs, lifecycle, priority, progress, restore_points, roots
from stack.config import ROOT, Parallelism
from stack.flink_rest import FlinkRest, FlinkUnavailableError, FlinkUnknownError
from stack.job_counters import JobCounters
from stack.render import instance_environment
from stack.reporting import Progress
from stack.supervisor import Supervisor
from tests.integration.deploying import JOB as FILLER_JOB
from tests.integration.line import Line, assert_closed
from tests.integration.polling import eventually

# What a paused JobManager does to a line is also a fault that `test_line` carries out in every run.
pytestmark = [pytest.mark.timeout(900), pytest.mark.campaign]
log = logging.getLogger(__name__)

PAUSE_S = 12
"""Longer than `heartbeat.timeout`: the TaskManagers have given up the JobManager, and it will give up them."""
FILLER = "filler"


@pytest.fixture(scope="module")
def line() -> Iterator[Line]:
    with instance.temporary(parallelism=Parallelism()) as running:
        lifecycle.up(running.config, Progress(sink=log.info))
        yield Line(running.config)


Placement = dict[str, str]
"""TaskManager by job."""


def placement(line: Line) -> Placement:
    rest = FlinkRest(line.config.flink_url)
    found = {}
    for job in jobs.JOBS:
        live = rest.live_job(jobs.flink_name(job))
        assert live is not None, job
        (found[job],) = rest.hosts_of(live.id)
    return found


def reading(line: Line, job: str) -> progress.Reading | None:
    """Counters of a job whose tasks all run."""
    rest = FlinkRest(line.config.flink_url)
    try:
        live = rest.live_job(jobs.flink_name(job))
        return JobCounters(rest).reading(live) if live is not None and live.all_running else None
    except (FlinkUnavailableError, FlinkUnknownError):
        return None


def assert_every_job_advances(line: Line) -> None:
    """Two checkpoints of every job without a restart between, and fresh rows at the far end."""
    first: dict[str, progress.Reading] = {}

    def advances(job: str) -> bool:
        now = reading(line, job)
        if now is None:
            return False
        advance = progress.compare(first.setdefault(job, now), now)
        if advance.restarted:
            first[job] = now
        return not advance.restarted and advance.checkpoints >= 2

    for job in jobs.JOBS:
        eventually(partial(advances, job), timeout_s=120, period_s=0.5, what=f"{job} completes checkpoints")
    age = "SELECT extract(epoch FROM now() - max(time)) FROM samples"
    eventually(lambda: float(line.sql(age)[0][0]) < 5, timeout_s=60, what="fresh rows")


def assert_commands_come_first(line: Line) -> None:
    """Every thread of the TaskManager of the commands job at supervisord's niceness, the others polite."""

    def niceness() -> dict[str, set[int]]:
        states, found = Supervisor(line.config).states(), {}
        for job, host in placement(line).items():
            pid = states[host].pid
            found[job] = {os.getpriority(os.PRIO_PROCESS, thread.id) for thread in psutil.Process(pid).threads()}
        return found

    base = os.getpriority(os.PRIO_PROCESS, Supervisor(line.config).pid())
    wanted = {job: {base if job == "commands" else base + priority.POLITE} for job in jobs.JOBS}
    eventually(lambda: niceness() == wanted, timeout_s=60, period_s=0.5, what="priority follows the commands job")


def swap(line: Line, one: str, other: str) -> None:
    """Put two jobs on each other's TaskManagers: a third job keeps one's slot while it takes the other's."""
    config, rest = line.config, FlinkRest(line.config.flink_url)
    before = placement(line)
    report = config.state / "filler"
    with jobs.lock(config):
        jobs.cancel(config, one)
        filler = jobs.submit(config, FILLER, script=FILLER_JOB, arguments=("--name", FILLER, "--report", str(report)))
        jobs.wait_running(config, filler)
        jobs.cancel(config, other)
        jobs.wait_running(config, jobs.submit(config, one))
        rest.cancel(filler)
        jobs.wait_running(config, jobs.submit(config, other))
    assert placement(line) == before | {one: before[other], other: before[one]}


def assert_every_placement(line: Line) -> None:
    """Each job on each TaskManager, from one placement to the next by a swap; jobs advance in each."""
    seen = set(placement(line).items())
    pairs = itertools.cycle(itertools.pairwise(jobs.JOBS))  # swaps of neighbours in turn bring every job everywhere
    while len(seen) < len(jobs.JOBS) ** 2:
        swap(line, *next(pairs))
        assert_every_job_advances(line)
        seen |= set(placement(line).items())


def test_commands_come_first_from_the_start(line: Line) -> None:
    assert_commands_come_first(line)


def test_jobs_come_back_after_a_jobmanager_that_was_paused(line: Line) -> None:
    """With code shipped with the jobs: `ModuleNotFoundError` for ever, as soon as two of them have changed places."""
    pid = Supervisor(line.config).states()["jobmanager"].pid
    before = placement(line)
    os.kill(pid, signal.SIGSTOP)
    time.sleep(PAUSE_S)  # the fault itself
    os.kill(pid, signal.SIGCONT)
    assert_every_job_advances(line)
    log.info("before %s, after %s", before, placement(line))
    assert_commands_come_first(line)


def test_jobs_run_in_every_placement(line: Line) -> None:
    assert_every_placement(line)
    assert_commands_come_first(line)


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same code, with another content."""
    tree = tmp_path_factory.mktemp("changed")
    for package in roots.packages():
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tree / "jobs" / "changed.py").write_text('"""Makes another root."""\n')
    return tree


def begin_deploy(line: Line, tree: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.integration.deploying", "--source", str(tree), *jobs.JOBS]
    environment = os.environ | instance_environment(dataclasses.replace(line.config, owner_pid=0))
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def assert_on_root(line: Line, name: str) -> None:
    states = Supervisor(line.config).states()
    assert roots.active(line.config).name == name
    assert {roots.of_process(line.config, states[host].pid) for host in placement(line).values()} == {name}


def test_deploy_upgrades_all_jobs_and_then_they_run_in_every_placement(line: Line, changed: Path) -> None:
    before = Supervisor(line.config).states()
    with begin_deploy(line, changed) as process:
        output, _ = process.communicate(timeout=400)
    log.info("%s", output)
    assert process.returncode == 0, output
    assert_on_root(line, roots.name_of(changed))
    after = Supervisor(line.config).states()
    assert all(after[host].pid != before[host].pid for host in placement(line).values())
    assert_every_placement(line)
    assert_commands_come_first(line)


def test_a_deployment_that_was_killed_goes_on_by_itself_and_nothing_is_lost(line: Line) -> None:
    """Killed between the TaskManagers of the old root and those of the new one; the job keeper finishes."""
    with begin_deploy(line, ROOT) as process:
        assert process.stdout is not None
        assert next((text for text in process.stdout if text.startswith("begin TaskManagers on root")), "")
        process.kill()
    assert deployment.pending(line.config) is not None
    eventually(lambda: deployment.pending(line.config) is None, timeout_s=300, period_s=0.5, what="it comes to its end")
    last = deployment.last(line.config)
    assert last is not None
    assert last["outcome"] == "deployed", last
    assert_on_root(line, roots.name_of(ROOT))
    assert_every_job_advances(line)
    with line.paused():
        assert_closed(line)
    assert set(restore_points.read(line.config)) >= set(jobs.JOBS)
