"""The Flink jobs of the stack: submission, stop with savepoint, cancellation.

A job is submitted from the active code root (`roots`), and goes on from its newest restore point (`restore_points`). Nothing of our
code is shipped with it: TaskManagers have the same root on their path from their start.
One writer at a time: `lock` is held by whoever submits (`up`, `deploy`, the job keeper).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from base import locks
from stack import deployment, flink, plans, render, restore_points, roots
from stack.config import ROOT, StackConfig
from stack.errors import StackError, StepError
from stack.flink_rest import FlinkJob, FlinkRest, FlinkUnavailableError
from stack.plans import Submission
from stack.restore_points import RestorePoint

# In submission order: people wait for `commands`; the historian and the alarms come before the job that feeds them.
JOBS = ("commands", "alarms", "historian", "telemetry")
Submit = Callable[[StackConfig, str], str]
"""What `submit` is; tests submit jobs of their own."""
_LOCK = "jobs.lock"
# A JobManager that has just started loads what it needs for its first job.
_PLAN_TIMEOUT_S = 60.0
_log = logging.getLogger(__name__)


def of(config: StackConfig) -> tuple[str, ...]:
    """Jobs that are to run: those with a slot."""
    return tuple(job for job in JOBS if config.parallelism.of(job))


def flink_name(job: str) -> str:
    """Name under which the job runs in Flink: `NAME` of its module, read without importing it (that would load pyflink)."""
    source = ROOT / "jobs" / f"{job}.py"
    match = re.search(r'^NAME = "([^"]+)"$', source.read_text(), re.MULTILINE) if source.exists() else None
    return match[1] if match else job


@contextmanager
def lock(config: StackConfig) -> Iterator[None]:
    """Hold the right to submit and stop jobs of this instance.

    A client that submits inherits it: when whoever holds it is killed, nobody else submits before that client has ended.
    """
    config.run.mkdir(parents=True, exist_ok=True)
    with locks.take(config.run / _LOCK, inheritable=True):
        yield


@contextmanager
def try_lock(config: StackConfig) -> Iterator[bool]:
    """The same without waiting: False when somebody else holds it."""
    config.run.mkdir(parents=True, exist_ok=True)
    try:
        held = locks.take(config.run / _LOCK, wait=False, inheritable=True)
    except BlockingIOError:
        yield False
        return
    with held:
        yield True


def submission(
    config: StackConfig, job: str, *, script: Path | None = None, arguments: tuple[str, ...] | None = None
) -> Submission:
    """A job of the platform, or a script under its name, with the platform's configuration of that job or other arguments."""
    # By module: as a script, `jobs/historian.py` would stand before the package `historian` on its own path.
    program = str(script) if script else f"jobs.{job}"
    arguments = ("--config", str(render.jobs_file(config, job))) if arguments is None else arguments
    return Submission(job=job, program=program, arguments=arguments)


def submit(
    config: StackConfig,
    job: str,
    *,
    script: Path | None = None,
    arguments: tuple[str, ...] | None = None,
    restore: str | None = None,
) -> str:
    """Submit a job by its plan, from its newest restore point, or from the one that is named; returns the job id.

    A plan that is missing, or that Flink does not take, is compiled (`plans`). Restore points are never given to Flink to delete
    (`restore_points.prune` does that): a deployment may go back to this one. Call it with the lock held. StepError with the Python
    traceback when the program fails, and with Flink's reason when the job does not begin.
    """
    wanted = submission(config, job, script=script, arguments=arguments)
    restore = restore_points.newest(config, job) if restore is None else restore
    job_id = _submit_by_plan(config, wanted, restore) if plans.compiles(config) else _run(config, wanted, restore)
    _check_name(config, job, job_id)
    restore_points.remember(config, job, RestorePoint(job_id=job_id, restored_from=restore))
    return job_id


def _submit_by_plan(config: StackConfig, wanted: Submission, restore: str) -> str:
    """The job id."""
    compiled = plans.compile_missing(config, (wanted,))
    try:
        return _submit_plan(config, wanted, restore)
    except _UselessPlanError as error:
        if compiled:
            raise
        found = {"job": wanted.job, "detail": str(error)}
        _log.warning("a kept plan is of no use; the job is compiled anew", extra=found)
        plans.forget(config, wanted.job)
        plans.compile_missing(config, (wanted,))
        return _submit_plan(config, wanted, restore)


class _UselessPlanError(StepError):
    """Flink did not take a plan, or it is none."""


def _submit_plan(config: StackConfig, wanted: Submission, restore: str) -> str:
    """The job id. StepError when the job could not begin, and the plan's own when no job came of it."""
    rest, job_id = FlinkRest(config.flink_url, timeout_s=_PLAN_TIMEOUT_S), uuid4().hex
    try:
        rest.submit(plans.filled(wanted.file(config), job_id=job_id, restore=restore))
    except FlinkUnavailableError:
        raise
    except (StackError, ValueError, OSError) as error:
        # An error may come after Flink took the job: a second copy of it would be worse.
        if not any(known.id == job_id for known in rest.jobs()):
            msg = f"job {wanted.job} was not submitted: {error}"
            raise _UselessPlanError(msg) from error
    deadline = time.monotonic() + _PLAN_TIMEOUT_S
    while (state := rest.job_state(job_id)) == "INITIALIZING" and time.monotonic() < deadline:
        time.sleep(0.05)
    if state == "FAILED":
        msg = f"job {wanted.job} did not begin{f' from {restore}' if restore else ''}: {rest.root_exception(job_id)[-3000:]}"
        raise StepError(msg)
    return job_id


def _run(config: StackConfig, wanted: Submission, restore: str) -> str:
    """The job id, of code that submits itself: a deployment goes back to a root of 0.2.0, or an instance has not left it yet."""
    options = ("-s", restore, "-cm", "NO_CLAIM") if restore else ()
    late = f"flink run of {wanted.job} did not finish"
    result = flink.run_client(
        config, roots.active(config), wanted.program, wanted.arguments, options=options, late=late
    )
    job_id = re.search(r"Job has been submitted with JobID ([0-9a-f]{32})", result.stdout)
    if result.returncode or job_id is None:
        msg = f"flink run of {wanted.job} failed:\n{plans.reason(result.stdout + result.stderr)}"
        raise StepError(msg) if FlinkRest(config.flink_url).alive() else FlinkUnavailableError(msg)
    return job_id[1]


def compile_ahead(config: StackConfig, names: Sequence[str], *, root: str = "") -> str:
    """Compile those of the jobs that have no plan on the root, by default the active one; what was done. Call it with the lock held."""
    if not names:
        return "none: the jobs run"
    if not plans.compiles(config, root):
        return "none: this code is compiled when it is submitted"
    compiled = plans.compile_missing(config, [submission(config, name) for name in names], root=root)
    return f"compiled: {', '.join(compiled)}" if compiled else "kept ones"


def wait_running(config: StackConfig, job_id: str, *, timeout_s: float = 120) -> None:
    """Return when all tasks run; StepError with the job's own exception when it does not get there."""
    rest, deadline = FlinkRest(config.flink_url), time.monotonic() + timeout_s
    while not rest.running(job_id):
        state = rest.job_state(job_id)
        if state in ("FAILED", "CANCELED", "FINISHED") or time.monotonic() > deadline:
            cause = rest.root_exception(job_id)[-3000:] or "no task has failed; is a slot free?"
            msg = f"job {job_id} is {state} and not all of its tasks run after {timeout_s:.0f} s: {cause}"
            raise StepError(msg)
        time.sleep(0.1)


def ensure(config: StackConfig, job: str, *, wait: bool = True) -> tuple[str, bool]:
    """Submit a job unless one of its name is live; (job id, whether it was submitted). StackError while a deployment is not finished."""
    with lock(config):
        if deployment.pending(config) is not None:
            msg = "a deployment was interrupted; the job keeper finishes it, or `./millrace deploy`"
            raise StackError(msg)
        job_id, submitted = submit_unless_live(config, job)
    if wait:
        wait_running(config, job_id)
    return job_id, submitted


def submit_unless_live(config: StackConfig, job: str, submission: Submit = submit) -> tuple[str, bool]:
    """The same, with the lock held and whatever is not finished."""
    live = FlinkRest(config.flink_url).live_job(flink_name(job))
    if live is not None:
        adopt(config, job, live.id)
        return live.id, False
    return submission(config, job), True


def adopt(config: StackConfig, job: str, job_id: str) -> None:
    """Write a live run down unless it is: whoever submitted it may have been killed just then. Call it with the lock held."""
    known = restore_points.read(config).get(job)
    if known is None or known.job_id != job_id:
        point = RestorePoint(job_id=job_id, restored_from=restore_points.newest(config, job))
        restore_points.remember(config, job, point)


def stop(config: StackConfig, job: str, *, timeout_s: float = 60) -> str | None:
    """Stop a live job with a savepoint, which becomes its restore point; None when there is no such job. Call it with the lock held."""
    rest = FlinkRest(config.flink_url)
    live = rest.live_job(flink_name(job))
    if live is None:
        return None
    folder = restore_points.savepoint_dir(config, job) / live.id
    savepoint = rest.stop_with_savepoint(live.id, folder.as_uri(), timeout_s=timeout_s)
    restore_points.remember(config, job, RestorePoint(job_id="", restored_from=savepoint))
    _wait_gone(rest, live, timeout_s)
    return savepoint


def cancel(config: StackConfig, job: str) -> None:
    """Cancel a live job that could not be stopped with a savepoint; its newest checkpoint stays its restore point."""
    rest = FlinkRest(config.flink_url)
    live = rest.live_job(flink_name(job))
    if live is not None:
        rest.cancel(live.id)
        _wait_gone(rest, live, 30)


def go_on_from(config: StackConfig, job: str, savepoint: str) -> None:
    """Make a savepoint (a URI) the restore point of a job that does not run. Call it with the lock held."""
    restore_points.remember(config, job, RestorePoint(job_id="", restored_from=savepoint))


def interrupted(config: StackConfig) -> tuple[str, ...]:
    """Jobs that ran and were not stopped on purpose, in submission order."""
    points = restore_points.read(config)
    return tuple(job for job in JOBS if job in points and points[job].job_id)


def _check_name(config: StackConfig, job: str, job_id: str) -> None:
    """A job that goes by another name than its module says would be submitted again and again: cancel it."""
    rest = FlinkRest(config.flink_url)
    names = {known.id: known.name for known in rest.jobs()}
    if names.get(job_id) != flink_name(job):
        rest.cancel(job_id)
        msg = f"job {job} was submitted under the name {names.get(job_id)!r}, not {flink_name(job)!r} (NAME in jobs/{job}.py)"
        raise StepError(msg)


def _wait_gone(rest: FlinkRest, job: FlinkJob, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while rest.live_job(job.name) is not None:
        if time.monotonic() > deadline:
            msg = f"job {job.name} ({job.id}) did not end within {timeout_s:.0f} s"
            raise StackError(msg)
        time.sleep(0.1)
