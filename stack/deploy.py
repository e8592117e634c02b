"""Upgrade of all jobs together: savepoints, a new code root, fresh TaskManagers, submission, proof of progress; or back again.

There is one active root, and jobs run on it or do not run: never is a job scheduled on a TaskManager of another root. Every phase is in
the journal (`deployment`) before it begins and may be begun again, so a deployment that was interrupted anywhere, by kill -9 too, is
finished or taken back by whoever comes next: the job keeper, `up`, another `deploy` (docs/adr/0019-code-roots.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from uuid import uuid4

from stack import deployment, jobs, restore_points, roots
from stack.config import StackConfig
from stack.deployment import Deployment, Phase
from stack.errors import StackError, UnreachableError
from stack.flink_rest import FlinkRest
from stack.programs import program
from stack.proof import prove
from stack.readiness import wait_ready
from stack.reporting import Progress
from stack.restore_points import RestorePoint
from stack.services import select
from stack.supervisor import Supervisor

_KEPT_ROOTS = 3
_SAVEPOINT_TIMEOUT_S = 60
_STOP_TIMEOUT_S = 60


class Ahead(Protocol):
    """`jobs.compile_ahead`, or what stands for it in a test."""

    def __call__(self, config: StackConfig, names: tuple[str, ...], /, *, root: str) -> str:
        """Compile what the jobs need on a root that is not active yet; what was done. StepError when the code does not compile."""
        ...


class RolledBackError(StackError):
    """The new root was given up; the message says why, and whether the jobs run on the old one."""


def deploy(
    config: StackConfig,
    progress: Progress,
    *,
    names: tuple[str, ...] = (),
    submit: jobs.Submit = jobs.submit,
    ahead: Ahead = jobs.compile_ahead,
    source: Path | None = None,
) -> None:
    """Upgrade the jobs to the code of `source`, by default what this instance runs from. A job that does not run is submitted.

    `names` are by default all jobs that are to run. Raises StepError when the code does not compile, before anything is stopped,
    RolledBackError when the jobs make no progress on it, UnreachableError when the JobManager or the broker is away for long. After
    that, as after any other interruption, the journal is there and the deployment goes on by itself.
    """
    require_running(config)
    names = names or jobs.of(config)
    with jobs.lock(config):
        if deployment.pending(config) is not None:
            progress.sink("an earlier deployment was interrupted; it comes first")
            try:
                resume(config, progress, submit)
            except RolledBackError as error:
                progress.sink(str(error))
        _refuse_strangers(config, names)
        with progress.step("code root") as details:
            new = roots.build(config, source or program(config, "jobs").directory)
            details.append(new)
        with progress.step("plans of jobs") as details:
            details.append(ahead(config, names, root=new))
        found = deployment.write(
            config,
            Deployment(
                id=uuid4().hex,
                started=deployment.now(),
                phase=Phase.STOPPING,
                old_root=roots.active(config).name,
                new_root=new,
                jobs=names,
                taskmanagers=tuple(_pids(config)),
            ),
        )
        for name in reversed(names):
            with progress.step(f"job {name}: savepoint") as details:
                details.append(_stop(config, name))
        restore = {name: restore_points.newest(config, name) for name in names}
        found = found.moved(Phase.STARTING, restore=restore, stale=tuple(_pids(config).values()))
        _go_on(config, deployment.write(config, found), progress, submit)


def resume(config: StackConfig, progress: Progress, submit: jobs.Submit = jobs.submit) -> None:
    """Finish or take back a deployment that was interrupted; nothing when there is none. Call it with the lock held; raises as `deploy`."""
    found = deployment.pending(config)
    if found is None:
        return
    if found.phase is Phase.STOPPING:
        found = deployment.write(config, found.moved(Phase.RESTORING, reason="interrupted before the new code had run"))
    _go_on(config, found, progress, submit)


def _go_on(config: StackConfig, found: Deployment, progress: Progress, submit: jobs.Submit) -> None:
    if found.phase is Phase.STARTING:
        try:
            _run_on_root(config, found, progress, submit)
        except UnreachableError:
            raise  # the new code has no part in it
        except StackError as error:
            found = deployment.write(config, found.moved(Phase.BACKING, reason=str(error)))
        else:
            _finish(config, found, "deployed")
            return
    if found.phase is Phase.BACKING:
        with progress.step(f"back to root {found.old_root}, from the savepoints"):
            _give_up(config, found)
        found = deployment.write(config, found.moved(Phase.RESTORING, stale=tuple(_pids(config).values())))
    msg = f"root {found.new_root} was given up ({found.reason}); "
    try:
        _run_on_root(config, found, progress, submit)
    except UnreachableError:
        raise
    except StackError as error:
        # As they were, the jobs did not work either: that is the job keeper's business.
        _finish(config, found, "went back, without progress")
        msg += f"root {found.old_root} has the jobs, and they make no progress: {error}"
        raise RolledBackError(msg) from error
    _finish(config, found, "went back")
    msg += f"the jobs run on root {found.old_root} again"
    raise RolledBackError(msg)


def _run_on_root(config: StackConfig, found: Deployment, progress: Progress, submit: jobs.Submit) -> None:
    """Make the root of the phase the active one, with TaskManagers that run on it, and the jobs on them."""
    with progress.step(f"TaskManagers on root {found.root}") as details:
        roots.activate(config, found.root)
        details.append(f"{_renew_taskmanagers(config, found)} fresh processes")
    for name in found.jobs:
        with progress.step(f"job {name}: submit") as details:
            job_id, submitted = jobs.submit_unless_live(config, name, submit)
            details.append(f"{'submitted' if submitted else 'runs'} as {job_id}")
    with progress.step("progress") as details:
        details.append(prove(config, found.jobs, submit))


def _renew_taskmanagers(config: StackConfig, found: Deployment) -> int:
    """Stop and start those that were there before this phase or run on another root; how many."""
    supervisor, pids = Supervisor(config), _pids(config)
    services = {service.name: service for service in select(config, found.taskmanagers)}
    old = [name for name, pid in pids.items() if pid in found.stale or roots.of_process(config, pid) != found.root]
    for name in old:
        supervisor.stop(name, wait=False)
    for name in old:
        supervisor.wait_stopped(name, timeout_s=_STOP_TIMEOUT_S)
    for name in services:
        # Flink forgets a TaskManager that said goodbye at once; the new process has the same name.
        supervisor.start(name)
    for service in services.values():
        wait_ready(config, service)
    return len(old)


def _stop(config: StackConfig, name: str) -> str:
    """Stop a job with a savepoint; one that cannot make any is cancelled, and goes on from its newest checkpoint."""
    try:
        savepoint = jobs.stop(config, name, timeout_s=_SAVEPOINT_TIMEOUT_S)
    except UnreachableError:
        raise
    except StackError as error:
        jobs.cancel(config, name)
        return f"none ({str(error).splitlines()[0][:200]}); goes on from {restore_points.newest(config, name) or 'nothing'}"
    return savepoint or "was not running"


def _give_up(config: StackConfig, found: Deployment) -> None:
    """End the jobs of the new root and forget what they left. One that does not even let itself be cancelled goes with its TaskManager."""
    for name in found.jobs:
        jobs.cancel(config, name)
        restore_points.remember(config, name, RestorePoint(job_id="", restored_from=found.restore.get(name, "")))


def _finish(config: StackConfig, found: Deployment, outcome: str) -> None:
    live = [job.id for job in FlinkRest(config.flink_url).jobs() if job.live]
    deployment.finish(config, found, outcome)
    roots.prune(config, keep=(found.old_root, found.new_root), newest=_KEPT_ROOTS)
    restore_points.prune(config, live=live)


def require_running(config: StackConfig) -> None:
    """Raises StackError when the instance does not run."""
    if not Supervisor(config).alive() or not FlinkRest(config.flink_url).alive():
        msg = "the stack does not run; start it with `./millrace up`"
        raise StackError(msg)


def _refuse_strangers(config: StackConfig, names: tuple[str, ...]) -> None:
    """Jobs of others would be scheduled anew, on whatever code comes."""
    ours = {jobs.flink_name(name) for name in names}
    strange = [job for job in FlinkRest(config.flink_url).jobs() if job.live and job.name not in ours]
    if strange:
        found = ", ".join(f"{job.name} ({job.id})" for job in strange)
        msg = f"{found} would lose its TaskManager, and is not among the jobs to upgrade; cancel it first"
        raise StackError(msg)


def _pids(config: StackConfig) -> dict[str, int]:
    """Process ids of the TaskManagers that run."""
    states = Supervisor(config).states()
    pids = {service.name: states[service.name].pid for service in select(config, ("taskmanager",))}
    return {name: pid for name, pid in pids.items() if pid}
