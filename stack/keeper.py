"""Job keeper: resubmits jobs that a restarted JobManager forgot. Supervised, one per instance.

A standalone Flink session keeps its jobs in the JobManager's memory. When that process dies, supervisord restarts it empty; the
keeper sees a known job missing and submits it from its newest checkpoint. A job that somebody stopped on purpose through
`stack.jobs.stop` has no last run and is left alone. The watch of the services looks after this process, and this process after it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from base import heartbeat, logs
from stack import deploy, deployment, jobs, priority, restore_points
from stack.config import StackConfig, load
from stack.errors import StackError
from stack.flink_rest import FlinkRest, FlinkUnavailableError
from stack.health.watch import Watch
from stack.reporting import Progress
from stack.services import HEALTH_WATCH, all_services

_PERIOD_S = 2.0
# A deployment holds the right to submit for minutes.
_PATIENCE_S = 1800.0
_log = logging.getLogger("stack.keeper")


def check_once(config: StackConfig, submit: Callable[[StackConfig, str], str] = jobs.submit) -> list[str]:
    """Resubmit what is missing; names of the jobs that were submitted."""
    submitted = []
    with jobs.lock(config):
        if (found := deployment.pending(config)) is not None:
            _log.warning(
                "going on with a deployment that was interrupted", extra={"root": found.root, "phase": found.phase}
            )
            deploy.resume(config, Progress(sink=_log.info), submit)
            return list(found.jobs)
        live = {job.name: job.id for job in FlinkRest(config.flink_url).jobs() if job.live}
        interrupted = jobs.interrupted(config)
        for name in jobs.JOBS:
            if jobs.flink_name(name) in live:
                jobs.adopt(config, name, live[jobs.flink_name(name)])
            elif name in interrupted:
                job_id = submit(config, name)
                _log.warning("resubmitted a job that Flink had forgotten", extra={"job": name, "job_id": job_id})
                submitted.append(name)
        if submitted:
            restore_points.prune(config, live=[job.id for job in FlinkRest(config.flink_url).jobs() if job.live])
    return submitted


def main() -> None:
    """Check until stopped."""
    logs.configure("job-keeper")
    config = load()
    beat = heartbeat.from_environment(patience_s=_PATIENCE_S)
    watch = Watch(config, (service for service in all_services(config) if service.name == HEALTH_WATCH))
    while True:
        beat.tick()
        watch.round()
        try:
            check_once(config)
            priority.apply(config)
        except FlinkUnavailableError as error:
            _log.info("waiting for the JobManager", extra={"detail": str(error)})
        except StackError:
            _log.exception("could not resubmit")
        time.sleep(_PERIOD_S)


if __name__ == "__main__":
    main()
