"""Upgrade of running jobs: stop with savepoint, restart the TaskManagers that ran the job, submit again from the savepoint.

The restart is needed because modules stay loaded in a TaskManager's Python for as long as the process lives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from stack import jobs, lifecycle
from stack.config import StackConfig
from stack.errors import StackError
from stack.flink_rest import FlinkRest
from stack.lifecycle import Progress
from stack.services import all_services
from stack.supervisor import Supervisor

Submit = Callable[[StackConfig, str], str]


def deploy(config: StackConfig, names: Iterable[str], progress: Progress, submit: Submit = jobs.submit) -> None:
    """Upgrade jobs one after the other; a job that does not run is submitted."""
    for name in names:
        _deploy_one(config, name, progress, submit)


def _deploy_one(config: StackConfig, name: str, progress: Progress, submit: Submit) -> None:
    rest, supervisor = FlinkRest(config.flink_url), Supervisor(config)
    if not supervisor.alive() or not rest.alive():
        msg = "the stack does not run; start it with `./millrace up`"
        raise StackError(msg)
    services = {service.name: service for service in all_services(config)}
    with jobs.lock(config):
        live = rest.live_job(jobs.flink_name(name))
        hosts = rest.hosts_of(live.id) if live else set()
        if live:
            with progress.step(f"job {name}: savepoint") as details:
                details.append(jobs.stop(config, name) or "was not running")
        for host in sorted(hosts):
            with progress.step(f"{host}: fresh process"):
                supervisor.stop(host)
                # Flink forgets a TaskManager that said goodbye at once; the new process has the same name.
                supervisor.start(host)
                lifecycle.wait_ready(config, services[host])
        with progress.step(f"job {name}: submit") as details:
            job_id = submit(config, name)
            jobs.wait_running(config, job_id)
            details.append(f"runs as {job_id}")
