"""Whether the line is up, and if not, why. Pure.

Enters: what was found of services and jobs. Leaves: one `State` with its reasons, for the first lines of `status` and `top`, for
`status --wait`, and for the watch, which remembers since when it is so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from stack.health.answer import Answer, Health


class State(StrEnum):
    """State of the whole line."""

    UP = "up"
    """Every service answers, every job advances."""
    DEGRADED = "degraded"
    """Samples flow into history; something beside that does not work (a gateway, serving, commands, alarms, maintenance, backups)."""
    DOWN = "DOWN"
    """No samples reach history, or nobody knows whether they do."""
    STOPPED = "not running"
    """There is no supervisor: nothing runs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServiceView:
    """A service: its state at the supervisor, and its answer to a health check."""

    name: str
    state: str
    health: Health


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """A job: its state in Flink (`ABSENT` when it is not there), whether all of its tasks run, and what the job keeper says of it.

    `condition` is empty when nobody watches it; `detail` is the last line of what it failed of last.
    """

    name: str
    state: str
    running: bool
    condition: str = ""
    detail: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LineState:
    """State and reasons, the gravest first."""

    state: State
    reasons: tuple[str, ...] = ()


# Samples do not reach history without these. A gateway is one site's, the others go on.
_ESSENTIAL_SERVICES = ("kafka", "postgres", "jobmanager", "taskmanager")
_ESSENTIAL_JOBS = ("telemetry", "historian")


def line_state(
    services: Iterable[ServiceView], jobs: Iterable[JobView] | None, unsafe: Iterable[str] = ()
) -> LineState:
    """State of a line whose supervisor runs.

    `jobs` is None when Flink could not be asked; `unsafe` says what is wrong with backups and standby, and where alarms are not evaluated.
    """
    down: list[str] = []
    degraded: list[str] = []
    for service in services:
        if reason := _service_reason(service):
            (down if service.name.startswith(_ESSENTIAL_SERVICES) else degraded).append(reason)
    if jobs is None:
        down.append("the jobs are not known: the JobManager does not answer")
    else:
        known = tuple(jobs)
        if known and all(job.state == "ABSENT" for job in known):
            down.append("no job runs")
        else:
            for job in known:
                if reason := _job_reason(job):
                    (down if job.name.endswith(_ESSENTIAL_JOBS) else degraded).append(reason)
    degraded += unsafe
    state = State.DOWN if down else State.DEGRADED if degraded else State.UP
    return LineState(state=state, reasons=(*down, *degraded))


def _service_reason(service: ServiceView) -> str:
    if service.state != "RUNNING":
        return f"service {service.name} is {service.state}"
    if service.health.answer is Answer.READY:
        return ""
    says = {
        Answer.SILENT: "does not answer",
        Answer.NOT_READY: "is not ready",
        Answer.UNKNOWN: "could not be asked",
    }[service.health.answer]
    return f"service {service.name} {says}: {service.health.detail}"


def _job_reason(job: JobView) -> str:
    because = f": {job.detail}" if job.detail else ""
    if job.state == "ABSENT":
        return f"job {job.name} does not run{because}"
    if job.condition in ("failing", "standing"):
        what = "fails again and again" if job.condition == "failing" else "runs without progress"
        return f"job {job.name} {what}{because}"
    if job.state != "RUNNING":
        return f"job {job.name} is {job.state}{because}"
    if not job.running:
        return f"job {job.name}: not all of its tasks run{because}"
    if job.condition in ("starting", "absent"):
        return f"job {job.name} has not completed a checkpoint since it was started"
    return ""


def last_line(stacktrace: str) -> str:
    """What a person wants to see of a trace.

    Of Java's the innermost cause, without the frames; of Python's the exception, which is its last line; of other text the last line.
    """
    lines = [line.strip() for line in stacktrace.splitlines()]
    said = [line for line in lines if line and not line.startswith(("at ", "... ", "Suppressed:"))]
    causes = [line.removeprefix("Caused by: ") for line in said if line.startswith("Caused by: ")]
    return (causes or said or [""])[-1][:500]
