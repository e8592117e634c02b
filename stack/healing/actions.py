"""The steps of healing, taken: a fresh TaskManager for a job, a resubmission from a restore point. Call them with the right to submit held.

Each returns what it did, for the record and the log; StackError when it could not.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Protocol

from stack import jobs, plans, restore_points
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.healing.ladder import Act, Step
from stack.services import all_services
from stack.supervisor import Supervisor


class Submit(Protocol):
    """`jobs.submit`, or what stands for it in a test."""

    def __call__(self, config: StackConfig, job: str, /, *, restore: str | None = None) -> str:
        """Submit a job from a restore point, from its newest one when none is named; the job id."""
        ...


def take(config: StackConfig, job: str, step: Step, submit: Submit) -> str:
    """Take one step for a job."""
    if step.act is Act.RESTART_TASKMANAGER:
        return restart_taskmanagers(config, job)
    return resubmit(config, job, step.back, submit)


def restart_taskmanagers(config: StackConfig, job: str) -> str:
    """Fresh processes for the TaskManagers that the job runs on, or failed on last; Flink starts the job there again by itself."""
    rest, supervisor = FlinkRest(config.flink_url), Supervisor(config)
    live = rest.live_job(jobs.flink_name(job))
    if live is None:
        msg = "the job is gone"
        raise StackError(msg)
    known = {service.name for service in all_services(config)}
    hosts = sorted({*rest.hosts_of(live.id), *rest.failed_on(live.id)} & known)
    if not hosts:
        msg = "the job has no TaskManager"
        raise StackError(msg)
    for host in hosts:
        supervisor.stop(host)
        supervisor.start(host)
    return ", ".join(hosts)


def resubmit(config: StackConfig, job: str, back: int, submit: Submit) -> str:
    """Cancel the job if it is live, and submit it from the restore point that is `back` places before the newest, or from the oldest."""
    points = restore_points.candidates(config, job)
    restore = points[min(back, len(points) - 1)] if points else ""
    try:
        jobs.cancel(config, job)
    except StackError:  # a task that does not listen to Flink either
        restart_taskmanagers(config, job)
        jobs.cancel(config, job)
    if back:  # it did not begin, or did not advance, with what was kept
        plans.forget(config, job)
    job_id = submit(config, job, restore=restore)
    return f"{job_id} from {_short(restore)}" if restore else f"{job_id} from the beginning: it has no restore point"


def _short(restore: str) -> str:
    """Run and checkpoint of an address."""
    return "/".join(PurePosixPath(restore).parts[-2:])
