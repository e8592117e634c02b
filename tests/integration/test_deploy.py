"""Deployments on a real cluster with a small job: upgraded, taken back, killed at every step."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import psutil
import pytest

from stack import deploy, deployment, instance, jobs, plans, processes, restore_points, roots
from stack.config import ROOT, StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.render import instance_environment
from stack.reporting import Progress
from stack.supervisor import Supervisor
from tests.integration.deploying import nothing, submit_counting
from tests.integration.polling import eventually

pytestmark = pytest.mark.timeout(900)

JOB = "commands"
PROGRESS_TIMEOUT_S = 45
GOOD = "def before(count):\n    pass\n"
FAILS = "def before(count):\n    raise RuntimeError('the new code is wrong')\n"
STANDS = "import threading\n\n\ndef before(count):\n    threading.Event().wait()\n"
NO_PYTHON = "this is no Python\n"
OURS = (
    "base/__init__.py",
    "base/plan.py",
    "jobs/__init__.py",
    "jobs/flink/__init__.py",
    "jobs/flink/compilation.py",
    "jobs/flink/environment.py",
)
"""What the counting job needs of the packages that a code root has."""


@dataclass
class Cluster:
    """A cluster with one TaskManager and one counting job, and source trees for it."""

    config: StackConfig
    folder: Path
    versions: list[str] = field(default_factory=list)

    @property
    def submit(self) -> jobs.Submit:
        return partial(submit_counting, reports=self.folder)

    def tree(self, behaviour: str) -> Path:
        """A new source tree; each has a version of its own."""
        version = f"v{len(self.versions)}"
        self.versions.append(version)
        tree = self.folder / version
        for file in OURS:
            (tree / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / file, tree / file)
        (tree / "jobs" / "behaviour.py").write_text(f'VERSION = "{version}"\n{behaviour}')
        return tree

    def root(self, tree: Path) -> str:
        return roots.name_of(tree)

    def deploy(self, tree: Path) -> list[str]:
        lines: list[str] = []
        told = Progress(sink=lines.append)
        deploy.deploy(self.config, told, names=(JOB,), submit=self.submit, ahead=nothing, source=tree)
        return lines

    def begin(self, tree: Path) -> subprocess.Popen[str]:
        """The same in a process that can be killed."""
        command = [
            sys.executable,
            "-m",
            "tests.integration.deploying",
            "--source",
            str(tree),
            "--reports",
            str(self.folder),
        ]
        environment = os.environ | instance_environment(self.config)
        return subprocess.Popen([*command, JOB], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)

    def resume(self) -> None:
        """What the job keeper and `up` do with a deployment that was interrupted."""
        with jobs.lock(self.config):
            deploy.resume(self.config, Progress(sink=lambda _: None), self.submit)

    def report(self) -> dict[str, int | str]:
        path = self.folder / JOB
        return json.loads(path.read_text()) if path.exists() else {}

    def count(self) -> int:
        return int(self.report().get("count", 0))

    def assert_goes_on(self, tree: Path, *, before: int) -> None:
        """The job counts on where it was, in the code of that tree, and everything runs on its root."""
        version = tree.name
        eventually(lambda: self.report().get("version") == version, timeout_s=30, what=f"reports of {version}")
        first = self.count()
        assert first >= before, "the state began anew"
        eventually(lambda: self.count() > first, timeout_s=30, what="it counts on")
        assert roots.active(self.config).name == self.root(tree)
        assert self.report()["pid"] == self.taskmanager_pid()
        assert roots.of_process(self.config, self.taskmanager_pid()) == self.root(tree)
        live = [job.id for job in FlinkRest(self.config.flink_url).jobs() if job.live]
        assert live == [restore_points.read(self.config)[JOB].job_id]

    def forget_report(self) -> None:
        """So that the next one is of the next run."""
        (self.folder / JOB).unlink(missing_ok=True)

    def taskmanager_pid(self) -> int:
        return Supervisor(self.config).states()["taskmanager-1"].pid


@dataclass
class Running:
    """The tree whose code runs now; tests follow each other on one cluster."""

    tree: Path


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with instance.temporary(progress_timeout_s=PROGRESS_TIMEOUT_S) as started:
        config = started.require("jobmanager", "taskmanager-1")
        yield Cluster(config=config, folder=tmp_path_factory.mktemp("deploy"))
    assert processes.of_instance(config) == []


@pytest.fixture(scope="module")
def running(cluster: Cluster) -> Running:
    tree = cluster.tree(GOOD)
    cluster.deploy(tree)
    cluster.assert_goes_on(tree, before=0)
    return Running(tree)


def test_new_code_runs_in_a_fresh_process_with_its_state(cluster: Cluster, running: Running) -> None:
    pid, before, tree = cluster.taskmanager_pid(), cluster.count(), cluster.tree(GOOD)
    lines = cluster.deploy(tree)
    cluster.assert_goes_on(tree, before=before)
    assert cluster.taskmanager_pid() != pid
    assert any("savepoint-" in line for line in lines)
    running.tree = tree


def test_code_of_before_plans_goes_on_from_its_savepoint_and_is_left_again(cluster: Cluster, running: Running) -> None:
    """A root of 0.2.0, to which a deployment may go back: it has no way to compile, and submits itself."""
    older = cluster.tree(GOOD)
    (older / "jobs" / "flink" / "compilation.py").unlink()
    (older / "jobs" / "flink" / "environment.py").write_text("def execute(stream, name):\n    stream.execute(name)\n")
    for tree in (older, cluster.tree(GOOD)):
        before = cluster.count()
        cluster.forget_report()
        cluster.deploy(tree)
        running.tree = tree
        cluster.assert_goes_on(tree, before=before)


def test_the_same_code_takes_a_fresh_process_too(cluster: Cluster, running: Running) -> None:
    pid, before = cluster.taskmanager_pid(), cluster.count()
    cluster.deploy(running.tree)
    cluster.assert_goes_on(running.tree, before=before)
    assert cluster.taskmanager_pid() != pid


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [(FAILS, "the new code is wrong"), (STANDS, "0 checkpoints completed"), (NO_PYTHON, "SyntaxError")],
    ids=["fails", "stands", "no Python"],
)
@pytest.mark.campaign
def test_code_without_progress_is_taken_back(cluster: Cluster, running: Running, behaviour: str, reason: str) -> None:
    before, broken = cluster.count(), cluster.tree(behaviour)
    with pytest.raises(deploy.RolledBackError, match="the jobs run on root") as raised:
        cluster.deploy(broken)
    assert reason in str(raised.value)
    cluster.forget_report()
    cluster.assert_goes_on(running.tree, before=before)
    last = deployment.last(cluster.config)
    assert last is not None
    assert (last["outcome"], last["new_root"]) == ("went back", cluster.root(broken))
    assert reason in last["reason"]


def test_code_that_does_not_compile_is_refused_while_the_jobs_run(cluster: Cluster, running: Running) -> None:
    def ahead(config: StackConfig, names: tuple[str, ...], /, *, root: str) -> str:
        return ", ".join(plans.compile_missing(config, [broken(name) for name in names], root=root))

    def broken(name: str) -> plans.Submission:
        return plans.Submission(job=name, program="jobs.behaviour", arguments=())

    before, active = restore_points.read(cluster.config)[JOB].job_id, roots.active(cluster.config)
    told = Progress(sink=print)
    with pytest.raises(StackError, match=r"not compiled:(.|\n)*SyntaxError"):
        deploy.deploy(
            cluster.config, told, names=(JOB,), submit=cluster.submit, ahead=ahead, source=cluster.tree(NO_PYTHON)
        )
    assert deployment.pending(cluster.config) is None
    assert roots.active(cluster.config) == active
    assert [job.id for job in FlinkRest(cluster.config.flink_url).jobs() if job.live] == [before]


@pytest.mark.campaign
def test_jobs_of_others_are_not_taken_along(cluster: Cluster, running: Running) -> None:
    with pytest.raises(StackError, match=f"{jobs.flink_name(JOB)} .* would lose its TaskManager"):
        deploy.deploy(cluster.config, Progress(sink=print), names=("telemetry",), source=cluster.tree(GOOD))
    assert deployment.pending(cluster.config) is None


def kill_at(cluster: Cluster, tree: Path, step: str, *, with_client: bool, occurrence: int) -> None:
    """Begin a deployment, and kill -9 it as soon as it begins that step."""
    with cluster.begin(tree) as process:
        assert process.stdout is not None
        begun = (line for line in process.stdout if line.startswith(f"begin {step}"))
        for _ in range(occurrence):
            assert next(begun, ""), f"step {step!r} never began"
        if with_client:
            eventually(psutil.Process(process.pid).children, what="the client that compiles")
        process.kill()


FORWARD = (
    # step, with the client that compiles, whether the new code runs in the end
    (f"job {JOB}: savepoint", False, False),
    ("TaskManagers on root", False, True),
    (f"job {JOB}: submit", False, True),
    (f"job {JOB}: submit", True, True),
    ("progress", False, True),
)


@pytest.mark.parametrize(("step", "with_client", "new"), FORWARD)
@pytest.mark.campaign
def test_a_deployment_that_was_killed_comes_to_its_end(
    cluster: Cluster, running: Running, step: str, with_client: bool, new: bool
) -> None:
    before, tree = cluster.count(), cluster.tree(GOOD)
    kill_at(cluster, tree, step, with_client=with_client, occurrence=1)
    assert deployment.pending(cluster.config) is not None
    cluster.forget_report()
    if new:
        cluster.resume()
        running.tree = tree
    else:
        with pytest.raises(deploy.RolledBackError, match="interrupted"):
            cluster.resume()
    assert deployment.pending(cluster.config) is None
    cluster.assert_goes_on(running.tree, before=before)


BACKWARD = (
    ("back to root", False, 1),
    ("TaskManagers on root", False, 2),
    (f"job {JOB}: submit", True, 2),
    ("progress", False, 2),
)


@pytest.mark.parametrize(("step", "with_client", "occurrence"), BACKWARD)
@pytest.mark.campaign
def test_a_deployment_that_was_killed_on_its_way_back_comes_to_its_end(
    cluster: Cluster, running: Running, step: str, with_client: bool, occurrence: int
) -> None:
    before = cluster.count()
    kill_at(cluster, cluster.tree(FAILS), step, with_client=with_client, occurrence=occurrence)
    assert deployment.pending(cluster.config) is not None
    cluster.forget_report()
    with pytest.raises(deploy.RolledBackError, match="the new code is wrong"):
        cluster.resume()
    cluster.assert_goes_on(running.tree, before=before)


@pytest.mark.campaign
def test_the_next_deployment_finishes_one_that_was_killed(cluster: Cluster, running: Running) -> None:
    before, first, second = cluster.count(), cluster.tree(GOOD), cluster.tree(GOOD)
    kill_at(cluster, first, f"job {JOB}: submit", with_client=False, occurrence=1)
    cluster.forget_report()
    lines = cluster.deploy(second)
    assert "an earlier deployment was interrupted; it comes first" in lines
    cluster.assert_goes_on(second, before=before)
    last = deployment.last(cluster.config)
    assert last is not None
    assert last["old_root"] == cluster.root(first)
    running.tree = second


@pytest.mark.campaign
def test_few_roots_and_savepoints_are_kept(cluster: Cluster, running: Running) -> None:
    kept = {path.name for path in roots.folder(cluster.config).iterdir() if path.is_dir() and not path.is_symlink()}
    assert cluster.root(running.tree) in kept
    assert len(kept) <= 5
    savepoints = list(restore_points.savepoint_dir(cluster.config, JOB).glob("*/savepoint-*"))
    assert 0 < len(savepoints) <= 4


@pytest.mark.campaign
def test_flink_gets_no_code_with_a_job(cluster: Cluster, running: Running) -> None:
    """Nothing of ours among what Flink keeps and hands out with jobs."""
    blobs = Path(cluster.config.state / "tmp").rglob("blob_*")
    assert [path for path in blobs if path.is_file()] == []
